"""Stories of nodes that cannot hear each other, for one reason or another."""

from tests.cluster.scenarios.stage import Stage, text


def test_a_cluster_that_is_cut_in_two_runs_all_roles_twice_until_the_cut_heals():
    """Available mode: no side waits for the other. The longest running instance stays."""
    stage = Stage(5)
    stage.settle()
    stage.world.split(stage.hosts[:3], stage.hosts[3:])
    stage.play(20)
    stage.world.heal()
    stage.play(8)
    assert stage.story() == text("""
        4.0   n4, n5: sees n1 go down: it was not heard for too long
        4.0   n4, n5: sees n2 go down: it was not heard for too long
        4.0   n4, n5: sees n3 go down: it was not heard for too long
        4.0   n4: leads
        4.0   n4, n5: starts pair
        4.0   n1, n2, n3: sees n4 go down: it was not heard for too long
        4.0   n3: starts lonely
        4.0   n1, n2, n3: sees n5 go down: it was not heard for too long
        4.5   n4, n5: runs pair
        4.5   n3: runs lonely
        20.1  n4: follows
        20.1  n3: stops lonely
        20.1  n4: stops pair
        20.3  n3: has stopped lonely
        20.3  n4: has stopped pair
        20.4  n5: stops pair
        20.6  n5: has stopped pair
    """)
    assert stage.cast() == text("""
        n1: pair
        n2: pair
        n3: nothing
        n4: lonely
        n5: nothing
    """)
    assert stage.is_well()


def test_three_islands_become_one_cluster_with_one_coordinator():
    stage = Stage(5)
    stage.settle()
    stage.world.split(stage.hosts[:2], stage.hosts[2:4], stage.hosts[4:])
    stage.play(20)
    stage.world.heal()
    stage.play(8)
    assert stage.story() == text("""
        4.0   n3, n4, n5: sees n1 go down: it was not heard for too long
        4.0   n3, n4, n5: sees n2 go down: it was not heard for too long
        4.0   n3, n5: leads
        4.0   n3, n4, n5: starts pair
        4.0   n1, n2, n5: sees n3 go down: it was not heard for too long
        4.0   n1, n2, n5: sees n4 go down: it was not heard for too long
        4.0   n2, n5: starts lonely
        4.0   n1, n2, n3, n4: sees n5 go down: it was not heard for too long
        4.5   n3, n4, n5: runs pair
        4.5   n2, n5: runs lonely
        20.0  n5: follows
        20.0  n2: stops lonely
        20.0  n5: stops pair
        20.1  n3: follows
        20.2  n5: stops lonely
        20.2  n4: stops pair
        20.2  n2: has stopped lonely
        20.2  n5: has stopped pair
        20.4  n5: has stopped lonely
        20.4  n4: has stopped pair
        20.4  n3: stops pair
        20.6  n3: has stopped pair
    """)
    assert stage.cast() == text("""
        n1: pair
        n2: pair
        n3: nothing
        n4: lonely
        n5: nothing
    """)
    assert stage.is_well()


def test_a_node_that_hears_nobody_is_not_heard_either_before_long():
    """It closes its links to the silent, and what it cannot hear it cannot dial."""
    stage = Stage(3)
    stage.settle()
    for other in stage.hosts[1:]:
        stage.world.cut(other, stage.named("n1"))
    stage.play(20)
    stage.world.heal()
    stage.play(8)
    assert stage.story() == text("""
        4.0   n1: sees n2 go down: it was not heard for too long
        4.0   n1: starts lonely
        4.0   n1: sees n3 go down: it was not heard for too long
        4.5   n1: runs lonely
        8.0   n2, n3: sees n1 go down: it was not heard for too long
        8.0   n2: leads
        8.0   n2: starts pair
        8.5   n2: runs pair
        20.1  n2: follows
        20.1  n1: stops lonely
        20.2  n2: stops pair
        20.3  n1: has stopped lonely
        20.4  n2: has stopped pair
    """)
    assert stage.cast() == text("""
        n1: pair
        n2: lonely
        n3: pair
    """)
    assert stage.is_well()


def test_a_node_that_is_frozen_for_20_s_comes_back_as_if_nothing_had_been():
    """It calls nobody down, and its instance, the oldest, stays."""
    stage = Stage(3)
    stage.settle()
    stage.world.pause(stage.named("n1"))
    stage.play(20)
    stage.world.resume(stage.named("n1"))
    stage.play(8)
    assert stage.story() == text("""
        0.0   n1: is frozen
        4.0   n2, n3: sees n1 go down: it was not heard for too long
        4.0   n2: leads
        4.0   n2: starts pair
        4.5   n2: runs pair
        20.0  n1: goes on
        20.0  n2: follows
        20.0  n2: stops pair
        20.2  n2: has stopped pair
    """)
    assert stage.cast() == text("""
        n1: pair
        n2: lonely
        n3: pair
    """)
    assert stage.is_well()


def test_a_link_that_flaps_moves_nothing():
    """The third node vouches for both."""
    stage = Stage(3)
    stage.settle()
    one, other = stage.hosts[:2]
    for _ in range(10):
        stage.world.split([one], [other])
        stage.play(3)
        stage.world.heal()
        stage.play(3)
    stage.play(6)
    assert stage.story() == "", "nothing is to be told"
    assert stage.cast() == text("""
        n1: pair
        n2: lonely
        n3: pair
    """)
    assert stage.is_well()
