"""Fronts: processes spoken to by the marked methods of their class."""

import asyncio
import os
import signal
import threading

import pytest

from beethoven import (
    ChildSpec,
    Failure,
    Registry,
    RequestCollection,
    Role,
    Supervisor,
    Via,
    clock,
    debug,
    multi_call,
    on,
)
from beethoven.errors import (
    CallTimeout,
    NoProcess,
    NotOwner,
    ProcessExited,
    RequestRefused,
    SpecError,
)
from beethoven.runtime import awaiting
from beethoven.runtime.invocation import Invocation
from beethoven.runtime.requests import Reply, send_request
from tests.integration import roles
from tests.integration.roles import Puppet
from tests.integration.shops import AsyncShop, Desk, Shop, Window
from tests.log_lines import LogLines
from tests.processes import end, wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


@pytest.fixture
def shop():
    ref = Shop.start_link({"pen": 3}, name="shop")
    yield ref
    end(ref)


@pytest.fixture
def async_shop():
    ref = AsyncShop.start_link({"pen": 3}, name="async shop")
    yield ref
    end(ref)


def test_calls_and_casts_of_a_front_keep_their_order(shop):
    front = Shop.front(shop)
    front.deliver("ink")
    front.deliver("ink", number=4)
    assert front.stock("ink") == 5
    assert front.stock(kind="none", least=2) == 2
    assert front.total() == 8


def test_a_front_takes_names_and_what_stands_for_a_process(shop):
    assert Shop.front("shop").stock("pen") == 3
    with Registry.start_link(name="shops"):
        other = Shop.start_link({"pen": 7}, name=Via("shops", "other"))
        assert Shop.front(Via("shops", "other")).stock("pen") == 7
        end(other)


def test_a_front_of_a_name_follows_who_has_it():
    with Supervisor.start_link([ChildSpec("shop", Shop, {"pen": 3}, name="shop")]) as tree:
        front = Shop.front("shop")
        front.deliver("pen")
        assert front.stock("pen") == 4
        old = tree.child("shop")
        front.burn()
        wait_until(lambda: tree.child("shop") not in {old, None})
        assert front.stock("pen") == 3


def test_plain_requests_go_to_the_plain_callbacks(shop):
    assert shop.call(("stock", "pen")) == ("plain", ("stock", "pen"))
    shop.cast("note")
    assert Shop.front(shop).seen() == ["note"]


def test_a_marked_method_can_call_another_process(shop):
    other = Shop.start_link({"pen": 9}, name="other")
    assert Shop.front(shop).ask_colleague("other", "pen") == 9
    with pytest.raises(ProcessExited, match="a process cannot call itself"):
        Shop.front(shop).ask_colleague("shop", "pen")
    end(other)


def test_a_front_of_a_base_class_speaks_to_what_derives_from_it(shop):
    front = Window.front(shop)
    assert front.stock("pen") == 3
    with pytest.raises(RequestRefused, match="Shop has no call 'price'"):
        front.price("pen")
    assert front.stock("pen") == 3


def test_a_wrong_request_is_refused_and_the_role_goes_on(shop):
    front = Shop.front(shop)
    with pytest.raises(RequestRefused, match=r"stock: missing a required argument: 'kind'"):
        front.stock()  # type: ignore[call-arg]
    with pytest.raises(RequestRefused, match=r"stock: got an unexpected keyword argument 'most'"):
        front.stock("pen", most=5)  # type: ignore[call-arg]
    with pytest.raises(RequestRefused, match=r"Shop has no call 'stok', did you mean 'stock'\?"):
        shop.call(Invocation("stok", (), {}))
    with pytest.raises(RequestRefused, match="Shop has no call 'init'"):
        shop.call(Invocation("init", ({},), {}))
    with pytest.raises(RequestRefused, match="Shop has no call 'deliver', but a cast of that name"):
        shop.call(Invocation("deliver", ("pen",), {}))
    assert (front.stock("pen"), shop.is_alive()) == (3, True)


def test_a_wrong_cast_is_logged_and_the_role_goes_on(capfd):
    log = LogLines(capfd)
    shop = Shop.start_link({"pen": 3})
    front = Shop.front(shop)
    shop.cast(Invocation("stock", ("pen",), {}))
    front.deliver()  # type: ignore[call-arg]
    assert front.stock("pen") == 3
    wait_until(lambda: len(log.of("cast_refused", role="Shop")) == 2)
    assert [each["cause"] for each in log.of("cast_refused")] == [
        "Shop has no cast 'stock', but a call of that name",
        "deliver: missing a required argument: 'kind'",
    ]
    end(shop)


def test_a_role_without_marked_methods_refuses_all():
    puppet = Puppet.start_link(name="puppet")
    with pytest.raises(RequestRefused, match="Puppet has no call 'stock'"):
        Shop.front("puppet").stock("pen")
    Shop.front("puppet").deliver("pen")
    assert puppet.call((roles.seen,)) == []
    end(puppet)


