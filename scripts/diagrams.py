"""Draws the diagrams and tables of docs/clustering.md from the tables in the code."""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from beethoven.cluster import failure_detector, handshake  # noqa: E402
from beethoven.cluster.failure_detector import Sign  # noqa: E402
from beethoven.cluster.handshake import Handshake  # noqa: E402
from beethoven.cluster.member import Status  # noqa: E402
from beethoven.cluster.timing import PRESETS, Timing  # noqa: E402
from beethoven.engine import coordinator_state  # noqa: E402

_CUTS: Final = PROJECT / "tests" / "cluster" / "scenarios" / "test_cuts.py"
PAGE: Final = PROJECT / "docs" / "clustering.md"

# Private to their modules: nobody but their modules and their pictures needs them.
_TRANSITIONS: Final[dict[tuple[Status, Sign], Status]] = vars(failure_detector)["_TRANSITIONS"]
_MOVES: Final[dict[tuple[str, type], Callable[..., bytes]]] = vars(Handshake)["_MOVES"]

_TIMES: Final[dict[str, Callable[[Timing], float]]] = {
    "nodes hear each other every": lambda timing: timing.heartbeat,
    "a silent node is suspect after": lambda timing: timing.suspicion,
    "a silent node is down after": lambda timing: timing.silence,
    "one attempt to open a link takes at most": lambda timing: timing.dial_timeout,
    "a node that went away is dialled every": lambda timing: timing.redial_most,
    "long after that, every": lambda timing: timing.redial_rare,
    "two islands know each other after a cut, at most": lambda timing: timing.heal,
    "after the last fault all views agree within": lambda timing: timing.convergence,
}


def main() -> None:
    """Replace what stands between the marks."""
    PAGE.write_text(redrawn(PAGE.read_text("utf-8")), "utf-8")


def redrawn(text: str) -> str:
    """
    Return the page with everything that is drawn drawn anew.

    Raises:
        ValueError: A mark is missing.
    """
    for name, draw in DRAWINGS.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"expected the marks {begin} and {end} once each in {PAGE.name}")
        body = "\n".join([begin, "", *draw(), "", end])
        before, _, rest = text.partition(begin)
        text = before + body + rest.partition(end)[2]
    return text


def statuses() -> Iterator[str]:
    """Draw what becomes of a node."""
    edges: dict[tuple[Status, Status], list[Sign]] = {}
    for (before, sign), after in _TRANSITIONS.items():
        if before is not after:
            edges.setdefault((before, after), []).append(sign)
    yield from ("```mermaid", "stateDiagram-v2")
    yield f"    [*] --> {_only_birth()}: {Sign.LINKED}"
    for (before, after), signs in edges.items():
        yield f"    {before} --> {after}: {' / '.join(signs)}"
    yield "```"


def _only_birth() -> Status:
    return failure_detector.Health.first(now=0.0).status


def signs() -> Iterator[str]:
    """Tell for every status and sign what follows."""
    yield f"| what is known | {' | '.join(Status)} |"
    yield f"|---|{'---|' * len(Status)}"
    for sign in Sign:
        after = [_TRANSITIONS[status, sign] for status in Status]
        cells = ["-" if new is old else str(new) for old, new in zip(Status, after, strict=True)]
        yield f"| {sign} | {' | '.join(cells)} |"


def handshakes() -> Iterator[str]:
    """Draw what a handshake waits for, and where each event may lead."""
    edges: dict[tuple[str, str], list[str]] = {}
    for (status, event), move in _MOVES.items():
        for after in sorted(_reached(move.__name__)):
            edges.setdefault((status, after), []).append(_words(event.__name__))
    yield from ("```mermaid", "stateDiagram-v2")
    yield f"    [*] --> {handshake.Status.AWAITING_HELLO}"
    for (before, after), events in edges.items():
        yield f"    {before} --> {after}: {', '.join(events)}"
    yield from (f"    {handshake.Status.ENDED} --> [*]", "```")


def _reached(method: str) -> set[str]:
    """Return what a handshake may wait for after a method of it, as its code says."""
    found: set[str] = set()
    todo, seen = [method], set()
    methods = _methods(Handshake)
    while todo:
        name = todo.pop()
        seen.add(name)
        for node in ast.walk(methods[name]):
            match node:
                case ast.Assign(
                    targets=[ast.Attribute(attr="_status")], value=ast.Attribute(attr=status)
                ):
                    found.add(handshake.Status[status])
                case ast.Attribute(value=ast.Name("self"), attr=called) if called in methods:
                    todo += [] if called in seen else [called]
    return found


def _methods(owner: type) -> dict[str, ast.FunctionDef]:
    (body,) = ast.parse(inspect.getsource(owner)).body
    assert isinstance(body, ast.ClassDef)
    return {each.name: each for each in body.body if isinstance(each, ast.FunctionDef)}


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def conditions() -> Iterator[str]:
    """Draw what a coordinator is, as `_act` tells it apart, in the words of its theory."""
    theory = inspect.getdoc(coordinator_state) or ""
    entry = re.compile(r"^(following|forming|leading): (.*?)\.(?:\s|$)", re.MULTILINE | re.DOTALL)
    told = dict(entry.findall(theory))
    tests = list(_tests(_methods(coordinator_state.CoordinatorState)["_act"].body[0]))
    if tests != ["not _leads", "_may_begin"] or len(told) != 3:
        raise ValueError(f"expected the conditions of a coordinator, got: {tests}, {sorted(told)}")
    yield from ("```mermaid", "flowchart TD")
    yield '    every{"something happens: does it lead?"} -->|no| following'
    yield '    every -->|yes| begin{"may it begin?"}'
    yield "    begin -->|not yet| forming"
    yield "    begin -->|yes| leading"
    for name, words in told.items():
        yield f'    {name}["<b>{name}</b><br>{" ".join(words.split())}"]'
    yield "```"


def _tests(branch: ast.stmt) -> Iterator[str]:
    """Yield what an if-statement asks, with the name of each question."""
    while isinstance(branch, ast.If):
        yield ast.unparse(branch.test).replace("self.", "").replace("()", "")
        if not branch.orelse:
            return
        branch = branch.orelse[0]


def islands() -> Iterator[str]:
    """Tell what happens in a cluster that is cut, as the test that plays it expects it."""
    (story,) = (
        each
        for each in ast.parse(_CUTS.read_text("utf-8")).body
        if isinstance(each, ast.FunctionDef) and "cut_in_two" in each.name
    )
    for node in ast.walk(story):
        match node:
            case ast.Call(func=ast.Name("text"), args=[ast.Constant(str(told))]):
                yield from ("```text", *inspect.cleandoc(told).splitlines(), "```")
                return


def times() -> Iterator[str]:
    """Tell the times of the presets."""
    yield f"| seconds | {' | '.join(f'`{name}`' for name in PRESETS)} |"
    yield f"|---|{'---|' * len(PRESETS)}"
    for meaning, time in _TIMES.items():
        yield f"| {meaning} | {' | '.join(f'{time(each):.3g}' for each in PRESETS.values())} |"


DRAWINGS: Final = {
    "statuses": statuses,
    "signs": signs,
    "handshake": handshakes,
    "conditions": conditions,
    "islands": islands,
    "times": times,
}


if __name__ == "__main__":
    main()
