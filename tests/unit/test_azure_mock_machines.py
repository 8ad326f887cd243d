"""The mock of Azure's metadata: what is done to the processes that stand for machines."""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from beethoven.testing import AzureFabric, AzureMetadata, Interface, azure_fabric
from tests.azure import INSTANCE, PATIENCE, World, events, read
from tests.processes import is_running, wait_until

pytestmark = pytest.mark.process

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def world():
    world = World()
    with world.fabric:
        yield world


@pytest.fixture
def sleeper():
    """A process with a child, as pids; both end with the test."""
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        yield parent.pid, child
        for pid in (parent.pid, child):
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)


def is_stopped(pid):
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


class TestProcesses:
    def test_what_comes_back_is_a_new_process(self, world):
        running = [subprocess.Popen(SLEEPER)]
        world.mine.machine.processes = lambda: [each.pid for each in running]
        world.mine.machine.on_evicted = lambda: running.pop().wait(PATIENCE)
        world.mine.machine.on_returned = lambda: running.append(subprocess.Popen(SLEEPER))
        before = running[0]
        world.fabric.announce("Preempt", "web_3", notice=8, returns_after=2)
        world.clock.advance(8)
        assert before.returncode == -signal.SIGKILL
        assert running == []
        world.clock.advance(2)
        (after,) = running
        assert after.pid != before.pid
        after.kill()
        after.wait(PATIENCE)

    def test_a_freeze_stops_the_processes_for_its_seconds(self, world, sleeper):
        world.mine.machine.processes = lambda: sleeper
        world.fabric.announce("Freeze", "web_3", notice=10, lasts=5)
        assert events(world.mine)[0]["DurationInSeconds"] == 5
        world.clock.advance(10)
        wait_until(lambda: all(is_stopped(pid) for pid in sleeper))
        world.clock.advance(4.9)
        assert all(is_stopped(pid) for pid in sleeper)
        assert world.shown()[0] == ["Started"]
        world.clock.advance(0.1)
        wait_until(lambda: not any(is_stopped(pid) for pid in sleeper))
        assert world.shown()[0] == []

    def test_a_freeze_need_not_say_how_long(self, world):
        world.fabric.announce("Freeze", "web_3", lasts=7, duration=-1)
        assert events(world.mine)[0]["DurationInSeconds"] == -1

    def test_what_is_frozen_goes_on_when_the_mock_is_closed(self, world, sleeper):
        world.mine.machine.processes = lambda: sleeper
        world.fabric.announce("Freeze", "web_3", is_started=True, lasts=500)
        world.clock.advance(0)
        wait_until(lambda: all(is_stopped(pid) for pid in sleeper))
        world.fabric.close()
        wait_until(lambda: not any(is_stopped(pid) for pid in sleeper))

    @pytest.mark.parametrize("kind", ["Preempt", "Terminate", "Redeploy", "Reboot"])
    def test_at_the_deadline_all_processes_are_killed(self, world, sleeper, kind):
        world.mine.machine.processes = lambda: sleeper
        seen = []
        world.mine.machine.on_evicted = lambda: seen.append(True)
        world.fabric.announce(kind, "web_3", notice=8)
        world.clock.advance(7.9)
        assert all(is_running(pid) for pid in sleeper)
        world.clock.advance(0.1)
        wait_until(lambda: not any(is_running(pid) for pid in sleeper))
        assert seen == [True]

    def test_by_the_clock_of_the_computer_it_happens_by_itself(self, sleeper):
        evicted = threading.Event()
        with AzureMetadata(processes=lambda: sleeper, on_evicted=evicted.set) as metadata:
            metadata.fabric.announce("Preempt", metadata.name, notice=0.2)
            assert evicted.wait(PATIENCE)
            wait_until(lambda: not any(is_running(pid) for pid in sleeper))

    def test_whoever_takes_long_over_one_machine_delays_no_other(self, world):
        reached = threading.Barrier(2, timeout=PATIENCE)
        world.mine.machine.on_evicted = reached.wait
        world.other.machine.on_evicted = reached.wait
        world.fabric.announce("Preempt", "web_3", notice=1)
        world.fabric.announce("Preempt", "web_4", notice=1)
        world.clock.advance(1)
        assert not reached.broken

    def test_a_machine_that_is_closed_is_left_alone(self, world, sleeper):
        world.mine.machine.processes = lambda: sleeper
        world.fabric.announce("Preempt", "web_3")
        world.mine.close()
        world.clock.advance(30)
        assert all(is_running(pid) for pid in sleeper)
        assert [event["Resources"] for event in events(world.other)] == [["web_3"]]

    @pytest.mark.parametrize(
        "pid", [-1, 0, 1, 2**40, "12", pytest.param(os.getpid(), id="its own")]
    )
    def test_it_never_signals_whom_it_must_not(self, world, pid):
        world.mine.machine.processes = lambda: [pid]
        world.fabric.announce("Preempt", "web_3", notice=1)
        world.clock.advance(1)
        with pytest.raises(ExceptionGroup) as caught:
            world.fabric.close()
        assert caught.group_contains(ValueError, match="expected processes to be pids of others")

    def test_what_a_function_of_the_user_raises_is_raised_at_the_end(self, world):
        def fail():
            raise RuntimeError("no")

        world.mine.machine.on_evicted = fail
        world.fabric.announce("Preempt", "web_3", notice=1)
        world.clock.advance(1)
        with pytest.raises(ExceptionGroup) as caught:
            world.fabric.close()
        assert caught.group_contains(RuntimeError, match="no")

    @pytest.mark.parametrize("name", ["processes", "on_evicted"])
    def test_the_mock_can_be_closed_by_a_function_that_it_calls(self, name, sleeper):
        closed = threading.Event()

        def close():
            metadata.close()
            closed.set()
            return sleeper

        with AzureMetadata() as metadata:
            setattr(metadata.machine, name, close)
            metadata.fabric.announce("Preempt", metadata.name, notice=0)
            assert closed.wait(PATIENCE)
        assert all(is_running(pid) for pid in sleeper)
        assert not any(is_stopped(pid) for pid in sleeper)

    def test_a_function_that_does_not_return_is_told_at_the_end(self, monkeypatch):
        monkeypatch.setattr(azure_fabric, "_PATIENCE", 0.01)
        begun, over = threading.Event(), threading.Event()

        def linger():
            begun.set()
            over.wait(PATIENCE)

        metadata = AzureMetadata(on_evicted=linger)
        metadata.fabric.announce("Preempt", metadata.name, notice=0)
        assert begun.wait(PATIENCE)
        with pytest.raises(ExceptionGroup) as caught:
            metadata.close()
        over.set()
        assert caught.group_contains(TimeoutError, match="has not ended within 0.01 s")


def test_a_whole_subnet_of_machines_fits_on_one_computer():
    """A /29 has three addresses that Azure leaves to its machines."""
    addresses = ["127.0.9.4", "127.0.9.5", "127.0.9.6"]
    with AzureFabric() as fabric:
        machines = [
            AzureMetadata(
                address,
                name=f"web_{address[-1]}",
                fabric=fabric,
                interfaces=[Interface("000D3A2B3C4D", (address,), ("127.0.9.0/29",))],
            )
            for address in addresses
        ]
        for machine, address in zip(machines, addresses, strict=True):
            assert machine.endpoint.startswith(f"http://{address}:")
            (interface,) = read(machine, INSTANCE)["network"]["interface"]
            assert interface["ipv4"]["ipAddress"][0]["privateIpAddress"] == address
            assert interface["ipv4"]["subnet"] == [{"address": "127.0.9.0", "prefix": "29"}]
