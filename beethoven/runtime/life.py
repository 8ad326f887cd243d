"""
The life of an operating-system process of the tree: prepare, begin, live, end.

What lives inside, a role or a supervisor, is a *behaviour*: a class with `live(process, args)` that
reports when it has started and returns the reason of its end. A class with `resolve(args)` instead
stands for another one that only the new process may import; it returns that one and its args.
A behaviour whose args need a module more than it does itself has `module_of(args)`.
"""

import atexit
import contextlib
import faulthandler
import os
import pickle
import signal
import socket
import sys
import threading
from dataclasses import replace
from itertools import islice
from multiprocessing import spawn
from multiprocessing.process import active_children
from pathlib import Path
from typing import Any, NoReturn

from beethoven.errors import AlreadyStarted, BeethovenError
from beethoven.log import get_log
from beethoven.runtime import birth, deaths, framing, names, unixsocket
from beethoven.runtime.birth import Birth, Preload, Request, StartFailure
from beethoven.runtime.here import here
from beethoven.runtime.output import redirect
from beethoven.runtime.preloads import traces
from beethoven.runtime.process import Process
from beethoven.runtime.reason import ExitReason, ReasonKind, from_exception
from beethoven.runtime.reference import Name, Ref
from beethoven.runtime.status import CrashReport, Shown
from beethoven.runtime.via import Via

log = get_log("process")

CONTROL = 3


def enter(request: Request) -> NoReturn:
    """Begin the life of a process that the fork server has just forked."""
    if request.method == "spawn":
        call = f"from beethoven.runtime import life;life.settle_in();life.main({request.text()!r})"
        command, _ = birth.new_interpreter(call)
        os.set_inheritable(CONTROL, True)
        os.execv(sys.executable, command)
    main(request.text())


def main(request_text: str) -> NoReturn:
    """Live on the control socket, descriptor 3."""
    request = Request.parse(request_text)
    os.set_inheritable(CONTROL, False)
    control = socket.socket(fileno=CONTROL)
    control.settimeout(None)
    _become(request)
    reader = framing.FrameReader()
    try:
        first, *early = _first_frames(reader, control)
        process, begin = _begin(request, control, first)
    except framing.StreamEnded:
        os._exit(1)
    except BaseException as error:
        payload = pickle.dumps(failure(error), 5)
        with contextlib.suppress(OSError):
            control.sendall(framing.pack(birth.FAILED, 0, payload))
        os._exit(1)
    here.process = process
    process.watch_parent(reader, early)
    process.leave(_live(process, begin))
    raise AssertionError("unreachable")


def _become(request: Request) -> None:
    """Take the place that the fork server gave."""
    here.folder, here.identity = request.folder, request.identity
    here.fork_server = request.identity.partition("-")[0]
    here.main_thread = threading.get_ident()
    os.environ[birth.MARK] = request.identity


def settle_in() -> None:
    """Set up what all processes of the tree share: once for each interpreter, forks inherit it."""
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    redirect({}, "")
    if sys.stderr is not None:
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1, all_threads=True)


def _first_frames(reader: framing.FrameReader, control: socket.socket) -> list[framing.Frame]:
    """Return the birth; an exit signal may have come with it."""
    frames: list[framing.Frame] = []
    while not frames:
        frames = reader.receive(control)
    return frames


def _begin(request: Request, control: socket.socket, first: framing.Frame) -> tuple[Process, Birth]:
    facts, inner = pickle.loads(first[2])
    os.environ.update(facts.pop("environment"))
    here.context, here.main = facts.pop("context"), facts.pop("main")
    redirect(here.context, facts["name"])
    # A copy of the names would touch, and so copy, the memory that each of them lies in.
    known = len(sys.modules)
    before = None if _is_imported(facts) else traces()
    begin, main_path = _open_birth(facts, inner)
    module = birth.module_of(begin)
    is_new = module in islice(reversed(sys.modules), len(sys.modules) - known)
    is_worth_preloading = before is not None and (is_new or main_path) and traces() == before
    ref = Ref(request.identity, request.folder, os.getpid(), begin.plain_name)
    listener = unixsocket.listen(names.socket_path(request.folder, request.identity))
    process = Process(
        ref, parent=begin.parent, linked=begin.linked, control=control, listener=listener
    )
    process.lineage, process.is_supervised = (ref, *begin.ancestors), begin.supervised
    _take_name(process, begin.name)
    if is_worth_preloading:
        _offer_preload(request, Preload(main_path, module, tuple(sys.path)))
    return process, begin


