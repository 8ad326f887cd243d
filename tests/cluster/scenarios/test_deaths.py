"""Stories of nodes that begin and end."""

from tests.cluster.scenarios.stage import Stage, text


def test_when_the_coordinator_is_killed_the_next_oldest_gives_its_roles_to_others():
    stage = Stage(3)
    stage.settle()
    stage.world.kill(stage.named("n1"))
    stage.play(6)
    assert stage.story() == text("""
        0.0   n1: ends
        0.0   n2, n3: sees n1 go down: the link to it closed and its port refuses
        0.0   n2: leads
        0.0   n2: starts pair
        0.5   n2: runs pair
    """)
    assert stage.cast() == text("""
        n2: lonely, pair
        n3: pair
    """)
    assert stage.is_well()


def test_a_node_that_loses_its_power_is_missed_after_the_silence():
    stage = Stage(3)
    stage.settle()
    stage.world.cut_power(stage.named("n1"))
    stage.play(8)
    assert stage.story() == text("""
        0.0   n1: has no power
        4.0   n2, n3: sees n1 go down: it was not heard for too long
        4.0   n2: leads
        4.0   n2: starts pair
        4.5   n2: runs pair
    """)
    assert stage.cast() == text("""
        n2: lonely, pair
        n3: pair
    """)
    assert stage.is_well()


def test_when_all_restart_at_once_each_role_starts_once():
    """The settle time passes first: whoever was first would take every role."""
    stage = Stage(3)
    stage.settle()
    for host in stage.hosts:
        stage.world.kill(host)
    stage.play(0.5)
    for host in stage.hosts:
        stage.world.boot(host)
    stage.play(8)
    assert stage.story() == text("""
        0.0   n1, n2, n3: ends
        0.5   n1, n2, n3: boots
        3.2   n1: leads
        3.2   n1: starts lonely
        3.2   n2, n3: starts pair
        3.7   n1: runs lonely
        3.7   n2, n3: runs pair
    """)
    assert stage.cast() == text("""
        n1: lonely
        n2: pair
        n3: pair
    """)
    assert stage.is_well()


def test_when_ten_start_at_once_each_role_starts_once():
    stage = Stage(10, off=10)
    for host in stage.hosts:
        stage.world.boot(host)
    stage.play(8)
    assert stage.story() == text("""
        0.0   n1, n2, n3, n4, n5, n6, n7, n8, n9, n10: boots
        2.6   n1: leads
        2.6   n1, n2: starts pair
        2.6   n9: starts lonely
        3.1   n1, n2: runs pair
        3.1   n9: runs lonely
    """)
    assert stage.cast() == text("""
        n1: pair
        n2: pair
        n3: nothing
        n4: nothing
        n5: nothing
        n6: nothing
        n7: nothing
        n8: nothing
        n9: lonely
        n10: nothing
    """)
    assert stage.is_well()


def test_a_drained_node_hands_over_and_goes():
    stage = Stage(3)
    stage.settle()
    stage.world.drain(stage.runs("lonely"))
    stage.play(8)
    assert stage.story() == text("""
        0.0   n2: is to be drained
        0.0   n2: stops lonely
        0.2   n2: has stopped lonely
        0.2   n2: leaves
        0.2   n2: ends
        0.2   n1: starts lonely
        0.7   n1: runs lonely
    """)
    assert stage.cast() == text("""
        n1: lonely, pair
        n3: pair
    """)
    assert stage.is_well()


def test_a_node_that_joins_moves_nothing():
    stage = Stage(3, off=1)
    stage.settle()
    stage.world.boot(stage.named("n3"))
    stage.play(8)
    assert stage.story() == text("""
        0.0   n3: boots
    """)
    assert stage.cast() == text("""
        n1: pair
        n2: lonely, pair
        n3: nothing
    """)
    assert stage.is_well()
