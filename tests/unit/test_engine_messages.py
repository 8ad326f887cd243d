import contextlib
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.link_messages import LONGEST_DURATION, LONGEST_LABEL, MOST_LABELS
from beethoven.cluster.load import Load
from beethoven.cluster.role_spec import Handover, Reconcile, RoleSpec
from beethoven.cluster.signal_board import MOST_POINTS
from beethoven.cluster.wire import LONGEST
from beethoven.engine.messages import (
    COORDINATION,
    LONGEST_EXIT,
    LONGEST_REASON,
    CoordinationMessage,
    DrainMessage,
    Instance,
    ReportMessage,
    TableMessage,
    printable,
    report_from_wire,
    report_to_wire,
    table_from_wire,
    table_to_wire,
)
from beethoven.engine.records import LARGEST, LONGEST_WORD, MOST_PLACES, MOST_ROLES
from beethoven.engine.table import (
    NO_EPOCH,
    NO_STAMP,
    Committed,
    Epoch,
    Place,
    Report,
    Seniority,
    Stamp,
    Table,
)
from beethoven.errors import WireError

ROLES = st.sampled_from(["a", "orders", "o_1-2", "z" * 64, "web", "queue"])
NODES = st.sampled_from(["0f3c", "9a", "b" * 64, "Node.7", "e-1"])
COUNTS = st.integers(0, LARGEST)
MILLISECONDS = st.integers(0, 10**12).map(lambda whole: whole / 1000)
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=LONGEST_LABEL)
LABELS = st.frozensets(WORDS, max_size=MOST_LABELS)
STAMPS = st.builds(Stamp, st.builds(Epoch, COUNTS, NODES | st.just("")), COUNTS) | st.just(NO_STAMP)
SPECS = st.builds(
    RoleSpec,
    name=st.just(""),
    instances=st.integers(1, LARGEST),
    requires=LABELS,
    prefers=LABELS,
    digest=WORDS,
    version=st.integers(-LARGEST, LARGEST),
    handover=st.sampled_from(Handover),
    reconcile=st.sampled_from(Reconcile),
    start_within=st.floats(0.001, LONGEST_DURATION),
)
PLACES = st.builds(Place, NODES, COUNTS, STAMPS, WORDS)


def named(specs):
    return {role: replace(spec, name=role) for role, spec in specs.items()}


def committed(specs):
    return {role: Committed(spec, 3) for role, spec in named(specs).items()}


def by_node(places):
    return tuple(
        sorted({place.node_id: place for place in places}.values(), key=lambda p: p.node_id)
    )


def reports(durations, texts, loads):
    return st.builds(
        Report,
        sequence=COUNTS,
        roles=st.dictionaries(ROLES, SPECS, max_size=3).map(named),
        unable=st.dictionaries(ROLES, texts),
        running=st.dictionaries(ROLES, durations),
        held=st.frozensets(ROLES),
        finished=st.frozensets(ROLES),
        failing=st.dictionaries(ROLES, durations),
        load=loads,
        is_draining=st.booleans(),
        is_cordoned=st.booleans(),
        is_at_risk=st.booleans(),
        doomed=st.frozensets(st.sampled_from(["web_1", "web_2", "a b"])),
        stamp=STAMPS,
        eldest=st.none() | st.builds(Seniority, st.integers(1, LARGEST), NODES),
    )


def tables(durations, reasons):
    places = st.lists(st.builds(Place, NODES, COUNTS, STAMPS, reasons), max_size=5).map(by_node)
    return st.builds(
        Table,
        stamp=STAMPS,
        places=st.dictionaries(ROLES, places),
        specs=st.dictionaries(ROLES, SPECS, max_size=3).map(committed),
        members=st.frozensets(NODES),
        draining=st.frozensets(NODES),
        cordoned=st.frozensets(NODES),
        avoided=st.dictionaries(st.tuples(ROLES, NODES), durations),
    )


