"""
What the watcher of the metadata service tells, in words: `status` and `doctor` show it.

A report comes from another process, perhaps of another version: what it lacks is left out. Its
shape is that of `cloud.watcher`.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from beethoven.cloud.notice import NoticeKind
from beethoven.cloud.notices_state import FATAL, LEAVE_MARGIN
from beethoven.node.findings import in_words

Report = Mapping[str, Any]


def report_words(report: Report) -> list[str]:
    """Return where the node stands, when that was asked, what fails, and what follows."""
    site, asked = _table(report, "site"), asked_ago(report)
    words = [_text(site, "zone"), _text(site, "machine")]
    if asked is not None:
        words.append(f"asked {in_words(asked)} ago")
    elif not failures(report):
        words.append("not answered yet")
    words += failures(report)
    return [each for each in [*words, "; ".join(forecasts(report))] if each]


def report_line(report: Report) -> str:
    """Return the same in one line."""
    return ", ".join(report_words(report))


def failures(report: Report) -> list[str]:
    """Return what does not go well: at the service, and at the node."""
    problem = _text(report, "problem")
    if problem and _table(report, "site"):
        problem = f"the node stays where it is: {problem}"
    fails = (_text(_table(report, "metadata"), "failing"), problem)
    return [each for each in fails if each]


def forecasts(report: Report) -> list[str]:
    """Return what is announced, for this machine first, and what follows for the node."""
    machine, outlook = _text(_table(report, "site"), "machine"), _table(report, "outlook")
    notices = [each for each in _list(report, "notices") if isinstance(each, Mapping)]
    own = [each for each in notices if machine and machine in _list(each, "machines")]
    others = [each for each in notices if each not in own]
    age = asked_ago(report) or 0.0
    return [
        *(f"{_announced(each, age)}: {_consequence(each, outlook, age)}" for each in own),
        *(f"{_announced(each, age)} for {_names(each)}" for each in others),
    ]


def asked_ago(report: Report) -> float | None:
    """Return how many seconds ago the notices were read, if that is known."""
    return _number(_table(report, "metadata"), "asked_ago")


def _announced(notice: Report, age: float) -> str:
    kind = _text(notice, "kind") or "notice"
    # A hint is about no moment.
    begins_in = None if kind == NoticeKind.REBALANCE else _number(notice, "begins_in")
    if notice.get("is_started"):
        return f"{kind} has begun"
    if begins_in is None:
        return f"{kind} is announced"
    return f"{kind} in {in_words(max(0.0, begins_in - age))}"


def _consequence(notice: Report, outlook: Report, age: float) -> str:
    """Return what a notice for this machine means for the node."""
    kind, begins_in = notice.get("kind"), _number(notice, "begins_in")
    if kind == NoticeKind.REBALANCE:
        return "other nodes are preferred for new roles"
    if kind not in FATAL:
        return "hands over until it is over" if outlook.get("is_cordoned") else "nothing follows"
    if outlook.get("is_leaving"):
        return "leaves now"
    if not outlook.get("is_cordoned"):
        return "nothing follows"
    if begins_in is None:
        return "hands over" if notice.get("is_started") else "hands over, then leaves"
    return f"hands over, leaves in {in_words(max(0.0, begins_in - LEAVE_MARGIN - age))}"


def _names(notice: Report) -> str:
    names = (" ".join(str(each).split()) for each in _list(notice, "machines"))
    return ", ".join(names) or "machines without a name"


def _table(report: Report, key: str) -> Report:
    value = report.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(report: Report, key: str) -> Sequence[Any]:
    value = report.get(key)
    return value if isinstance(value, list | tuple) else ()


def _text(report: Report, key: str) -> str:
    value = report.get(key)
    return " ".join(value.split()) if isinstance(value, str) else ""


def _number(report: Report, key: str) -> float | None:
    value = report.get(key)
    return float(value) if isinstance(value, int | float) and isfinite(value) else None
