"""Every mistake in a file has its message: place, key, what was expected, what was got."""

# ruff: noqa: E501 - the messages are quoted as they are

from pathlib import Path

import pytest

from beethoven.errors import ConfigError
from beethoven.node.config import parse_settings, read_settings

ENVIRON = {"PATH": "/usr/bin:/bin"}


def problems(source, environ=None, *, folder=Path("/srv")):
    with pytest.raises(ConfigError) as caught:
        parse_settings(source, folder / "app.toml", {**ENVIRON, **(environ or {})})
    return [each.replace(f"{folder}/app.toml", "app.toml") for each in caught.value.problems]


NETWORK = 'a network, such as "10.1.2.0" or "10.1.2.0/24"'
DURATION = 'seconds > 0 or a duration such as "1.5s", "500ms" or "2m"'
SHUTDOWN = 'seconds >= 0, a duration such as "1.5s", "brutal_kill" or "infinity"'
RESTART = '"permanent", "transient" or "temporary"'
OWN_ADDRESS = 'a numeric address of this machine, such as "10.1.2.3"'
SEED = 'an address or a name, such as "10.1.2.3", "[fd00::1]:33000" or "db.internal:33000"'
LABEL = "a label ([A-Za-z0-9][A-Za-z0-9._=:/-]*, at most 64 characters)"
PROGRAM_FIRST = "a list of strings, the program first"

NODE = [
    (
        "name = 1",
        "name",
        "expected a node name ([a-z0-9][a-z0-9._-]*, at most 32 characters), got: 1",
    ),
    (
        'name = "-"',
        "name",
        'expected a node name ([a-z0-9][a-z0-9._-]*, at most 32 characters), got: "-"',
    ),
    ("cluster_net = 1", "cluster_net", f"expected {NETWORK}, got: 1"),
    ('cluster_net = "10.1"', "cluster_net", f'expected {NETWORK}, got: "10.1"'),
    ('cluster_net = "fe80::1%eth0"', "cluster_net", f'expected {NETWORK}, got: "fe80::1%eth0"'),
    (
        'cluster_net = "fd00::"',
        "cluster_net",
        'expected a mask, which an IPv6 network needs\n  write "fd00::/120", or set cluster_net_mask',
    ),
    (
        "cluster_net_mask = 33",
        "cluster_net_mask",
        "expected an integer from 0 to 32, got: 33",
    ),
    (
        "cluster_net_mask = true",
        "cluster_net_mask",
        "expected an integer from 0 to 32, or to 128 for IPv6, got: true",
    ),
    ("listener_port = 0", "listener_port", "expected an integer from 1 to 65535, got: 0"),
    ('listener_port = "1"', "listener_port", 'expected an integer from 1 to 65535, got: "1"'),
    ("use_az_net = 1", "use_az_net", "expected true or false, got: 1"),
    *[
        (f'bind = "{written}"', "bind", f'expected {OWN_ADDRESS}, got: "{written}"')
        for written in ("", "0.0.0.0", "::", "224.0.0.1", "localhost", "10.1.2.3:7", "fe80::1%eth0")
    ],
    ("bind = 1", "bind", f"expected {OWN_ADDRESS}, got: 1"),
    *[
        (f'seeds = ["ok", "{written}"]', "seeds", f'expected {SEED}, got: "{written}"')
        for written in (
            "",
            "10.1.2",
            "10.1.2.300",
            "10.1.2.3:0",
            "db:65536",
            "db:",
            "db:x",
            "db:²",
            "a..b",
            "a b",
            "0.0.0.0",
            "fe80::1%eth0",
            "[fd00::1",
            "http://db",
        )
    ],
    ("seeds = [1]", "seeds", f"expected {SEED}, got: 1"),
    (
        'seeds = "db"',
        "seeds",
        'expected a list of addresses and names, got: "db"\n  write ["db"]',
    ),
    (
        'cluster = "A"',
        "cluster",
        'expected a cluster name ([a-z0-9][a-z0-9._-]*, at most 64 characters), got: "A"',
    ),
    ("cookie_file = 1", "cookie_file", "expected a string, got: 1"),
    ('cookie_file = ""', "cookie_file", 'expected the path of a file, got: ""'),
    ("labels = [1]", "labels", f"expected {LABEL}, got: 1"),
    ('labels = ["a b"]', "labels", f'expected {LABEL}, got: "a b"'),
    (
        'labels = "a b"',
        "labels",
        'expected a list of at most 32 labels, got: "a b"\n  write ["a", "b"]',
    ),
    (
        'zone = "-"',
        "zone",
        'expected a zone (([A-Za-z0-9][A-Za-z0-9._=:/-]*)?, at most 64 characters), got: "-"',
    ),
    ('timing = "slow"', "timing", 'expected "default", "fast" or "wan", got: "slow"'),
    (
        "timing = { lease = 1 }",
        "timing",
        'expected "default", "fast" or "wan", got: {lease = 1}\n  single values stand in a table [timing]',
    ),
    (
        "drain_timeout = -1",
        "drain_timeout",
        'expected seconds >= 0 or a duration such as "1.5s", "500ms" or "2m", got: -1',
    ),
    ("rebalance = 1", "rebalance", "expected true or false, got: 1"),
    ("lisener_port = 1", "lisener_port", "unknown key, did you mean 'listener_port'?"),
    (
        "zzz = 1",
        "zzz",
        "unknown key\n  known here: bind, cluster, cluster_net, cluster_net_mask, cookie_file,"
        " drain_timeout, labels, listener_port, name, rebalance, seeds, timing, use_az_net or zone",
    ),
]


