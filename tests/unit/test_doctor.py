"""What the doctor says of each thing, without a node; what of the metadata service is shown."""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cli import doctor as verb
from beethoven.cli import exit_codes
from beethoven.cloud.azure import Azure
from beethoven.cloud.notice import Notice, NoticeKind
from beethoven.cloud.provider import (
    Absent,
    Answered,
    Ask,
    Effect,
    Event,
    Learned,
    Noticed,
    Started,
    Ticked,
    Unanswered,
)
from beethoven.cloud.settings import AzureSettings
from beethoven.cloud.site import UNTOLD, Site
from beethoven.cluster.addresses import Address
from beethoven.cluster.locator_events import HostName, LocatorSettings
from beethoven.errors import NodeError, NodeNotFound
from beethoven.node import doctor
from beethoven.node.azure_words import forecasts, report_line
from beethoven.node.findings import Finding, Level, in_words, ok, problem, warning
from beethoven.node.metadata_check import Glance, glance, metadata_findings
from beethoven.node.place_checks import bind_finding, net_finding, seeds_finding
from beethoven.node.presence import Presence
from beethoven.node.secret_check import cookie_finding
from beethoven.node.settings import NodeSettings
from scripts.ports import free_port

FILE = Path("/srv/app.toml")
PORT = free_port()
SECRET = "3b1f0c9d5a7e4f6081c2d3e4f5a6b7c8" * 2
SHORT = "abcdefg"


def settings(**values: Any) -> NodeSettings:
    net = {"cluster_net": "127.34.0.0", "cluster_net_mask": 30, "listener_port": PORT}
    return NodeSettings(FILE, **{**net, **values})


def presence(name: str, address: str, config: Path = FILE) -> Presence:
    return Presence(name, 4711, "/run/0", address, 0.0, str(config))


def search(*nets: str, **values: Any) -> LocatorSettings:
    return LocatorSettings(tuple(map(ip_network, nets)), 33000, **values)


# The network.


def test_a_network_of_this_machine_is_ok_with_its_size_and_the_time_of_a_search():
    found = net_finding(search("10.1.2.0/24"), ["127.0.0.1", "10.1.2.7", "fe80::1%eth0"])
    assert found.level is Level.OK
    assert found.text == (
        "10.1.2.0/24: 254 addresses, searched in about 0.7 s, 1280 a second; "
        "this machine is 10.1.2.7"
    )
    assert found.facts["own"] == ["10.1.2.7"]


def test_a_network_without_an_address_of_this_machine_is_a_warning():
    found = net_finding(search("10.1.0.0/16", per_second=256.0), ["127.0.0.1"])
    assert found.level is Level.WARNING
    assert "65534 addresses, searched in about 4 min, 256 a second" in found.text
    assert "this machine has no address in it" in found.text
    assert "cluster_net" in found.fix


def test_a_network_that_takes_hours_is_a_warning():
    found = net_finding(search("10.0.0.0/8", per_second=256.0), ["10.1.2.3"])
    assert found.level is Level.WARNING
    assert "searched in about 18 h" in found.text
    assert "greater cluster_net_mask" in found.fix


def test_a_network_on_loopback_needs_no_address():
    assert net_finding(search("127.0.0.0/29"), []).text.endswith("; on this machine only")


def test_of_a_subnet_of_azure_the_reserved_addresses_are_not_counted():
    found = net_finding(search("10.0.0.0/29", skip_azure_reserved=True), ["10.0.0.4"])
    assert found.facts["addresses"] == 3


def test_several_subnets_are_searched_one_after_the_other():
    found = net_finding(search("10.0.0.0/29", "10.0.1.0/29"), ["10.0.1.4"])
    assert found.facts["networks"] == ["10.0.0.0/29", "10.0.1.0/29"]
    assert found.facts["addresses"] == 12


def test_a_network_of_ipv6_needs_seeds():
    assert net_finding(search("fd00::/64"), []).level is Level.WARNING
    seeded = search("fd00::/64", seeds=(Address("fd00::1", 33000),))
    assert net_finding(seeded, []).level is Level.OK


