"""Copies of a process that user code forks never speak for it, and end with their callback."""

import pytest

from beethoven import Task, whereis
from tests.integration import roles
from tests.integration.roles import AsyncPuppet, Puppet
from tests.processes import end

pytestmark = pytest.mark.process

HOWS = ["exits", "raises", "returns"]


@pytest.fixture(params=[Puppet, AsyncPuppet], ids=["plain", "async"])
def puppet(request):
    ref = request.param.start_link(name="puppet")
    yield ref
    end(ref)


@pytest.mark.parametrize("how", HOWS)
def test_a_copy_that_leaves_a_callback_ends_and_is_no_end_of_the_role(puppet, how, tmp_path):
    will = tmp_path / "will"
    puppet.call((roles.write_will, str(will)))
    puppet.cast((roles.fork_and_note, how))
    assert puppet.call((roles.fork, how)) == 1
    assert puppet.call((roles.seen,)) == [1]
    assert whereis("puppet") == puppet
    assert not will.exists()
    for _ in range(20):
        assert puppet.call((roles.pid,)) == puppet.pid
    puppet.stop()
    assert will.read_text("utf-8") == "normal"


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("role", [Puppet, AsyncPuppet])
def test_a_copy_that_leaves_init_does_not_tell_how_the_start_went(role, how):
    ref = role.start_link((roles.fork_and_note, how), name="puppet")
    assert whereis("puppet") == ref
    assert ref.call((roles.seen,)) == [1]
    ref.stop()


@pytest.mark.parametrize("how", HOWS)
def test_a_copy_that_leaves_the_function_of_a_task_has_no_result(how):
    assert Task.async_(roles.fork, None, how).await_() == 1
