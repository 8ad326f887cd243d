"""
Timing: every timer of a cluster, derived from six settings, with the relations between them.

cluster.md §5.12 has the arithmetic. Nothing in `cluster` has a timer that is not derived here,
except the pace at which the network is searched.
"""

from dataclasses import dataclass
from typing import Final

from beethoven.errors import SpecError
from beethoven.supervision.checks import check_number

# How far the rates of two clocks differ at most; offsets do not matter.
CLOCK_RATE_ERROR: Final = 0.01

_SUBJECT: Final = "timing"


@dataclass(frozen=True, slots=True)
class Timing:
    """
    The settings from which every timer of a cluster follows; all are seconds > 0.

    All nodes of a cluster should have the same.

    Attributes:
        heartbeat: How often a node is heard by each of the others.
        silence: How long a node may be unheard before it is down; >= 3 heartbeats.
        authority: How long a coordinator may act on what others acknowledged; < `silence`.
        lease: How long a strict role may act on one grant; long enough to ride out a change of
            coordinator, see `longest_handover`.
        margin: What is waited beyond a lease, for clocks that run at different rates;
            >= 2 * 1 % of `lease`.
        grace: How long before the end of its lease a strict role begins to stop.

    Raises:
        SpecError: A setting is no duration, or a relation does not hold.
    """

    heartbeat: float = 1.0
    silence: float = 4.0
    authority: float = 3.0
    lease: float = 10.0
    margin: float = 0.5
    grace: float = 2.0

    def __post_init__(self) -> None:
        for field in ("heartbeat", "silence", "authority", "lease", "margin", "grace"):
            check_number(_SUBJECT, field, getattr(self, field), "seconds > 0", above=0)
        self._check("silence", ">= 3 * heartbeat", least=3 * self.heartbeat)
        if self.authority >= self.silence:
            rule = f"seconds < silence ({self.silence:g})"
            raise SpecError(subject=_SUBJECT, field="authority", expected=rule, got=self.authority)
        self._check("lease", ">= 5 * renewal", least=5 * self.renewal)
        least = self.grace + self.longest_handover
        self._check(
            "lease", ">= grace + silence + stand + vote + renewal + round trip", least=least
        )
        drift = 2 * CLOCK_RATE_ERROR * self.lease
        self._check("margin", f">= 2 * {CLOCK_RATE_ERROR:g} * lease", least=drift)

    def _check(self, field: str, relation: str, *, least: float) -> None:
        value = getattr(self, field)
        # Sums of decimal fractions are a hair off.
        if value < least * (1 - 1e-9):
            rule = f"seconds {relation} ({least:g})"
            raise SpecError(subject=_SUBJECT, field=field, expected=rule, got=value)

    @property
    def last_chance(self) -> float:
        """How long a node whose machine may be gone, and whose link has closed, is waited for."""
        return self.silence / 4

    @property
    def suspicion(self) -> float:
        """How long a node may be unheard before it is suspect."""
        return self.silence / 2

    @property
    def dial_timeout(self) -> float:
        """How long one attempt to open a link may take, its handshake included."""
        return self.heartbeat

    @property
    def redial_least(self) -> float:
        """The pause before a failed dial is tried again, the first time."""
        return self.heartbeat / 4

    @property
    def redial_most(self) -> float:
        """The longest pause between two dials of a node that went away of late."""
        return 1.25 * self.heartbeat

    @property
    def redial_rare(self) -> float:
        """The pause between two dials of a node that has been away for `long_gone`."""
        return 10 * self.heartbeat

    @property
    def long_gone(self) -> float:
        """How long a node is dialled often after it went away."""
        return 600 * self.heartbeat

    @property
    def gossip(self) -> float:
        """How often a node tells one of the others whom it knows."""
        return 5 * self.heartbeat

    @property
    def settle(self) -> float:
        """How long a first coordinator waits after the last change before it places roles."""
        return 2.5 * self.heartbeat

    @property
    def renewal(self) -> float:
        """How often leases are renewed."""
        return self.heartbeat

    @property
    def stand(self) -> float:
        """How long a node waits before it stands for coordinator."""
        return self.heartbeat / 2

    @property
    def vote(self) -> float:
        """How long a vote may take."""
        return self.heartbeat

    @property
    def round_trip(self) -> float:
        """The longest round trip that the leases allow for."""
        return self.heartbeat / 4

    @property
    def longest_handover(self) -> float:
        """From the last word of a coordinator to the first grant of the next, at most."""
        return self.silence + self.stand + self.vote + self.renewal + self.round_trip

    @property
    def heal(self) -> float:
        """From the end of a cut until the two sides know each other again, at most."""
        return 1.25 * self.redial_most + self.dial_timeout + self.round_trip

    @property
    def convergence(self) -> float:
        """From the end of the last fault until all views agree, at most."""
        return self.silence + self.heal + self.gossip