INSTANCES = st.builds(
    Instance,
    role=ROLES,
    pid=st.none() | st.integers(),
    state=st.text(),
    restarts=st.integers(),
    since=st.floats(),
    last_exit=st.none() | st.text(),
)
LOADS = st.builds(
    Load,
    score=st.floats(),
    cpu=st.none() | st.floats(),
    memory=st.none() | st.floats(),
    roles=st.integers(),
    signals=st.dictionaries(st.sampled_from(["queue", "orders.open"]), st.floats()),
)

STAMP = Stamp(Epoch(2, "0f3c"), 5)
SPEC = RoleSpec("orders", 2, frozenset({"ssd"}), digest="d1")
INSTANCE = Instance("orders", 7, "running", 2, 1.5, "exit code 1")
LOAD = Load(1.0, 20.0, None, 1, {"queue": 0.5})
REPORT = Report(
    sequence=3,
    roles={"orders": SPEC},
    unable={"orders": "no such program"},
    running={"orders": 1.5},
    held=frozenset({"orders"}),
    finished=frozenset({"once"}),
    failing={"orders": 2.0},
    load=1.0,
    is_cordoned=True,
    doomed=frozenset({"web_1"}),
    stamp=STAMP,
    eldest=Seniority(7, "0f3c"),
)
TABLE = Table(
    stamp=STAMP,
    places={"orders": (Place("0f3c", 0, STAMP, "why"), Place("9a", 1, NO_STAMP, "why"))},
    specs={"orders": Committed(SPEC, 3)},
    members=frozenset({"0f3c", "9a", "b"}),
    draining=frozenset({"b"}),
    cordoned=frozenset({"9a"}),
    avoided={("orders", "b"): 2.0},
)
MESSAGES: list[CoordinationMessage] = [
    report_to_wire(REPORT, [INSTANCE], LOAD),
    report_to_wire(Report(1)),
    table_to_wire(TABLE),
    table_to_wire(Table()),
    DrainMessage("0f3c", is_wanted=True),
]
REPORTED = COORDINATION.to_wire(MESSAGES[0])
DECIDED = COORDINATION.to_wire(MESSAGES[2])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def sent(message):
    back = COORDINATION.decode(COORDINATION.encode(message))
    assert back == message
    assert type(back) is type(message)
    return back


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_comes_back_as_it_was(message):
    sent(message)


@given(reports(MILLISECONDS, WORDS, st.floats(0, 1e9)))
def test_a_report_comes_back_as_it_was(report):
    assert report_from_wire(sent(report_to_wire(report))) == report


@given(tables(MILLISECONDS, WORDS))
def test_a_table_comes_back_as_it_was(table):
    assert table_from_wire(sent(table_to_wire(table))) == table


def test_what_an_older_node_does_not_say_of_its_outlook_is_calm():
    fields = COORDINATION.to_wire(report_to_wire(REPORT))
    for name in ("is_cordoned", "is_at_risk", "doomed"):
        del fields[name]
    told = COORDINATION.from_wire(fields)
    assert isinstance(told, ReportMessage)
    assert report_from_wire(told) == replace(REPORT, is_cordoned=False, doomed=frozenset())
    fields = COORDINATION.to_wire(table_to_wire(TABLE))
    del fields["cordoned"]
    told = COORDINATION.from_wire(fields)
    assert isinstance(told, TableMessage)
    assert table_from_wire(told) == replace(TABLE, cordoned=frozenset())


def test_machines_whose_names_cannot_be_told_are_left_out():
    doomed = frozenset({"web_1", "", "a\nb", "x" * 257, *(f"m{n}" for n in range(2000))})
    told = report_from_wire(sent(report_to_wire(replace(REPORT, doomed=doomed)))).doomed
    assert len(told) == 1024
    assert told < doomed - {"", "a\nb"}


@given(reports(st.floats(), st.text(), st.floats()), st.lists(INSTANCES, max_size=3), LOADS)
def test_a_report_is_sent_whatever_was_measured_and_whatever_exceptions_say(report, seen, load):
    message = sent(report_to_wire(report, seen, load))
    back = report_from_wire(message)
    assert [each.role for each in message.instances] == [each.role for each in seen]
    assert (back.roles, back.held, back.stamp) == (report.roles, report.held, report.stamp)
    for name in ("unable", "running", "failing"):
        assert getattr(back, name).keys() == getattr(report, name).keys()


