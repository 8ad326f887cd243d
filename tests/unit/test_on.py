"""Marked methods: what they are in a class, on a role, on a front, and when a request comes."""

import asyncio
import copy
import functools
import pickle
from abc import ABC, abstractmethod

import pytest

from beethoven import Later, NoReply, Ref, Role, on
from beethoven.errors import CallingSelf, SpecError
from beethoven.runtime.caller import Caller
from beethoven.runtime.client import DistantClient
from beethoven.runtime.front import Front, front
from beethoven.runtime.invocation import Invocation
from beethoven.runtime.marked import Marked
from beethoven.runtime.on import Callee, marks_of
from beethoven.runtime.status import bounded


class Cell(Role):
    value = 1

    @on.call
    def get(self, times: int = 1) -> int:
        """Return the value."""
        return self.value * times

    @on.call
    async def fetch(self, times: int) -> int:
        await asyncio.sleep(0)
        return self.value * times

    @on.cast
    def put(self, value: int) -> None:
        self.value = value

    @on.call
    def later(self) -> Later[int]:
        self.promise = Later[int]()
        return self.promise

    @on.call
    def again(self) -> Later[int]:
        return self.promise

    @on.call
    def fail(self, error: Exception) -> None:
        raise error

    @on.call
    async def fetch_later(self) -> Later[int]:
        await asyncio.sleep(0)
        return self.later()  # type: ignore[return-value]


class Client:
    """The connection to who calls."""

    pid = 1

    def __init__(self):
        self.replies, self.refusals = [], []

    def reply(self, number, value):
        self.replies.append((number, value))

    def refuse(self, number, cause):
        self.refusals.append((number, cause))


class Recorder:
    """What is behind a front: notes what it is asked."""

    def __init__(self, reply=None):
        self.asked, self.reply = [], reply
        self.callee = Callee("a recorder", self.call, self.call_async, self.note, self.note)

    def note(self, request, *rest):
        self.asked.append((request.method, request.args, request.kwargs, *rest))

    def call(self, request, timeout):
        self.note(request, timeout)
        return self.reply

    async def call_async(self, request, timeout):
        return self.call(request, timeout)


def run(role, client, number, method, *args):
    """Call a method, as the loop does."""
    return Marked(role).handle_call(Invocation(method, args, {}), Caller(client, number))


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def ask(client):
    """Return what calls a method of a cell."""
    return functools.partial(run, Cell(), client, 7)


def test_in_the_role_a_marked_method_is_the_method():
    cell = Cell()
    cell.put(3)
    assert (cell.get(), cell.get(times=2)) == (3, 6)
    assert asyncio.run(cell.get.async_(2)) == 6
    assert asyncio.run(cell.fetch.async_(3)) == 9


def test_in_the_role_nothing_is_sent():
    with pytest.raises(CallingSelf, match=r"Cell\.get: a process cannot call itself"):
        Cell().get.send_request()


def test_of_the_class_a_marked_method_is_its_mark():
    assert Cell.get.__doc__ == "Return the value."
    assert Cell.get.function.__name__ == "get"
    assert isinstance(Cell.put, on.Cast)


def test_on_a_front_a_marked_method_sends_what_it_is_given():
    recorder = Recorder(reply=5)
    cell = front(Cell, recorder.callee, 2.5)
    assert cell.get(3) == 5
    assert asyncio.run(cell.get.async_(times=4)) == 5
    cell.get.send_request(1)
    cell.put(value=6)
    assert recorder.asked == [
        ("get", (3,), {}, 2.5),
        ("get", (), {"times": 4}, 2.5),
        ("get", (1,), {}),
        ("put", (), {"value": 6}),
    ]


def test_a_front_has_nothing_but_the_marked_methods():
    cell = front(Cell, "cell", 5.0)
    assert dir(cell) == ["again", "fail", "fetch", "fetch_later", "get", "later", "put"]
    with pytest.raises(AttributeError, match=r"of Cell, and no 'gett', did you mean 'get'\?"):
        cell.gett  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"and no 'value'$"):
        cell.value  # noqa: B018
    with pytest.raises(AttributeError, match="a front has no state: 'value' cannot be set"):
        cell.value = 5


def test_a_front_is_made_once_for_each_method():
    cell = front(Cell, "cell", 5.0)
    assert cell.get is cell.get


def test_a_front_says_what_it_stands_for():
    ref = Ref("1-a", "/nowhere", 5, "cell")
    assert repr(Cell.front("cell")) == "<front of Cell to cell>"
    assert repr(Cell.front(ref)) == "<front of Cell to cell (pid 5)>"


def test_a_front_can_be_sent_to_other_processes():
    cell = Cell.front(Ref("1-a", "/nowhere", 5, "cell"), timeout=3.0)
    for other in (pickle.loads(pickle.dumps(cell)), copy.deepcopy(cell)):
        assert isinstance(other, Front)
        assert other.__reduce__() == cell.__reduce__()


@pytest.mark.parametrize("target", [5, None, object()])
def test_a_front_needs_something_that_can_be_called(target):
    with pytest.raises(Exception, match=r"expected target to be|no process: None"):
        Cell.front(target)


def test_a_front_needs_a_timeout_in_seconds():
    with pytest.raises(SpecError, match=r"Cell\.front: expected timeout to be seconds >= 0"):
        Cell.front("cell", timeout=-1.0)


def test_an_invocation_is_shown_as_it_is_written():
    assert repr(Invocation("get", (5, "a"), {"loud": True})) == "get(5, 'a', loud=True)"
    assert repr(Invocation("get", (), {})) == "get()"
    assert repr(Invocation("get", (), {"loud": True})) == "get(loud=True)"