@pytest.mark.parametrize(("line", "key", "text"), NODE)
def test_the_node(line, key, text):
    assert problems(f"[beethoven]\n{line}") == [f"app.toml:2: beethoven.{key}: {text}"]


ROLE = [
    ("instances = 0", "instances", "expected an integer >= 1, got: 0"),
    ("instances = 1.0", "instances", "expected an integer >= 1, got: 1.0"),
    ("instances = true", "instances", "expected an integer >= 1, got: true"),
    ('restart = "always"', "restart", f'expected {RESTART}, got: "always"'),
    ("shutdown = -1", "shutdown", f"expected {SHUTDOWN}, got: -1"),
    ("shutdown = nan", "shutdown", f"expected {SHUTDOWN}, got: nan"),
    ('shutdown = "5"', "shutdown", f'expected {SHUTDOWN}, got: "5"'),
    (
        "shutdown = 3e6",
        "shutdown",
        f"expected {SHUTDOWN}, got: 3000000.0\n  the longest is 2000000 seconds",
    ),
    ("max_restarts = -1", "max_restarts", "expected an integer >= 0, got: -1"),
    ("max_seconds = 0", "max_seconds", f"expected {DURATION}, got: 0"),
    (
        "start_timeout = inf",
        "start_timeout",
        f"expected {DURATION}, got: inf\n  the longest is 2000000 seconds",
    ),
    ("environment = { A = 1 }", "environment.A", "expected a string, got: 1"),
    (
        'environment = { "A=B" = "" }',
        'environment."A=B"',
        'expected the name of a variable, got: "A=B"',
    ),
    ("environment = []", "environment", "expected a table, got: []"),
    ('working_directory = "none"', "working_directory", 'expected an existing folder, got: "none"'),
    (
        'stop_signal = "INT"',
        "stop_signal",
        "expected a role with a command, got: a role with a module",
    ),
    ("requires = [1]", "requires", f"expected {LABEL}, got: 1"),
    (
        'prefers = "gpu"',
        "prefers",
        'expected a list of at most 32 labels, got: "gpu"\n  write ["gpu"]',
    ),
    (
        'handover = "both"',
        "handover",
        'expected "stop_first" or "start_first", got: "both"',
    ),
    (
        'reconcile = "none"',
        "reconcile",
        'expected "keep_oldest", "keep_newest" or "keep_best", got: "none"',
    ),
    ("version = -1", "version", "expected an integer >= 0, got: -1"),
    (
        "version = 9223372036854775808",
        "version",
        "expected an integer >= 0, got: 9223372036854775808\n  the largest is 9223372036854775807",
    ),
    ("modul = 1", "modul", "unknown key, did you mean 'module'?"),
    (
        'args = "${GONE}"',
        "args",
        "the variable GONE is not set\n  set it, or give a default: ${GONE:-default}",
    ),
    (
        'args = { a = ["${"] }',
        "args.a[0]",
        'expected ${NAME}, ${NAME:-default} or ${NAME:?message}, got: "${"\n  a dollar sign that stands for itself is written $$',
    ),
]