def test_one_address_is_one():
    assert net_finding(search("10.1.2.7/32"), ["10.1.2.7"]).text.startswith(
        "10.1.2.7/32: 1 address,"
    )
    seeded = settings(seeds=(Address("10.1.2.3", 1),))
    assert seeds_finding(seeded, lookup, 1.0).text == "1 address, no names"


# The address.


def listening(host: str) -> socket.socket:
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind((host, PORT))
    other.listen()
    return other


def test_a_free_address_is_named_and_is_free_afterwards():
    found = bind_finding(settings(), UNTOLD, [], [])
    assert (found.level, found.facts["address"]) == (Level.OK, f"127.34.0.1:{PORT}")
    assert "the next node is called 127.34.0.1" in found.text
    listening("127.34.0.1").close()


def test_who_has_an_address_before_the_free_one_is_named():
    node = presence("first", f"127.34.0.1:{PORT}")
    with listening("127.34.0.1"):
        found = bind_finding(settings(), UNTOLD, [node], [])
    assert found.facts["address"] == f"127.34.0.2:{PORT}"
    assert f"127.34.0.1:{PORT} is held by the running node first (pid 4711)" in found.text


def test_an_address_held_by_a_node_of_the_same_file_is_ok():
    node = presence("me", f"127.34.0.1:{PORT}")
    with listening("127.34.0.1"):
        found = bind_finding(settings(bind="127.34.0.1"), UNTOLD, [node], [node])
    assert (found.level, found.facts["is_free"]) == (Level.OK, False)
    assert found.text == f"127.34.0.1:{PORT} is held by the running node me (pid 4711)"


def test_an_address_held_by_another_node_is_a_problem():
    node = presence("other", f"127.34.0.1:{PORT}")
    with listening("127.34.0.1"):
        found = bind_finding(settings(bind="127.34.0.1"), UNTOLD, [node], [])
    assert found.level is Level.PROBLEM
    assert found.text == f"127.34.0.1:{PORT} is held by the running node other (pid 4711)"
    assert "another listener_port" in found.fix


def test_an_address_held_by_another_program_is_a_problem():
    with listening("127.34.0.1"):
        found = bind_finding(settings(bind="127.34.0.1"), UNTOLD, [], [])
    assert found.level is Level.PROBLEM
    assert "is held by another program, " in found.text
    assert f"(pid {os.getpid()})" in found.text


def test_an_address_that_this_machine_lacks_is_a_problem():
    found = bind_finding(settings(bind="198.51.100.7"), UNTOLD, [], [])
    assert found.level is Level.PROBLEM
    assert found.text.startswith("bind: expected an address of this machine, got: 198.51.100.7")


def test_the_address_is_that_of_the_site():
    site = Site(addresses=("127.34.0.2",), networks=(ip_network("127.34.0.0/30"),))
    assert bind_finding(settings(), site, [], []).facts["address"] == f"127.34.0.2:{PORT}"


# The seeds.


def lookup(name: str) -> tuple[str, ...]:
    if name == "nowhere":
        raise OSError("no such name")
    return () if name == "empty" else ("10.1.2.3", "10.1.2.4")


def test_without_seeds_there_is_nothing_to_say():
    assert seeds_finding(settings(), lookup, 1.0) == ok(
        "seeds", "none are set", addresses=[], names={}
    )


def test_names_are_shown_with_their_addresses():
    named = settings(seed_names=(HostName("db", 1), HostName("db", 2)))
    found = seeds_finding(named, lookup, 5.0)
    assert (found.level, found.text) == (Level.OK, "0 addresses; db is 10.1.2.3 and 10.1.2.4")


def test_a_name_that_stands_for_nothing_is_a_warning():
    named = settings(seed_names=(HostName("nowhere", 1), HostName("db", 1), HostName("empty", 1)))
    found = seeds_finding(named, lookup, 5.0)
    assert found.level is Level.WARNING
    assert set(found.text.removeprefix("no address for ").split(", ")) == {"nowhere", "empty"}


def test_a_name_server_that_is_silent_is_not_waited_for():
    answer = threading.Event()

    def hang(name: str) -> tuple[str, ...]:
        answer.wait(60)
        return ()

    named = settings(seed_names=tuple(HostName(f"n{each}", 1) for each in range(40)))
    found = seeds_finding(named, hang, 0.05)
    answer.set()
    assert found.level is Level.WARNING
    assert found.text.startswith("no answer within 0.1 s for n0, n1, ")


