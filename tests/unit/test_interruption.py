"""Exceptions of signal handlers, which come in the middle of anything."""

import os
import signal

import pytest

from beethoven.errors import SpecError
from beethoven.runtime.reference import pickled


class Interrupted(Exception):
    pass


class Slow:
    """A signal comes while it is pickled."""

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGUSR1)
        return Slow, ()


class Refusing:
    def __reduce__(self):
        raise RuntimeError("not this one")


@pytest.fixture
def handler():
    def handle(*_):
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handle)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("handler")
def test_what_a_handler_raises_while_a_value_is_pickled_is_not_the_fault_of_the_value():
    with pytest.raises(Interrupted):
        pickled(Slow(), "request", "orders")
    with pytest.raises(SpecError, match="not this one"):
        pickled(Refusing(), "request", "orders")
    with pytest.raises(SpecError):
        pickled(lambda: None, "request", "orders")