@given(tables(st.floats(), st.text()))
def test_a_table_is_sent_whatever_its_reasons_and_times(table):
    back = table_from_wire(sent(table_to_wire(table)))
    assert back.avoided.keys() == table.avoided.keys()
    for role, places in table.places.items():
        assert [(each.node_id, each.slot, each.token) for each in back.places[role]] == [
            (each.node_id, each.slot, each.token) for each in places
        ]


def test_durations_are_told_to_the_millisecond():
    report = report_from_wire(sent(report_to_wire(replace(REPORT, running={"orders": 1.23456789}))))
    assert report.running == {"orders": 1.235}
    table = table_from_wire(sent(table_to_wire(Table(avoided={("orders", "b"): 0.12345}))))
    assert table.avoided == {("orders", "b"): 0.123}


def test_what_is_unbounded_in_the_domain_is_brought_into_its_bounds():
    spec = RoleSpec("orders", 2**70, version=-(2**70), start_within=0.0)
    load = Load(2e9, 250.0, float("nan"), -1, {"queue": float("inf")})
    instance = Instance("orders", 0, "r" * 99, -1, -5.0, "e" * 999)
    message = sent(report_to_wire(Report(1, {"orders": spec}, load=-1.0), [instance], load))
    told = report_from_wire(message).roles["orders"]
    assert (told.instances, told.version, told.start_within) == (LARGEST, -LARGEST, 0.001)
    assert (message.load, report_from_wire(message).load) == (0.0, 0.0)
    assert message.load_detail == Load(MOST_POINTS, 100.0, 0.0, 0, {"queue": MOST_POINTS})
    (seen,) = message.instances
    assert (seen.pid, seen.restarts, seen.since) == (None, 0, 0.0)
    assert (len(seen.state), len(seen.last_exit)) == (LONGEST_WORD, LONGEST_EXIT)


def test_a_reign_beyond_the_last_one_is_still_sent():
    beyond = Stamp(Epoch(LARGEST + 1, "0f3c"), 1)
    place = Place("0f3c", 0, beyond, "why")
    table = table_from_wire(sent(table_to_wire(Table(beyond, {"orders": (place,)}))))
    assert table.stamp.epoch.counter == table.places["orders"][0].token.epoch.counter == LARGEST
    sent(report_to_wire(Report(1, stamp=beyond)))


@given(st.text(), st.integers(3, 40))
def test_any_text_becomes_printable_and_short_and_stays_if_it_is(text, longest):
    shown = printable(text, longest)
    assert shown.isprintable()
    assert len(shown) <= longest
    assert shown == text or not text.isprintable() or len(text) > longest


def test_a_text_of_many_lines_is_shown_on_one_and_cut_visibly():
    assert (
        printable("ValueError:\tno\nsuch \ud800\x1b[0m", 99)
        == "ValueError: no such \ufffd\ufffd[0m"
    )
    assert printable("abcdefgh", 8) == "abcdefgh"
    assert printable("abcdefghi", 8) == "abcde..."


def test_a_text_of_a_users_own_class_is_told_as_a_plain_one():
    class Odd(str):
        __slots__ = ()

        def isprintable(self):
            raise RuntimeError

        def __getitem__(self, key):
            raise RuntimeError

        __len__ = __iter__ = None  # type: ignore[assignment]

    shown = printable(Odd("bo\x00om"), 20)
    assert shown == "bo\ufffdom"
    assert type(shown) is str


def test_no_stamp_is_told_as_nobodys():
    assert COORDINATION.to_wire(report_to_wire(Report(1)))["stamp"] == {
        "counter": 0,
        "node_id": None,
        "version": 0,
    }
    assert report_from_wire(sent(report_to_wire(Report(1)))).stamp == Stamp(NO_EPOCH, 0)


def test_a_table_writes_each_node_token_and_reason_once():
    text = json.dumps(DECIDED)
    assert text.count('"9a"') == 1
    assert text.count('"why"') == 1
    assert DECIDED["nodes"].count("0f3c") == 1
    assert DECIDED["places"]["orders"] == {
        "node": [0, 1],
        "slot": [0, 1],
        "token": [0, 1],
        "reason": [0, 0],
    }
    assert DECIDED["tokens"] == {"counter": [2, 0], "node": [0, None], "version": [5, 0]}