@pytest.mark.parametrize(("line", "key", "text"), ROLE)
def test_a_role(line, key, text):
    found = problems(f'[roles.x]\nmodule = "a:B"\n{line}')
    assert found == [f"app.toml:3: roles.x.{key}: {text}"]


TIMING = [
    ("", "lease = 0", f"3: timing.lease: expected {DURATION}, got: 0"),
    ("", "leas = 0", "3: timing.leas: unknown key, did you mean 'lease'?"),
    ("", "silence = 2", "3: timing.silence: expected seconds >= 3 * heartbeat (3), got: 2"),
    ("", "authority = 4", "3: timing.authority: expected seconds < silence (4), got: 4"),
    ("", "lease = 4.5", "3: timing.lease: expected seconds >= 5 * renewal (5), got: 4.5"),
    (
        "",
        'lease = "8s"',
        "3: timing.lease: expected seconds >= grace + silence + stand + vote + renewal + round trip (8.75), got: 8",
    ),
    ("", 'margin = "100ms"', "3: timing.margin: expected seconds >= 2 * 0.01 * lease (0.2), got: 0.1"),
    (
        'timing = "fast"',
        "heartbeat = 1",
        '2: timing.silence: expected seconds >= 3 * heartbeat (3), got: 1.2\n  that is of timing = "fast"; set silence too',
    ),
]  # fmt: skip


ENDPOINT = 'a numeric address of plain HTTP without a path, such as "http://169.254.169.254"'
INTERFACE = 'an address or a MAC address of this machine, such as "10.1.2.3" or "00-0d-3a-2b-3c-4d"'
KINDS = 'a list of "Preempt", "Terminate", "Redeploy", "Reboot" or "Freeze"'

AZURE = [
    ("endpoint = 1", "endpoint", f"expected {ENDPOINT}, got: 1"),
    *(
        (f'endpoint = "{text}"', "endpoint", f'expected {ENDPOINT}, got: "{text}"')
        for text in (
            "",
            "https://127.0.0.1",
            "http://",
            "http://localhost",
            "http://127.0.0.1:0",
            "http://127.0.0.1:65536",
            "http://127.0.0.1/metadata",
            "http://0.0.0.0",
            "http://[::]",
            "http://224.0.0.1",
            "http://127.1",
            "http://1.2.3.4.5",
            "http://[127.0.0.1%0]",
            "http://127.0.0.1\\r\\nX: y",
        )
    ),
    *(
        (
            f'endpoint = "{value}"',
            "endpoint",
            f'expected {ENDPOINT}, got: "...@10.0.0.1"\n  leave out who is to log in: nobody is',
        )
        for value in (
            "http://127.0.0.1:80@10.0.0.1",
            "http://admin:hunter2@10.0.0.1",
            "https://admin:hun@ter/2@10.0.0.1",
            "admin:hunter2@10.0.0.1",
        )
    ),
    (
        'endpoint = "127.0.0.1:80"',
        "endpoint",
        f'expected {ENDPOINT}, got: "127.0.0.1:80"\n  write "http://127.0.0.1:80"',
    ),
    ("interface = 1", "interface", f"expected {INTERFACE}, got: 1"),
    ('interface = "eth0"', "interface", f'expected {INTERFACE}, got: "eth0"'),
    ('interface = "000D3A2B3C4"', "interface", f'expected {INTERFACE}, got: "000D3A2B3C4"'),
    ('interface = "fe80::1%eth0"', "interface", f'expected {INTERFACE}, got: "fe80::1%eth0"'),
    (
        'acknowledge = "Preempt"',
        "acknowledge",
        f'expected {KINDS}, got: "Preempt"\n  write ["Preempt"]',
    ),
    ('acknowledge = ["preempt"]', "acknowledge", f'expected {KINDS}, got: ["preempt"]'),
    (
        'acknowledge = ["SpotRebalanceRecommendation"]',
        "acknowledge",
        f'expected {KINDS}, got: ["SpotRebalanceRecommendation"]',
    ),
    ("acknowledge = [[1]]", "acknowledge", f"expected {KINDS}, got: [[1]]"),
    ("hand_over_within = 0", "hand_over_within", f"expected {DURATION}, got: 0"),
    ('hand_over_within = "x"', "hand_over_within", f'expected {DURATION}, got: "x"'),
    ("end_point = 1", "end_point", "unknown key, did you mean 'endpoint'?"),
]