def test_an_exception_of_a_marked_method_ends_the_process(capfd):
    log = LogLines(capfd)
    shop = Shop.start_link()
    with pytest.raises(ProcessExited, match="TypeError: mine") as caught:
        Shop.front(shop).fail("mine")
    traceback = caught.value.reason.traceback
    assert "in fail" in traceback
    assert "beethoven/runtime" not in traceback
    report = log.wait_for("process_crashed", role="Shop")
    assert report["last_message"] == "call fail('mine')"


def test_a_cast_that_returns_something_ends_the_process(shop):
    Shop.front(shop).misuse()
    assert str(shop.wait(5)) == "bad return value of misuse: 5"


def test_a_marked_method_can_stop_the_process_with_a_reply(shop):
    assert Shop.front(shop).close("bye") == "bye"
    wait_until(lambda: not shop.is_alive())


def test_who_waits_gets_a_later_reply(shop):
    front = Shop.front(shop)
    request = front.wait_for_delivery.send_request()
    assert request.wait_response(0) is None
    front.deliver("ink")
    response = request.receive_response()
    assert response is not None
    assert response.unwrap() == "ink"


def test_a_later_reply_may_come_from_another_process(shop):
    desk = Desk.start_link(name="desk")
    request = Shop.front(shop).wait_for.send_request("desk")
    wait_until(lambda: debug.get_state(desk)["later"] is not None)
    desk.cast("from the desk")
    assert request.receive_response() == Reply("from the desk")
    end(desk)


def test_typed_requests_can_be_collected(shop):
    front = Shop.front(shop)
    requests = RequestCollection()
    for kind in ("pen", "ink"):
        requests.add(front.stock.send_request(kind), kind)
    assert [requests.receive_response(), requests.receive_response()] == [
        (Reply(3), "pen"),
        (Reply(0), "ink"),
    ]


def test_a_call_of_a_front_fails_as_any_other(shop):
    front = Shop.front(shop)
    with pytest.raises(SpecError, match="expected request to be a value that can be pickled"):
        front.stock(roles.Unpicklable())  # type: ignore[arg-type]
    with pytest.raises(CallTimeout, match=r"no reply within 0\.1 s"):
        Shop.front(shop, timeout=0.1).wait_for_delivery()
    assert front.stock("pen") == 3
    nobody = Shop.front("nobody")
    nobody.deliver("pen")
    with pytest.raises(NoProcess, match="nobody"):
        nobody.stock("pen")


def test_a_front_can_be_sent_to_a_process(shop):
    puppet = Puppet.start_link()
    source = "answer = arguments[0].stock('pen')"
    assert puppet.call((roles.run, source, Shop.front("shop"))) == 3
    end(puppet)


def test_debugging_shows_invocations_as_they_are_written(shop):
    assert debug.get_state(shop)["goods"] == {"pen": 3}
    debug.log(shop)
    front = Shop.front(shop)
    front.deliver("ink", number=2)
    front.stock("ink")
    shown = [f"{event.kind} {event.value}" for event in debug.get_log(shop)]
    assert shown == ["cast deliver('ink', number=2)", "call stock('ink')", "reply 2"]
    debug.suspend(shop)
    request = front.stock.send_request("pen")
    assert request.wait_response(0.05) is None
    debug.resume(shop)
    assert request.receive_response() == Reply(3)


def test_an_invocation_ends_an_idle_timeout_and_may_set_one(shop):
    front = Shop.front(shop)
    front.nap(60.0)
    front.nap(0.05)
    wait_until(lambda: debug.get_state(shop)["infos"] == ["idle"])
    debug.suspend(shop)
    front.nap(0.2)
    request = front.total.send_request()
    # However busy the machine is, it finds both when it goes on.
    debug.resume(shop)
    assert request.receive_response() == Reply(3)
    assert not threading.Event().wait(0.4)
    assert front.seen() == ["idle"]


def test_several_are_called_by_one_invocation(shop):
    other = Shop.start_link({"pen": 5}, name="other")
    replies, errors = multi_call(["shop", "other", "nobody"], Invocation("stock", ("pen",), {}))
    assert (replies, list(errors)) == ({"shop": 3, "other": 5}, ["nobody"])
    end(other)


def test_methods_of_an_async_role_may_be_coroutine_functions(async_shop):
    front = AsyncShop.front(async_shop)
    assert front.order("pen") == 3
    front.deliver_slowly("ink")
    assert front.stock("ink") == 1
    assert front.order_later(0.01) == "here it is"
    with pytest.raises(RequestRefused, match="order: missing a required argument"):
        front.order()  # type: ignore[call-arg]