def test_a_long_invocation_is_shown_in_short():
    text = bounded(Invocation("put", (bytes(10**6), list(range(10**5))), {"name": "x" * 10**6}))
    assert text.startswith("put(b'")
    assert len(text) < 300


def test_an_invocation_is_small_when_it_is_sent():
    sent = pickle.dumps(Invocation("get", (5,), {}), 5)
    assert len(sent) <= 40
    again = pickle.loads(sent)
    assert (again.method, again.args, again.kwargs) == ("get", (5,), {})


def test_a_call_runs_the_method_and_its_result_is_the_reply(ask, client):
    assert ask("get", 3) == 3
    assert client.refusals == []


def test_a_call_of_a_coroutine_function_is_awaited(ask):
    assert asyncio.run(ask("fetch", 3)) == 3


@pytest.mark.parametrize(
    ("method", "args", "cause"),
    [
        ("gett", (), "Cell has no call 'gett', did you mean 'get'?"),
        ("zzz", (), "Cell has no call 'zzz'"),
        ("put", (5,), "Cell has no call 'put', but a cast of that name"),
        ("init", (5,), "Cell has no call 'init'"),
        ("__init__", (), "Cell has no call '__init__'"),
        ("get", (1, 2), "get: too many positional arguments"),
        ("fetch", (), "fetch: missing a required argument: 'times'"),
    ],
)
def test_a_call_of_what_is_no_method_is_refused(ask, client, method, args, cause):
    assert ask(method, *args) is NoReply
    assert client.refusals == [(7, cause)]


def test_a_method_that_raises_is_not_refused(ask, client):
    for error in (TypeError("mine"), ValueError("mine")):
        with pytest.raises(type(error), match="mine"):
            ask("fail", error)
    assert client.refusals == []


def test_a_cast_runs_the_method():
    cell = Cell()
    assert Marked(cell).handle_cast(Invocation("put", (5,), {})) is None
    assert cell.value == 5


@pytest.mark.parametrize(("method", "args"), [("putt", (5,)), ("put", ()), ("get", ())])
def test_a_cast_of_what_is_no_method_changes_nothing(method, args):
    cell = Cell()
    assert Marked(cell).handle_cast(Invocation(method, args, {})) is None
    assert cell.value == 1


def test_a_later_reply_goes_to_who_called(ask, client):
    assert ask("later") is NoReply
    cell = Cell()
    assert run(cell, client, 8, "later") is NoReply
    cell.promise.reply(5)
    assert client.replies == [(8, 5)]


def test_a_later_reply_of_a_coroutine_function_is_the_same(ask):
    assert asyncio.run(ask("fetch_later")) is NoReply


def test_only_the_later_of_the_call_itself_is_an_answer(ask):
    ask("later")
    with pytest.raises(ValueError, match="expected the Later of this very call"):
        ask("again")


def test_a_later_is_made_in_a_marked_call_only(ask):
    ask("get")
    with pytest.raises(SpecError, match=r"one of a method marked with @on\.call"):
        Later[int]()


def test_a_later_can_be_sent_to_other_processes():
    cell = Cell()
    far = DistantClient(Ref("1-a", "/nowhere", 5), 1, 5)
    run(cell, far, 3, "later")
    assert pickle.loads(pickle.dumps(cell.promise)).caller == Caller(far, 3)


def test_marks_are_inherited():
    class Loud(Cell):
        @on.call
        def get(self, times: int = 1) -> int:
            return super().get(times) * 10

        @on.cast
        def shout(self) -> None: ...

    assert Loud().get(2) == 20
    assert marks_of(Loud).keys() == {*marks_of(Cell), "shout"}
    assert run(Loud(), Client(), 1, "get", 3) == 30


def test_marks_may_come_from_a_class_that_is_no_role():
    class Counting:
        @on.call
        def count(self) -> int:
            return 5

    class Counter(Counting, Role):
        pass

    assert Counter().count() == 5
    assert "count" in marks_of(Counter)


def test_marks_may_be_abstract():
    class Store(Role, ABC):
        @on.call
        @abstractmethod
        def load(self) -> int: ...

    class Memory(Store):
        @on.call
        def load(self) -> int:
            return 5

    with pytest.raises(TypeError, match="abstract"):
        Store()  # type: ignore[abstract]
    assert Memory().load() == 5


def test_a_decorated_method_can_be_marked(client):
    def twice(method):
        @functools.wraps(method)
        def doubled(self, *args):
            return method(self, *args) * 2

        return doubled

    class Doubled(Role):
        @on.call
        @twice
        def get(self, value):
            return value

    assert run(Doubled(), client, 1, "get", 4) == 8
    assert run(Doubled(), client, 1, "get") is NoReply
    assert client.refusals == [(1, "get: missing a required argument: 'value'")]


@pytest.mark.parametrize("name", ["init", "handle_call", "ref", "front", "send_after", "__str__"])
def test_a_marked_method_is_not_named_like_one_of_every_role(name):
    mark = on.call(lambda self: None)
    with pytest.raises(SpecError) as caught:
        type("Orders", (Role,), {name: mark})
    text = f"Orders.{name}: expected the name of a method marked with @on.call to be one that no"
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("found", [lambda self: 5, None, on.cast(lambda self: None)])
def test_what_overrides_a_marked_method_is_marked_the_same(found):
    text = r"Sub\.get: expected what overrides it to be marked with @on.call, too, got: "
    with pytest.raises(SpecError, match=text):
        type("Sub", (Cell,), {"get": found})


@pytest.mark.parametrize("found", [5, None, staticmethod(len), property(len)])
def test_only_methods_can_be_marked(found):
    text = "@on.cast: expected what it marks to be a method of a role, got: "
    with pytest.raises(SpecError, match=text):
        on.cast(found)