@pytest.mark.parametrize(("line", "key", "text"), AZURE)
def test_azure(line, key, text):
    assert problems(f"[azure]\n{line}") == [f"app.toml:2: azure.{key}: {text}"]


@pytest.mark.parametrize("value", ['["http://u:hunter2@10.0.0.1"]', '{ a = "u:hunter2@b" }'])
def test_a_password_is_not_shown_wherever_it_stands(value):
    [problem] = problems(f"[azure]\nendpoint = {value}")
    assert "hunter2" not in problem


@pytest.mark.parametrize(("preset", "line", "text"), TIMING)
def test_the_timing(preset, line, text):
    assert problems(f"beethoven = {{ {preset} }}\n[timing]\n{line}") == [f"app.toml:{text}"]


def test_the_timing_of_the_environment():
    silence = "expected seconds >= 3 * heartbeat (3), got: 2"
    assert problems("", {"BEETHOVEN_TIMING__SILENCE": "2"}) == [
        f"BEETHOVEN_TIMING__SILENCE: {silence}"
    ]
    assert problems("", {"BEETHOVEN_SEEDS": "db,1.2"}) == [
        f'BEETHOVEN_SEEDS: expected {SEED}, got: "1.2"'
    ]


RUNS = [
    ("", "", "1: roles.x: expected either module or command, got: neither"),
    ('module = "a:B"', 'command = ["sh"]', "1: roles.x: expected either module or command, got: both"),
    ('command = ["sh"]', "args = 1", "3: roles.x.args: expected a role with a module, got: a role with a command"),
    ("module = 1", "", '2: roles.x.module: expected "package.module:Class", got: 1'),
    ('module = "a.b.C"', "", '2: roles.x.module: expected "package.module:Class", got: "a.b.C"\n  did you mean "a.b:C"?'),
    ('module = "a:b:C"', "", '2: roles.x.module: expected "package.module:Class", got: "a:b:C"'),
    ('module = "a-b:C"', "", '2: roles.x.module: expected "package.module:Class", got: "a-b:C"'),
    ("command = []", "", f"2: roles.x.command: expected {PROGRAM_FIRST}, got: []"),
    ('command = "ls -l"', "", f'2: roles.x.command: expected {PROGRAM_FIRST}, got: "ls -l"\n  write ["ls", "-l"]'),
    ('command = ["sh", 1]', "", "2: roles.x.command: expected a string, got: 1"),
    ('command = ["sh", "a\\u0000"]', "", '2: roles.x.command: expected a string without NUL, got: "a\\x00"'),
    ('command = ["no-such-thing"]', "", '2: roles.x.command: expected a program on PATH, got: "no-such-thing"'),
    ('command = ["/etc"]', "", '2: roles.x.command: expected an executable file, got: "/etc"\n  it is a folder'),
    ('command = ["/etc/passwd"]', "", '2: roles.x.command: expected an executable file, got: "/etc/passwd"\n  it may not be executed'),
    ('command = ["/gone"]', "", '2: roles.x.command: expected an executable file, got: "/gone"\n  it does not exist'),
    ('command = ["sh"]', 'stop_signal = "STOPP"', '3: roles.x.stop_signal: expected the name of a signal, such as "TERM", got: "STOPP"'),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "text"), RUNS)
