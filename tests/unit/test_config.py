"""What a configuration file says becomes settings."""

import signal
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from beethoven.cloud.notice import NoticeKind
from beethoven.cloud.settings import AzureSettings, Endpoint
from beethoven.cluster.addresses import Address
from beethoven.cluster.locator_events import HostName
from beethoven.cluster.role_spec import Handover, Reconcile
from beethoven.cluster.timing import DEFAULT, FAST, PRESETS, Timing
from beethoven.errors import ConfigError
from beethoven.log import LogFormat, LogLevel
from beethoven.node.config import parse_settings, read_settings
from beethoven.node.durations import seconds_of
from beethoven.node.interpolation import NotInterpolated, interpolate
from beethoven.node.overrides import _VARIABLES
from beethoven.node.settings import LogSettings, NodeSettings, RoleSettings
from beethoven.vocabulary import Restart

ROLE = '[roles.x]\nmodule = "a:B"\n'


def parsed(source, environ=None, *, name="app.toml", folder=Path("/srv")):
    return parse_settings(dedent(source), folder / name, environ or {})


def role(lines, environ=None):
    [found] = parsed(f"{ROLE}{dedent(lines)}", environ).roles
    return found


def test_an_empty_file_gives_the_defaults():
    assert parsed("") == NodeSettings(Path("/srv/app.toml"))


def test_every_key_is_read(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "app.toml").write_text(
        dedent(
            """\
            [beethoven]
            name = "n-1.x"
            cluster_net = "10.1.2.0"
            cluster_net_mask = 24
            listener_port = 1
            use_az_net = true
            cluster = "orchestra"
            bind = "10.1.2.3"
            seeds = ["10.1.3.1", "db.internal:7"]
            cookie_file = "cookie"
            labels = ["gpu", "disk=ssd"]
            zone = "eu-west-1a"
            timing = "wan"
            drain_timeout = "2s"
            rebalance = false
            [timing]
            grace = "5s"
            [logging]
            level = "debug"
            format = "json"
            [azure]
            endpoint = "http://127.0.10.1:8080"
            interface = "00-0D-3A-2B-3C-4D"
            acknowledge = []
            hand_over_within = "5s"
            [roles.one]
            module = "a.b:C.D"
            args = [1, { x = 2.5 }]
            instances = 3
            restart = "transient"
            shutdown = "1.5s"
            max_restarts = 0
            max_seconds = "2m"
            start_timeout = "500ms"
            environment = { A = "b" }
            working_directory = "inside"
            requires = ["gpu"]
            prefers = ["disk=ssd", "disk=ssd"]
            handover = "start_first"
            reconcile = "keep_best"
            version = 7
            [roles.two]
            command = ["sh", "-c", "x"]
            stop_signal = "SIGINT"
            shutdown = "infinity"
            """
        ),
        "utf-8",
    )
    environ = {"PATH": "/usr/bin:/bin"}
    settings = read_settings(tmp_path / "app.toml", environ)
    assert settings == NodeSettings(
        tmp_path / "app.toml",
        name="n-1.x",
        cluster_net="10.1.2.0",
        cluster_net_mask=24,
        listener_port=1,
        use_az_net=True,
        cluster="orchestra",
        bind="10.1.2.3",
        seeds=(Address("10.1.3.1", 1),),
        seed_names=(HostName("db.internal", 7),),
        cookie_file=tmp_path / "cookie",
        labels=frozenset({"gpu", "disk=ssd"}),
        zone="eu-west-1a",
        timing=Timing(2.0, 10.0, 8.0, 25.0, 1.0, 5.0),
        drain_timeout=2.0,
        rebalance=False,
        logging=LogSettings(LogLevel.DEBUG, LogFormat.JSON),
        azure=AzureSettings(
            Endpoint("127.0.10.1", 8080), "00-0D-3A-2B-3C-4D", frozenset[NoticeKind](), 5.0
        ),
        roles=(
            RoleSettings(
                "one",
                module="a.b:C.D",
                args=[1, {"x": 2.5}],
                instances=3,
                restart=Restart.TRANSIENT,
                shutdown=1.5,
                max_restarts=0,
                max_seconds=120.0,
                start_timeout=0.5,
                environment={"A": "b"},
                working_directory=tmp_path / "inside",
                requires=frozenset({"gpu"}),
                prefers=frozenset({"disk=ssd"}),
                handover=Handover.START_FIRST,
                reconcile=Reconcile.KEEP_BEST,
                version=7,
            ),
            RoleSettings(
                "two",
                command=("sh", "-c", "x"),
                stop_signal=signal.SIGINT,
                shutdown="infinity",
            ),
        ),
    )
    assert [each.place for each in settings.roles] == [
        f"{tmp_path}/app.toml:27: roles.one.module",
        f"{tmp_path}/app.toml:43: roles.two.command",
    ]
    assert [each.folder for each in settings.roles] == [tmp_path, tmp_path]


