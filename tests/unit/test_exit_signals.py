import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.runtime.exit_signals import Effect, Sender, effect_of, effect_of_sent
from beethoven.runtime.reason import KILLED, NO_PROCESS, NORMAL, SHUTDOWN, ExitReason, ReasonKind

CRASH = ExitReason(ReasonKind.EXCEPTION, "ValueError: boom")
REASONS = st.builds(ExitReason, st.sampled_from(ReasonKind), st.text(max_size=5))


@pytest.mark.parametrize(
    ("reason", "traps_exits", "from_parent", "effect"),
    [
        pytest.param(NORMAL, False, False, Effect.IGNORE, id="normal is ignored"),
        pytest.param(SHUTDOWN, False, False, Effect.DIE, id="shutdown is lethal"),
        pytest.param(CRASH, False, False, Effect.DIE, id="a crash is lethal"),
        pytest.param(KILLED, False, False, Effect.DIE, id="a link's killed is lethal"),
        pytest.param(NO_PROCESS, False, False, Effect.DIE, id="noproc is lethal"),
        pytest.param(NORMAL, True, False, Effect.DELIVER, id="a trapped normal is a message"),
        pytest.param(CRASH, True, False, Effect.DELIVER, id="a trapped crash is a message"),
        pytest.param(KILLED, True, False, Effect.DELIVER, id="a link's killed can be trapped"),
        pytest.param(SHUTDOWN, False, True, Effect.DIE, id="the parent's is lethal"),
        pytest.param(NORMAL, False, True, Effect.DIE, id="the parent's is lethal, if normal"),
        pytest.param(SHUTDOWN, True, True, Effect.TERMINATE, id="trapped: terminate runs"),
        pytest.param(NORMAL, True, True, Effect.TERMINATE, id="trapped: whatever the reason"),
    ],
)
def test_what_an_exit_signal_does(reason, traps_exits, from_parent, effect):
    assert effect_of(reason, traps_exits=traps_exits, from_parent=from_parent) is effect


@pytest.mark.parametrize(
    ("reason", "traps_exits", "sender", "effect"),
    [
        pytest.param(NORMAL, False, Sender.OTHER, Effect.IGNORE, id="normal is ignored"),
        pytest.param(NORMAL, False, Sender.PARENT, Effect.IGNORE, id="also from the parent"),
        pytest.param(NORMAL, False, Sender.ITSELF, Effect.DIE, id="but not from oneself"),
        pytest.param(CRASH, False, Sender.OTHER, Effect.DIE, id="any other is lethal"),
        pytest.param(NORMAL, True, Sender.OTHER, Effect.DELIVER, id="a trapped normal"),
        pytest.param(KILLED, True, Sender.OTHER, Effect.DELIVER, id="a trapped killed"),
        pytest.param(SHUTDOWN, True, Sender.ITSELF, Effect.DELIVER, id="trapped, from oneself"),
        pytest.param(NORMAL, True, Sender.PARENT, Effect.TERMINATE, id="trapped, from the parent"),
    ],
)
def test_what_an_exit_signal_does_that_was_sent_on_purpose(reason, traps_exits, sender, effect):
    assert effect_of_sent(reason, traps_exits=traps_exits, sender=sender) is effect


@given(REASONS, st.booleans())
def test_who_traps_exits_never_dies_of_a_signal(reason, from_parent):
    effect = effect_of(reason, traps_exits=True, from_parent=from_parent)
    assert effect in {Effect.DELIVER, Effect.TERMINATE}


@given(REASONS, st.booleans())
def test_the_parents_signal_always_ends_a_process(reason, traps_exits):
    effect = effect_of(reason, traps_exits=traps_exits, from_parent=True)
    assert effect in {Effect.DIE, Effect.TERMINATE}