DEFAULT: Final = Timing()
FAST: Final = Timing(0.25, 1.2, 0.9, 2.6, 0.15, 0.4)
WAN: Final = Timing(2.0, 10.0, 8.0, 25.0, 1.0, 4.0)

PRESETS: Final = {"default": DEFAULT, "fast": FAST, "wan": WAN}


def preset(name: object) -> Timing:
    """
    Return the preset of that name: `default`, `fast` (one local network) or `wan`.

    Raises:
        SpecError: There is no such preset.
    """
    if not isinstance(name, str) or name not in PRESETS:
        rule = "'default', 'fast' or 'wan'"
        raise SpecError(subject=_SUBJECT, field="preset", expected=rule, got=name)
    return PRESETS[name]


def explain(timing: Timing) -> list[str]:
    """Return what the settings mean for a user, one line each, with the arithmetic."""
    t = timing
    strict = t.lease + t.margin
    elected = t.silence + t.stand + t.vote
    rows = [
        ("heartbeat", f"{t.heartbeat:g} s", "how often nodes hear each other"),
        ("suspect after", f"{t.suspicion:g} s", "silence / 2"),
        ("down after", f"{t.silence:g} s", "silence; or a closed link whose port refuses"),
        ("dial timeout", f"{t.dial_timeout:g} s", "heartbeat"),
        ("redial", f"{t.redial_least:g} to {t.redial_most:g} s", "1/4 to 5/4 heartbeat"),
        ("redial, rare", f"{t.redial_rare:g} s", f"10 heartbeats, after {t.long_gone:g} s"),
        ("gossip", f"{t.gossip:g} s", "5 heartbeats"),
        ("settle", f"{t.settle:g} s", "2.5 heartbeats without a change"),
        ("authority", f"{t.authority:g} s", f"< silence ({t.silence:g} s)"),
        ("lease", f"{t.lease:g} s", f"renewed every {t.renewal:g} s; <= lease / 5"),
        ("margin", f"{t.margin:g} s", f">= 2 * {CLOCK_RATE_ERROR:g} * lease"),
        ("grace", f"{t.grace:g} s", "a strict role stops so long before its lease ends"),
        ("hand-over", f"<= {t.longest_handover:g} s", "silence + stand + vote + renewal + trip"),
        ("", f"<= {t.lease - t.grace:g} s", "lease - grace, so that holders ride through it"),
        ("node killed, available", f"{t.round_trip:g} s", "its port refuses: one round trip"),
        ("node silent, available", f"{t.silence + t.heartbeat:g} s", "silence + heartbeat"),
        ("node silent, strict", f"{strict:g} to {strict + t.heartbeat:g} s", "lease + margin"),
        ("coordinator silent, strict", f"{elected:g} to {elected + t.heartbeat:g} s",
         "silence + stand + vote"),
        ("outage ridden out, strict", f"{t.lease - t.grace - t.renewal:g} s",
         "lease - grace - renewal"),
        ("heal", f"<= {t.heal:.2g} s", "one redial, one dial, one round trip"),
        ("agreement", f"<= {t.convergence:.3g} s", "silence + heal + gossip, after the last fault"),
    ]  # fmt: skip
    return [f"{name:<28}{value:<20}{why}".rstrip() for name, value, why in rows]