@pytest.mark.parametrize(
    ("lines", "net", "mask", "has_note"),
    [
        ("", "127.0.0.0", 29, False),
        ('cluster_net_mask = "30"', "127.0.0.0", 30, False),
        ('cluster_net = "10.0.0.0/8"', "10.0.0.0", 8, False),
        ('cluster_net = "10.0.0.0/8"\ncluster_net_mask = 8', "10.0.0.0", 8, False),
        ('cluster_net = "10.0.0.5"\ncluster_net_mask = 24', "10.0.0.0", 24, True),
        ('cluster_net = "fd00::1/64"', "fd00::", 64, True),
        ('cluster_net = "fd00::"\ncluster_net_mask = 120', "fd00::", 120, True),
        ('cluster_net = "fd00::/120"\nseeds = ["fd00::1"]', "fd00::", 120, False),
        ('cluster_net = "10.0.0.7/32"', "10.0.0.7", 32, False),  # D9 of the original
        ('cluster_net = "10.0.0.7/31"', "10.0.0.6", 31, True),
        ('cluster_net = "10.0.0.77/29"', "10.0.0.72", 29, True),  # D30
    ],
)
def test_a_network_may_be_written_in_several_ways(lines, net, mask, has_note):
    settings = parsed(f"[beethoven]\n{lines}")
    assert (settings.cluster_net, settings.cluster_net_mask) == (net, mask)
    assert bool(settings.notes) == has_note


def test_a_network_that_is_read_in_another_way_is_noted():
    [note] = parsed('[beethoven]\ncluster_net = "10.0.0.5/24"').notes
    assert note == (
        "/srv/app.toml:2: beethoven.cluster_net: "
        "10.0.0.5/24 is inside 10.0.0.0/24, which is searched"
    )


def test_a_network_of_ipv6_is_noted_unless_there_are_seeds():
    [note] = parsed('[beethoven]\ncluster_net = "fd00::/64"').notes
    assert note == (
        "/srv/app.toml:2: beethoven.cluster_net: "
        "fd00::/64 is not searched, as no network of IPv6 is, and no seeds are set"
    )


@pytest.mark.parametrize(
    ("written", "seed"),
    [
        ("10.1.2.3", Address("10.1.2.3", 7)),
        ("10.1.2.3:33000", Address("10.1.2.3", 33000)),
        ("fd00::1", Address("fd00::1", 7)),
        ("[fd00:0::1]", Address("fd00::1", 7)),
        ("[fd00::1]:65535", Address("fd00::1", 65535)),
        ("localhost", HostName("localhost", 7)),
        ("DB.Internal.", HostName("db.internal", 7)),
        ("db.internal:1", HostName("db.internal", 1)),
        ("_sip._tcp.3com.com", HostName("_sip._tcp.3com.com", 7)),
        ("xn--bcher-kva.example", HostName("xn--bcher-kva.example", 7)),
    ],
)
def test_a_seed_is_an_address_or_a_name(written, seed):
    settings = parsed(f'[beethoven]\nlistener_port = 7\nseeds = ["{written}", "{written}"]')
    assert [*settings.seeds, *settings.seed_names] == [seed]


@pytest.mark.parametrize(
    ("lines", "timing"),
    [
        ("", DEFAULT),
        ('[beethoven]\ntiming = "fast"', FAST),
        ("[timing]\nlease = 12", Timing(lease=12.0)),
        ('[beethoven]\ntiming = "fast"\n[timing]\ngrace = "300ms"', replace(FAST, grace=0.3)),
        ("[timing]\nheartbeat = 2\nsilence = 7\nauthority = 6\nlease = 15", Timing(2, 7, 6, 15)),
    ],
)
def test_the_timing_is_a_preset_with_changes(lines, timing):
    assert parsed(lines).timing == timing


