"""
Packing: values that pass through a process which does not open them.

So a registry runs no user code: it compares keys by what they look like when packed.
"""

import io
import pickle
from dataclasses import dataclass
from typing import Any, NoReturn

from beethoven.errors import SpecError
from beethoven.runtime.reason import told_by


@dataclass(frozen=True, slots=True)
class Packed:
    """
    A value, pickled. Whoever is sent it gets the value itself.

    Attributes:
        contents: The pickle.
    """

    contents: bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self.contents,)


def pack(value: Any, subject: str) -> Packed:
    """
    Return a value in its packed form.

    Raises:
        SpecError: It cannot be pickled.
    """
    try:
        return Packed(pickle.dumps(value, 5))
    except Exception as error:
        _refuse(subject, "value", f"a value that can be pickled ({told_by(error)})", value)


def pack_key(key: Any, subject: str) -> Packed:
    """
    Return the packed form of a key: the same for keys that are exactly the same, and only for them.

    Keys are exactly the same if they are equal, of the same types and written in the same way
    throughout: 1, 1.0 and True are three keys, and so are 0.0 and -0.0 two. Of sets only frozen
    ones can be compared so, in a tuple or in each other: those inside of other objects come in an
    order that means nothing.

    Raises:
        SpecError: It cannot be hashed, or not be pickled, or has a set inside of another object.
    """
    check_key(key, subject)
    try:
        return Packed(_exactly(key))
    except Exception as error:
        _refuse(subject, "key", f"a value that can be hashed and pickled ({told_by(error)})", key)


def check_key(key: Any, subject: str) -> None:
    """Raise SpecError if a key cannot be hashed."""
    try:
        hash(key)
    except Exception as error:
        _refuse(subject, "key", f"a value that can be hashed and pickled ({told_by(error)})", key)


def _exactly(key: Any) -> bytes:
    buffer = io.BytesIO()
    pickler = _KeyPickler(buffer, 5)
    # Without its memo a pickle does not depend on which parts of a value are one object.
    pickler.fast = True
    pickler.dump(_in_order(key))
    return buffer.getvalue()


class _KeyPickler(pickle.Pickler):
    """Refuses what equal keys need not have in the same order."""

    def persistent_id(self, value: Any) -> None:
        if isinstance(value, set | frozenset):
            raise TypeError(f"a {type(value).__name__} inside of another object has no order")


def _in_order(key: Any) -> Any:
    """Return a key whose parts come in an order of their own."""
    if type(key) is tuple:
        return tuple(map(_in_order, key))
    if type(key) is frozenset:
        return _Members(sorted(map(_exactly, key)))
    return key


class _Members:
    """A frozen set, in order; it becomes one again when it is opened."""

    def __init__(self, members: list[bytes]) -> None:
        self._members = members

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_members, tuple(self._members)


def _open_members(*members: bytes) -> frozenset[Any]:
    return frozenset(map(pickle.loads, members))


def _refuse(subject: str, field: str, expected: str, value: Any) -> NoReturn:
    raise SpecError(subject=subject, field=field, expected=expected, got=value)
