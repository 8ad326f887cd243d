"""
Signals: how a role says how busy it keeps its node.

Setting a signal changes a number in this process and returns. A thread tells the allocator, and
tells a new allocator everything: so the processes themselves keep what they have set, and nothing
that befalls the allocator reaches a role.
"""

import contextlib
import os
import pickle
import select
import threading
from typing import Any, Final

from beethoven.cluster.signal_board import (
    MOST_SIGNALS,
    Setting,
    SignalKind,
    check_setting,
    check_value,
    in_range,
)
from beethoven.errors import SpecError
from beethoven.runtime import framing, names
from beethoven.runtime.connection import CAST_TIMEOUT
from beethoven.runtime.here import here
from beethoven.runtime.line import Connection
from beethoven.runtime.reference import Ref
from beethoven.runtime.unixsocket import connect

_ALLOCATOR: Final = "beethoven.allocator"

# How often the thread looks whether the allocator is still the same, in seconds.
_GLANCE: Final = 1.0
# It tells at most so often: what changes faster is told as it is then.
_PAUSE: Final = 0.1


class Signal:
    """
    A signal of this process; see `signal`.

    Its methods return at once and never wait for the allocator, nor do they need one. They raise
    SpecError if they are given what is no finite number.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def value(self) -> float:
        """What it is set to; 0 if it is not set."""
        return _teller.value(self.name)

    def set(self, value: float) -> None:
        """Set the value. One out of the kind's range becomes the nearest in it."""
        _teller.set(self.name, value)

    def increment(self, by: float = 1) -> None:
        """Add to the value."""
        _teller.add(self.name, by)

    def decrement(self, by: float = 1) -> None:
        """Take from the value; it does not fall below 0."""
        _teller.add(self.name, by, sign=-1)

    def forget(self) -> None:
        """Take the signal back, until it is set again."""
        _teller.forget(self.name)

    def __repr__(self) -> str:
        return f"Signal({self.name!r}, value={self.value:g})"


def signal(name: str, *, weight: float = 1.0, kind: str = SignalKind.COUNT) -> Signal:
    """
    Return a signal, which adds to the score of the node on which this process runs.

    The node with the lowest score is the least busy. A fully busy CPU is worth 1 point, a role
    0.05. What a signal adds is known to the cluster within a few seconds, and goes with this
    process. Nothing is told before it is set.

    Args:
        name: Lower-case letters, digits, `.`, `_` and `-`; at most 64 characters. The same name in
            one process is the same signal, with the weight and kind given last; in several
            processes their points are summed.
        weight: How much it counts, >= 0: the points of each one counted, or of 100 percent.
        kind: "count" (>= 0; adds `weight * value`) or "percent" (0 to 100; adds
            `weight * value / 100`).

    Raises:
        SpecError: One of these cannot be, or the process has 64 signals already.
    """
    _teller.declare(check_setting(name, weight, kind, 0.0))
    return Signal(name)


class _Teller:
    """
    The signals of this process, and the thread that tells the allocator of them.

    Outside a process of a tree, and in a copy made by a plain `fork`, there is nobody to tell.
    """

    def __init__(self) -> None:
        self._declared: dict[str, Setting] = {}
        self._values: dict[str, float] = {}
        self._is_used = False
        self._begin_anew()

    def leave(self) -> None:
        """Forget the thread, which a forked copy of the process does not have."""
        # Most processes have none, and most copies are new processes, whose birth is not to last.
        if self._is_used:
            self._begin_anew()

    def _begin_anew(self) -> None:
        # Reentrant: the handler of a signal of the system may interrupt a change.
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._untold = set(self._values)
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None

    def declare(self, setting: Setting) -> None:
        """Note a signal; if it is set already, its weight and kind change."""
        self._is_used = True
        with self._lock:
            if setting.name not in self._declared and len(self._declared) >= MOST_SIGNALS:
                rule = f"one of at most {MOST_SIGNALS} in a process"
                raise SpecError(subject="signal", field="name", expected=rule, got=setting.name)
            if self._declared.get(setting.name) == setting:
                return
            self._declared[setting.name] = setting
            if setting.name in self._values:
                self._values[setting.name] = in_range(setting.kind, self._values[setting.name])
                self._note(setting.name)

    def value(self, name: str) -> float:
        return self._values.get(name, 0.0)

    def set(self, name: str, value: float) -> None:
        value = check_value(f"signal {name!r}", value)
        with self._lock:
            self._change(name, value)

    def add(self, name: str, amount: float, *, sign: int = 1) -> None:
        amount = sign * check_value(f"signal {name!r}", amount)
        with self._lock:
            self._change(name, self.value(name) + amount)

    def _change(self, name: str, value: float) -> None:
        value = in_range(self._declared[name].kind, value)
        if self._values.get(name) != value:
            self._values[name] = value
            self._note(name)

    def forget(self, name: str) -> None:
        with self._lock:
            if self._values.pop(name, None) is not None:
                self._note(name)

    def _note(self, name: str) -> None:
        if name in self._untold and self._thread is not None:
            return
        self._untold.add(name)
        self._wake.set()
        if self._thread is None and here.identity:
            thread = threading.Thread(target=self._run, name="beethoven-signals", daemon=True)
            # Where no thread can be had now, the next change tries again.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait(_GLANCE)
            self._wake.clear()
            try:
                self._tell()
            except OSError:
                # It is gone, or takes nothing: whoever is there next is told everything.
                self._connection = None
            pause.wait(_PAUSE)

    def _tell(self) -> None:
        if self._connection is None or _is_over(self._connection):
            self._connection = _connect()
            with self._lock:
                self._untold |= set(self._values)
        if self._connection is None:
            return
        with self._lock:
            requests = [self._request(name) for name in sorted(self._untold)]
            self._untold.clear()
        for request in requests:
            self._connection.send(framing.CAST, pickle.dumps(request, 5), CAST_TIMEOUT)

    def _request(self, name: str) -> tuple[Any, ...]:
        """Return the cast that tells the allocator of a signal."""
        setter = Ref(here.identity, here.folder, os.getpid())
        if name not in self._values:
            return ("forget_signal", name, setter)
        declared = self._declared[name]
        return ("signal", name, declared.weight, str(declared.kind), self._values[name], setter)


def _is_over(connection: Connection) -> bool:
    """Whether the allocator has ended: it says nothing else to those who only cast."""
    poll = select.poll()
    poll.register(connection.stream, select.POLLIN)
    return bool(poll.poll(0))


def _connect() -> Connection | None:
    """Return a connection to the allocator, or None if there is none now."""
    found = names.lookup(here.folder, _ALLOCATOR)
    return None if found is None else Connection(connect(names.socket_path(here.folder, found[0])))


_teller = _Teller()
os.register_at_fork(after_in_child=_teller.leave)