def large_table(nodes, roles, places):
    ids = [f"{number:032x}" for number in range(nodes)]
    reasons = ["it was the least busy node that could take it", "no other instance was in its zone"]
    stamps = [Stamp(Epoch(3, ids[number % nodes]), number) for number in range(1000)]
    return Table(
        stamp=stamps[-1],
        places={
            f"role-{role}": tuple(
                Place(node_id, slot, stamps[(role + slot) % 1000], reasons[slot % 2])
                for slot, node_id in enumerate(ids[:places])
            )
            for role in range(roles)
        },
        specs={
            f"role-{role}": Committed(RoleSpec(f"role-{role}", places, digest="d" * 64), 1)
            for role in range(roles)
        },
        members=frozenset(ids),
        avoided={(f"role-{role}", node_id): 12.345678 for role in range(roles) for node_id in ids},
    )


def test_the_largest_table_that_is_promised_fits_into_a_frame():
    assert len(COORDINATION.encode(table_to_wire(large_table(100, 100, 100)))) < LONGEST // 2
    assert len(COORDINATION.encode(table_to_wire(large_table(200, 100, 10)))) < LONGEST // 2


UNKNOWN_IN: list[tuple[dict[str, Any], list[list[Any]]]] = [
    (REPORTED, [[], ["stamp"], ["roles", "orders"], ["eldest"], ["instances", 0], ["load_detail"]]),
    (
        DECIDED,
        [
            [],
            ["stamp"],
            ["tokens"],
            ["places", "orders"],
            ["specs", "orders"],
            ["specs", "orders", "spec"],
            ["avoided", "orders"],
        ],
    ),
]


@pytest.mark.parametrize(
    ("whole", "path"), [(whole, path) for whole, paths in UNKNOWN_IN for path in paths]
)
def test_unknown_fields_are_ignored_in_every_record(whole, path):
    newer = changed(whole, [*path, "a_new_field"], [{}])
    assert newer != whole
    assert COORDINATION.from_wire(newer) == COORDINATION.from_wire(whole)


def test_unknown_types_are_ignored():
    assert COORDINATION.from_wire({"type": "from_the_future"}) is None


@pytest.mark.parametrize("word", ["", "pause_first", "STOP_FIRST"])
def test_a_newer_word_for_handover_or_reconcile_is_read_as_the_default(word):
    newer = {**REPORTED["roles"]["orders"], "handover": word, "reconcile": word}
    message = COORDINATION.from_wire({**REPORTED, "roles": {"orders": newer}})
    assert isinstance(message, ReportMessage)
    spec = report_from_wire(message).roles["orders"]
    assert (spec.handover, spec.reconcile) == (Handover.STOP_FIRST, Reconcile.KEEP_OLDEST)
    assert spec == SPEC


def test_a_field_that_must_be_there_is_missed_by_its_name():
    for whole, cls in ((REPORTED, ReportMessage), (DECIDED, TableMessage)):
        optional = {"eldest", "instances", "load_detail", "avoided", "cordoned"}
        optional |= {"is_cordoned", "is_at_risk", "doomed"}
        for name in {each.name for each in fields(cls)} - optional:
            without = {key: value for key, value in whole.items() if key != name}
            with pytest.raises(WireError, match=rf"expected {name} to be present"):
                COORDINATION.from_wire(without)


MANY = {f"r{number}": 1 for number in range(MOST_ROLES + 1)}
EMPTY: dict[str, dict[str, int]] = {role: {} for role in MANY}
BAD_NAMES = ["", "Orders", "1a", "a b", "a.b", "a" * 65, "a\n", "ä"]


def changed(whole, path, value):
    """Return a copy in which the value at a path is another one."""
    if not path:
        return value
    first, *rest = path
    if isinstance(whole, list):
        return [*whole[:first], changed(whole[first], rest, value), *whole[first + 1 :]]
    return {**whole, first: changed(whole.get(first), rest, value)}


