"""Stories of roles that fail, and of core servers that die under roles that run on."""

from tests.cluster.scenarios.stage import Stage, text


def test_a_role_that_fails_on_a_node_is_moved():
    stage = Stage(3)
    stage.settle()
    host = stage.runs("lonely")
    stage.world.about[host].flaky.add("lonely")
    host.node.roles.crash("lonely")
    stage.play(8)
    assert stage.story() == text("""
        0.0   n2: loses lonely
        0.0   n2: starts lonely
        0.5   n2: cannot start lonely
        0.5   lonely is kept away from n2
        0.5   n1: starts lonely
        1.0   n1: runs lonely
    """)
    assert stage.cast() == text("""
        n1: lonely, pair
        n2: nothing
        n3: pair
    """)
    assert stage.is_well()


def test_a_core_server_that_dies_five_times_in_a_row_moves_nothing():
    """Its successor knows nothing but what its role server and the others tell it."""
    stage = Stage(3)
    stage.settle()
    for _ in range(5):
        stage.world.lose_core(stage.named("n1"))
        stage.play(0.5)
        stage.world.restore_core(stage.named("n1"))
        stage.play(1.5)
    stage.play(6)
    assert stage.story() == text("""
        0.0   n1: loses its core server
        0.5   n1: has a core server again
        0.5   n1: leads
        2.0   n1: loses its core server
        2.5   n1: has a core server again
        2.7   n1: leads
        4.0   n1: loses its core server
        4.5   n1: has a core server again
        4.6   n1: leads
        6.0   n1: loses its core server
        6.5   n1: has a core server again
        6.6   n1: leads
        8.0   n1: loses its core server
        8.5   n1: has a core server again
        8.5   n1: leads
    """)
    assert stage.cast() == text("""
        n1: pair
        n2: lonely
        n3: pair
    """)
    assert stage.is_well()


def test_when_all_core_servers_die_at_once_nothing_moves():
    stage = Stage(3)
    stage.settle()
    for host in stage.hosts:
        stage.world.lose_core(host)
    stage.play(0.5)
    for host in stage.hosts:
        stage.world.restore_core(host)
    stage.play(8)
    assert stage.story() == text("""
        0.0   n1, n2, n3: loses its core server
        0.5   n1, n2, n3: has a core server again
        0.5   n1: leads
    """)
    assert stage.cast() == text("""
        n1: pair
        n2: lonely
        n3: pair
    """)
    assert stage.is_well()
