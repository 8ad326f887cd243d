"""Placement: cluster.md §5.5."""

from dataclasses import replace
from itertools import combinations, product
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beethoven.cluster.explanation import explain
from beethoven.cluster.placement import (
    Placement,
    Reason,
    Situation,
    is_able,
    is_eligible,
    place,
)
from beethoven.cluster.role_spec import Candidate, Reconcile, RoleSpec

A, B, C = "a", "b", "c"


def nodes(count: int, roles: frozenset[str] = frozenset({"r"}), **about) -> tuple[Candidate, ...]:
    return tuple(Candidate(f"n{index:02}", roles, **about) for index in range(count))


def orchestra(count: int, roles: int, instances: int) -> Situation:
    """`instances` of all roles together, 1 to 3 of each."""
    counts = [1 + index % 3 for index in range(roles)]
    index = 0
    while sum(counts) != instances:
        counts[index % roles] += 1 if sum(counts) < instances else -1
        counts[index % roles] = max(1, counts[index % roles])
        index += 1
    specs = tuple(RoleSpec(f"role{index}", counts[index]) for index in range(roles))
    names = frozenset(spec.name for spec in specs)
    return Situation(nodes(count, names), specs)


def loads(situation: Situation, placement: Placement) -> list[int]:
    return [
        sum(node.node_id in chosen for chosen in placement.places.values())
        for node in situation.nodes
    ]


def unevenness(situation: Situation, placement: Placement) -> float:
    counts = loads(situation, placement)
    return max(counts) / (sum(counts) / len(counts))


def moved(before: Placement, after: Placement) -> set[tuple[str, str]]:
    return {(role, node) for role, chosen in before.places.items() for node in chosen} - {
        (role, node) for role, chosen in after.places.items() for node in chosen
    }


@pytest.mark.parametrize(
    ("candidates", "spec", "previous", "avoided", "expected"),
    [
        pytest.param(
            [Candidate(A, frozenset({"r"}))], RoleSpec("r", 3), (), (), (A,), id="never two on one"
        ),
        pytest.param(
            [Candidate(A, frozenset({"r"})), Candidate(B)],
            RoleSpec("r", 2),
            (),
            (),
            (A,),
            id="not where it is not configured",
        ),
        pytest.param(
            [Candidate(A, frozenset({"r"}), {"r": "no module"}), Candidate(B, frozenset({"r"}))],
            RoleSpec("r"),
            (A,),
            (),
            (B,),
            id="not where it cannot run",
        ),
        pytest.param(
            [
                Candidate(A, frozenset({"r"})),
                Candidate(B, frozenset({"r"}), {}, frozenset({"gpu"})),
            ],
            RoleSpec("r", 2, requires=frozenset({"gpu"})),
            (A,),
            (),
            (B,),
            id="only where the required labels are",
        ),
        pytest.param(
            [
                Candidate(A, frozenset({"r"})),
                Candidate(B, frozenset({"r"}), {}, frozenset({"ssd"}), load=9),
            ],
            RoleSpec("r", prefers=frozenset({"ssd"})),
            (),
            (),
            (B,),
            id="preferred labels before load",
        ),
        pytest.param(
            [
                Candidate(A, frozenset({"r"})),
                Candidate(B, frozenset({"r"}), {}, frozenset({"ssd"})),
            ],
            RoleSpec("r", prefers=frozenset({"ssd"})),
            (A,),
            (),
            (A,),
            id="what runs stays, whatever is preferred",
        ),
        pytest.param(
            [Candidate(A, frozenset({"r"}), load=2), Candidate(B, frozenset({"r"}), load=1)],
            RoleSpec("r"),
            (),
            (),
            (B,),
            id="the less busy of two that host as many",
        ),
        pytest.param(
            [Candidate(A, frozenset({"r"}), is_draining=True), Candidate(B, frozenset({"r"}))],
            RoleSpec("r"),
            (A,),
            (),
            (B,),
            id="away from a node that drains",
        ),
        pytest.param(
            [Candidate(A, frozenset({"r"})), Candidate(B, frozenset({"r"}))],
            RoleSpec("r"),
            (A,),
            (A,),
            (B,),
            id="away from where it fails",
        ),
        pytest.param(
            [Candidate(A, frozenset({"r"})), Candidate(B, frozenset({"r"}))],
            RoleSpec("r", 2),
            (A,),
            (A,),
            (A, B),
            id="where it fails if there is nowhere else",
        ),
        pytest.param(
            [Candidate(A, frozenset({"r"})), Candidate(B, frozenset({"r"}))],
            RoleSpec("r"),
            (A,),
            (A, B),
            (A,),
            id="where it is if it fails everywhere",
        ),
        pytest.param(
            [
                Candidate(A, frozenset({"r"}), zone="1"),
                Candidate(B, frozenset({"r"}), zone="1"),
                Candidate(C, frozenset({"r"}), zone="2", load=9),
            ],
            RoleSpec("r", 2),
            (A,),
            (),
            (A, C),
            id="spread over zones before load",
        ),
    ],
)
def test_a_role_is_placed(candidates, spec, previous, avoided, expected) -> None:
    situation = Situation(
        tuple(candidates),
        (spec,),
        previous={"r": previous},
        avoided=frozenset(("r", node_id) for node_id in avoided),
    )
    assert place(situation).places == {"r": expected}