def test_what_a_role_runs(first, second, text):
    assert problems(f"[roles.x]\n{first}\n{second}") == [f"app.toml:{text}"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Big", "expected a role name ([a-z][a-z0-9_-]*, at most 64 characters), got: "),
        ("1st", "expected a role name ([a-z][a-z0-9_-]*, at most 64 characters), got: "),
        ('"a b"', "expected a role name ([a-z][a-z0-9_-]*, at most 64 characters), got: "),
        ("beethoven-x", 'expected a role name that does not start with "beethoven", got: '),
    ],
)
def test_the_name_of_a_role(name, text):
    bare = name.strip('"')
    found = problems(f'[roles.{name}]\nmodule = "a:B"')
    assert found == [f'app.toml:1: roles.{name}: {text}"{bare}"']


WHOLE = [
    ('[logging]\nlevel = "loud"', '2: logging.level: expected "debug", "info", "warning" or "error", got: "loud"'),
    ("[logging]\nformat = 1", '2: logging.format: expected "text", "json" or "pretty", got: 1'),
    ("[role.x]", "1: role: unknown key, did you mean 'roles'?"),
    ("roles = 1", "1: roles: expected a table, got: 1"),
    ("[roles]\nx = 1", "2: roles.x: expected a table, got: 1"),
    ("[[roles]]", "1: roles: expected a table, got: [{}]"),
    ("a = ", "1:5: not valid TOML: Invalid value"),
    ("a = 1\na = 2", "2:6: not valid TOML: Cannot overwrite a value"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "text"), WHOLE)
def test_the_file(source, text):
    assert problems(source) == [f"app.toml:{text}"]


def test_all_problems_are_told_in_the_order_of_the_file():
    source = (
        '[roles.b]\nx = 1\n[roles.a]\nmodule = "a:B"\nargs = "${A}${B}"\n[beethoven]\nname = 1\n'
    )
    assert [each.split(": ")[0:2] for each in problems(source)] == [
        ["app.toml:1", "roles.b"],
        ["app.toml:2", "roles.b.x"],
        ["app.toml:5", "roles.a.args"],
        ["app.toml:7", "beethoven.name"],
    ]


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        (
            "NAME",
            "A",
            'expected a node name ([a-z0-9][a-z0-9._-]*, at most 32 characters), got: "A"',
        ),
        ("LISTENER_PORT", "x", 'expected an integer from 1 to 65535, got: "x"'),
        ("USE_AZ_NET", "yes", 'expected true or false, got: "yes"'),
        ("LOGGING__LEVEL", "loud", 'expected "debug", "info", "warning" or "error", got: "loud"'),
    ],
)
def test_a_variable_of_the_environment_is_told_by_its_name(variable, value, text):
    assert problems("", {f"BEETHOVEN_{variable}": value}) == [f"BEETHOVEN_{variable}: {text}"]


def test_two_masks_have_to_agree():
    source = '[beethoven]\ncluster_net = "10.0.0.0/8"\ncluster_net_mask = 9'
    assert problems(source) == [
        "app.toml:3: beethoven.cluster_net_mask: expected 8, as cluster_net says, got: 9"
        "\n  leave one of the two masks out"
    ]


def test_a_long_value_is_cut_and_line_breaks_are_not_shown():
    [found] = problems(f'[beethoven]\nname = "{"x" * 200}"')
    assert found.endswith("…")
    assert len(found) < 200
    [found] = problems('[beethoven]\nname = """a\nb"""')
    assert found.endswith('got: "a\\nb"')


def test_files_that_cannot_be_read(tmp_path):
    def told(path):
        with pytest.raises(ConfigError) as caught:
            read_settings(path, {})
        return caught.value.problems

    path = tmp_path / "app.toml"
    assert told(path) == [f"{path}: no such file"]
    assert told(tmp_path) == [f"{tmp_path}: expected a file, got: a folder"]
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    assert told(path) == [f"{path}:2: expected UTF-8, got: the byte 0xff"]
    deep = f"a = {'[' * 5000}{']' * 5000}"
    path.write_text(deep, "utf-8")
    assert told(path) == [f"{path}: the values are nested too deeply"]
    path.write_text(f"a = {'9' * 5000}", "utf-8")
    [text] = told(path)
    assert text.startswith(f"{path}")
