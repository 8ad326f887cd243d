"""
What every test stands on.

The whole run has a runtime folder and a home of its own, and a test of real processes fails if it
leaves anything behind: a process, a zombie, a thread, a descriptor or a file in the runtime folder.
"""

import contextlib
import gc
import os
import secrets
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import hypothesis
import pytest

from beethoven.runtime import connection, owner
from beethoven.runtime.here import here
from beethoven.runtime.unixsocket import connect
from tests.processes import TOKEN, started_here, wait_until

_PATIENCE = 10.0


# How long an example takes says more about the machine than about what is tested.
hypothesis.settings.register_profile("beethoven", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("beethoven")


def pytest_configure(config):
    # Whoever is run in the background by a shell without job control ignores it, and its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The address of a socket has little room: pytest's own temporary folders are too deep.
    config.runtime_folder = tempfile.mkdtemp(prefix="bt", dir="/tmp")
    os.environ["BEETHOVEN_RUNTIME_DIR"] = config.runtime_folder
    os.environ[TOKEN] = secrets.token_hex(8)
    # Nodes make a cookie for their user, and remember their peers.
    config.home_folder = tempfile.mkdtemp(prefix="bthome", dir="/tmp")
    os.environ["HOME"] = config.home_folder
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        os.environ.pop(variable, None)


def pytest_unconfigure(config):
    owner.close()
    shutil.rmtree(config.runtime_folder, ignore_errors=True)
    shutil.rmtree(config.home_folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_left_behind(request):
    """Fails a test of real processes that leaves something behind."""
    if request.node.get_closest_marker("process") is None:
        yield
        return
    with contextlib.ExitStack() as tree:
        if shares_tree(request.node):
            tree.enter_context(owner.starting())
            owner.connect_fork_server()[1].close()
        else:
            owner.release()
        processes, threads, descriptors = started_here(), set(threading.enumerate()), _descriptors()
        files, fork_server = _runtime_files(), here.fork_server
        yield
        if here.fork_server != fork_server or not _has_fork_server():
            tree.close()
        left: list[str] = []
        _expect(left, "process", lambda: _release() or started_here() - processes)
        _expect(left, "thread", lambda: set(threading.enumerate()) - threads)
        _expect(left, "descriptor", lambda: _release() or _new_descriptors(descriptors))
        _expect(left, "file", lambda: _runtime_files() - files)
        if left:
            _clean_up(processes)
        assert not left, "left behind:\n" + "\n".join(left)


def shares_tree(item):
    """
    Whether a test uses the fork server of the test before, and leaves it to the next one.

    To start one takes longer than most tests. Where the output goes is settled with its start.
    """
    return item.get_closest_marker("shared_tree") is not None and "capfd" not in item.fixturenames


def _has_fork_server():
    try:
        connect(f"{here.folder}/{here.fork_server}.f").close()
    except OSError:
        return False
    return True


def _release():
    """Let the tree go if its processes have ended; a program would with its next start."""
    owner.release()
    connection._prune()


def _expect(left, what, find):
    """Note what is still found when patience is over."""
    try:
        wait_until(lambda: not find(), _PATIENCE)
    except AssertionError:
        left.extend(f"  {what}: {each}" for each in find())


def _new_descriptors(before):
    """Return what is open that was not, once whatever nobody refers to has been closed."""
    if new := _descriptors() - before:
        gc.collect()
        new = _descriptors() - before
    return new


def _descriptors():
    """Return the open sockets, pipes and pollers, and the files of the runtime folder."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if not target.startswith("/") or target.startswith(os.environ["BEETHOVEN_RUNTIME_DIR"]):
            found.add(target)
    return found


def _runtime_files():
    """Return what lies in the runtime folder and below it, but for the locks that always stay."""
    base = Path(os.environ["BEETHOVEN_RUNTIME_DIR"])
    return {str(each) for each in base.rglob("*") if each.suffix != ".lock" and each.name != "lock"}


def _clean_up(processes):
    """Let the next test begin as this one did."""
    # Hazard: `close` removes a folder. Once it took the current one, for want of another, and the
    # whole repository with it; `remove_folder` must refuse all but the folder of a tree.
    if here.folder:
        owner.close()
    for process in started_here() - processes:
        process.kill()
