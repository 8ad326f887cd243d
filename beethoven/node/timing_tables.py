"""The timing of the cluster: a preset, and the table `[timing]` that changes parts of it."""

from dataclasses import fields, replace
from typing import Final

from beethoven.cluster.timing import DEFAULT, PRESETS, Timing
from beethoven.errors import SpecError
from beethoven.node import kinds
from beethoven.node.kinds import Unexpected, alternatives
from beethoven.node.tables import TableReader

KEYS: Final = tuple(field.name for field in fields(Timing))

_DEFAULT: Final = next(name for name, timing in PRESETS.items() if timing == DEFAULT)


def read_timing(node: TableReader, table: TableReader) -> Timing:
    """
    Return the timing that two tables give; the preset alone if the rest does not fit it.

    Args:
        node: The table `[beethoven]`, whose `timing` names the preset.
        table: The table `[timing]`.
    """
    name = node.read("timing", _preset, _DEFAULT)
    given = {key: table.read(key, kinds.duration, None) for key in KEYS}
    changes = {key: value for key, value in given.items() if value is not None}
    table.finish()
    try:
        return replace(PRESETS[name], **changes)
    except SpecError as error:
        value = changes.get(error.field, getattr(PRESETS[name], error.field))
        is_ours = error.field in changes
        fix = None if is_ours else f'that is of timing = "{name}"; set {error.field} too'
        text = f"expected {error.expected}, got: {value:g}"
        table.report.problem(table.path_of(error.field), text, fix=fix)
        return PRESETS[name]


def _preset(value: object) -> str:
    if not isinstance(value, str) or value not in PRESETS:
        fix = "single values stand in a table [timing]" if isinstance(value, dict) else None
        raise Unexpected(alternatives([f'"{name}"' for name in PRESETS]), value, fix=fix)
    return value
