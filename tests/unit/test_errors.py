import copy
import inspect
import pickle
import re

import pytest

from beethoven import errors
from beethoven.runtime.reason import ExitReason, ReasonKind

REASON = ExitReason(ReasonKind.EXCEPTION, "ValueError: boom", "Traceback ...\nValueError: boom")

# A value for every parameter that an error takes.
VALUES = {
    "message": "something is wrong",
    "problems": ["app.toml:3: no such key", "app.toml:5: no such role"],
    "reason": REASON,
    "timeout": 2.5,
    "pid": 17,
    "limit": 3,
    "holder": "a reference",
}
CLASSES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, errors.BeethovenError)
]


def example(cls):
    """Return an error of that class."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    positional = [VALUES[p.name] for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    named = {
        p.name: VALUES.get(p.name, f"some {p.name}") for p in parameters if p.kind is p.KEYWORD_ONLY
    }
    return cls(*positional, **named)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling_with_its_attributes(cls):
    error = example(cls)
    error.add_note("a note")
    for twin in (pickle.loads(pickle.dumps(error, 5)), copy.copy(error)):
        assert type(twin) is cls
        assert str(twin) == str(error)
        assert twin.__dict__ == error.__dict__
        assert twin.__notes__ == ["a note"]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_says_who_and_ends_without_a_full_stop(cls):
    text = str(example(cls))
    assert text
    # An example at the end may be cut short.
    assert not text.removesuffix("...").endswith(".")
    for name in set(example(cls).__dict__) & {"process", "target", "child", "name", "subject"}:
        assert f"some {name}" in text


def test_the_tree_in_the_docstring_is_the_tree():
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"^[│├└─ ]*([A-Z]\w+(?:, [A-Z]\w+)*)", errors.__doc__, re.MULTILINE))
    drawn = {name for names in drawn for name in names.split(", ")}
    assert {cls.__name__ for cls in CLASSES} <= drawn


def test_an_error_keeps_the_traceback_of_the_process_it_speaks_of():
    error = errors.ProcessExited(target="'counter'", reason=REASON)
    assert "exited: ValueError: boom\nTraceback ..." in str(error)