# The cookie.

LOOPBACK = [ip_network("127.0.0.0/29")]
BEYOND = [ip_network("10.0.0.0/24")]


def cookie_file(folder: Path, text: str = SECRET, mode: int = 0o600) -> Path:
    path = folder / "cookie"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def test_a_cookie_of_the_environment_is_named_and_not_shown():
    found = cookie_finding(settings(), BEYOND, {"BEETHOVEN_COOKIE": SECRET})
    assert (found.level, found.text) == (
        Level.OK,
        "from the environment, BEETHOVEN_COOKIE; one is required",
    )


def test_a_cookie_of_a_file_is_named_with_its_mode(tmp_path):
    path = cookie_file(tmp_path)
    found = cookie_finding(settings(cookie_file=path), LOOPBACK, {})
    assert found.text == f"from the file {path}, mode 0600; none is required on loopback"


@pytest.mark.parametrize(("text", "mode"), [(SECRET, 0o644), (SHORT, 0o600), ("", 0o600)])
def test_a_cookie_that_is_not_fit_is_a_problem_and_neither_it_nor_its_length_is_told(
    tmp_path, text, mode
):
    found = cookie_finding(settings(cookie_file=cookie_file(tmp_path, text, mode)), BEYOND, {})
    assert found.level is Level.PROBLEM
    assert found.fix
    shown = verb.line(found, 8)
    assert not text or text not in shown
    assert "got: 7 bytes" not in shown
    assert ("chmod 600" in shown) == (mode == 0o644)


def test_beyond_loopback_the_users_own_cookie_is_not_enough(tmp_path):
    found = cookie_finding(settings(), [*LOOPBACK, *BEYOND], {"HOME": str(tmp_path)})
    assert found.level is Level.PROBLEM
    assert "10.0.0.0/24 reaches beyond this machine" in found.text
    assert "BEETHOVEN_COOKIE or cookie_file" in found.fix


def test_the_users_own_cookie_is_not_made(tmp_path):
    environ = {"HOME": str(tmp_path)}
    assert cookie_finding(settings(), LOOPBACK, environ).level is Level.OK
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_a_home_needs_a_cookie():
    assert cookie_finding(settings(), LOOPBACK, {}).level is Level.PROBLEM


# The metadata service.

SITE = Site(
    machine="web_3",
    networks=(ip_network("10.0.0.0/24"),),
    addresses=("10.0.0.7",),
    labels=frozenset({"az.region=westeurope"}),
    zone="westeurope-1",
)
ON_AZURE = settings(use_az_net=True)


class Scripted:
    """A provider that asks once, and makes of the answer what it is told to."""

    name = "scripted"

    def __init__(self, *answers: Effect, deadline: float | None = None) -> None:
        self._answers = list(answers)
        self._deadline = deadline
        self.seen: list[Event] = []

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        self.seen.append(event)
        if isinstance(event, Started):
            return [Ask("instance", "GET", "/metadata/instance", timeout=120.0)]
        if isinstance(event, Ticked):
            self._deadline = None
        return self._answers if not isinstance(event, Unanswered) else []

    def next_deadline(self) -> float | None:
        return self._deadline

    def summary(self) -> dict[str, Any]:
        return {"failing": "instance: connection refused"}


def answering(answer: Answered | Unanswered) -> Callable[[Ask], Answered | Unanswered]:
    def ask(question: Ask) -> Answered | Unanswered:
        assert question.timeout <= 5.0
        return answer

    return ask


def test_a_service_is_asked_until_site_and_notices_are_known():
    answer = answering(Answered("instance", 200))
    found = glance(Scripted(Learned(SITE), Noticed(())), answer, 5.0)
    assert (found.site, found.notices, found.is_absent) == (SITE, (), False)
    assert found.took < 5.0


def test_the_first_word_that_there_is_no_service_is_the_last():
    found = glance(Scripted(Absent("no such place")), answering(Answered("instance", 404)), 5.0)
    assert (found.is_absent, found.why) == (True, "no such place")


