"""
Where the keys of a TOML document stand.

`tomli` gives values without lines, and messages need lines. This scanner only follows the keys of
a document that tomli has accepted; it does not check anything and does not read values.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import tomli

# The way to a value: keys of tables, and positions in arrays.
KeyPath = tuple[str | int, ...]

_TOKEN: Final = re.compile(
    r'''
      (?P<blank>   [ \t\r]+ | \#[^\n]* )
    | (?P<newline> \n )
    | (?P<text>    """ (?: \\. | [^\\] )*? """ "{0,2}
                 | \'\'\' .*? \'\'\' '{0,2}
                 | " (?: \\. | [^"\\\n] )* "
                 | ' [^'\n]* ' )
    | (?P<mark>    [][{}=,.] )
    | (?P<word>    [^][{}=,.\s"'\#]+ )
    ''',
    re.VERBOSE | re.DOTALL,
)

_END: Final = ("", 0)


def locate_keys(source: str) -> dict[KeyPath, int]:
    """
    Return the line of every key, and of every element of an array.

    Args:
        source: A document that tomli reads.

    Returns:
        `{path: line}`, lines counted from 1. A table that is named several times, as parts of
        longer names for instance, has the line of its first mention.
    """
    scanner = _Scanner(source)
    scanner.scan_document()
    return scanner.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of a key or, where the document lacks it, of the nearest table around it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scanner:
    """Reads tokens from left to right, one ahead."""

    def __init__(self, source: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._sizes: dict[KeyPath, int] = {}
        self._tokens = _tokenize(source)
        self._token, self._line = next(self._tokens, _END)

    def _advance(self) -> str:
        """Return the current token and step to the next one."""
        token = self._token
        self._token, self._line = next(self._tokens, _END)
        return token

    def _skip(self, *tokens: str) -> None:
        while self._token in tokens:
            self._advance()

    def scan_document(self) -> None:
        table: KeyPath = ()
        self._skip("\n")
        while self._token:
            if self._token == "[":
                table = self._scan_header()
            else:
                self._scan_pair(table)
            self._skip("\n")

    def _scan_header(self) -> KeyPath:
        """Read `[a.b]` or `[[a.b]]`, and return the path of the table that follows."""
        self._advance()
        is_array = self._token == "["
        self._skip("[")
        path = self._scan_key((), line=self._line)
        if is_array:
            path = self._next_element(path)
        self._skip("]")
        return path

    def _scan_pair(self, table: KeyPath) -> None:
        path = self._scan_key(table, line=self._line)
        self._skip("=")
        self._scan_value(path)

    def _scan_key(self, table: KeyPath, *, line: int) -> KeyPath:
        """Read a dotted key, and return its path below a table."""
        path = table
        while self._token not in {"=", "]", ""}:
            token = self._advance()
            if token != ".":
                path = self._step_into((*path, _key_text(token)), line)
        return path

    def _step_into(self, path: KeyPath, line: int) -> KeyPath:
        """Note the line of a key; past an array of tables, the way leads into its last table."""
        self.lines.setdefault(path, line)
        if path in self._sizes and self._token == ".":
            return (*path, self._sizes[path] - 1)
        return path

    def _next_element(self, path: KeyPath) -> KeyPath:
        index = self._sizes.get(path, 0)
        self._sizes[path] = index + 1
        self.lines[*path, index] = self._line
        return (*path, index)

    def _scan_value(self, path: KeyPath) -> None:
        if self._token == "[":
            self._scan_array(path)
        elif self._token == "{":
            self._scan_inline_table(path)
        else:
            while self._token not in {"\n", ",", "]", "}", ""}:
                self._advance()

    def _scan_array(self, path: KeyPath) -> None:
        self._advance()
        index = 0
        self._skip("\n", ",")
        while self._token not in {"]", ""}:
            self.lines[*path, index] = self._line
            self._scan_value((*path, index))
            index += 1
            self._skip("\n", ",")
        self._advance()

    def _scan_inline_table(self, path: KeyPath) -> None:
        self._advance()
        self._skip("\n", ",")
        while self._token not in {"}", ""}:
            self._scan_pair(path)
            self._skip("\n", ",")
        self._advance()


def _tokenize(source: str) -> Iterator[tuple[str, int]]:
    """Yield each token that is not blank, with its line."""
    line = 1
    for match in _TOKEN.finditer(source):
        if match.lastgroup != "blank":
            yield match.group(), line
        line += match.group().count("\n")


def _key_text(token: str) -> str:
    if token.startswith("'"):
        return token[1:-1]
    if token.startswith('"'):
        # The rules of escapes are tomli's.
        return str(tomli.loads(f"key = {token}")["key"])
    return token