def _take_name(process: Process, name: Name | None) -> None:
    if isinstance(name, Via):
        name.take(process)
    elif isinstance(name, str):
        ref = process.ref
        holder = names.register(ref.folder, name, ref.identity, ref.pid)
        if holder is not None:
            raise AlreadyStarted(name=name, holder=Ref(holder[0], ref.folder, holder[1], name))


def _open_birth(facts: dict[str, Any], inner: bytes) -> tuple[Birth, str]:
    """Prepare this process as `multiprocessing` does, and read what it is to be."""
    before = sys.modules["__main__"]
    here.importing_main = True
    try:
        spawn.prepare(facts)
        begin: Birth = pickle.loads(inner)
        if (resolve := getattr(begin.behaviour, "resolve", None)) is not None:
            behaviour, args = resolve(begin.args)
            begin = replace(begin, behaviour=behaviour, args=args)
    finally:
        here.importing_main = False
    ran_main = sys.modules["__main__"] is not before
    return begin, facts.get("init_main_from_path", "") if ran_main else ""


def _is_imported(facts: dict[str, Any]) -> bool:
    """Whether a birth needs nothing that is not here already."""
    module: str = facts.pop("module")
    return module in sys.modules and not facts.keys() & birth.MAIN_SCRIPT


def _offer_preload(request: Request, offer: Preload) -> None:
    """Let the fork server import what was imported here without harm, for the next birth."""
    with contextlib.suppress(OSError):
        path = deaths.fork_server_path(request.folder, request.identity)
        with unixsocket.connect(path) as stream:
            stream.sendall(framing.pack(birth.PRELOAD, 0, offer.text().encode()))


def _live(process: Process, begin: Birth) -> ExitReason:
    try:
        reason: ExitReason = begin.behaviour.live(process, begin.args)  # type: ignore[attr-defined]
    except BaseException as error:
        process.end_copy()
        reason = from_exception(error)
        process.crash_report = CrashReport(begin.title, Shown({}, "", reason, ()))
    if process.crash_report is not None and not process.is_supervised:
        _report(process, process.crash_report)
    with contextlib.suppress(BaseException):
        # They go with this process in any case, and the exit functions would wait for them.
        for child in active_children():
            child.kill()
        atexit._run_exitfuncs()  # noqa: SLF001 - os._exit would leave them out
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    return reason


def _report(process: Process, crash: CrashReport) -> None:
    """Tell the log of a crash that no supervisor tells."""
    ancestors = ", ".join(map(str, process.lineage[1:])) or "none"
    log.error("process_crashed", reason=crash.shown.reason, ancestors=ancestors, **crash.fields())


def failure(error: BaseException) -> StartFailure:
    """
    Return how a start failed; the exception itself goes along if it can be pickled.

    One that is to end its process, such as SystemExit, does not: it is not to end the parent.
    """
    reason = from_exception(error)
    pickled = b""
    if isinstance(error, Exception):
        with contextlib.suppress(Exception):
            attempt = pickle.dumps(error, 5)
            pickle.loads(attempt)
            pickled = attempt
    if isinstance(error, BeethovenError):
        is_taken = isinstance(error, AlreadyStarted)
        reason = ExitReason(ReasonKind.ALREADY_STARTED if is_taken else reason.kind, str(error))
    return StartFailure(reason, pickled)
