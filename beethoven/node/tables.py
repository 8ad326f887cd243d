"""Reading one table of a configuration file: every value checked, every unknown key reported."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from beethoven.node.interpolation import Failure, interpolate_deep
from beethoven.node.kinds import Kind, Unexpected, alternatives
from beethoven.node.report import Report, shown
from beethoven.node.toml_lines import KeyPath

T = TypeVar("T")
D = TypeVar("D")


class TableReader:
    """
    Hands out the values of one table, and reports what is wrong with them.

    The known keys of a table are those that were asked for, so `finish` comes last.

    Attributes:
        path: Where the table stands.
        report: Where problems go.
        environ: The variables for interpolation.
        is_sound: Whether it is a table, or is missing; if not, that is reported already.
    """

    def __init__(
        self, table: Mapping[str, Any], path: KeyPath, report: Report, environ: Mapping[str, str]
    ) -> None:
        self.path = path
        self.report = report
        self.environ = environ
        self.is_sound = True
        self._table = table
        self._known: set[str] = set()

    def has(self, key: str) -> bool:
        """Return whether the table has a key, which is known from here on."""
        self._known.add(key)
        return key in self._table

    def keys(self) -> list[str]:
        """Return the keys of a table whose keys the user chooses; from here on all are known."""
        self._known.update(self._table)
        return list(self._table)

    def path_of(self, key: str) -> KeyPath:
        return (*self.path, key)

    def read(self, key: str, kind: Kind[T], default: D) -> T | D:
        """Return the checked value of a key; the default if it is missing or wrong."""
        if not self.has(key):
            return default
        failures: list[Failure] = []
        value = interpolate_deep(self._table[key], self.path_of(key), self.environ, failures)
        for path, failure in failures:
            self.report.problem(path, str(failure), fix=failure.fix)
        if failures:
            return default
        try:
            return kind(value)
        except Unexpected as error:
            self.report.problem(self.path_of(key), str(error), fix=error.fix)
            return default

    def table(self, key: str) -> "TableReader":
        """Return a reader of a table inside this one; of an empty one if it is missing or wrong."""
        path = self.path_of(key)
        inner = self._table[key] if self.has(key) else {}
        if isinstance(inner, dict):
            return TableReader(inner, path, self.report, self.environ)
        self.report.problem(path, f"expected a table, got: {shown(inner)}")
        reader = TableReader({}, path, self.report, self.environ)
        reader.is_sound = False
        return reader

    def finish(self) -> None:
        """Report the keys that nobody asked for."""
        for key in [key for key in self._table if key not in self._known]:
            nearest = get_close_matches(key, sorted(self._known), n=1)
            hint = f", did you mean '{nearest[0]}'?" if nearest else ""
            fix = None if nearest else f"known here: {alternatives(sorted(self._known))}"
            self.report.problem(self.path_of(key), f"unknown key{hint}", fix=fix)
