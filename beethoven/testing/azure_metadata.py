"""
A local stand-in for the metadata service of Azure, as one virtual machine meets it.

What it answers is decided in `azure_answers`, what goes wrong in `azure_faults`, and what happens
to the machines in `azure_events_state`. Here are the connections, the records and the waiting.
"""

import contextlib
import dataclasses
import email.utils
import functools
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import BinaryIO

from beethoven.testing.arguments import expect, expect_seconds
from beethoven.testing.azure_answers import INSTANCE_VERSIONS, Service, answer, is_for_events
from beethoven.testing.azure_document import (
    Document,
    Interface,
    compute_document,
    expect_interfaces,
    instance_document,
    interface_of,
    strings,
)
from beethoven.testing.azure_events import EVENT_VERSIONS
from beethoven.testing.azure_events_state import Deed
from beethoven.testing.azure_fabric import Approval, AzureFabric
from beethoven.testing.azure_faults import UNANSWERED, Fault, Injections, Limiter, answer_of
from beethoven.testing.azure_requests import HttpAnswer, RecordedRequest, read_request
from beethoven.testing.azure_sending import send, send_nothing
from beethoven.testing.loopback_server import LoopbackServer, call_all, check_loopback
from beethoven.testing.virtual_machine import VirtualMachine


class AzureMetadata:
    """
    The metadata service of one virtual machine, on loopback; it answers until it is closed.

    As a context manager it is closed at the end.

    Args:
        address: Where it listens: a numeric loopback address. Give each machine another one, and a
            whole subnet of nodes runs on one computer.
        port: 0 is any free one.
        name: Of the virtual machine; no other one of the fabric has it.
        fabric: Whose events it shows; None is one of its own, which is closed with it.
        scale_set: Its name; empty for a machine of its own.
        region: Such as `westeurope`.
        zone: `1` to `3`; empty for none.
        priority: `Spot` or `Regular`.
        tags: `{name: value}`.
        compute: What the document says besides, or otherwise, as JSON has it; None becomes an empty
            string, and numbers strings.
        interfaces: Each answer has them in another order. None is one with `address`, in the subnet
            of all addresses that begin with the same 24 bits. Of each subnet, Azure keeps the first
            four addresses and the last one for itself.
        has_network: Whether the document has a network at all.
        versions: Of the instance's document; the oldest first.
        event_versions: Of the scheduled events; the oldest first.
        unknown_event_version: Status for any other version of the scheduled events: 404 or 400.
        switching_on: How long the first request for scheduled events waits for its answer, in
            seconds by the clock of the fabric; so do those that come meanwhile. Up to 120 in Azure.
        per_second: So many requests are answered within any second, the others get 429; None is any
            number. 5 in Azure.
        processes: Returns the pids of the processes that stand for the machine, whenever they are
            frozen or killed; none is none.
        on_evicted: Called right after the processes were killed, to end what else runs there.
        on_returned: Called when the machine is back, to start again what runs there.

    Attributes:
        fabric: The world that it belongs to, where events are announced.
        machine: Has `processes`, `on_evicted` and `on_returned`, which may be set at any time.

    Raises:
        ValueError: The address is not one of loopback, the name is taken, the fabric is closed, or
            another argument is not what it should be.
        OSError: The address or the port cannot be had.
    """

    def __init__(
        self,
        address: str = "127.0.0.1",
        port: int = 0,
        *,
        name: str = "web_0",
        fabric: AzureFabric | None = None,
        scale_set: str = "web",
        region: str = "westeurope",
        zone: str = "1",
        priority: str = "Spot",
        tags: Mapping[str, str] | None = None,
        compute: Mapping[str, object] | None = None,
        interfaces: Sequence[Interface] | None = None,
        has_network: bool = True,
        versions: Sequence[str] = INSTANCE_VERSIONS,
        event_versions: Sequence[str] = EVENT_VERSIONS,
        unknown_event_version: int = 404,
        switching_on: float = 0.0,
        per_second: int | None = None,
        processes: Callable[[], Iterable[int]] | None = None,
        on_evicted: Callable[[], object] | None = None,
        on_returned: Callable[[], object] | None = None,
    ) -> None:
        check_loopback(address)
        is_fabric = fabric is None or isinstance(fabric, AzureFabric)
        expect("fabric", "an AzureFabric or None", fabric, holds=is_fabric)
        expect_seconds("switching_on", switching_on)
        self._pid = os.getpid()
        self._name = name
        self._changed = threading.Condition()
        self._is_closed = False
        self._compute = compute_document(
            name, scale_set=scale_set, region=region, zone=zone, priority=priority, tags=tags or {}
        )
        self._interfaces: tuple[Interface, ...] = (interface_of(address),)
        self._has_network = has_network
        self.change(compute=compute, interfaces=interfaces)
        self._switching_on = switching_on
        self._switched_on_at: float | None = None
        self._limiter = Limiter(per_second)
        self._injections = Injections()
        self._clearings = 0
        self._requests: list[RecordedRequest] = []
        self.machine = VirtualMachine(processes, on_evicted, on_returned)
        self._owns_fabric = fabric is None
        self.fabric = AzureFabric() if fabric is None else fabric
        with contextlib.ExitStack() as undo:
            if self._owns_fabric:
                undo.callback(self.fabric.close)
            self._service = Service(
                versions,
                event_versions,
                unknown_event_version,
                instance=self._document,
                events=self.fabric.document,
                approve=functools.partial(self.fabric.approve, by=name),
            )
            self._server = LoopbackServer(address, port, self._serve)
            undo.callback(self._server.close)
            self.fabric.enter(self)
            undo.pop_all()

    @property
    def name(self) -> str:
        """Of the virtual machine, as events name it."""
        return self._name

    @property
    def endpoint(self) -> str:
        """Where it answers, such as `http://127.0.0.2:40123`; what a node is configured with."""
        return self._server.url

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """All requests until now, in order, whatever was answered."""
        with self._changed:
            return tuple(self._requests)

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """What this machine has acknowledged; those of all machines are in the fabric."""
        return tuple(each for each in self.fabric.approvals if each.by == self._name)

    def wait_for_requests(
        self, count: int = 1, *, path: str = "/metadata", timeout: float = 10.0
    ) -> tuple[RecordedRequest, ...]:
        """
        Wait until so many requests have come in all; they need not have been answered.

        Args:
            count: How many.
            path: Theirs, or above theirs.
            timeout: In seconds of real time, whatever the clock of the fabric.

        Returns:
            All requests of that path until now.

        Raises:
            TimeoutError: They did not come, or not before it was closed.
            ValueError: `timeout` is no number from 0 to 1e9.
        """
        expect_seconds("timeout", timeout)

        def found() -> list[RecordedRequest]:
            below = path.rstrip("/") + "/"
            return [each for each in self._requests if f"{each.path}/".startswith(below)]

        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(found()) >= count, timeout)
            if len(found()) < count:
                closed = ", and it is closed" if self._is_closed else ""
                got = f"{len(found())}{closed}"
                raise TimeoutError(f"expected {count} requests to {path}, got: {got}")
            return tuple(found())

    def inject(
        self, fault: Fault | HttpAnswer, *, path: str = "/metadata", count: int | None = 1
    ) -> None:
        """
        Let requests meet a fault; those that were injected before come first.

        Args:
            fault: What they meet; an `HttpAnswer` is sent as it is.
            path: Theirs, or above theirs, such as `/metadata/scheduledevents`.
            count: So many of them, >= 1; None is all that come, until `clear_faults`.

        Raises:
            ValueError: There is no such fault, `count` is no number >= 1, or `path` does not begin
                with a slash.
        """
        with self._changed:
            self._injections.add(fault, path=path, count=count)

    def clear_faults(self) -> None:
        """Answer rightly from now on, and end the connections that hang or drip."""
        with self._changed:
            self._injections.clear()
            self._clearings += 1
            self._changed.notify_all()

    def limit(self, per_second: int | None) -> None:
        """
        Answer at most so many requests within any second from now on; None is any number.

        Raises:
            ValueError: It is no number >= 0.
        """
        with self._changed:
            self._limiter.limit(per_second)

    def change(
        self,
        *,
        compute: Mapping[str, object] | None = None,
        interfaces: Sequence[Interface] | None = None,
        has_network: bool | None = None,
    ) -> None:
        """
        Change what the document says from now on, as when a machine is moved to another subnet.

        Args:
            compute: What is changed of `compute`, as JSON has it.
            interfaces: All interfaces; None leaves them as they are.
            has_network: Whether the document has a network; None leaves that as it is.

        Raises:
            ValueError: One of them is of another type; then nothing was changed.
        """
        compute = {} if compute is None else compute
        expect("compute", "values by name", compute, holds=isinstance(compute, Mapping))
        if interfaces is not None:
            expect_interfaces(interfaces)
        with self._changed:
            for key, value in compute.items():
                self._compute[key] = strings(value)
            if interfaces is not None:
                self._interfaces = tuple(interfaces)
            if has_network is not None:
                self._has_network = has_network

    def perform(self, deed: Deed) -> None:
        """
        Do something to the machine, as the fabric does when it is due.

        Raises:
            ValueError: `processes` named something else than other processes.
            PermissionError: They belong to somebody else.
        """
        if deed is Deed.BRING_BACK:
            with self._changed:
                self._switched_on_at = None
        self.machine.perform(deed)

    def close(self) -> None:
        """
        Stop answering, and let go on what is frozen. May be called again; the records stay.

        A forked process only closes what it has inherited.

        Raises:
            ExceptionGroup: A request could not be answered; or as `AzureFabric.close`, if the
                fabric is its own.
            TimeoutError: A request was still being answered 10 s later.
        """
        if os.getpid() != self._pid:
            self._server.close()
            return
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._changed.notify_all()
        self.fabric.leave(self)
        parts = [self.machine.release, self._server.close]
        call_all([*parts, self.fabric.close] if self._owns_fabric else parts)

    def __enter__(self) -> "AzureMetadata":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        # What has failed first is what there is to be seen.
        with contextlib.suppress(Exception):
            self.close()

    def _serve(self, connection: socket.socket, client: str) -> None:
        with connection.makefile("rb") as stream:
            while self._serve_one(connection, stream, client):
                pass

    def _serve_one(self, connection: socket.socket, stream: BinaryIO, client: str) -> bool:
        """Answer the next request of a connection; return whether there may be another one."""
        try:
            request = read_request(stream, client=client, now=self._now())
        except ValueError:
            nothing = RecordedRequest(0.0, client, "", "", {"connection": "close"})
            return send(connection, nothing, HttpAnswer(400), None, lambda _: False)
        if request is None:
            return False
        number, fault, pause = self._record(request)
        if isinstance(fault, Fault) and fault in UNANSWERED:
            send_nothing(connection, fault, pause)
            return False
        found = None if fault is None else answer_of(fault)
        if found is None:
            if not self._wait_until_switched_on(request):
                return False
            found = answer(request, self._service)
        dated = {"Date": email.utils.formatdate(self.fabric.wall(), usegmt=True), **found.headers}
        found = dataclasses.replace(found, headers=dated)
        # Before the client has it, so that whoever has an answer finds it recorded.
        with self._changed:
            self._requests[number] = dataclasses.replace(request, status=found.status)
        return send(connection, request, found, fault, pause)

    def _record(
        self, request: RecordedRequest
    ) -> tuple[int, Fault | HttpAnswer | None, Callable[[float | None], bool]]:
        """Return the number of a request, what it meets, and how to pause while it is served."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            fault: Fault | HttpAnswer | None = Fault.THROTTLED
            if self._limiter.admits(request.at):
                fault = self._injections.take(request.path)
            # Counted here: whoever clears the faults from now on means this one too.
            pause = functools.partial(self._pause, self._clearings, request.at)
            return len(self._requests) - 1, fault, pause

    def _pause(self, clearings: int, start: float, seconds: float | None) -> bool:
        """Wait; return whether to go on, because nobody has cleared the faults or closed."""
        with self._changed:
            until = None if seconds is None else start + seconds
            while self._goes_on(clearings) and (until is None or self._now() < until):
                self.fabric.clock.wait(self._changed, until)
            return self._goes_on(clearings)

    def _goes_on(self, clearings: int) -> bool:
        return not self._is_closed and clearings == self._clearings

    def _wait_until_switched_on(self, request: RecordedRequest) -> bool:
        """Return whether to answer, once the scheduled events are there."""
        with self._changed:
            if is_for_events(request) and self._switched_on_at is None:
                self._switched_on_at = request.at + self._switching_on
            until = self._switched_on_at or 0.0
            while is_for_events(request) and not self._is_closed and self._now() < until:
                self.fabric.clock.wait(self._changed, until)
            return not self._is_closed

    def _now(self) -> float:
        return self.fabric.clock.monotonic()

    def _document(self) -> Document:
        with self._changed:
            interfaces = self._interfaces if self._has_network else None
            compute = dict(self._compute)
        if interfaces is not None:
            interfaces = self.fabric.shuffled(interfaces)
        return instance_document(compute, interfaces)

    def __repr__(self) -> str:
        return f"AzureMetadata({self._name!r}, {self.endpoint!r}, requests={len(self._requests)})"
