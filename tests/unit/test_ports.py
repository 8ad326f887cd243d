"""Ports for tests: free, and never the same for two users at once."""

import socket
import subprocess
import sys

import pytest

from scripts import ports


def test_a_port_is_given_once_and_is_no_systems_choice():
    given = [ports.free_port() for _ in range(20)]
    assert len(set(given)) == 20
    assert all(20_000 <= port < 32_768 for port in given)


def test_another_process_gets_other_ports(monkeypatch):
    mine = ports.free_port()
    monkeypatch.setattr(ports, "_FIRST", mine)
    monkeypatch.setattr(ports, "_LAST", mine + 1)
    source = (
        "from scripts import ports\n"
        f"ports._FIRST, ports._LAST = {mine}, {mine + 1}\n"
        "ports.free_port()\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
    assert b"expected a free port" in done.stderr


def test_a_port_that_somebody_listens_on_is_not_given(monkeypatch):
    with socket.create_server(("127.0.0.9", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "_FIRST", taken)
        monkeypatch.setattr(ports, "_LAST", taken + 1)
        with pytest.raises(OSError, match="expected a free port"):
            ports.free_port()
