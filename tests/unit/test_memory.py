"""How long a role is remembered that no node has any more."""

from beethoven.cluster.directory import Directory, NodeEntry, RoleEntry
from beethoven.remote.memory import Memory

ONE = NodeEntry("id1", "one", "127.0.0.1:33000")
BOTH = Directory((ONE,), {"alpha": RoleEntry(1, {"id1": "running"}), "bravo": RoleEntry(1)})
ALPHA = Directory((ONE,), {"alpha": RoleEntry(1, {"id1": "running"})})


def test_a_role_that_was_told_is_known_for_a_minute_after_and_runs_nowhere():
    memory = Memory()
    assert memory.completed(BOTH, now=100.0) is BOTH
    found = memory.completed(ALPHA, now=130.0)
    assert found.roles == {**ALPHA.roles, "bravo": RoleEntry()}
    assert found.nodes == ALPHA.nodes
    assert found.holders("bravo") == ()
    assert "bravo" in memory.completed(ALPHA, now=159.0).roles
    assert memory.completed(ALPHA, now=161.0) is ALPHA


def test_one_that_comes_back_is_told_as_it_is():
    memory = Memory()
    memory.completed(BOTH, now=0.0)
    memory.completed(ALPHA, now=1.0)
    assert memory.completed(BOTH, now=2.0) is BOTH
    assert "bravo" in memory.completed(ALPHA, now=61.0).roles
