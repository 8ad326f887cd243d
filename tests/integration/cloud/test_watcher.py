"""The watcher as a process: whom it tells what, and that nothing can stop it."""

import json
import os
import signal
import threading

import psutil
import pytest

from beethoven import ChildSpec, Ref, Supervisor, cast, whereis
from beethoven.cloud.notice import Notice, NoticeKind
from beethoven.cloud.notices_state import NoticesSettings
from beethoven.cloud.outlook import CALM
from beethoven.cloud.provider import Absent, Ask, Learned, Note, Noticed
from beethoven.cloud.settings import Endpoint
from beethoven.cloud.site import Site
from beethoven.cloud.watcher import CORE_SERVER, WatcherArgs
from beethoven.runtime.reference import resolve
from tests.integration.cloud.watcher_roles import (
    SITE,
    Core,
    Deaf,
    LoggedWatcher,
    Scripted,
    answer,
)
from tests.processes import end, wait_until

pytestmark = pytest.mark.process

NAME = "beethoven.azure"
NOBODY = Endpoint("127.0.0.1", 1)
NOTICES = NoticesSettings(frozenset({NoticeKind.REBOOT}), 10.0, 2.0)
REBOOT = Notice("n1", NoticeKind.REBOOT, frozenset({"web_3"}), begins_in=600.0)


def ask(purpose):
    return Ask(purpose, "GET", f"/{purpose}")


class Place:
    """A core server, and a watcher beside it."""

    watcher: Ref

    def __init__(self, folder):
        self.log_file, self.told_file = folder / "watcher.log", folder / "settled"
        self.core = Core.start_link(name=CORE_SERVER)

    def args(self, script, problem="", machine=""):
        settler = Deaf(str(self.told_file), problem, machine)
        args = WatcherArgs(Scripted(script), NOBODY, NOTICES, settler, answer)
        return args, str(self.log_file)

    def start(self, script, *more):
        self.watcher = LoggedWatcher.start_link(self.args(script, *more), name=NAME)
        return self.watcher

    def asked(self):
        return self.watcher.call("report")["metadata"]["asked"]

    def outlooks(self):
        return [request[1] for _, request in self.core.call("told") if request[0] == "outlook"]

    def settled(self):
        return self.told_file.read_text("utf-8").split("\n")[:-1] if self.told_file.exists() else []

    def logged(self, event):
        lines = self.log_file.read_text("utf-8").splitlines()
        return [line for line in lines if f" {event}" in line]

    def close(self):
        for ref in (whereis(NAME), self.core):
            if ref is not None:
                end(ref)


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()


def test_what_is_learned_is_followed_and_what_follows_from_notices_is_told(place):
    place.start(
        {
            "started": [ask("one"), ask("two")],
            "answered one": [Learned(SITE)],
            "answered two": [Noticed((REBOOT,))],
        }
    )
    wait_until(lambda: any(each.is_cordoned for each in place.outlooks()))
    assert place.outlooks()[-1].doomed == {"web_3"}
    assert place.settled() == ["settle web_3"]


def test_nothing_is_told_before_notices_were_read(place):
    place.start({"started": [ask("one")], "answered one": [Learned(SITE)]})
    wait_until(place.settled)
    cast(NAME, ("core_up",))
    assert place.asked() == ["started", "answered one"]
    assert place.outlooks() == []


def test_a_successor_that_has_read_only_the_notices_keeps_the_node_cordoned(place):
    place.start({"started": [Noticed((REBOOT,))]}, "", "web_3")
    wait_until(place.outlooks)
    assert all(each.is_cordoned for each in place.outlooks())


def test_a_document_without_the_machine_takes_no_notice_back(place):
    script = {"started": [Learned(Site()), Noticed((REBOOT,))]}
    place.start(script, "", "web_3")
    wait_until(place.outlooks)
    assert all(each.is_cordoned for each in place.outlooks())


def test_a_core_server_that_comes_up_is_told_again_and_so_is_everybody(place):
    place.start({"started": [Noticed(())]})
    wait_until(lambda: place.outlooks() == [CALM])
    cast(NAME, ("core_up",))
    wait_until(lambda: place.outlooks() == [CALM, CALM])
    wait_until(lambda: len(place.outlooks()) >= 3, 15.0)


def test_a_locator_that_comes_up_is_told_where_to_look(place):
    place.start({"started": [Learned(SITE)]})
    cast(NAME, ("locator_up",))
    wait_until(lambda: place.settled() == ["settle web_3", "guide web_3"])


def test_an_empty_node_acknowledges(place):
    place.start({"started": [Learned(SITE), Noticed((REBOOT,))]})
    cast(NAME, ("emptied", True))
    wait_until(lambda: place.asked() == ["started", "acknowledge n1"])


def test_a_question_that_hangs_holds_up_nothing(place):
    place.start({"started": [ask("hang"), ask("one")], "answered one": [Noticed(())]})
    wait_until(lambda: place.outlooks() == [CALM])
    process = psutil.Process(place.watcher.pid)
    place.watcher.stop("shutdown", timeout=5.0)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_whatever_goes_wrong_with_a_question_is_no_answer(place):
    place.start({"started": [ask("refused")], "unanswered refused": [Noticed(())]})
    wait_until(lambda: place.outlooks() == [CALM])


def test_time_passes_for_the_provider(place):
    place.start({"started": [Note("tick")], "ticked": [Noticed(())]})
    wait_until(lambda: place.outlooks() == [CALM])
    assert place.asked() == ["started", "ticked"]


def test_a_site_that_cannot_be_followed_is_told_once(place):
    place.start({"started": [Learned(SITE), Learned(SITE), Noticed(())]}, "it is not ours")
    wait_until(place.outlooks)
    assert place.watcher.call("report")["problem"] == "it is not ours"
    assert len(place.logged("site_not_followed")) == 1
    assert place.settled() == ["settle web_3"] * 2


def test_off_the_cloud_it_goes_on_quietly(place):
    place.start({"started": [Absent("nobody answers")]})
    assert place.watcher.call("report")["site"] is None
    assert [line.split()[1] for line in place.logged("provider_absent")] == ["debug"]


def test_it_tells_what_it_knows_as_json_has_it(place):
    place.start({"started": [Learned(SITE), Noticed((REBOOT,))]})
    report = json.loads(json.dumps(place.watcher.call("report")))
    assert report["provider"] == "scripted"
    assert report["endpoint"] == "http://127.0.0.1:1"
    assert report["site"]["labels"] == ["az.zone=1"]
    assert report["notices"][0]["machines"] == ["web_3"]
    assert report["outlook"]["is_cordoned"]
    assert 0 < report["outlook"]["hand_over_left"] <= 10
    assert "expected 'report'" in place.watcher.call("x")


def test_a_successor_asks_and_tells_again(place):
    script = {"started": [ask("hang"), Learned(SITE), Noticed((REBOOT,))]}
    spec = ChildSpec("azure", LoggedWatcher, place.args(script), name=NAME)
    with Supervisor.start_link([spec]):
        wait_until(lambda: len(place.outlooks()) == 1)
        before = threading.active_count()
        os.kill(resolve(NAME).pid, signal.SIGKILL)
        wait_until(lambda: len(place.outlooks()) == 2)
        assert place.settled() == ["settle web_3"] * 2
        assert threading.active_count() == before
