"""Rules of `tasks.portable`: what can be run on another node."""

import functools
import sys
from types import ModuleType

import pytest

from beethoven.errors import SpecError
from beethoven.runtime.here import here
from beethoven.tasks.portable import portable_work


def square(number):
    return number * number


@pytest.fixture
def script(monkeypatch):
    """A main script that defines a function and a class."""
    main = ModuleType("__main__")
    main.__file__ = "/nowhere/script.py"
    exec("def f(x): return x\nclass Point: pass", main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    # As in a program that is a file.
    monkeypatch.setattr(here, "main", {"init_main_from_path": main.__file__})
    return main


def test_what_is_in_a_module_is_packed_for_whoever_asks():
    work = portable_work(square, (3,), {}, 2.0)
    assert (work.by_request, work.answers, work.ends_with_owner) == (True, True, True)
    assert (work.limit, work.callers) == (2.0, ())
    assert work.open().run() == 9


@pytest.mark.parametrize("text", ["__main__", "the module __main__ of a program"])
def test_a_text_may_speak_of_main(text):
    assert portable_work(len, (text,), {}).open().run() == len(text)


def test_a_function_of_the_script_is_refused(script):
    rule = "task __main__.f: expected function to be what every node can import: move it out of"
    with pytest.raises(SpecError, match=rule):
        portable_work(script.f, (3,), {})


@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: [p], lambda p: {"k": (p,)}, type])
def test_an_argument_of_a_class_of_the_script_is_refused(script, wrap):
    with pytest.raises(SpecError, match=r"expected arguments to be .*got: Point of __main__"):
        portable_work(square, (wrap(script.Point()),), {})
    with pytest.raises(SpecError, match="expected arguments to be"):
        portable_work(square, (), {"number": wrap(script.Point())})


def test_a_partial_of_a_function_of_the_script_is_refused(script):
    with pytest.raises(SpecError, match="got: f of __main__"):
        portable_work(functools.partial(script.f, 3), (), {})
    with pytest.raises(SpecError, match="got: f of __main__"):
        portable_work(functools.partial(square, script.f), (), {})


@pytest.mark.parametrize("function", [lambda: 1, "square", None])
def test_what_no_other_process_can_find_is_refused(function):
    with pytest.raises(SpecError, match="expected function to be what a new process can import"):
        portable_work(function, (), {})


def test_what_cannot_be_pickled_is_refused():
    with pytest.raises(SpecError, match="expected arguments to be values that can be pickled"):
        portable_work(square, (lambda: 1,), {})
