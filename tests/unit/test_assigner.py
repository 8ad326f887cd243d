"""What the assigner remembers from one decision to the next."""

from beethoven.cluster.placement import Reason
from beethoven.cluster.role_spec import Candidate, RoleSpec
from beethoven.engine.assigner import Assigner, Inputs
from beethoven.engine.authority import Authority
from beethoven.engine.avoidance import Avoidance
from beethoven.engine.settings import CoordinatorSettings
from beethoven.engine.table import Epoch, Place, Report, Stamp, Table
from beethoven.engine.view import Heard

SPEC = RoleSpec("r")
ROLES = {"r": SPEC}


def stamp(version):
    return Stamp(Epoch(1, "a"), version)


def inputs(version, table, reports, draining=()):
    nodes = tuple(
        Candidate(node_id, roles=frozenset(ROLES), is_draining=node_id in draining)
        for node_id in sorted(reports)
    )
    return Inputs(
        now=float(version),
        specs=(SPEC,),
        nodes=nodes,
        heard={node_id: Heard(report, float(version)) for node_id, report in reports.items()},
        table=table,
        stamp=stamp(version),
        may_fill=True,
        budget=0,
    )


def test_an_instance_that_has_moved_is_explained_by_why_it_was_to_move():
    """By the time its turn comes, its node has been the chosen one for long."""
    old = Place("a", 0, stamp(1), str(Reason.LEAST_BUSY))
    table = Table(stamp=stamp(1), places={"r": (old,)}, members=frozenset("ab"))
    settings = CoordinatorSettings()
    assigner = Assigner(table, Avoidance(settings.avoidance), Authority(), settings.release_within)

    runs = Report(1, roles=ROLES, running={"r": 9.0}, held=frozenset("r"), stamp=stamp(1))
    idle = Report(1, roles=ROLES, stamp=stamp(1))
    first = assigner.decide(inputs(2, table, {"a": runs, "b": idle}, draining=("a",)))
    assert first.places["r"] == ()

    told = Table(stamp=stamp(2), places=first.places, members=frozenset("ab"))
    gone = Report(2, roles=ROLES, stamp=stamp(2))
    second = assigner.decide(inputs(3, told, {"a": gone, "b": idle}, draining=("a",)))
    (place,) = second.places["r"]
    assert place.node_id == "b"
    assert place.reason == Reason.ONLY


def test_a_successor_waits_for_what_its_predecessor_has_told_to_stop():
    """It knows of that from nobody but the node that still has the process."""
    settings = CoordinatorSettings()
    told = Table(stamp=stamp(2), members=frozenset("ab"))
    assigner = Assigner(told, Avoidance(settings.avoidance), Authority(), settings.release_within)
    stops = Report(1, roles=ROLES, held=frozenset("r"), stamp=stamp(2))
    idle = Report(1, roles=ROLES, stamp=stamp(2))
    assert assigner.decide(inputs(3, told, {"a": stops, "b": idle}, draining="a")).places["r"] == ()
    gone = Report(2, roles=ROLES, stamp=stamp(2))
    (place,) = assigner.decide(inputs(4, told, {"a": gone, "b": idle}, draining="a")).places["r"]
    assert place.node_id == "b"


def test_what_never_stops_is_not_waited_for_for_ever():
    settings = CoordinatorSettings()
    told = Table(stamp=stamp(2), members=frozenset("ab"))
    assigner = Assigner(told, Avoidance(settings.avoidance), Authority(), settings.release_within)
    stops = Report(1, roles=ROLES, held=frozenset("r"), stamp=stamp(2))
    reports = {"a": stops, "b": Report(1, roles=ROLES, stamp=stamp(2))}
    assert assigner.decide(inputs(3, told, reports, draining="a")).places["r"] == ()
    late = int(4 + settings.release_within)
    (place,) = assigner.decide(inputs(late, told, reports, draining="a")).places["r"]
    assert place.node_id == "b"
