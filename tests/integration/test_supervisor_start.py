"""How a tree starts: in order, complete or not at all."""

import os

import pytest

from beethoven import ChildSpec, Role, Supervisor
from beethoven.errors import SpecError, StartFailed
from beethoven.runtime.folder import base_folder
from tests.integration import roles
from tests.integration.roles import Puppet, Unpicklable
from tests.integration.trees import Journal, pids, statuses, tree
from tests.processes import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def test_children_start_one_after_another_and_all_are_up_when_start_link_returns(journal):
    with tree(*journal.workers("abc", init=0.05)) as supervisor:
        assert journal.story("begin", "up") == [
            *("begin a", "up a"),
            *("begin b", "up b"),
            *("begin c", "up c"),
        ]
        assert statuses(supervisor) == {"a": "running", "b": "running", "c": "running"}
        assert [line.pid for line in journal.lines() if line.event == "up"] == [
            *pids(supervisor).values()
        ]


def test_a_failing_child_undoes_the_earlier_ones_in_reverse_and_raises_its_traceback(journal):
    children = [
        *journal.workers("ab"),
        journal.worker("c", fails=journal.flag("fail")),
        journal.worker("d"),
    ]
    with pytest.raises(StartFailed) as caught:
        Supervisor.start_link(children)
    assert journal.story("up", "stopped") == ["up a", "up b", "stopped b", "stopped a"]
    assert str(caught.value.reason) == (
        "shutdown: failed to start child 'c': ValueError: c was told to fail"
    )
    assert 'raise ValueError(f"{args.id} was told to fail")' in str(caught.value)


def test_a_failing_temporary_child_undoes_the_start_as_well(journal):
    child = journal.worker("b", restart="temporary", fails=journal.flag("fail"))
    with pytest.raises(StartFailed):
        Supervisor.start_link([journal.worker("a"), child])
    assert journal.story("stopped") == ["stopped a"]


def test_a_failing_grandchild_undoes_the_whole_tree(journal):
    inner = Supervisor.child_spec(
        "inner", [journal.worker("b"), journal.worker("c", fails=journal.flag("fail"))]
    )
    with pytest.raises(StartFailed, match=r"child 'inner'.*failed.*'c'") as caught:
        Supervisor.start_link([journal.worker("a"), inner])
    assert journal.story("stopped") == ["stopped b", "stopped a"]
    assert "was told to fail" in str(caught.value)


def test_a_child_that_ends_before_its_init_returns_fails_the_start(journal):
    child = ChildSpec("b", Puppet, (roles.leave, 3))
    with pytest.raises(StartFailed, match="'b': exit code 3"):
        Supervisor.start_link([journal.worker("a"), child])
    assert journal.story("stopped") == ["stopped a"]


def test_a_child_that_takes_longer_than_its_start_timeout_is_killed_and_fails_the_start(journal):
    child = journal.worker("b", init=60.0, start_timeout=0.3)
    with pytest.raises(StartFailed, match=r"'b': start_timeout: 0.3 s"):
        Supervisor.start_link([journal.worker("a"), child])
    assert journal.story("stopped") == ["stopped a"]


def test_a_start_that_takes_too_long_as_a_whole_is_undone(journal):
    with pytest.raises(Exception, match=r"init to return within 0.5 s"):
        Supervisor.start_link(journal.workers("ab", init=60.0), timeout=0.5)


def test_a_child_that_ignores_its_start_is_kept_without_a_process(journal):
    quiet = journal.worker("b", ignores=journal.flag("ignore"))
    dropped = journal.worker("c", ignores=journal.flag("ignore"), restart="temporary")
    with tree(journal.worker("a"), quiet, dropped, journal.worker("d")) as supervisor:
        assert statuses(supervisor) == {"a": "running", "b": "stopped", "d": "running"}
        assert pids(supervisor)["b"] == 0


def test_a_child_that_dies_while_a_later_one_starts_is_restarted_and_the_start_goes_on(journal):
    fleeting = ChildSpec("fleeting", Fleeting, str(journal.folder / "been"))
    with tree(fleeting, journal.worker("slow", init=0.5)) as supervisor:

        def fleeting_one():
            return next(each for each in supervisor.which_children() if each.id == "fleeting")

        wait_until(lambda: (fleeting_one().status, fleeting_one().restarts) == ("running", 1))
        assert str(fleeting_one().last_exit) == "exit code 7"