def test_a_coroutine_of_an_async_role_can_call(shop, async_shop):
    front = AsyncShop.front(async_shop)
    assert front.ask_async("shop", "pen") == 3
    with pytest.raises(ProcessExited, match="a process cannot call itself"):
        front.ask_async("async shop", "pen")


class Late(Role):
    """Has one callback that is a coroutine function, and that is marked."""

    @on.call
    async def answer(self) -> int:
        return 5


def test_one_marked_coroutine_function_makes_an_async_role():
    late = Late.start_link()
    assert Late.front(late).answer() == 5
    end(late)


def test_coroutines_call_while_others_run(async_shop):
    front = AsyncShop.front(async_shop)

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        replies = [await front.order.async_("pen", pause=0.5)]
        replies += await asyncio.gather(*(front.stock.async_("pen") for _ in range(50)))
        ticking.cancel()
        return replies, ticks

    replies, ticks = asyncio.run(main())
    assert replies == [3] * 51
    assert ticks >= 5
    assert awaiting._watches == {}


def test_several_processes_are_called_at_once_by_coroutines():
    shops = [AsyncShop.start_link({"pen": number}) for number in range(4)]
    fronts = [AsyncShop.front(each) for each in shops]

    async def main():
        begun = clock.monotonic()
        replies = await asyncio.gather(*(each.order.async_("pen", 1.0) for each in fronts))
        return replies, clock.monotonic() - begun

    replies, took = asyncio.run(main())
    assert replies == [0, 1, 2, 3]
    assert took < 4 * 1.0
    for each in shops:
        end(each)


def test_a_coroutine_gets_the_errors_of_a_call(shop):
    front = Shop.front("shop")

    async def main():
        with pytest.raises(CallTimeout, match=r"no reply within 0\.05 s"):
            await Shop.front("shop", timeout=0.05).wait_for_delivery.async_()
        with pytest.raises(RequestRefused, match="missing a required argument"):
            await front.stock.async_()  # type: ignore[call-arg]
        with pytest.raises(SpecError, match="can be pickled"):
            await front.stock.async_(roles.Unpicklable())  # type: ignore[arg-type]
        with pytest.raises(NoProcess):
            await Shop.front("nobody").stock.async_("pen")
        with pytest.raises(ProcessExited, match="TypeError: mine"):
            await front.fail.async_("mine")

    asyncio.run(main())
    assert awaiting._watches == {}


def test_a_coroutine_hears_of_a_process_that_is_killed(shop):
    async def main():
        calls = [asyncio.create_task(Shop.front(shop).wait_for_delivery.async_()) for _ in range(3)]
        while await Shop.front(shop).waiters.async_() < 3:
            await asyncio.sleep(0)
        os.kill(shop.pid, signal.SIGKILL)
        return await asyncio.gather(*calls, return_exceptions=True)

    ends = asyncio.run(main())
    assert [(type(each), str(each.reason)) for each in ends] == [(ProcessExited, "killed")] * 3
    assert awaiting._watches == {}


def test_a_cancelled_coroutine_gives_its_request_up(shop):
    front = Shop.front(shop)

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await front.wait_for_delivery.async_()
        front.deliver("ink")
        return await front.stock.async_("ink")

    assert asyncio.run(main()) == 1
    assert awaiting._watches == {}


def test_a_request_can_be_awaited_again_after_a_timeout(shop):
    front = Shop.front(shop)

    async def main():
        request = front.wait_for_delivery.send_request()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await request
        front.deliver("ink")
        assert await request == Reply("ink")
        assert await request == Reply("ink")
        match await send_request("nobody", 1):
            case Failure(error=NoProcess()):
                return
        pytest.fail("somebody has answered")

    asyncio.run(main())


def test_a_request_is_awaited_by_who_has_sent_it_and_by_one_only(shop):
    front = Shop.front(shop)

    async def main():
        request = front.wait_for_delivery.send_request()
        first = asyncio.create_task(_response(request))
        await asyncio.sleep(0)
        with pytest.raises(SpecError, match="taken by nobody else"):
            await request
        with pytest.raises(NotOwner):
            await asyncio.to_thread(asyncio.run, _response(request))
        request.abandon()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(SpecError, match="expected answer to be waited for, got: 'abandoned'"):
            await request

    asyncio.run(main())
    assert awaiting._watches == {}


async def _response(request):
    return await request


def test_a_reply_that_another_call_of_the_thread_takes_in_arrives(shop):
    """A plain call reads from the same connection as the event loop."""
    front = Shop.front(shop)

    async def main():
        calls = [asyncio.create_task(front.stock.async_("pen")) for _ in range(20)]
        await asyncio.sleep(0)
        assert front.total() == 3
        return await asyncio.gather(*calls)

    assert asyncio.run(main()) == [3] * 20
