"""Sites, notices and outlooks as JSON has them, for people. Pure."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from beethoven.cloud.notice import Notice
from beethoven.cloud.outlook import Outlook
from beethoven.cloud.site import Site

# Nobody reads more, and all of them may name many machines.
_MOST_TOLD: Final = 64


def site_told(site: Site) -> dict[str, Any]:
    """Return a site as JSON has it."""
    return {
        "machine": site.machine,
        "networks": [str(each) for each in site.networks],
        "addresses": list(site.addresses),
        "labels": sorted(site.labels),
        "zone": site.zone,
    }


def notices_told(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    """Return notices as JSON has them; of too many, the first."""
    return [_notice_told(each) for each in islice(notices, _MOST_TOLD)]


def _notice_told(notice: Notice) -> dict[str, Any]:
    return {
        "notice_id": notice.notice_id,
        "kind": str(notice.kind),
        "machines": sorted(notice.machines),
        "is_started": notice.is_started,
        "begins_in": notice.begins_in,
        "lasts": notice.lasts,
        "text": notice.text,
    }


def outlook_told(outlook: Outlook, *, now: float) -> dict[str, Any]:
    """Return an outlook as JSON has it, with the seconds that are left for a hand-over."""
    told = {
        "is_cordoned": outlook.is_cordoned,
        "is_leaving": outlook.is_leaving,
        "is_at_risk": outlook.is_at_risk,
        "doomed": sorted(outlook.doomed),
        "why": outlook.why,
    }
    moments = {"hand_over_left": outlook.hand_over_until, "leaves_in": outlook.leave_at}
    left = {name: at - now for name, at in moments.items() if at is not None}
    return {**told, **{name: round(max(0.0, each), 1) for name, each in left.items()}}