def test_every_preset_can_be_named():
    for name, timing in PRESETS.items():
        assert parsed(f'[beethoven]\ntiming = "{name}"').timing == timing


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (5, 5),
        (0.5, 0.5),
        ("1.5s", 1.5),
        ("500ms", 0.5),
        ("2 m", 120),
        ("1h", 3600),
        ("0s", 0),
        (True, None),
        ("5", None),
        ("1d", None),
        ("-1s", None),
        ([], None),
    ],
)
def test_durations_are_numbers_or_texts_with_units(written, seconds):
    assert seconds_of(written) == seconds


ENVIRON = {"HOME": "/home/me", "EMPTY": ""}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("${HOME}/x", "/home/me/x"),
        ("$HOME $ $1 {HOME}", "$HOME $ $1 {HOME}"),
        ("$${HOME} costs $$5", "${HOME} costs $5"),
        ("${NONE:-here}", "here"),
        ("${EMPTY:-here}", "here"),
        ("${EMPTY}", ""),
        ("${NONE:-}", ""),
        ("${HOME:?gone}${HOME:-x}", "/home/me/home/me"),
    ],
)
def test_variables_stand_for_their_values(written, text):
    assert interpolate(written, ENVIRON) == text


@pytest.mark.parametrize(
    ("written", "message", "fix"),
    [
        ("${NONE}", "the variable NONE is not set", "set it, or give a default: ${NONE:-default}"),
        ("${NONE:?say so}", "the variable NONE is not set: say so", None),
        (
            "${HOME",
            'expected ${NAME}, ${NAME:-default} or ${NAME:?message}, got: "${HOME"',
            "a dollar sign that stands for itself is written $$",
        ),
        (
            "${1}",
            'expected ${NAME}, ${NAME:-default} or ${NAME:?message}, got: "${1}"',
            "a dollar sign that stands for itself is written $$",
        ),
    ],
)
def test_a_variable_that_is_missing_or_malformed_is_told(written, message, fix):
    with pytest.raises(NotInterpolated) as caught:
        interpolate(written, ENVIRON)
    assert (str(caught.value), caught.value.fix) == (message, fix)


def test_variables_are_seen_in_every_string_but_in_no_key():
    found = role('args = { "${HOME}" = ["${HOME}", 1, { a = "${HOME}" }] }', ENVIRON)
    assert found.args == {"${HOME}": ["/home/me", 1, {"a": "/home/me"}]}


SEEDS = (Address("10.0.0.1", 1), Address("10.0.0.2", 2))
OVERRIDES = {
    "BEETHOVEN_NAME": ("name", "n$HOME".lower().replace("$", "-"), None),
    "BEETHOVEN_CLUSTER_NET": ("cluster_net", "10.0.0.0", None),
    "BEETHOVEN_CLUSTER_NET_MASK": ("cluster_net_mask", "30", 30),
    "BEETHOVEN_LISTENER_PORT": ("listener_port", "7", 7),
    "BEETHOVEN_USE_AZ_NET": ("use_az_net", "1", True),
    "BEETHOVEN_CLUSTER": ("cluster", "orchestra", None),
    "BEETHOVEN_BIND": ("bind", "10.0.0.1", None),
    "BEETHOVEN_SEEDS": ("seeds", "10.0.0.1:1, 10.0.0.2:2,", SEEDS),
    "BEETHOVEN_COOKIE_FILE": ("cookie_file", "cookie", Path("/srv/cookie")),
    "BEETHOVEN_LABELS": ("labels", "gpu,disk=ssd", frozenset({"gpu", "disk=ssd"})),
    "BEETHOVEN_ZONE": ("zone", "a", None),
    "BEETHOVEN_TIMING": ("timing", "fast", FAST),
    "BEETHOVEN_DRAIN_TIMEOUT": ("drain_timeout", "1.5", 1.5),
    "BEETHOVEN_REBALANCE": ("rebalance", "False", False),
    "BEETHOVEN_TIMING__HEARTBEAT": ("timing", "1.25", Timing(heartbeat=1.25)),
    "BEETHOVEN_TIMING__SILENCE": ("timing", "4.5s", Timing(silence=4.5)),
    "BEETHOVEN_TIMING__AUTHORITY": ("timing", "2", Timing(authority=2.0)),
    "BEETHOVEN_TIMING__LEASE": ("timing", "12", Timing(lease=12.0)),
    "BEETHOVEN_TIMING__MARGIN": ("timing", "1s", Timing(margin=1.0)),
    "BEETHOVEN_TIMING__GRACE": ("timing", "500ms", Timing(grace=0.5)),
    "BEETHOVEN_AZURE__ENDPOINT": (
        "azure",
        "http://127.0.0.1:8",
        AzureSettings(endpoint=Endpoint("127.0.0.1", 8)),
    ),
    "BEETHOVEN_AZURE__INTERFACE": ("azure", "::1", AzureSettings(interface="::1")),
    "BEETHOVEN_AZURE__ACKNOWLEDGE": (
        "azure",
        "Preempt,Freeze",
        AzureSettings(acknowledge=frozenset({NoticeKind.PREEMPT, NoticeKind.FREEZE})),
    ),
    "BEETHOVEN_AZURE__HAND_OVER_WITHIN": (
        "azure",
        "3",
        AzureSettings(hand_over_within=3.0),
    ),
}


