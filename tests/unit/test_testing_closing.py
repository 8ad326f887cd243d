"""The test kit: whoever closes it, or forgets to, does no harm to anybody else."""

import contextlib
import http.client
import os
import select
import subprocess
import sys
import warnings

import psutil
import pytest

from beethoven.testing import AzureFabric, AzureMetadata, ProxyTrap
from beethoven.testing.azure_events_state import Deed
from tests.azure import ASKED_RIGHTLY, INSTANCE, PATIENCE, ask, location
from tests.processes import wait_until

pytestmark = pytest.mark.process

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]

# Ends with a process frozen and the kit open.
FORGETFUL = """
import sys
from beethoven.testing import AzureFabric, AzureMetadata, ManualClock

clock = ManualClock()
fabric = AzureFabric(clock=clock)
metadata = AzureMetadata(fabric=fabric, processes=lambda: [int(sys.argv[1])])
fabric.announce("Freeze", metadata.name, is_started=True, lasts=500)
clock.advance(0)
print("frozen", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def sleeper():
    with subprocess.Popen(SLEEPER) as process:
        yield process.pid
        process.kill()


def is_stopped(pid):
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def fail():
    raise RuntimeError("no")


def in_a_fork(function):
    """Call a function in a forked process; return whether it has returned."""
    with warnings.catch_warnings():
        # The threads of the kit are what this is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            function()
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def sockets_at(port):
    """Return the descriptors of this process that belong to a server."""
    connections = psutil.Process().net_connections()
    return {each.fd for each in connections if each.laddr and each.laddr.port == port}


class TestForks:
    @pytest.fixture
    def metadata(self, sleeper):
        with AzureFabric() as fabric:
            yield AzureMetadata(fabric=fabric, processes=lambda: [sleeper])

    def test_a_copy_that_closes_does_not_end_the_connections_of_its_parent(self, metadata):
        connection = http.client.HTTPConnection(*location(metadata), timeout=PATIENCE)
        for close in (metadata.close, metadata.fabric.close):
            connection.request("GET", INSTANCE, headers=ASKED_RIGHTLY)
            used = connection.sock
            assert connection.getresponse().read()
            assert in_a_fork(close)
            connection.request("GET", INSTANCE, headers=ASKED_RIGHTLY)
            assert connection.getresponse().read()
            assert connection.sock is used
        connection.close()

    def test_a_copy_that_closes_wakes_nobody(self, metadata):
        """Or the thread that accepts would be awake for ever."""
        with ProxyTrap() as trap:
            for each in (metadata, trap):
                assert in_a_fork(each.close)
                assert select.select([each._server._wake], [], [], 0)[0] == []

    def test_a_copy_that_closes_lets_nothing_go_on(self, metadata, sleeper):
        metadata.perform(Deed.FREEZE)
        wait_until(lambda: is_stopped(sleeper))
        assert in_a_fork(metadata.fabric.close)
        assert is_stopped(sleeper)
        metadata.close()
        wait_until(lambda: not is_stopped(sleeper))

    def test_a_copy_that_closes_has_none_of_its_sockets_left(self, metadata):
        _, port = location(metadata)

        def close():
            metadata.close()
            metadata.close()
            assert sockets_at(port) == set()

        with contextlib.closing(http.client.HTTPConnection(*location(metadata))) as connection:
            connection.request("GET", INSTANCE, headers=ASKED_RIGHTLY)
            assert connection.getresponse().read()
            assert len(sockets_at(port)) == 2
            assert in_a_fork(close)


class TestForgetting:
    def test_what_is_frozen_goes_on_when_the_program_ends(self, sleeper):
        code = [sys.executable, "-c", FORGETFUL, str(sleeper)]
        with subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == b"frozen\n"
            wait_until(lambda: is_stopped(sleeper))
            program.communicate(timeout=PATIENCE)
        assert program.returncode == 0
        wait_until(lambda: not is_stopped(sleeper))


class TestFailures:
    def test_closing_goes_on_though_a_part_of_it_fails(self, monkeypatch):
        metadata = AzureMetadata()
        monkeypatch.setattr(metadata.machine, "release", fail)
        with pytest.raises(RuntimeError, match="no"):
            metadata.close()
        with pytest.raises(ConnectionRefusedError):
            ask(metadata, INSTANCE)

    def test_a_fabric_closes_all_machines_though_one_of_them_fails(self, monkeypatch):
        fabric = AzureFabric()
        first = AzureMetadata(name="web_1", fabric=fabric)
        second = AzureMetadata(name="web_2", fabric=fabric)
        monkeypatch.setattr(first.machine, "release", fail)
        with pytest.raises(ExceptionGroup) as caught:
            fabric.close()
        assert caught.group_contains(RuntimeError, match="no")
        for each in (first, second):
            with pytest.raises(ConnectionRefusedError):
                ask(each, INSTANCE)

    def test_an_error_of_the_test_itself_comes_first(self, monkeypatch):
        def run_and_fail():
            with AzureMetadata() as metadata:
                monkeypatch.setattr(metadata.machine, "release", fail)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run_and_fail()
