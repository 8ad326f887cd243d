"""The peers as a picture: bars on a logarithmic scale, written as SVG."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final, NamedTuple

from scripts.benchmarks.peers.rounds import Result, echo_key
from scripts.benchmarks.peers.tables import duration, per_second

_WIDTH: Final = 820
_LABELS: Final = 200
_BARS: Final = 520
_LINE: Final = 22
_HEAD: Final = 44
_GAP: Final = 26
_OURS: Final = "#b5541c"
_OTHERS: Final = "#5b7c99"


class _Panel(NamedTuple):
    title: str
    values: dict[str, float]
    text: Callable[[float], str]


def plot(results: Sequence[Result], clients: int) -> str:
    """Return the picture: three panels, each with a bar for every peer that has the figure."""
    panels = [
        _Panel(
            "Call and reply, 100 bytes, one client: p50, shorter is better",
            _values(results, echo_key(100, 1), "p50"),
            lambda value: duration(value / 1e6),
        ),
        _Panel(
            f"Call and reply, 100 bytes, {clients} clients: calls in a second, longer is better",
            _values(results, echo_key(100, clients), "rate"),
            per_second,
        ),
        _Panel(
            "Call and reply, 1 MB, one client: p50, shorter is better",
            _values(results, echo_key(1_000_000, 1), "p50"),
            lambda value: duration(value / 1e6),
        ),
    ]
    height = 0
    drawn = []
    for panel in panels:
        drawn += _draw(panel, height)
        height += _HEAD + _LINE * len(panel.values) + _GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
            f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def _values(results: Sequence[Result], key: str, name: str) -> dict[str, float]:
    found = {result.entry.title.replace("`", ""): result.median(key, name) for result in results}
    return {title: value for title, value in found.items() if value is not None}


def _draw(panel: _Panel, top: int) -> list[str]:
    drawn = [f'<text x="12" y="{top + 28}" font-weight="bold">{escape(panel.title)}</text>']
    if not panel.values:
        return drawn
    # The shortest bar is a tenth of a decade long, so that it can be seen.
    least = math.log10(min(panel.values.values())) - 0.1
    most = math.log10(max(panel.values.values()))
    for number, (title, value) in enumerate(panel.values.items()):
        y = top + _HEAD + number * _LINE
        width = _BARS * (math.log10(value) - least) / (most - least)
        colour = _OURS if title == "Beethoven" else _OTHERS
        drawn += [
            f'<text x="{_LABELS - 8}" y="{y + 12}" text-anchor="end">{escape(title)}</text>',
            f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="16" fill="{colour}"/>',
            f'<text x="{_LABELS + width + 6:.1f}" y="{y + 12}">{panel.text(value)}</text>',
        ]
    return drawn