@pytest.mark.parametrize(
    ("policy", "stays"),
    [(Reconcile.KEEP_OLDEST, B), (Reconcile.KEEP_NEWEST, C), (Reconcile.KEEP_BEST, A)],
)
def test_what_exceeds_the_wanted_number_goes_by_the_policy(policy: Reconcile, stays: str) -> None:
    able = frozenset({"r", "other"})
    situation = Situation(
        (Candidate(A, able, load=1), Candidate(B, able, load=3), Candidate(C, able, load=2)),
        (RoleSpec("r", reconcile=policy),),
        previous={"r": (A, B, C)},
        since={("r", A): 20.0, ("r", B): 10.0, ("r", C): 30.0},
    )
    assert place(situation).places["r"] == (stays,)


@pytest.mark.parametrize("policy", list(Reconcile))
def test_what_runs_stays_before_what_does_not_yet(policy: Reconcile) -> None:
    situation = Situation(
        nodes(2),
        (RoleSpec("r", reconcile=policy),),
        previous={"r": ("n00", "n01")},
        since={("r", "n01"): 10.0},
    )
    assert place(situation).places["r"] == ("n01",)


def cordoned(name: str, **about) -> Candidate:
    return Candidate(name, frozenset({"r"}), is_cordoned=True, **about)


def able(name: str, **about) -> Candidate:
    return Candidate(name, frozenset({"r"}), **about)


def risky(name: str, **about) -> Candidate:
    return Candidate(name, frozenset({"r"}), is_at_risk=True, **about)


@pytest.mark.parametrize(
    ("candidates", "instances", "previous", "avoided", "expected"),
    [
        pytest.param([cordoned(A), able(B)], 1, (A,), (), (B,), id="moves to another"),
        pytest.param([cordoned(A)], 1, (A,), (), (A,), id="stays if there is no other"),
        pytest.param([cordoned(A)], 1, (), (), (A,), id="what would run nowhere"),
        pytest.param([cordoned(A), able(B)], 2, (B,), (), (B,), id="no second one"),
        pytest.param([cordoned(A), cordoned(B)], 2, (A,), (), (A,), id="no second one there"),
        pytest.param(
            [cordoned(A), able(B)], 2, (A, B), (), (A, B), id="stays if the others have it already"
        ),
        pytest.param(
            [cordoned(A), cordoned(B), able(C)], 2, (A, B), (), (B, C), id="the older of two stays"
        ),
        pytest.param(
            [cordoned(A), cordoned(B)], 1, (A, B), (), (B,), id="too many among cordoned ones"
        ),
        pytest.param([cordoned(A), able(B)], 1, (A,), (B,), (A,), id="stays if it fails elsewhere"),
        pytest.param([cordoned(A), able(B)], 1, (A,), (A, B), (B,), id="moves if it fails on both"),
        pytest.param(
            [cordoned(A, is_draining=True)], 1, (A,), (), (), id="leaving is more than cordoned"
        ),
        pytest.param([risky(A), able(B)], 1, (A,), (), (A,), id="nothing moves for a mere risk"),
        pytest.param([risky(A), able(B, load=9)], 1, (), (), (B,), id="new ones avoid the risk"),
        pytest.param([risky(A)], 1, (), (), (A,), id="a risk is better than nothing"),
        pytest.param([risky(A), able(B)], 1, (), (B,), (A,), id="a risk is better than a failure"),
        pytest.param(
            [risky(A), able(B)], 1, (A,), (A, B), (A,), id="what fails everywhere stays, at risk"
        ),
        pytest.param([risky(A), cordoned(B)], 1, (B,), (), (A,), id="a risk is better than going"),
    ],
)
def test_cordoned_nodes_and_nodes_at_risk(
    candidates, instances, previous, avoided, expected
) -> None:
    situation = Situation(
        tuple(candidates),
        (RoleSpec("r", instances),),
        previous={"r": previous},
        since={("r", A): 20.0, ("r", B): 10.0},
        avoided=frozenset(("r", node_id) for node_id in avoided),
    )
    assert place(situation).places == {"r": expected}


