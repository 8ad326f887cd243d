"""How verbs print: JSON, plain lines, or, on a terminal, with rich."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any


def print_json(value: Any) -> None:
    """
    Print a value as JSON on one or more lines.

    Raises:
        TypeError, ValueError: It has no form in JSON.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # Half a character, which JSON can only escape, cannot be printed.
    is_whole = text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)
    print(text if is_whole else json.dumps(value, indent=2, allow_nan=False))


def print_error(text: str) -> None:
    """Print what went wrong, for people, on standard error."""
    print(f"beethoven: {text}", file=sys.stderr)


def first_line(error: Exception) -> str:
    """Return what an error says; the rest, if there is any, is a traceback of another process."""
    return str(error).partition("\n")[0]


def is_rich() -> bool:
    """Whether output goes to a terminal that may be coloured."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: on a terminal with rich, else as aligned plain lines."""
    if is_rich():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=None, header_style="bold")
        for row in rows:
            table.add_row(*(Text(cell, style=style_of(cell)) for cell in row))
        Console(highlight=False).print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def style_of(word: str) -> str:
    """Return the rich style in which a state is shown."""
    match word:
        case "running" | "alive" | "ok":
            return "green"
        case "failed" | "problem":
            return "bold red"
        case "starting" | "restarting" | "stopping" | "cordoned" | "warning":
            return "yellow"
    return ""
