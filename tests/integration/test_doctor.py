"""`beethoven doctor` beside real nodes, and what `status` shows of the metadata service."""

import os
import re
import signal
from pathlib import Path

import pytest

from beethoven import clock
from beethoven.testing import AzureMetadata, EventKind, Fault, ProxyTrap
from scripts.ports import free_port
from tests.nodes import ONE_ROLE, alone, beethoven, node, port_of, write
from tests.processes import shortest, wait_until

pytestmark = pytest.mark.process


def doctor(*arguments: object, **environ: str):
    return beethoven("doctor", *arguments, env={**os.environ, **environ})


def lines(done) -> dict[str, tuple[str, str]]:
    """Return `{check: (level, text)}` of what was printed."""
    found = {}
    for line in done.out.splitlines():
        level, check, text = line.split(maxsplit=2)
        found[check] = (level, text)
    return found


def files_of(folder: Path) -> set[str]:
    return {str(each) for each in folder.rglob("*")}


def test_a_file_is_looked_at_without_a_node_and_nothing_is_left_behind(tmp_path):
    (tmp_path / "own.py").write_text(
        "from beethoven import Role\n\n\nclass Own(Role):\n    pass\n", "utf-8"
    )
    config = write(tmp_path, '[roles.own]\nmodule = "own:Own"\n')
    places = {"HOME": str(tmp_path / "home"), "BEETHOVEN_RUNTIME_DIR": str(tmp_path / "run")}
    done = beethoven("doctor", config, env={**alone(config), **places})
    assert (done.code, done.err) == (0, ""), done
    assert {level for level, _ in lines(done).values()} == {"ok"}
    assert lines(done)["bind"][1].startswith(f"127.0.0.1:{port_of(config)} is free")
    assert {each.name for each in tmp_path.iterdir()} == {"own.py", "app.toml"}


def test_what_is_wrong_with_a_file_exits_3(tmp_path):
    config = write(tmp_path, "[beethoven]\nname = 1\nzone = 2\n")
    done = doctor(config)
    assert (done.code, done.err) == (3, "")
    assert [line.split()[:2] for line in done.out.splitlines()[1:3]] == [["problem", "file"]] * 2
    missing = doctor(tmp_path / "none.toml")
    assert (missing.code, missing.err) == (3, "")
    assert "none.toml: no such file" in missing.out
    as_folder = doctor(tmp_path)
    assert (as_folder.code, as_folder.err) == (3, "")


def test_without_a_file_and_without_a_node_it_exits_1(tmp_path):
    done = doctor()
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "beethoven: no node runs on this machine for this user; "
        "or name a configuration: beethoven doctor FILE\n"
    )