@pytest.mark.parametrize("idle", [cordoned("idle"), risky("idle")])
def test_no_load_is_evened_out_onto_a_node_that_is_cordoned_or_at_risk(idle: Candidate) -> None:
    roles = frozenset({"p", "q", "r"})
    situation = Situation(
        (Candidate("busy", roles), replace(idle, roles=roles)),
        tuple(RoleSpec(role) for role in sorted(roles)),
        previous=dict.fromkeys(roles, ("busy",)),
    )
    assert place(situation, budget=9).moves == ()
    calm = tuple(replace(node, is_cordoned=False, is_at_risk=False) for node in situation.nodes)
    assert place(replace(situation, nodes=calm), budget=9).moves


def test_the_safest_node_is_chosen_because_the_others_are_at_risk() -> None:
    situation = Situation((risky(A), able(B, load=9), risky(C)), (RoleSpec("r"),))
    assert place(situation).reasons == {("r", B): Reason.SAFEST}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((able(B),), "; the node is cordoned, so it moves to another"),
        ((cordoned(B), Candidate(C)), "; the node is cordoned, but no other can take it"),
    ],
)
def test_explain_says_what_becomes_of_a_role_on_a_cordoned_node(others, expected: str) -> None:
    situation = Situation((cordoned(A), *others), (RoleSpec("r"),), since={("r", A): 1.0})
    found = explain(situation, "r", A, placed={A: str(Reason.ONLY)})
    assert found == f"runs here because no other node could take it{expected}"


def test_explain_says_that_a_node_is_cordoned_or_at_risk() -> None:
    situation = Situation((cordoned(A), risky(B), able(C)), (RoleSpec("r"),))
    placed = {C: str(Reason.LEAST_BUSY)}
    words = "not there because: the node is cordoned: its machine is about to go, or to stand still"
    assert explain(situation, "r", A, placed=placed) == words
    words = "not there because: enough instances elsewhere (1 of 1), and the node is at risk"
    assert explain(situation, "r", B, placed=placed) == words


def test_a_reserved_place_stays_empty() -> None:
    situation = Situation(nodes(3), (RoleSpec("r", 2),), {"r": ("n00",)}, reserved={"r": 1})
    assert place(situation).places["r"] == ("n00",)


@pytest.mark.parametrize(("count", "roles", "instances"), [(10, 30, 60), (50, 100, 250)])
def test_load_is_even_and_changes_move_little(count: int, roles: int, instances: int) -> None:
    """The table of cluster.md §5.5: max/mean <= 1.2 after any single change."""
    full = orchestra(count, roles, instances)
    first = place(full)
    assert unevenness(full, first) <= 1.2
    for node in full.nodes:
        left = replace(
            full, nodes=tuple(each for each in full.nodes if each != node), previous=first.places
        )
        after = place(left)
        assert {node_id for _, node_id in moved(first, after)} <= {node.node_id}
        assert unevenness(left, after) <= 1.2
    names = frozenset(spec.name for spec in full.specs)
    joined = replace(full, nodes=(*full.nodes, Candidate("new", names)), previous=first.places)
    assert place(joined).places == first.places
    budget = ceil(instances / count)
    balanced = place(joined, budget=budget)
    assert len(moved(first, balanced)) == len(balanced.moves) <= budget
    assert unevenness(joined, balanced) <= 1.2


LABELS = st.frozensets(st.sampled_from(["gpu", "ssd"]))
ROLES = ["p", "q", "r", "s"]


