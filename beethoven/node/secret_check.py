"""
Says where a node would have its cookie from, and whether it is fit; never anything of the secret.

Nothing is made: the user's own cookie appears when a node first starts, not when it is looked at.
"""

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from beethoven.cluster.addresses import Network
from beethoven.cluster.cookie import (
    VARIABLE,
    CookieSource,
    load_keyring,
    requires_cookie,
    source_of,
    user_cookie_file,
)
from beethoven.errors import ConfigError
from beethoven.node.findings import Finding, ok, problem
from beethoven.node.settings import NodeSettings

_CHECK: Final = "cookie"
# What is said of a key that is too short would tell those who read over a shoulder how short.
_LENGTH: Final = re.compile(r", got: \d+ bytes")
_FIX: Final = f"put it right, or set {VARIABLE} or cookie_file to one secret on every node"


def cookie_finding(
    settings: NodeSettings, reach: Sequence[Network], environ: Mapping[str, str]
) -> Finding:
    """
    Return what there is to say of the cookie of a node.

    Args:
        settings: Those of the node.
        reach: Where it may be heard, and where what guides it is.
        environ: The variables of the environment.
    """
    source = source_of(settings.cookie_file, environ)
    for each in reach:
        if text := requires_cookie(each, source):
            found, _, fix = text.partition("; ")
            return problem(_CHECK, found, fix, source=str(source), is_required=True)
    is_required = not all(each.is_loopback for each in reach)
    need = "one is required" if is_required else "none is required on loopback"
    facts = {"source": str(source), "is_required": is_required}
    try:
        if source is CookieSource.ENVIRONMENT:
            load_keyring(None, environ)
            return ok(_CHECK, f"from the environment, {VARIABLE}; {need}", **facts)
        path = settings.cookie_file or user_cookie_file(environ)
        facts["file"] = str(path)
        if source is CookieSource.USER and not path.exists():
            return ok(_CHECK, f"made in {path} by the first node that starts; {need}", **facts)
        load_keyring(path, {})
    except ConfigError as error:
        return problem(_CHECK, _LENGTH.sub("", "; ".join(error.problems)), _FIX, **facts)
    whose = "this user's file" if source is CookieSource.USER else "the file"
    facts["mode"] = _mode(path)
    return ok(_CHECK, f"from {whose} {path}, mode {facts['mode']}; {need}", **facts)


def _mode(path: Path) -> str:
    try:
        return f"{stat.S_IMODE(path.stat().st_mode):04o}"
    except OSError:
        return "unknown"