def test_every_variable_is_tested():
    assert {*OVERRIDES, "BEETHOVEN_LOGGING__LEVEL", "BEETHOVEN_LOGGING__FORMAT"} == {*_VARIABLES}


@pytest.mark.parametrize(("variable", "expected"), OVERRIDES.items(), ids=OVERRIDES)
def test_a_variable_counts_more_than_the_file(variable, expected):
    key, written, value = expected
    source = '[beethoven]\nname = "file"\nlistener_port = 1\nuse_az_net = false\nseeds = ["x"]\n'
    found = getattr(parsed(source, {variable: written}), key)
    assert found == (written if value is None else value)
    assert parsed(source, {variable: ""}) == parsed(source)


def test_a_list_of_nothing_is_written_in_brackets():
    source = '[beethoven]\nseeds = ["x"]\nlabels = ["gpu"]\n'
    names = ("AZURE__ACKNOWLEDGE", "SEEDS", "LABELS")
    settings = parsed(source, {f"BEETHOVEN_{name}": "[]" for name in names})
    assert settings.azure.acknowledge == frozenset()
    assert (settings.seeds, settings.seed_names, settings.labels) == ((), (), frozenset())


def test_nested_variables_and_strangers():
    environ = {
        "BEETHOVEN_LOGGING__LEVEL": "error",
        "BEETHOVEN_LOGGING__FORMAT": "json",
        "BEETHOVEN_PROCESS": "strange",
    }
    assert parsed("", environ).logging == LogSettings(LogLevel.ERROR, LogFormat.JSON)


def test_a_whole_network_from_the_environment_replaces_both_keys():
    source = '[beethoven]\ncluster_net = "10.0.0.0"\ncluster_net_mask = 8'
    settings = parsed(source, {"BEETHOVEN_CLUSTER_NET": "10.1.0.0/16"})
    assert (settings.cluster_net, settings.cluster_net_mask) == ("10.1.0.0", 16)


def test_a_variable_is_not_interpolated_again():
    with pytest.raises(ConfigError, match=r'^BEETHOVEN_NAME: .* got: "\$\{HOME\}"'):
        parsed("", {"BEETHOVEN_NAME": "${HOME}", "HOME": "x"})


def test_in_pyproject_the_tables_are_those_of_the_tool():
    source = '[tool.beethoven.beethoven]\nname = "n"\n[tool.beethoven.roles.x]\nmodule = "a:B"\n'
    settings = parsed(source, name="pyproject.toml")
    assert (settings.name, len(settings.roles)) == ("n", 1)
    with pytest.raises(ConfigError, match=r"expected a table \[tool\.beethoven\]"):
        parsed("[tool.other]", name="pyproject.toml")
    with pytest.raises(ConfigError, match=r":2: tool\.beethoven\.rolls: unknown key, did you"):
        parsed("[tool.beethoven]\nrolls = 1", name="pyproject.toml")


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    path = tmp_path / "app.toml"
    path.write_bytes(b'\xef\xbb\xbf[beethoven]\nname = "n"\n')
    assert read_settings(path, {}).name == "n"