@st.composite
def situations(draw: st.DrawFn, most_nodes: int = 6, *, plain: bool = False) -> Situation:
    names = [f"n{index}" for index in range(draw(st.integers(0, most_nodes)))]
    roles = draw(st.lists(st.sampled_from(ROLES), unique=True))
    some = st.frozensets(st.sampled_from(ROLES))
    candidates = tuple(
        Candidate(name, frozenset(ROLES))
        if plain
        else Candidate(
            name,
            roles=draw(some),
            unable=dict.fromkeys(draw(some), "no module"),
            labels=draw(LABELS),
            zone=draw(st.sampled_from(["", "1", "2"])),
            load=draw(st.sampled_from([0.0, 0.5, 1.0])),
            is_draining=draw(st.booleans()),
            is_cordoned=draw(st.booleans()),
            is_at_risk=draw(st.booleans()),
        )
        for name in names
    )
    specs = tuple(
        RoleSpec(role, draw(st.integers(1, 5)))
        if plain
        else RoleSpec(
            role,
            draw(st.integers(1, 5)),
            requires=draw(LABELS),
            prefers=draw(LABELS),
            reconcile=draw(st.sampled_from(list(Reconcile))),
        )
        for role in roles
    )
    some_nodes = st.lists(st.sampled_from([*names, "gone"]), unique=True)
    previous = {} if plain else {role: tuple(draw(some_nodes)) for role in roles}
    pairs = [(role, name) for role in roles for name in names]
    chosen = st.frozensets(st.sampled_from(pairs)) if pairs and not plain else st.just(frozenset())
    since = {pair: float(len(pair[1])) for pair in sorted(draw(chosen))}
    return Situation(candidates, specs, previous, since, draw(chosen))


@given(situations(), st.integers(0, 5))
def test_exactly_as_many_as_wanted_or_possible_run_and_only_where_they_can(
    situation: Situation, budget: int
) -> None:
    """Total: whatever the situation, I3 holds of the result."""
    placement, avoided = place(situation, budget=budget), situation.avoided
    able = {node.node_id: node for node in situation.nodes}
    for spec in situation.specs:
        chosen = placement.places[spec.name]
        eligible = [node for node in situation.nodes if is_eligible(spec, node)]
        previous = situation.previous.get(spec.name, ())
        last = [node for node in situation.nodes if is_able(spec, node) and node.is_cordoned]
        clinging = [node for node in last if node.node_id in previous]
        fit, sound, loyal = (
            {node.node_id for node in group if (spec.name, node.node_id) not in avoided}
            for group in (eligible, last, clinging)
        )
        # What would run nowhere, or only where it failed lately, is given to a cordoned node.
        given = bool(sound) and not fit and not loyal
        possible = len(eligible) + len(clinging) + given or min(1, len(last))
        assert len(set(chosen)) == len(chosen) == min(spec.instances, possible)
        assert all(able[node_id] in eligible + last for node_id in chosen)
        if any(able[node_id].is_cordoned for node_id in chosen):
            assert fit <= set(chosen), "another could take what stays on a cordoned node"
        assert all((spec.name, node_id) in placement.reasons for node_id in chosen)


@given(situations(), st.integers(0, 5), st.data())
def test_the_order_of_the_inputs_does_not_matter(
    situation: Situation, budget: int, data: st.DataObject
) -> None:
    """I7."""
    shuffled = Situation(
        tuple(data.draw(st.permutations(situation.nodes))),
        tuple(data.draw(st.permutations(situation.specs))),
        {
            role: tuple(data.draw(st.permutations(situation.previous[role])))
            for role in data.draw(st.permutations(sorted(situation.previous)))
        },
        situation.since,
        situation.avoided,
    )
    assert place(shuffled, budget=budget) == place(situation, budget=budget)


@given(situations())
def test_placing_again_changes_nothing(situation: Situation) -> None:
    first = place(situation)
    assert place(replace(situation, previous=first.places)).places == first.places


@given(situations(), st.data())
def test_losing_a_node_moves_only_what_it_had(situation: Situation, data: st.DataObject) -> None:
    """I4."""
    if not situation.nodes:
        return
    before = place(situation)
    lost = data.draw(st.sampled_from(situation.nodes))
    remaining = tuple(node for node in situation.nodes if node != lost)
    after = place(replace(situation, nodes=remaining, previous=before.places))
    assert {node_id for _, node_id in moved(before, after)} <= {lost.node_id}


@given(situations(), st.frozensets(st.sampled_from(ROLES)))
def test_a_join_moves_nothing_that_does_not_fail(
    situation: Situation, roles: frozenset[str]
) -> None:
    """I4."""
    before = place(situation)
    more = (*situation.nodes, Candidate("new", roles))
    after = place(replace(situation, nodes=more, previous=before.places))
    cordoned = {node.node_id for node in situation.nodes if node.is_cordoned}
    assert {pair for pair in moved(before, after) if pair[1] not in cordoned} <= situation.avoided


