"""Every key of a TOML document has the line that it stands on."""

import string
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from beethoven.node.toml_lines import line_of, locate_keys

DOCUMENT = '''\
# a comment with [brackets] and = "quotes"
top = 1

[table]              # 4
a.b = "x = 1 # no comment"
a.c = [
  1,
  { in = 2, "quoted key" = 3 },  # 8
]
'literal' = """
[no.table]
"""
[table.sub]          # 13
after = \'\'\'
\\'\'\'
x = 1979-05-27T07:32:00Z
[[list]]             # 17
one = 1
[list.inner]
two = 2
[[list]]             # 21
one = 3
"esc\\u0061ped" = { }
'''

LINES = {
    ("top",): 2,
    ("table",): 4,
    ("table", "a"): 5,
    ("table", "a", "b"): 5,
    ("table", "a", "c"): 6,
    ("table", "a", "c", 0): 7,
    ("table", "a", "c", 1): 8,
    ("table", "a", "c", 1, "in"): 8,
    ("table", "a", "c", 1, "quoted key"): 8,
    ("table", "literal"): 10,
    ("table", "sub"): 13,
    ("table", "sub", "after"): 14,
    ("table", "sub", "x"): 16,
    ("list",): 17,
    ("list", 0): 17,
    ("list", 0, "one"): 18,
    ("list", 0, "inner"): 19,
    ("list", 0, "inner", "two"): 20,
    ("list", 1): 21,
    ("list", 1, "one"): 22,
    ("list", 1, "escaped"): 23,
}


def test_every_key_has_its_line():
    assert locate_keys(DOCUMENT) == LINES


@pytest.mark.parametrize(
    ("path", "line"),
    [(("table", "a", "b"), 5), (("table", "missing"), 4), (("no", "such"), 1), ((), 1)],
)
def test_what_is_missing_has_the_line_of_the_table_around_it(path, line):
    assert line_of(LINES, path) == line


@pytest.mark.parametrize("source", ["", "\n\n", "# only a comment", "\r\n"])
def test_an_empty_document_has_no_keys(source):
    assert locate_keys(source) == {}


def paths(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    match value:
        case dict():
            inner = [paths(part, (*path, key)) for key, part in value.items()]
        case list():
            inner = [paths(part, (*path, index)) for index, part in enumerate(value)]
        case _:
            inner = []
    return {path, *set().union(*inner)} - {()}


KEYS = st.text(string.ascii_lowercase, min_size=1, max_size=4)
VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text("ab[]{}=,.#\"' \\\n", max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


def written(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"'
        case list():
            return f"[{', '.join(map(written, value))}]"
        case dict():
            return f"{{{', '.join(f'{key} = {written(part)}' for key, part in value.items())}}}"
    return str(value)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_the_keys_found_are_those_that_the_parser_finds(document):
    source = "".join(f"{key} = {written(value)}\n" for key, value in document.items())
    assert tomli.loads(source) == document
    lines = locate_keys(source)
    assert set(lines) == paths(document)
    for number, key in enumerate(document, 1):
        assert {line for path, line in lines.items() if path[0] == key} == {number}
