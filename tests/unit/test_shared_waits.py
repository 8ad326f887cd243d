"""Waits that coroutines share."""

import asyncio
import threading

import pytest

from beethoven.node.thread_life import life_of_this_thread
from beethoven.remote.shared_waits import shared


class Oddity(BaseException):
    """No `Exception`."""


class Source:
    """Blocks until it may return, and counts how often it was asked."""

    def __init__(self, *, error=None):
        self.may_return = threading.Event()
        self.error = error
        self.asked, self.used = 0, []

    def ask(self):
        self.asked += 1
        assert self.may_return.wait(20)
        if self.error is not None:
            raise self.error
        return self.asked

    def wait(self, key="one"):
        return asyncio.ensure_future(shared(key, self.ask, self.used.append))


async def begun(tasks):
    """Let tasks come to where they wait."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(each.done() for each in tasks)


def test_all_that_wait_for_the_same_have_it_once():
    async def run():
        source = Source()
        tasks = [source.wait() for _ in range(100)]
        await begun(tasks)
        source.may_return.set()
        assert await asyncio.gather(*tasks) == [1] * 100
        assert source.used == [1]
        # What is over is not had by who comes later.
        assert await source.wait() == 2

    asyncio.run(run())


def test_what_is_not_the_same_is_had_apart():
    async def run():
        first, second = Source(), Source()
        tasks = [first.wait("one"), second.wait("two")]
        await begun(tasks)
        second.may_return.set()
        assert await tasks[1] == 1
        assert not tasks[0].done()
        first.may_return.set()
        assert await tasks[0] == 1

    asyncio.run(run())


@pytest.mark.parametrize("number", [0, 1])
def test_who_is_cancelled_takes_nothing_from_the_others(number):
    async def run():
        source = Source()
        tasks = [source.wait() for _ in range(3)]
        await begun(tasks)
        cancelled = tasks.pop(number)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        tasks.append(source.wait())
        source.may_return.set()
        assert await asyncio.gather(*tasks) == [1] * 3

    asyncio.run(run())


@pytest.mark.parametrize("error", [ValueError("no luck"), Oddity("no luck")])
def test_a_failure_is_everybodys(error):
    async def run():
        source = Source(error=error)
        tasks = [source.wait() for _ in range(3)]
        await begun(tasks)
        source.may_return.set()
        for each in tasks:
            with pytest.raises(type(error), match="no luck"):
                await each
        assert source.asked == 1
        assert source.used == []

    asyncio.run(run())


def test_what_comes_after_the_event_loop_is_closed_is_dropped():
    source = Source()

    async def run():
        task = source.wait()
        await begun([task])
        task.cancel()

    before = set(threading.enumerate())
    asyncio.run(run())
    source.may_return.set()
    for each in set(threading.enumerate()) - before:
        each.join(20)
        assert not each.is_alive()
    assert source.used == []


def test_the_end_of_a_thread_is_seen_from_another_one():
    lives = []
    thread = threading.Thread(target=lambda: lives.append(life_of_this_thread()))
    thread.start()
    thread.join()
    assert lives[0]() is None
    assert life_of_this_thread()() is not None