def test_the_file_of_the_running_node_is_looked_at(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        before = files_of(Path(os.environ["BEETHOVEN_RUNTIME_DIR"]))
        done = beethoven("doctor", env=alone(running.config))
        assert (done.code, done.err) == (0, ""), done
        found = lines(done)
        text = f"beethoven runs from this file since {running.status()['node']['since']}"
        assert found["node"] == ("ok", f"{text}, pid {running.pid}")
        assert f"{running.address} is held by the running node beethoven" in found["bind"][1]
        assert "azure" not in found
        assert files_of(Path(os.environ["BEETHOVEN_RUNTIME_DIR"])) == before
        told = beethoven("doctor", running.config, "--json", env=alone(running.config)).json
        assert (told["ok"], told["file"], told["azure"]) == (True, str(running.config), {})
        assert {each["level"] for each in told["checks"]} == {"ok"}


def test_a_file_that_was_changed_since_the_start_is_a_warning(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        since = running.client.presence.since
        os.utime(running.config, (since + 60, since + 60))
        level, text = lines(beethoven("doctor", env=alone(running.config)))["node"]
        assert (level, text.rpartition("; ")[2]) == ("warning", "restart the node to apply it")


def test_a_port_that_another_node_holds_is_a_problem(tmp_path):
    (tmp_path / "other").mkdir()
    with node(tmp_path, ONE_ROLE) as running:
        bound = write(tmp_path / "other", f'[beethoven]\nbind = "127.0.0.1"\n{ONE_ROLE}')
        done = doctor(bound, BEETHOVEN_LISTENER_PORT=str(port_of(running.config)))
        assert (done.code, done.err) == (1, "")
        level, text = lines(done)["bind"]
        assert level == "problem"
        assert f"is held by the running node beethoven (pid {running.pid})" in text
        assert lines(done)["node"][1].endswith("others run here: beethoven")


def test_a_cookie_is_never_shown(tmp_path):
    secret = "c0ffee" * 11
    done = doctor(write(tmp_path, ONE_ROLE), BEETHOVEN_COOKIE=secret)
    assert lines(done)["cookie"][1].startswith("from the environment, BEETHOVEN_COOKIE; ")
    assert secret not in done.out + done.err
    assert str(len(secret)) not in lines(done)["cookie"][1]


def test_a_node_that_does_not_ask_has_nothing_of_azure_in_its_status(tmp_path):
    with node(tmp_path, ONE_ROLE):
        assert beethoven("status", "--json").json["azure"] is None
        assert "azure" not in beethoven("status").out


# With the metadata service of a machine of Azure.


@pytest.fixture
def azure():
    with AzureMetadata("127.0.0.1", name="web_0") as service:
        yield service


def on_azure(service: AzureMetadata) -> dict[str, str]:
    return {"BEETHOVEN_USE_AZ_NET": "true", "BEETHOVEN_AZURE__ENDPOINT": service.endpoint}


def test_the_service_is_not_asked_unless_the_file_says_so(tmp_path, azure):
    config = write(tmp_path, ONE_ROLE)
    done = doctor(config, **alone(config), BEETHOVEN_AZURE__ENDPOINT=azure.endpoint)
    assert lines(done)["metadata"] == ("ok", "not asked: use_az_net is false")
    assert azure.requests == ()


def test_what_the_service_says_is_shown_and_no_proxy_is_used(tmp_path, azure):
    config = write(tmp_path, ONE_ROLE)
    with ProxyTrap() as trap:
        done = doctor(config, **alone(config), **on_azure(azure), **trap.environment)
    assert (done.code, done.err) == (0, ""), done
    found = lines(done)
    assert found["metadata"][0] == "ok"
    place = "westeurope-1, web_0, 127.0.0.0/24, 127.0.0.1, "
    assert found["metadata"][1].startswith(place)
    assert "az.region=westeurope" in found["metadata"][1]
    assert found["notices"] == ("ok", "none")
    assert found["net"][1].startswith("127.0.0.0/24: 251 addresses")
    assert len(azure.requests) <= 4


def test_what_is_announced_is_shown_with_what_follows(tmp_path, azure):
    config = write(tmp_path, ONE_ROLE)
    azure.fabric.announce(EventKind.PREEMPT, "web_0", notice=60.0)
    azure.fabric.announce(EventKind.REBOOT, "web_7", notice=600.0)
    done = doctor(config, **alone(config), **on_azure(azure))
    assert done.code == 0
    level, text = lines(done)["notices"]
    assert level == "warning"
    assert re.search(r"Preempt in \d+ s: hands over, leaves in \d+ s", text)
    assert "Reboot in 10 min for web_7" in text


def test_off_azure_the_configured_network_is_used(tmp_path):
    config = write(tmp_path, ONE_ROLE)
    nobody = {
        "BEETHOVEN_USE_AZ_NET": "true",
        "BEETHOVEN_AZURE__ENDPOINT": f"http://127.0.0.1:{free_port()}",
    }
    done = doctor(config, **alone(config), **nobody)
    assert (done.code, done.err) == (0, "")
    level, text = lines(done)["metadata"]
    assert level == "warning"
    assert "127.0.0.0/29" in text
    assert lines(done)["net"][1].startswith("127.0.0.0/29: 6 addresses")


@pytest.mark.parametrize("fault", list(Fault))
def test_a_service_that_fails_is_told_of_in_time(tmp_path, azure, fault):
    config = write(tmp_path, ONE_ROLE)
    azure.inject(fault, count=None)

    def look():
        began = clock.monotonic()
        done = doctor(config, **alone(config), **on_azure(azure))
        took = clock.monotonic() - began
        assert (done.code, done.err) == (0, "")
        assert lines(done)["metadata"][0] == "warning"
        return took

    assert shortest(look, 10.0) < 10.0


def azure_line() -> str:
    """Return the line about Azure; nothing if the node is too busy to tell of it."""
    lines = beethoven("status").out.splitlines()
    return next((line for line in lines if line.startswith("azure")), "")


def test_status_and_doctor_show_what_a_running_node_was_told(tmp_path, azure):
    with node(tmp_path, ONE_ROLE, env=on_azure(azure)) as running:
        wait_until(lambda: "asked" in azure_line())
        assert re.fullmatch(r"azure  westeurope-1  web_0  asked \d\.\d s ago", azure_line())
        azure.fabric.announce(EventKind.PREEMPT, "web_0", notice=60.0)
        wait_until(lambda: "Preempt" in azure_line())
        follows = r"Preempt in \d+ s: hands over, leaves in \d+ s"
        assert re.fullmatch(
            rf"azure  westeurope-1  web_0  asked \d\.\d s ago  {follows}", azure_line()
        )
        told = beethoven("status", "--json").json
        assert told["azure"]["site"]["machine"] == "web_0"
        wait_until(lambda: running.status()["members"][0]["state"] == "cordoned")
        done = beethoven("doctor", "--json", env={**alone(running.config), **on_azure(azure)})
        assert done.json["azure"]["beethoven"]["outlook"]["is_cordoned"]
        [shown] = [each["text"] for each in done.json["checks"] if each["check"] == "azure"]
        assert re.search(follows, shown)


def test_a_notice_for_this_machine_comes_before_those_for_many_others(tmp_path, azure):
    for each in range(64):
        azure.fabric.announce(EventKind.REBOOT, f"web_{each + 1}", notice=600.0)
    azure.fabric.announce(EventKind.TERMINATE, "web_0", notice=600.0)
    with node(tmp_path, ONE_ROLE, env=on_azure(azure)) as running:
        wait_until(lambda: "Terminate" in azure_line())
        told = running.status()["azure"]["notices"]
    assert (len(told), told[0]["machines"]) == (64, ["web_0"])


@pytest.mark.parametrize("meant", [(), ("--node", "beethoven")])
def test_without_a_file_the_environment_of_the_running_node_counts(tmp_path, azure, meant):
    with node(tmp_path, ONE_ROLE, env=on_azure(azure)) as running:
        wait_until(lambda: "asked" in azure_line())
        azure.fabric.announce(EventKind.REBOOT, "web_7", notice=600.0)
        # Whoever took the word of the shell would find nobody.
        shell = {"BEETHOVEN_AZURE__ENDPOINT": f"http://127.0.0.1:{free_port()}"}
        done = doctor(*meant, **shell)
    assert (done.code, done.err) == (0, ""), done
    found = lines(done)
    assert found["metadata"][0] == "ok"
    assert found["metadata"][1].endswith(f"; from {azure.endpoint}")
    assert "Reboot in 10 min for web_7" in found["notices"][1]
    assert f"{running.address} is held by the running node beethoven" in found["bind"][1]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    done = doctor(tmp_path / "pipe")
    assert (done.code, done.err) == (3, "")
    assert "pipe: expected a regular file; write it to a file" in done.out


def test_a_watcher_that_hangs_is_told_of_in_time(tmp_path, azure):
    with node(tmp_path, ONE_ROLE, env=on_azure(azure)) as running:
        watcher = running.component("azure")
        os.kill(watcher, signal.SIGSTOP)

        def ask():
            began = clock.monotonic()
            told = running.status()["azure"]
            took = clock.monotonic() - began
            assert told == {"problem": "its watcher does not answer"}
            return took

        try:
            assert shortest(ask, 2.0) < 2.0
            assert azure_line() == "azure  its watcher does not answer"
            done = beethoven("doctor", env={**alone(running.config), **on_azure(azure)})
            assert (done.code, lines(done)["azure"][0]) == (0, "warning")
        finally:
            os.kill(watcher, signal.SIGCONT)


def test_a_watcher_that_is_killed_comes_back(tmp_path, azure):
    with node(tmp_path, ONE_ROLE, env=on_azure(azure)) as running:
        watcher = running.component("azure")
        os.kill(watcher, signal.SIGKILL)
        assert running.component("azure", but=watcher)
        wait_until(lambda: "asked" in azure_line())
