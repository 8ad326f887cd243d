"""One stream of whole lines from all processes, also when its reader is slow, stuck or gone."""

import json
import os
import re
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.nodes import PYTHON, alone, beethoven, node, write
from tests.processes import wait_until

pytestmark = pytest.mark.process

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info |warning|error) [a-z_]+( [^ =\"]+=\S.*)+"
)

OBEDIENT = '[roles.it]\nmodule = "tests.integration.node_roles:Obedient"\n'


def printers(count: int, lines: int, width: int) -> str:
    return "".join(
        f'[roles.p{number}]\nmodule = "tests.integration.node_roles:Printer"\n'
        f'args = {{ mark = "m{number}.", count = {lines}, width = {width} }}\n'
        for number in range(count)
    )


def has_restarted(running):
    return running.instance("it").get("restarts") == 1


def test_every_line_has_time_level_event_and_fields_of_its_origin(tmp_path):
    with node(tmp_path, OBEDIENT, "--log-level", "debug") as running:
        os.kill(running.wait_running("it")[0], signal.SIGKILL)
        running.wait_for("child_started", child="it", count=2)
        running.stop()
        lines = running.log().splitlines()
        assert len(lines) > 8
        for line in lines:
            assert LINE.fullmatch(line), line
            assert re.search(r" process=\S+ pid=\d+$", line), line


@pytest.mark.parametrize("format", ["text", "json"])
def test_lines_of_many_processes_stay_whole_and_have_their_origin(tmp_path, format):  # noqa: A002
    count, lines, width = 20, 1000, 100
    options = ("--log-format", format)
    with node(tmp_path, printers(count, lines, width), *options, ready=False) as running:
        ends = [f"m{number}. {lines - 1} " for number in range(count)]
        wait_until(lambda: all(map(running.log().__contains__, ends)), 60)
        pids = {f"p{n}": str(pid) for n, pid in enumerate(running.wait_running(*all_of(count)))}
        expected = {
            (f"p{n}", pids[f"p{n}"], f"m{n}. {line} {f'm{n}.' * width} end")
            for n in range(count)
            for line in range(lines)
        }
        if format == "json":
            records = [json.loads(line) for line in running.log().splitlines()]
            printed = [record for record in records if record["event"] == "printed"]
        else:
            printed = running.lines("printed")
        found = [(each["process"], str(each["pid"]), each["line"]) for each in printed]
        assert len(found) == count * lines
        assert set(found) == expected


def all_of(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def test_json_has_one_object_a_line_for_everything(tmp_path):
    crash = '[roles.bad]\nmodule = "tests.integration.node_roles:CrashesAtOnce"\n'
    with node(tmp_path, OBEDIENT + crash, "--log-format", "json", ready=False) as running:
        wait_until(lambda: "child_failed" in running.log(), 30)
        running.signal(signal.SIGUSR1)
        running.client.call("it", ("print", 'a "quoted" line', "ü € 😀"))
        assert running.stop() == 0
        records = [json.loads(line) for line in running.log().splitlines()]
        for record in records:
            assert {"time", "level", "event", "process", "pid"} <= set(record)
        printed = [each["line"] for each in records if each["event"] == "printed"]
        assert 'a "quoted" line' in printed
        assert "ü € 😀" in printed
        crashed = next(each for each in records if each["event"] == "child_terminated")
        assert "Traceback" in crashed["traceback"]


def test_long_lines_are_cut_where_no_character_is_split(tmp_path):
    with node(tmp_path, OBEDIENT) as running:
        running.client.call("it", ("print", "ü" * 100_000, "short"))
        running.wait_for("printed", line="short")
        *parts, last = running.lines("printed")[:-1]
        assert [part["cut"] for part in parts] == ["true"] * len(parts)
        assert "cut" not in last
        assert "".join(part["line"] for part in [*parts, last]) == "ü" * 100_000
        assert max(len(part["line"].encode()) for part in parts) <= 65536


def test_binary_output_is_shown_escaped_on_one_line(tmp_path):
    garbage = "".join(map(chr, range(256))).replace("\n", "")
    with node(tmp_path, OBEDIENT) as running:
        running.client.call("it", ("write", f"{garbage}\r\n"))
        running.client.call("it", ("print", "end"))
        running.wait_for("printed", line="end")
        lines = running.log().splitlines()
        [shown] = [line for line in lines if "\\x00" in line]
        assert LINE.fullmatch(shown)
        assert "\\xff" in shown


def test_the_last_words_of_a_killed_role_are_not_lost(tmp_path):
    config = (
        '[roles.bad]\nmodule = "tests.integration.node_roles:PrintsAndDies"\nrestart = "temporary"'
    )
    with node(tmp_path, config) as running:
        said = {
            running.wait_for("printed", line=line)["stream"] for line in ("first", "last words")
        }
        assert said == {"stdout"}
        assert running.wait_for("printed", line="complaint")["stream"] == "stderr"
        ended = running.wait_for("child_terminated")
        assert {each["pid"] for each in running.lines("printed")} == {ended["child_pid"]}


def test_what_a_command_prints_is_logged_line_by_line(tmp_path):
    config = """[roles.talk]
command = ["sh", "-c", "echo one; echo two >&2; printf three; sleep 1000"]
"""
    with node(tmp_path, config) as running:
        pid = str(running.wait_running("talk")[0])
        for line, stream in (("one", "stdout"), ("two", "stderr")):
            found = running.wait_for("printed", line=line)
            assert (found["stream"], found["process"], found["pid"]) == (stream, "talk", pid)
        assert not running.lines("printed", line="three")
        running.stop()
        assert running.lines("printed", line="three")


def test_the_level_of_the_log_can_be_chosen(tmp_path):
    events = {}
    for level in ("debug", "info", "warning", "error"):
        with node(tmp_path, OBEDIENT, "--log-level", level) as running:
            os.kill(running.wait_running("it")[0], signal.SIGKILL)
            wait_until(partial(has_restarted, running))
            running.wait_state("it", "running")
            running.stop()
            events[level] = {line.split()[1] for line in running.log().splitlines()}
        (tmp_path / "app.log").unlink()
    assert events == {
        "debug": {"debug", "info", "warning"},
        "info": {"info", "warning"},
        "warning": {"warning"},
        "error": set(),
    }


def test_each_start_is_told_once_at_info_with_the_pid(tmp_path):
    with node(tmp_path, OBEDIENT) as running:
        [first] = running.wait_running("it")
        assert running.wait_for("role_started", role="it")["role_pid"] == str(first)
        os.kill(first, signal.SIGKILL)
        [second] = running.wait_running("it", but=first)
        assert running.wait_for("child_started", child="it")["child_pid"] == str(second)
        ended = running.wait_for("child_terminated", child="it")
        assert (ended["child_pid"], ended["reason"]) == (str(first), "killed")
        beethoven("restart", "it")
        [third] = running.wait_running("it", but=second)
        assert running.wait_for("role_started", count=2, role="it")["role_pid"] == str(third)
        server = running.component("role_server")
        os.kill(server, signal.SIGKILL)
        running.component("role_server", but=server)
        running.client.status()
        assert len(running.lines("role_started")) == 2
        assert len(running.lines("child_started", child="it")) == 1


@pytest.fixture
def stuck(tmp_path):
    """A node whose log nobody reads, with a full pipe, and a role that waits to print."""
    config = OBEDIENT + 'shutdown = 0.5\n[roles.other]\nmodule = "beethoven.roles:TestRole"\n'
    reader, writer = os.pipe()
    with node(tmp_path, config, stdout=writer) as running:
        os.close(writer)
        [it] = running.wait_running("it")
        running.client.process("it").cast(("fill", 8_000_000))
        wait_until(lambda: is_blocked(it), 20)
        yield running, reader
    os.close(reader)


def is_blocked(pid: int) -> bool:
    """Whether a pipe that a process prints to is full."""
    with Path(f"/proc/{pid}/fd/1").open("wb", buffering=0) as pipe:
        os.set_blocking(pipe.fileno(), False)
        return pipe.write(b"\n") is None


def test_a_reader_that_does_not_read_stops_no_supervision(stuck):
    running, _ = stuck
    for _ in range(3):
        for role in ("it", "other"):
            [before] = running.wait_running(role)
            os.kill(before, signal.SIGKILL)
            running.wait_running(role, but=before)
    done = beethoven("status")
    assert done.code == 0, done
    assert beethoven("call", "other", '["echo", 1]').out == "1\n"


def test_a_node_stops_in_good_order_while_nobody_reads(stuck):
    running, _ = stuck
    assert running.stop() == 0


def test_a_reader_that_goes_on_reading_gets_whole_lines_again(stuck):
    running, reader = stuck
    [other] = running.wait_running("other")
    os.kill(other, signal.SIGKILL)
    running.wait_running("other", but=other)
    running.signal(signal.SIGTERM)
    lines = b""
    while data := os.read(reader, 65536):
        lines += data
    assert running.wait() == 0
    for line in lines.decode().splitlines():
        assert LINE.fullmatch(line), line[:200]
    assert "child_terminated" in lines.decode()
    assert "node_stopped" in lines.decode()


def test_a_reader_that_goes_away_stops_nothing(tmp_path):
    reader, writer = os.pipe()
    with node(tmp_path, OBEDIENT, stdout=writer) as running:
        os.close(writer)
        os.close(reader)
        [it] = running.wait_running("it")
        os.kill(it, signal.SIGKILL)
        running.wait_running("it", but=it)
        running.client.call("it", ("print", "to nobody"))
        assert running.stop() == 0


def test_a_node_runs_without_standard_streams(tmp_path):
    config = write(tmp_path, OBEDIENT)
    line = f"exec {' '.join(PYTHON)} run {config} <&- >&- 2>&-"
    process = subprocess.Popen(["sh", "-c", line], env=alone(config))
    try:
        wait_until(lambda: beethoven("status").code == 0, 30)
        done = beethoven("call", "it", '"pid"')
        assert done.code == 0, done
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_under_journald_lines_have_priorities_instead_of_times(tmp_path):
    with node(tmp_path, OBEDIENT, env={"JOURNAL_STREAM": "8:1"}) as running:
        [it] = running.wait_running("it")
        os.kill(it, signal.SIGKILL)
        running.wait_running("it", but=it)
        running.stop()
        starts = {line.split()[0] for line in running.log().splitlines()}
        assert starts == {"<6>info", "<4>warning"}