def shown_place(path):
    """Return how a complaint names a path: the keys of mappings and arrays stand in brackets."""
    shown = ""
    for step in path:
        is_key = isinstance(step, int) or step == "orders"
        shown += f"[{step!r}]" if is_key else f".{step}"
    return shown.removeprefix(".")


BAD_IN_A_REPORT = [
    (["sequence"], [-1, 2**63, 1.0, True, None]),
    (["stamp"], [None, [], 1]),
    (["stamp", "counter"], [-1, 2**63, "1"]),
    (["stamp", "node_id"], ["", "a b", "a" * 65, 1]),
    (["stamp", "version"], [-1, 2**63]),
    (["roles"], [[], None, EMPTY]),
    (["roles", "orders"], [None, []]),
    (["roles", "orders", "instances"], [0, 2**63, 1.0]),
    (["roles", "orders", "requires"], [["a" * 65], ["a"] * 33, "gpu", [1]]),
    (["roles", "orders", "prefers"], [["a\x00"], ["a"] * 33, {}]),
    (["roles", "orders", "digest"], ["a" * 129, "\n", 1]),
    (["roles", "orders", "version"], [2**63, -(2**63), 1.0]),
    (["roles", "orders", "handover"], [1, None, "a" * 65, "\n"]),
    (["roles", "orders", "reconcile"], [1, None, ["keep_best"]]),
    (["roles", "orders", "start_within"], [0, -1, 1.1e9, "1"]),
    (["unable"], [[], dict.fromkeys(MANY, "")]),
    (["unable", "orders"], ["a" * (LONGEST_REASON + 1), "a\nb", 1, None]),
    (["running"], [[], MANY]),
    (["running", "orders"], [-0.001, 1.1e9, float("nan"), float("inf"), "1", True]),
    (["held"], [{}, "orders", ["a"] * (MOST_ROLES + 1)]),
    (["finished"], [{}, None, ["a"] * (MOST_ROLES + 1)]),
    (["failing"], [[], MANY]),
    (["failing", "orders"], [-1, 1.1e9]),
    (["load"], [-1, 1.1e9, float("nan"), None]),
    (["is_draining"], [0, None, "true"]),
    (["eldest"], [[], 1]),
    (["eldest", "incarnation"], [0, 2**63]),
    (["eldest", "node_id"], ["", None]),
    (["instances"], [{}, [{"role": "a", "pid": 1, "state": ""}] * (MOST_ROLES + 1)]),
    (["instances", 0, "role"], BAD_NAMES),
    (["instances", 0, "pid"], [0, -1, 2**31, "7"]),
    (["instances", 0, "state"], ["a" * 65, "\x1b", None]),
    (["instances", 0, "restarts"], [-1, 2**63]),
    (["instances", 0, "since"], [-1, 2e12, float("nan")]),
    (["instances", 0, "last_exit"], ["a" * (LONGEST_EXIT + 1), "a\nb", 1]),
    (["load_detail"], [None, []]),
    (["load_detail", "score"], [-1, 1.1e9]),
    (["load_detail", "cpu"], [-1, 100.1]),
    (["load_detail", "memory"], [-1, 100.1]),
    (["load_detail", "roles"], [-1, 2**63]),
    (["load_detail", "signals"], [[], {f"s{number}": 1 for number in range(65)}]),
]
BAD_IN_A_TABLE = [
    (["stamp", "counter"], [-1, 2**63]),
    (["nodes"], [{}, ["a"] * 4097, ["0f3c", "0f3c"]]),
    (["tokens"], [[], None]),
    (["tokens", "counter"], [[-1, 0], [2**63, 0], [1.0, 0], [True, 0], {}]),
    (["tokens", "node"], [[0], [0, 1, 2], [3, 0], [-1, 0], [0, "0f3c"], None]),
    (["tokens", "version"], [[0], [0, 1, 2], [0, -1]]),
    (["reasons"], [{}, ["a" * 201], ["\n"], ["a"] * 4097]),
    (["places"], [[], EMPTY]),
    (["places", "orders"], [[], None]),
    (["places", "orders", "node"], [[0, 3], [0, 0], [0, -1], [0, "9a"], list(range(1025))]),
    (["places", "orders", "slot"], [[0], [0, -1], [0, 2**63], [0, True], "01"]),
    (["places", "orders", "token"], [[0], [0, 2], [0, None], [0] * 1025]),
    (["places", "orders", "reason"], [[0], [0, 1], [0, 0.0], {}]),
    (["specs"], [[], EMPTY]),
    (["specs", "orders", "version"], [-1, 2**63]),
    (["specs", "orders", "spec"], [None, 1]),
    (["members"], [[3], [-1], {}, ["0f3c"], [0] * 4097]),
    (["draining"], [[3], [-1], None]),
    (["avoided"], [[], EMPTY]),
    (["avoided", "orders", "node"], [[3], [-1], {}]),
    (["avoided", "orders", "seconds"], [[-1], [1.1e9], [], [1, 2], [float("nan")]]),
]


