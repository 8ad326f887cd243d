"""
Obituaries: what a supervisor tells the log of children that have ended.

What a process leaves behind comes with the news of its end; what the supervisor does about it is
decided later. Between the two it is kept here.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from beethoven.runtime.launcher import Child
from beethoven.runtime.process import Process
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.status import CrashReport

# Ends that nobody reports, as normal ones of transient children, are forgotten after so many more.
_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class _Obituary:
    child: Child
    reason: ExitReason | None
    report: CrashReport | None


class Obituaries:
    """What is known of the children of one supervisor that have ended of late, by attempt."""

    def __init__(self, supervisor: Process) -> None:
        self._supervisor = supervisor
        self._all: OrderedDict[int, _Obituary] = OrderedDict()
        self._last: _Obituary | None = None

    def keep(
        self,
        attempt: int,
        child: Child,
        reason: ExitReason | None,
        report: CrashReport | None,
        *,
        running: int,
    ) -> None:
        """Keep what is known of an end. As many may await their report as children may run."""
        self._all[attempt] = self._last = _Obituary(child, reason, report)
        while len(self._all) > _MOST + running:
            self._all.popitem(last=False)

    def completed(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a report, with all that is known of the end that it tells of."""
        obituary = self._all.pop(fields.get("attempt", 0), None)
        shown = dict(fields)
        if obituary is not None:
            shown |= self._of(obituary)
        # A reason is shown as the process wanted it shown, wherever it comes up again.
        last, reason = obituary or self._last, shown.get("reason")
        if not isinstance(reason, ExitReason):
            return shown
        if last is not None and last.report is not None and reason == last.reason:
            reason = shown["reason"] = last.report.shown.reason or reason
        if reason.traceback:
            shown["traceback"] = reason.traceback
        return shown

    def _of(self, obituary: _Obituary) -> dict[str, object]:
        ref = obituary.child.ref
        known: dict[str, object] = {"child_pid": ref.pid, "role": obituary.child.role}
        if ref.name is not None:
            known["name"] = ref.name
        known["ancestors"] = ", ".join(map(str, self._supervisor.lineage))
        return known if obituary.report is None else known | obituary.report.fields()
