"""
A program that starts one process and prints, as JSON, when it had done its imports and its start.

Run as `python -m scripts.benchmarks.first KIND`; moments are those of the monotonic clock.
"""

import json
import sys
import time

KINDS = ("beethoven", "forkserver")


def _beethoven() -> tuple[float, float]:
    from scripts.benchmarks.roles import Idle

    imported = time.monotonic()
    role = Idle.start_link()
    started = time.monotonic()
    role.stop()
    return imported, started


def _forkserver() -> tuple[float, float]:
    import multiprocessing

    from scripts.benchmarks import plain

    imported = time.monotonic()
    context = multiprocessing.get_context("forkserver")
    ready, theirs = context.Pipe()
    process = context.Process(target=plain.say_ready, args=(theirs,))
    process.start()
    ready.recv_bytes()
    started = time.monotonic()
    process.join()
    return imported, started


if __name__ == "__main__":
    imported, started = {"beethoven": _beethoven, "forkserver": _forkserver}[sys.argv[1]]()
    print(json.dumps({"imported": imported, "started": started}))