def test_a_silent_service_is_given_up_in_time():
    answer = threading.Event()

    def hang(question: Ask) -> Unanswered:
        answer.wait(60)
        return Unanswered(question.purpose, "late")

    provider = Scripted(deadline=0.0)
    found = glance(provider, hang, 1.0)
    answer.set()
    assert (found.site, found.notices) == (None, None)
    assert 1.0 <= found.took < 30.0
    assert Ticked() in provider.seen


def test_what_fails_at_the_end_is_told():
    found = glance(Scripted(), answering(Unanswered("instance", "connection refused")), 0.05)
    assert found.why == "instance: connection refused"


def test_without_use_az_net_nobody_is_asked():
    [found] = metadata_findings(settings(), None)
    assert (found.level, found.text) == (Level.OK, "not asked: use_az_net is false")


def test_off_azure_the_configured_network_is_used():
    [found] = metadata_findings(ON_AZURE, Glance(is_absent=True, why="connection refused"))
    assert found.level is Level.WARNING
    assert found.text == (
        "none of Azure at http://169.254.169.254: connection refused; "
        "a node uses 127.34.0.0/30 as configured"
    )
    assert "use_az_net = false" in found.fix


def test_a_service_that_does_not_answer_is_a_warning():
    [found] = metadata_findings(ON_AZURE, Glance(why="it answered with status 500", took=3.0))
    assert found.level is Level.WARNING
    assert "within 3.0 s: it answered with status 500" in found.text


def test_what_the_service_says_is_shown():
    place, notices = metadata_findings(ON_AZURE, Glance(SITE, (), took=0.1))
    assert place.text == (
        "westeurope-1, web_3, 10.0.0.0/24, 10.0.0.7, az.region=westeurope; "
        "from http://169.254.169.254"
    )
    assert (notices.text, notices.level) == ("none", Level.OK)


def test_a_site_without_a_network_is_a_warning():
    place, *_ = metadata_findings(ON_AZURE, Glance(Site("web_3"), ()))
    assert place.level is Level.WARNING
    assert "no network" in place.text
    assert "azure.interface" in place.fix


DOCUMENT = {
    "compute": {"name": "web_3", "location": "a b"},
    "network": {
        "interface": [
            {
                "ipv4": {
                    "ipAddress": [{"privateIpAddress": f"10.0.{each}.7"}],
                    "subnet": [
                        {"address": f"10.0.{each}.0", "prefix": "24"},
                        {"address": "10.0.0.0", "prefix": "7"},
                    ],
                }
            }
            for each in range(2)
        ]
    },
}


def service(question: Ask) -> Answered:
    told = DOCUMENT if question.purpose == "instance" else {"Events": [{}]}
    return Answered(question.purpose, 200, {}, json.dumps(told).encode())


def test_what_a_node_leaves_out_is_a_warning():
    own = Azure(AzureSettings(), own=lambda: ("10.0.1.7",))
    place, _ = metadata_findings(ON_AZURE, glance(own, service, 5.0))
    assert place.level is Level.WARNING
    assert place.text == (
        "web_3, 10.0.1.0/24, 10.0.1.7, az.vm=web_3; from http://169.254.169.254; "
        "remarks: a subnet wider than /8; the value of az.region does not make a label; "
        "an event without EventId or EventType"
    )
    assert place.facts["remarks"] == place.text.partition("remarks: ")[2].split("; ")


def test_that_no_interface_is_chosen_is_told_with_their_number():
    strange = Azure(AzureSettings(), own=lambda: ("10.9.9.9",))
    place, _ = metadata_findings(ON_AZURE, glance(strange, service, 5.0))
    assert "none of its 2 interfaces is chosen: none has an address of this machine" in place.text
    assert "no network" not in place.text
    assert place.text.endswith("; a node uses 127.34.0.0/30 as configured")
    assert "azure.interface" in place.fix


def test_notices_that_are_not_told_in_time_are_a_warning():
    _, notices = metadata_findings(ON_AZURE, Glance(SITE, None, took=3.0))
    assert (notices.level, notices.text) == (Level.WARNING, "not told in time")
    assert "2 min" in notices.fix


