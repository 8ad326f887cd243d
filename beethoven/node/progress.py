"""A progress bar on the terminal, for whoever waits for many tasks."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(what: str, total: int | None, *, is_wanted: bool) -> Iterator[Callable[[], None]]:
    """
    Show how many are done, on stderr, if that is a terminal.

    Args:
        what: What is done.
        total: How many there are; None if that is not known.
        is_wanted: Whether to show anything.

    Yields:
        What to call when one more is done.
    """
    if not is_wanted or not sys.stderr.isatty():
        yield lambda: None
        return
    # Imported only where somebody looks.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda: progress.advance(bar)