@given(situations(), st.integers(0, 4))
def test_moves_keep_to_the_budget_and_are_one_of_a_role(situation: Situation, budget: int) -> None:
    still, busy = place(situation), place(situation, budget=budget)
    assert moved(still, busy) == {(role, source) for role, source, _ in busy.moves}
    assert len(busy.moves) <= budget
    assert len({role for role, _, _ in busy.moves}) == len(busy.moves)


def best_possible(situation: Situation) -> int:
    """Return the lowest number of instances that the busiest node can have: try everything."""
    options = []
    for spec in situation.specs:
        able = [node.node_id for node in situation.nodes if is_eligible(spec, node)]
        options.append(list(combinations(able, min(spec.instances, len(able)))))
    return min(
        max((sum(node.node_id in chosen for chosen in each) for node in situation.nodes), default=0)
        for each in product(*options)
    )


@settings(max_examples=150)
@given(situations(most_nodes=4, plain=True))
def test_among_equal_nodes_no_assignment_is_more_even(situation: Situation) -> None:
    """Against an oracle that tries every assignment."""
    assert max(loads(situation, place(situation)), default=0) == best_possible(situation)


@settings(max_examples=150)
@given(situations(most_nodes=4))
def test_with_constraints_the_busiest_node_is_at_most_one_worse_than_need_be(
    situation: Situation,
) -> None:
    plain = replace(
        situation,
        nodes=tuple(
            replace(node, zone="", load=0.0, is_cordoned=False) for node in situation.nodes
        ),
        specs=tuple(replace(spec, prefers=frozenset()) for spec in situation.specs),
        previous={},
        avoided=frozenset(),
    )
    assert max(loads(plain, place(plain)), default=0) <= best_possible(plain) + 1


def test_every_place_has_its_reason() -> None:
    able = frozenset({"r"})
    fresh = Situation(nodes(2), (RoleSpec("r"),))
    (chosen,) = place(fresh).places["r"]
    assert place(fresh).reasons["r", chosen] is Reason.LEAST_BUSY
    kept = replace(fresh, previous={"r": (chosen,)})
    assert place(kept).reasons["r", chosen] is Reason.KEPT
    fails = replace(fresh, nodes=nodes(1), avoided=frozenset({("r", "n00")}))
    assert place(fails).reasons["r", "n00"] is Reason.LAST_RESORT
    labelled = (Candidate(A, able), Candidate(B, able, labels=frozenset({"ssd"})))
    prefers = Situation(labelled, (RoleSpec("r", prefers=frozenset({"ssd"})),))
    assert place(prefers).reasons["r", B] is Reason.PREFERRED
    zones = (
        Candidate(A, able, zone="1"),
        Candidate(B, able, zone="1"),
        Candidate(C, able, zone="2"),
    )
    spread = Situation(zones, (RoleSpec("r", 2),), {"r": (A,)})
    assert place(spread).reasons["r", C] is Reason.SPREAD


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("runs", "runs here because it was the least busy node that could take it"),
        ("starts", "is to run here because it ran here already; it does not run yet"),
        ("unlabelled", "not there because: lacks label gpu"),
        ("without", "not there because: role not configured there"),
        ("unable", "not there because: it cannot run there: no module named 'torch'"),
        ("leaving", "not there because: the node is leaving"),
        ("fails", "not there because: failing there, tried again in 30 s at the earliest"),
        ("spare", "not there because: enough instances elsewhere (2 of 2)"),
        ("unheard", "not there because: the node is not known here"),
    ],
)
def test_explain_says_why(node: str, expected: str) -> None:
    able, gpu = frozenset({"r"}), frozenset({"gpu"})
    situation = Situation(
        (
            *(Candidate(name, able, labels=gpu) for name in ("runs", "starts", "fails", "spare")),
            Candidate("unlabelled", able),
            Candidate("without", labels=gpu),
            Candidate("unable", able, {"r": "no module named 'torch'"}, gpu),
            Candidate("leaving", able, labels=gpu, is_draining=True),
        ),
        (RoleSpec("r", 2, requires=gpu),),
        since={("r", "runs"): 1.0},
        avoided=frozenset({("r", "fails")}),
    )
    placed = {"runs": str(Reason.LEAST_BUSY), "starts": str(Reason.KEPT)}
    assert explain(situation, "r", node, placed=placed, failing={"fails": 30.2}) == expected


def test_explain_says_that_nothing_is_decided_yet() -> None:
    found = explain(Situation(nodes(1), ()), "r", "n00", placed={})
    assert found == "not there because: nothing is decided about this role yet"