def notice(kind: NoticeKind, *machines: str, **values: Any) -> Notice:
    return Notice(f"{kind}-1", kind, frozenset(machines or {"web_3"}), **values)


@pytest.mark.parametrize(
    ("announced", "level", "text"),
    [
        (
            notice(NoticeKind.PREEMPT, begins_in=21.0),
            Level.WARNING,
            "Preempt in 21 s: hands over, leaves in 18 s",
        ),
        (
            notice(NoticeKind.TERMINATE, begins_in=300.0),
            Level.WARNING,
            "Terminate in 5 min: hands over, leaves in 5 min",
        ),
        (
            notice(NoticeKind.PREEMPT, begins_in=1.0),
            Level.WARNING,
            "Preempt in 1.0 s: leaves now",
        ),
        (
            notice(NoticeKind.PREEMPT, is_started=True),
            Level.WARNING,
            "Preempt has begun: leaves now",
        ),
        (
            notice(NoticeKind.REDEPLOY),
            Level.WARNING,
            "Redeploy is announced: hands over, then leaves",
        ),
        (
            notice(NoticeKind.FREEZE, begins_in=60.0),
            Level.WARNING,
            "Freeze in 60 s: hands over until it is over",
        ),
        (
            notice(NoticeKind.FREEZE, begins_in=60.0, lasts=0.5),
            Level.OK,
            "Freeze in 60 s: nothing follows",
        ),
        (
            notice(NoticeKind.REBALANCE),
            Level.WARNING,
            "SpotRebalanceRecommendation is announced: other nodes are preferred for new roles",
        ),
        (
            notice(NoticeKind.PREEMPT, "web_4", "web_5", begins_in=8.0),
            Level.OK,
            "Preempt in 8.0 s for web_4, web_5",
        ),
        (
            Notice("nobody", NoticeKind.TERMINATE),
            Level.OK,
            "Terminate is announced for machines without a name",
        ),
    ],
)
def test_what_follows_from_a_notice_is_told(announced, level, text):
    _, found = metadata_findings(ON_AZURE, Glance(SITE, (announced,)))
    assert (found.level, found.text) == (level, text)


def test_what_is_announced_is_told_so_that_a_line_reads_well():
    announced = notice(NoticeKind.PREEMPT, begins_in=21.0)
    _, found = metadata_findings(ON_AZURE, Glance(SITE, (announced,)))
    assert verb.line(found, 7).endswith("leaves in 18 s; a node does all of this by itself")


# What a watcher reports.


def report(**values: Any) -> dict[str, Any]:
    return {
        "provider": "azure",
        "metadata": {"asked_ago": 0.4},
        "site": {"machine": "web_3", "zone": "westeurope-1"},
        "problem": "",
        "notices": [],
        "outlook": {"is_cordoned": False, "is_leaving": False},
        **values,
    }


def test_a_report_is_one_line():
    assert report_line(report()) == "westeurope-1, web_3, asked 0.4 s ago"


def test_what_was_announced_a_while_ago_is_nearer_now():
    told = report(
        metadata={"asked_ago": 1.0},
        notices=[{"kind": "Preempt", "machines": ["web_3"], "begins_in": 22.0}],
        outlook={"is_cordoned": True, "is_leaving": False},
    )
    assert forecasts(told) == ["Preempt in 21 s: hands over, leaves in 18 s"]


def test_a_problem_is_shown():
    assert report_line({"problem": "its watcher does not answer"}) == "its watcher does not answer"


