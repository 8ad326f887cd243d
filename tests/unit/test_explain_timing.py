"""What the timing of a file or a preset means, on the command line."""

import argparse
import json

import pytest

from beethoven.cli import explain_timing
from beethoven.cluster.timing import DEFAULT, FAST, PRESETS, explain
from beethoven.errors import ConfigError


@pytest.fixture
def printed(capsys):
    """Return a function that runs the verb and returns what it prints."""

    def run(*arguments):
        parser = argparse.ArgumentParser()
        explain_timing.configure(parser)
        assert explain_timing.run(parser.parse_args(arguments)) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_explained(printed, name):
    assert printed("--preset", name).splitlines() == explain(PRESETS[name])


def test_without_a_file_it_is_the_default(printed):
    assert printed().splitlines() == explain(DEFAULT)


def test_a_file_is_explained_with_its_changes(printed, tmp_path, monkeypatch):
    path = tmp_path / "app.toml"
    path.write_text('beethoven.timing = "fast"\ntiming.lease = 3\n', "utf-8")
    assert "lease                       3 s" in printed(str(path))
    monkeypatch.setenv("BEETHOVEN_TIMING__LEASE", "4")
    assert "lease                       4 s" in printed(str(path))


def test_programs_get_every_timer(printed):
    found = json.loads(printed("--preset", "fast", "--json"))
    assert found["heartbeat"] == 0.25
    assert found["longest_handover"] == FAST.longest_handover
    assert all(seconds > 0 for seconds in found.values())


def test_a_wrong_file_is_told(printed, tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        printed(str(tmp_path / "gone.toml"))


def test_a_file_and_a_preset_exclude_each_other(printed, capsys):
    with pytest.raises(SystemExit):
        printed("app.toml", "--preset", "fast")
    assert "not allowed with argument" in capsys.readouterr().err