@pytest.mark.parametrize(
    ("whole", "path", "values"),
    [
        *((REPORTED, path, values) for path, values in BAD_IN_A_REPORT),
        *((DECIDED, path, values) for path, values in BAD_IN_A_TABLE),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_field_outside_its_limits_is_refused_by_its_name(whole, path, values):
    for value in values:
        with pytest.raises(WireError) as raised:
            COORDINATION.from_wire(changed(whole, path, value))
        complaint = str(raised.value)
        assert complaint.isprintable()
        assert len(complaint) < 500
        place, _, _ = complaint.removeprefix(f"{whole['type']}: expected ").partition(" to be ")
        assert place == shown_place(path) or place.startswith(f"{shown_place(path)}[")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_no_role_has_is_refused_wherever_it_stands(name):
    for field in ("roles", "unable", "running", "failing"):
        (value,) = REPORTED[field].values()
        with pytest.raises(WireError, match=rf"^report: expected {field} key to be "):
            COORDINATION.from_wire({**REPORTED, field: {name: value}})
    for field in ("held", "finished"):
        with pytest.raises(WireError, match=rf"^report: expected {field}\[1\] to be "):
            COORDINATION.from_wire({**REPORTED, field: ["a", name]})
    for field in ("places", "specs", "avoided"):
        (value,) = DECIDED[field].values()
        with pytest.raises(WireError, match=rf"^table: expected {field} key to be "):
            COORDINATION.from_wire({**DECIDED, field: {name: value}})


def test_a_node_to_drain_has_a_name_and_a_yes_or_no():
    for bad in ({"node_id": ""}, {"node_id": None}, {"is_wanted": 1}, {"is_wanted": None}):
        (name,) = bad
        with pytest.raises(WireError, match=rf"^drain: expected {name} to be "):
            COORDINATION.from_wire({"type": "drain", "node_id": "a", "is_wanted": True, **bad})


def test_the_most_places_of_a_role_are_read():
    places = tuple(Place(f"{number:04}", number, STAMP, "why") for number in range(MOST_PLACES))
    table = Table(STAMP, {"orders": places})
    assert table_from_wire(sent(table_to_wire(table))) == table


@given(st.sampled_from(MESSAGES), st.data())
def test_a_mutated_body_is_read_or_refused_by_a_wire_error(message, data):
    body = bytearray(COORDINATION.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body)))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read_or_refused(bytes(body))


@given(st.sampled_from([REPORTED, DECIDED]), st.data())
def test_any_value_anywhere_is_read_or_refused_by_a_wire_error(whole, data):
    path: list[Any] = []
    inner: Any = whole
    while inner and isinstance(inner, dict | list) and (not path or data.draw(st.booleans())):
        keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
        path.append(data.draw(st.sampled_from(keys)))
        inner = inner[path[-1]]
    if path != ["type"]:
        read_or_refused(json.dumps(changed(whole, path, data.draw(JSON))).encode())


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused_by_a_wire_error(body):
    read_or_refused(body)


def read_or_refused(body):
    """Read a body as a core server does; what is read can be told to others again."""
    message = None
    with contextlib.suppress(WireError):
        message = COORDINATION.decode(body)
    match message:
        case ReportMessage():
            sent(report_to_wire(report_from_wire(message), message.instances, message.load_detail))
        case TableMessage():
            sent(table_to_wire(table_from_wire(message)))
