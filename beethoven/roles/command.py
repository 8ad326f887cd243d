"""Any program as a role: started, stopped and judged as a process of the tree."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from typing import Any

from beethoven.log import get_log
from beethoven.runtime import kernel
from beethoven.runtime.reason import NORMAL, ExitReason, ReasonKind, from_wait_status
from beethoven.runtime.role import Caller, Role, Stop
from beethoven.runtime.status import bounded

log = get_log("command")


class CommandRole(Role):
    """
    Runs a program for as long as the role lives, and ends as the program ends.

    The program is the leader of a process group of its own. What it prints goes where the role's
    own output goes, line by line. Exit status 0 is a normal end, anything else is abnormal.
    When the role is stopped the group gets the stop signal; what is left of it when the role's
    shutdown time is over is killed.

    It answers `"pid"` and `"command"`; casts are refused in the log.

    Args of `init`, a mapping:
        command: The program and its arguments.
        stop_signal: Number of the signal that asks the program to stop; SIGTERM by default.
    """

    trap_exit = True

    def init(self, args: Mapping[str, Any]) -> None:
        self._command = list(args["command"])
        self._stop_signal = int(args.get("stop_signal", signal.SIGTERM))
        self._program = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=_become_program,  # noqa: PLW1509 (the other thread only waits for a socket)
        )
        log.info("command_started", command=self._command[0], command_pid=self._program.pid)
        threading.Thread(target=self._wait, name="program-watch", daemon=True).start()

    def _wait(self) -> None:
        # `waitid` leaves the status for `Popen`, with which `terminate` may have been first.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self._program.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(Exception):
            self.ref.send("program_ended")

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case "pid":
                return self._program.pid
            case "command":
                return self._command
        return f"expected 'pid' or 'command', got: {request!r}"

    def handle_cast(self, request: Any) -> None:
        # Nobody's mistake ends a program that knows nothing of requests.
        cause = f"a program takes no casts, got: {bounded(request)}"
        log.warning("cast_refused", role=type(self).__qualname__, cause=cause)

    def handle_info(self, message: Any) -> None:
        if message == "program_ended":
            raise Stop(self._ending())
        super().handle_info(message)

    def _ending(self) -> ExitReason:
        """Return the reason that the program's exit status stands for."""
        code = self._program.wait()
        if code == 0:
            return NORMAL
        if code > 0:
            return ExitReason(ReasonKind.EXIT_CODE, str(code))
        return from_wait_status(-code)

    def terminate(self, reason: ExitReason) -> None:
        """Ask the program to stop, and wait for it as long as the supervisor lets us."""
        if self._program.poll() is None:
            self._signal_group(self._stop_signal)
            self._program.wait()
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._program.pid, number)


def _become_program() -> None:
    """Prepare the new process, between its fork and the program."""
    # Whatever ends the role ends its program, also where no fork server is left to see to it.
    kernel.die_with_parent()
    # Roles ignore interrupts, and what is ignored stays so in a program.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