class Fleeting(Role):
    """Ends soon after its first start."""

    def init(self, args):
        if not os.path.exists(args):  # noqa: PTH110
            roles.touch(self, args)  # type: ignore[arg-type]
            self.send_after(0.1, "leave")

    def handle_info(self, message):
        os._exit(7)


GOOD = ChildSpec("good", Puppet)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restart": "often"}, "child 'x': expected restart to be .*'temporary', got: 'often'"),
        ({"shutdown": -1}, "child 'x': expected shutdown to be seconds >= 0, .*, got: -1"),
        ({"start_timeout": 0}, "child 'x': expected start_timeout to be seconds > 0 .*, got: 0"),
        ({"type": "boss"}, "child 'x': expected type to be 'worker' or 'supervisor', got: 'boss'"),
        ({"significant": True}, "child 'x': expected significant to be False .*, got: True"),
        ({"name": ""}, "child 'x': expected name to be a non-empty string, a Via or None, got: ''"),
        ({"role": "Puppet"}, "child 'x': expected role to be a class, got: 'Puppet'"),
        ({"args": Unpicklable()}, "child 'x': expected args to be a value that can be pickled"),
        ({"args": lambda: 1}, "child 'x': expected args to be a value that can be pickled"),
        (
            {"restart": "transient", "significant": True},
            "child 'x': expected significant to be False under auto_shutdown 'never', got: True",
        ),
    ],
)
def test_a_bad_specification_is_refused_by_name_before_anything_starts(options, message):
    fields = {"role": Puppet, **options}
    with pytest.raises(SpecError, match=message):
        Supervisor.start_link([GOOD, ChildSpec("x", **fields)])
    assert is_untouched()


@pytest.mark.parametrize(
    ("children", "flags", "message"),
    [
        ([GOOD, GOOD], {}, "supervisor: expected child ids to be unique, got: 'good'"),
        ([GOOD, "x"], {}, r"supervisor: expected children\[1\] to be a ChildSpec.*, got: 'x'"),
        (GOOD, {}, "supervisor: expected children to be a list of ChildSpec"),
        ([GOOD], {"strategy": "none"}, "supervisor: expected strategy to be .*, got: 'none'"),
        ([GOOD], {"max_restarts": -1}, "supervisor: expected max_restarts .*, got: -1"),
        ([GOOD], {"max_seconds": 0}, "supervisor: expected max_seconds to be seconds > 0, got: 0"),
        ([GOOD], {"auto_shutdown": "x"}, "supervisor: expected auto_shutdown to be .*, got: 'x'"),
        ([GOOD], {"name": ""}, "process: expected name to be a text of 1 to 200 .*, got: ''"),
    ],
)
def test_bad_flags_are_refused_before_anything_starts(children, flags, message):
    with pytest.raises(SpecError, match=message):
        Supervisor.start_link(children, **flags)
    assert is_untouched()


def test_a_bad_specification_deep_in_the_tree_is_refused_before_anything_starts():
    with pytest.raises(SpecError, match="child 'x': expected args"):
        Supervisor.child_spec("inner", [ChildSpec("x", Puppet, lambda: 1)])
    assert is_untouched()


def test_a_role_that_no_other_process_can_import_is_refused_before_anything_starts():
    class Local(Role):
        pass

    with pytest.raises(SpecError, match=r"child 'x': expected role .*my_roles.py.*<locals>.Local"):
        Supervisor.start_link([GOOD, ChildSpec("x", Local)])
    assert is_untouched()


def test_a_role_whose_module_cannot_be_imported_fails_the_start_with_the_traceback():
    with pytest.raises(StartFailed, match="No module named 'nowhere'"):
        Supervisor.start_link([GOOD, ChildSpec("x", Absent)])


class Absent(Role):
    """Stands for a class whose module is missing where it is to run."""

    @classmethod
    def resolve(cls, args):
        import nowhere  # type: ignore[import-not-found]

        return nowhere.Role, args


def is_untouched():
    return not [entry for entry in base_folder().iterdir() if entry.is_dir()]
