"""How a node takes leave: what is done of what was decided, and what a successor knows of it."""

from types import SimpleNamespace
from typing import Any

import pytest

from beethoven import clock
from beethoven.cluster.membership_events import LeaveRequested
from beethoven.engine.events import DrainRequested
from beethoven.node import leave_taking
from beethoven.node.leave_taking import LeaveTaking

TIMEOUT = 8.0


class Scene:
    """A node with or without others, and what is done about its end."""

    def __init__(self, folder, members=("other",)):
        self.now = 100.0
        self.done: list[object] = []
        self.mesh = SimpleNamespace(
            own=SimpleNamespace(name="viola"),
            membership=SimpleNamespace(members=lambda: members),
            handle=self.done.append,
            is_linked=True,
        )
        coordinator: Any = SimpleNamespace(handle=self.done.append)
        mesh: Any = self.mesh
        self.leaving = LeaveTaking(mesh, coordinator, str(folder), self.send_after, TIMEOUT)

    def send_after(self, seconds, message):
        self.done.append((round(seconds, 3), message))

    def did(self):
        done, self.done[:] = list(self.done), []
        return done


@pytest.fixture
def scene(tmp_path, monkeypatch):
    made = Scene(tmp_path)
    monkeypatch.setattr(clock, "elapsed", lambda: made.now)
    monkeypatch.setattr(leave_taking, "ask_to_stop", lambda *_: made.done.append("stop"))
    monkeypatch.setattr(leave_taking, "cast_or_drop", lambda _, told: made.done.append(told))
    return made


def test_it_hands_over_takes_leave_and_stops(scene):
    scene.leaving.begin()
    assert scene.did() == [DrainRequested(), (TIMEOUT, "depart")]
    scene.now += TIMEOUT
    scene.leaving.time_is_up()
    assert scene.did() == [LeaveRequested(), (0.01, "go")]
    scene.mesh.is_linked = False
    scene.leaving.go()
    assert scene.did() == ["stop"]


def test_what_is_to_be_killed_the_role_server_hears(scene):
    scene.leaving.hasten(110.0)
    assert scene.did() == [DrainRequested(), (2.8, "depart"), ("withdraw", 102.0)]
    scene.leaving.remind()
    assert scene.did() == [("withdraw", 102.0)]


def test_whoever_is_alone_hands_over_nothing(tmp_path, scene):
    alone = Scene(tmp_path, members=())
    alone.leaving.begin()
    assert alone.did() == [LeaveRequested(), (0.01, "go")]


def test_a_successor_goes_on(tmp_path, scene):
    scene.leaving.go_on()
    assert scene.did() == []
    scene.leaving.begin()
    scene.now += 5.0
    successor = Scene(tmp_path)
    successor.leaving.go_on()
    assert successor.did() == [DrainRequested(), (3.0, "depart")]


def test_whoever_reads_that_it_leaves_may_kill_it(tmp_path, scene, monkeypatch):
    known = []

    def tell(_, **__):
        successor = Scene(tmp_path)
        successor.leaving.go_on()
        known.append(successor.did())

    monkeypatch.setattr(leave_taking, "log", SimpleNamespace(info=tell))
    scene.leaving.begin()
    assert known == [[DrainRequested(), (TIMEOUT, "depart")]]