def test_a_node_that_does_not_follow_its_site_stays_where_it_is():
    told = report(problem="listener_port: another node listens on 10.0.0.7:33000")
    assert report_line(told) == (
        "westeurope-1, web_3, asked 0.4 s ago, "
        "the node stays where it is: listener_port: another node listens on 10.0.0.7:33000"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
PARTS = ("metadata", "site", "problem", "notices", "outlook")
NOTICES = st.lists(
    JSON
    | st.dictionaries(
        st.sampled_from(("kind", "machines", "is_started", "begins_in", "lasts")), JSON
    )
)


@given(
    st.dictionaries(st.sampled_from(PARTS), JSON),
    NOTICES,
)
def test_a_report_of_any_shape_is_a_line(told, notices):
    for each in (told, {**report(), "notices": notices}, {**report(), **told}):
        assert "\n" not in report_line(each)


# All of it.

ROLE = '[roles.echo]\nmodule = "beethoven.roles:TestRole"\n'


@pytest.fixture
def diagnose(tmp_path, monkeypatch):
    """Return a function that has a file looked at, by a user who has nothing yet."""
    monkeypatch.setenv("BEETHOVEN_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("BEETHOVEN_NODE", raising=False)

    def run(toml: str, found: Glance | None = None) -> doctor.Diagnosis:
        path = tmp_path / "app.toml"
        path.write_text(toml, "utf-8")
        environ = {"HOME": str(tmp_path / "home")}

        def metadata(its: NodeSettings, within: float) -> Glance:
            assert found is not None, "it was asked"
            assert within <= 3.0
            return found

        return doctor.diagnose(str(path), None, environ, metadata=metadata)

    return run


def by_check(diagnosis: doctor.Diagnosis) -> dict[str, Finding]:
    return {each.check: each for each in diagnosis.findings}


def test_a_good_file_has_no_problem_and_nothing_is_left_behind(diagnose, tmp_path):
    found = diagnose(f"[beethoven]\nlistener_port = {PORT}\n{ROLE}")
    assert found.problems == []
    assert list(by_check(found)) == [
        *("file", "roles", "metadata", "net", "bind", "seeds", "cookie", "node", "limits")
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["app.toml"]


def test_all_that_is_wrong_with_a_file_is_told_and_what_needs_it_is_left_out(diagnose):
    found = diagnose("[beethoven]\nname = 1\nlistener_prt = 2\n")
    texts = [each.text for each in found.problems]
    assert len(texts) == 2
    assert ".toml:2: beethoven.name: expected a node name" in texts[0]
    assert "did you mean 'listener_port'?" in texts[1]
    assert list(by_check(found)) == ["file", "node", "limits"]


def test_a_note_about_a_file_is_a_warning(diagnose):
    found = by_check(diagnose('[beethoven]\ncluster_net = "127.0.0.9"\n'))["file"]
    assert found.level is Level.WARNING
    assert "which is searched" in found.text


def test_a_role_that_cannot_be_loaded_is_a_problem(diagnose):
    found = by_check(diagnose('[roles.it]\nmodule = "nowhere.at.all:It"\n'))["roles"]
    assert found.level is Level.PROBLEM
    assert found.text.endswith("roles.it.module: no module named 'nowhere'")
    assert "beethoven check" in found.fix


def test_a_site_says_where_a_node_searches_listens_and_needs_a_cookie(diagnose):
    site = Site("web_3", (ip_network("127.35.0.0/29"),), ("127.35.0.4",))
    toml = f'[beethoven]\nlistener_port = {PORT}\nuse_az_net = true\n[azure]\nendpoint = "{{}}"\n'
    found = by_check(diagnose(toml.format("http://127.0.0.1:1"), Glance(site, ())))
    assert found["net"].text.startswith("127.35.0.0/29: 3 addresses")
    assert found["bind"].facts["address"] == f"127.35.0.4:{PORT}"
    assert found["cookie"].level is Level.OK
    beyond = by_check(diagnose(toml.format("http://169.254.169.254"), Glance(site, ())))
    assert beyond["cookie"].level is Level.PROBLEM


def test_a_runtime_folder_that_others_may_read_is_a_problem(diagnose, tmp_path):
    (tmp_path / "run").mkdir(mode=0o755)
    found = diagnose(f"[beethoven]\nlistener_port = {PORT}\n")
    assert [each.check for each in found.problems] == ["node"]
    # Whether a node runs nobody knows then.
    assert [each.check for each in found.findings].count("node") == 1


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_what_is_no_regular_file_is_not_read(device):
    [told] = doctor.diagnose(device, None, {}).problems
    assert told.text == f"{device}: expected a regular file"
    assert told.fix == "write it to a file: who reads a pipe may wait for ever"


def test_a_password_is_not_shown(diagnose):
    toml = '[beethoven]\nuse_az_net = true\n[azure]\nendpoint = "http://admin:hunter2@127.0.0.1"\n'
    found = diagnose(toml)
    assert [each.check for each in found.problems] == ["file"]
    assert "hunter2" not in str(verb.as_json(found))


def test_without_a_file_and_a_node_it_says_what_to_do(diagnose):
    with pytest.raises(NodeNotFound, match="name a configuration: beethoven doctor FILE"):
        doctor.diagnose(None, None, {})


def test_a_node_that_a_program_has_started_has_no_file(monkeypatch):
    node = presence("it", f"127.34.0.1:{PORT}", Path("/srv/start_node"))
    monkeypatch.setattr(doctor, "find_node", lambda _: node)
    with pytest.raises(NodeError, match="'it' was configured by a program, not by a file"):
        doctor.diagnose(None, None, {})


@pytest.fixture
def running(tmp_path, monkeypatch):
    """Return a function that has a process be the node that runs."""
    config = tmp_path / "app.toml"
    config.write_text("[beethoven]\nuse_az_net = false\n", "utf-8")

    def run(pid: int) -> None:
        node = replace(presence("it", f"127.34.0.1:{PORT}", config), pid=pid)
        monkeypatch.setattr(doctor, "find_node", lambda _: node)
        monkeypatch.setattr(doctor, "running_nodes", list)

    return run


@contextlib.contextmanager
def echoing(environ: dict[str, str]) -> Iterator[int]:
    """Run a program with an environment; enter once others can read that."""
    # While it is being loaded, the kernel tells an environment without a variable.
    pipe = subprocess.PIPE
    with subprocess.Popen(["cat"], env=environ, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("here\n")
        process.stdin.flush()
        assert process.stdout.readline() == "here\n"
        yield process.pid


def test_without_a_file_the_environment_of_the_node_counts(running, tmp_path):
    endpoint = f"http://127.0.0.1:{PORT}"
    told = {"BEETHOVEN_USE_AZ_NET": "true", "BEETHOVEN_AZURE__ENDPOINT": endpoint}
    asked = []

    def metadata(its: NodeSettings, _: float) -> Glance:
        asked.append(str(its.azure.endpoint))
        return Glance(is_absent=True)

    shell = {"BEETHOVEN_USE_AZ_NET": "false", "HOME": str(tmp_path)}
    with echoing({**os.environ, **told}) as pid:
        running(pid)
        doctor.diagnose(None, "it", shell, metadata=metadata)
        doctor.diagnose(str(tmp_path / "app.toml"), None, shell, metadata=metadata)
    assert asked == [endpoint]


def test_a_node_that_is_just_gone_is_not_found(running):
    with subprocess.Popen(["true"]) as process:
        pass
    running(process.pid)
    with pytest.raises(NodeNotFound, match="'it' does not run any more"):
        doctor.diagnose(None, None, {})


# The command line.


def test_a_finding_is_a_line_with_what_to_do():
    assert verb.line(ok("net", "good"), 4) == "ok       net   good"
    assert verb.line(warning("net", "so\nso", "do\tit"), 4) == "warning  net   so so; do it"
    assert verb.line(problem("bind", "bad", "stop"), 4) == "problem  bind  bad; stop"


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([ok("net", "good"), warning("seeds", "odd", "see")], exit_codes.OK),
        ([problem("bind", "taken", "stop it")], exit_codes.FAILED),
        ([problem("bind", "taken", "stop it"), problem("roles", "none", "x")], exit_codes.CONFIG),
    ],
)
def test_the_exit_code_tells_whose_problem_it_is(monkeypatch, capsys, findings, code):
    found = doctor.Diagnosis("app.toml", tuple(findings), {})
    monkeypatch.setattr(verb, "diagnose", lambda *_: found)
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    assert verb.run(parser.parse_args(["app.toml"])) == code
    assert capsys.readouterr().out.count("\n") == 1 + len(findings)
    assert verb.run(parser.parse_args(["app.toml", "--json"])) == code
    assert f'"ok": {str(code == 0).lower()}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (21.4, "21 s"), (840.0, "14 min"), (9e3, "2 h")],
)
def test_durations_are_short(seconds, text):
    assert in_words(seconds) == text
