"""What a way makes of nodes that do not tell the directory; the nodes are fakes."""

import pytest

from beethoven import clock
from beethoven.cluster.addresses import Address
from beethoven.cluster.dial import PortRefused, Unanswered, Undialled
from beethoven.cluster.directory import Directory, NodeEntry, RoleEntry
from beethoven.cluster.keyring import Keyring
from beethoven.errors import CallTimeout, NodeNotFound, NoProcess, RoleNotRunning
from beethoven.remote import calls
from beethoven.remote.calls import Until
from beethoven.remote.way import TcpWay, Way, why
from tests.processes import shortest

NODE = NodeEntry("id1", "one", "127.0.0.1:1")
TOLD = Directory((NODE,), {"orders": RoleEntry(1, {"id1": "running"})})


class Slow(Way):
    """Its core server answers, or not."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)
        self.asked = []

    def _ask(self, timeout):
        self.asked.append(timeout)
        answer = self.answers.pop(0) if self.answers else None
        if answer is None:
            raise CallTimeout(target="node one", timeout=timeout)
        return answer

    def dial(self, address, purpose, target, timeout):
        return Undialled("Too many open files")


def test_who_knows_a_directory_does_not_wait_long_for_a_newer_one():
    way = Slow(TOLD)
    assert way.directory(5.0) is TOLD
    way.forget()
    assert way.directory(5.0) is TOLD
    # For a moment it is not asked for again.
    assert way.directory(5.0) is TOLD
    assert way.asked == [5.0, 0.5]
    way.forget()
    assert way.directory(0.4) is TOLD
    assert way.asked[2:] == [0.2]


def test_without_one_a_silent_node_is_told_with_all_the_time_that_there_was():
    with pytest.raises(CallTimeout, match=r"node one: no reply within 0\.7 s"):
        calls.directory_of(Slow(), Until(0.7))


def test_a_role_is_found_by_the_old_directory_and_a_new_one_waited_for():
    way = Slow(TOLD)
    way.directory(1.0)
    way.forget()
    assert str(calls.ref(way, "orders", None)) == "orders on one"

    def vain_call() -> float:
        began = clock.monotonic()
        with pytest.raises(RoleNotRunning, match="has no role 'new', as far as was told"):
            calls.call(way, "new", "request", 0.3, None)
        return clock.monotonic() - began

    assert 0.2 < shortest(vain_call, 2.0) < 2.0


def test_a_role_whose_only_node_has_vanished_is_waited_for():
    without = Directory((NODE,), {})
    way = Slow(TOLD, *[without] * 100)
    way.directory(1.0)
    way.forget()

    def vain_call() -> float:
        began = clock.monotonic()
        with pytest.raises(RoleNotRunning, match="'orders' does not run: it has no instance"):
            calls.call(way, "orders", "request", 0.3, None)
        return clock.monotonic() - began

    assert 0.2 < shortest(vain_call, 2.0) < 2.0
    with pytest.raises(RoleNotRunning, match="has no role 'unheard'"):
        calls.call(way, "unheard", "request", 60, None)


def test_why_nothing_was_delivered_is_told_also_for_a_cast(monkeypatch):
    monkeypatch.setattr(calls, "CAST_TIMEOUT", 0.2)
    why_not = "was not reached: 127.0.0.1:1 was not dialled: Too many open files"
    for use in (
        lambda: calls.call(Slow(*[TOLD] * 100), "orders", "request", 0.2, None),
        lambda: calls.cast(Slow(*[TOLD] * 100), "orders", "request", None),
    ):
        with pytest.raises(RoleNotRunning, match=why_not):
            use()


def test_who_has_not_told_is_asked_last(monkeypatch):
    one, two, three = (Address("127.0.0.1", port) for port in (1, 2, 3))
    way = TcpWay(one, Keyring((b"a cookie of the tests, quite long",)), "beethoven")
    way._addresses = (one, two, three)
    dialled = []

    def dial(address, _purpose, _target, timeout):
        dialled.append((address, timeout))
        return PortRefused() if address == three else Unanswered()

    monkeypatch.setattr(way, "dial", dial)
    with pytest.raises(NodeNotFound, match=r"127\.0\.0\.1:1 did not answer in time"):
        way.directory(4.5)
    assert [each for each, _ in dialled] == [one, two, three]
    assert max(timeout for _, timeout in dialled[:2]) <= 2.0
    way._addresses = (one, two, three)

    def found(address, answered, timeout):
        raise NoProcess(target=str(address))

    monkeypatch.setattr(way, "_read", found)
    way.last = TOLD
    assert way.directory(4.5) is TOLD
    assert way._addresses == (one, two, three)


def test_what_failed_on_this_machine_is_not_put_on_the_other():
    assert why(Undialled("Too many open files")) == "was not dialled: Too many open files"
