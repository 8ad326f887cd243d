"""The presets, the relations between the settings, and what is derived from them."""

from dataclasses import fields, replace

import pytest

from beethoven.cluster.timing import DEFAULT, FAST, PRESETS, WAN, Timing, explain, preset
from beethoven.errors import SpecError


def test_the_presets_are_those_of_the_table():
    """cluster.md §5.12."""
    rows = {
        name: tuple(getattr(timing, field.name) for field in fields(timing))
        for name, timing in PRESETS.items()
    }
    assert rows == {
        "default": (1.0, 4.0, 3.0, 10.0, 0.5, 2.0),
        "fast": (0.25, 1.2, 0.9, 2.6, 0.15, 0.4),
        "wan": (2.0, 10.0, 8.0, 25.0, 1.0, 4.0),
    }
    assert Timing() == preset("default") == DEFAULT


def test_the_tighter_variant_of_the_table_is_allowed():
    Timing(lease=8.0, grace=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heartbeat": 0}, "timing: expected heartbeat to be seconds > 0, got: 0"),
        ({"silence": "4"}, "timing: expected silence to be seconds > 0, got: '4'"),
        ({"silence": 2.9}, "timing: expected silence to be seconds >= 3 * heartbeat (3), got: 2.9"),
        ({"authority": 4}, "timing: expected authority to be seconds < silence (4), got: 4"),
        (
            {"grace": 3.5},
            "timing: expected lease to be seconds >= grace + silence + stand + vote + renewal"
            " + round trip (10.25), got: 10.0",
        ),
        (
            {"lease": 4.9, "grace": 0.1},
            "timing: expected lease to be seconds >= 5 * renewal (5), got: 4.9",
        ),
        (
            {"margin": 0.1},
            "timing: expected margin to be seconds >= 2 * 0.01 * lease (0.2), got: 0.1",
        ),
    ],
)
def test_a_relation_that_does_not_hold_is_named(change, message):
    with pytest.raises(SpecError) as caught:
        replace(DEFAULT, **change)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["slow", "", None, 1])
def test_an_unknown_preset_is_refused(name):
    with pytest.raises(SpecError, match=r"expected preset to be 'default', 'fast' or 'wan', got:"):
        preset(name)


@pytest.mark.parametrize("timing", PRESETS.values(), ids=PRESETS)
def test_what_others_rely_on(timing):
    assert timing.heartbeat < timing.suspicion < timing.silence
    assert timing.redial_least < timing.redial_most < timing.redial_rare
    assert timing.dial_timeout < timing.suspicion, "a suspect is dialled before it is down"


def test_the_promises_of_the_design_hold():
    """design.md §9: a freeze is over in 5 s, or 1.5 s with the fast preset; a heal in 3 s."""
    assert DEFAULT.silence + DEFAULT.heartbeat <= 5.0
    assert FAST.silence + FAST.heartbeat <= 1.5
    assert DEFAULT.heal <= 3.0
    assert FAST.heal <= 3.0


def test_all_of_it_scales():
    """No timer hides that does not follow the settings."""
    double = Timing(*(2 * getattr(DEFAULT, field.name) for field in fields(DEFAULT)))
    names = [name for name, value in vars(Timing).items() if isinstance(value, property)]
    assert len(names) > 10
    for name in names:
        assert getattr(double, name) == pytest.approx(2 * getattr(DEFAULT, name))


def test_it_is_explained():
    lines = explain(DEFAULT)
    name, value, why = "heartbeat", "1 s", "how often nodes hear each other"
    assert lines[0] == f"{name:<28}{value:<20}{why}"
    assert any(line.startswith("outage ridden out, strict   7 s ") for line in lines)
    assert all(len(line) < 100 for each in (DEFAULT, FAST, WAN) for line in explain(each))
