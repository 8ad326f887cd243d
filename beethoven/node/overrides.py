"""
Settings that the environment gives instead of the file.

Each key of `[beethoven]`, `[timing]`, `[logging]` and `[azure]` has a variable; lists are separated
by commas, and `[]` is an empty one. An empty variable counts as not set, and other variables that
start with `BEETHOVEN_`, such as those that a node hands to its processes, are not looked at.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from beethoven.node.toml_lines import KeyPath

_SWITCHES: Final = {"true": True, "1": True, "false": False, "0": False}


def override(
    document: dict[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """
    Return a document with what the environment says, and which variables said it.

    Args:
        document: The tables of a configuration; left as it is.
        environ: The variables.

    Returns:
        The document to read, and `{(table, key): variable}`.
    """
    variables: dict[KeyPath, str] = {}
    for variable, (table, key, meaning) in _VARIABLES.items():
        written = environ.get(variable)
        inner = document.get(table, {})
        # A table that is none is reported when it is read.
        if written and isinstance(inner, dict):
            document = {**document, table: {**inner, key: meaning(written)}}
            variables[table, key] = variable
    return _with_one_mask(document, variables), variables


def _with_one_mask(document: dict[str, Any], variables: dict[KeyPath, str]) -> dict[str, Any]:
    """Drop the mask of the file if the environment says the whole network."""
    net, mask = ("beethoven", "cluster_net"), ("beethoven", "cluster_net_mask")
    if net in variables and mask not in variables and "/" in document["beethoven"]["cluster_net"]:
        kept = {key: value for key, value in document["beethoven"].items() if key != mask[1]}
        return {**document, "beethoven": kept}
    return document


def _text(written: str) -> str:
    # The shell has had its turn at it: a dollar sign is one.
    return written.replace("$", "$$")


def _number(written: str) -> int | str:
    digits = written.isascii() and written.isdecimal() and len(written) <= 9
    return int(written) if digits else _text(written)


def _switch(written: str) -> bool | str:
    return _SWITCHES.get(written.lower(), _text(written))


def _seconds(written: str) -> float | str:
    is_number = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", written)
    return float(written) if is_number else _text(written)


def _list(written: str) -> list[str]:
    if written.strip() == "[]":
        return []
    return [_text(part.strip()) for part in written.split(",") if part.strip()]


_VARIABLES: Final[dict[str, tuple[str, str, Callable[[str], object]]]] = {
    "BEETHOVEN_NAME": ("beethoven", "name", _text),
    "BEETHOVEN_CLUSTER": ("beethoven", "cluster", _text),
    "BEETHOVEN_CLUSTER_NET": ("beethoven", "cluster_net", _text),
    "BEETHOVEN_CLUSTER_NET_MASK": ("beethoven", "cluster_net_mask", _text),
    "BEETHOVEN_LISTENER_PORT": ("beethoven", "listener_port", _number),
    "BEETHOVEN_BIND": ("beethoven", "bind", _text),
    "BEETHOVEN_SEEDS": ("beethoven", "seeds", _list),
    "BEETHOVEN_USE_AZ_NET": ("beethoven", "use_az_net", _switch),
    "BEETHOVEN_COOKIE_FILE": ("beethoven", "cookie_file", _text),
    "BEETHOVEN_LABELS": ("beethoven", "labels", _list),
    "BEETHOVEN_ZONE": ("beethoven", "zone", _text),
    "BEETHOVEN_TIMING": ("beethoven", "timing", _text),
    "BEETHOVEN_DRAIN_TIMEOUT": ("beethoven", "drain_timeout", _seconds),
    "BEETHOVEN_REBALANCE": ("beethoven", "rebalance", _switch),
    "BEETHOVEN_TIMING__HEARTBEAT": ("timing", "heartbeat", _seconds),
    "BEETHOVEN_TIMING__SILENCE": ("timing", "silence", _seconds),
    "BEETHOVEN_TIMING__AUTHORITY": ("timing", "authority", _seconds),
    "BEETHOVEN_TIMING__LEASE": ("timing", "lease", _seconds),
    "BEETHOVEN_TIMING__MARGIN": ("timing", "margin", _seconds),
    "BEETHOVEN_TIMING__GRACE": ("timing", "grace", _seconds),
    "BEETHOVEN_LOGGING__LEVEL": ("logging", "level", _text),
    "BEETHOVEN_LOGGING__FORMAT": ("logging", "format", _text),
    "BEETHOVEN_AZURE__ENDPOINT": ("azure", "endpoint", _text),
    "BEETHOVEN_AZURE__INTERFACE": ("azure", "interface", _text),
    "BEETHOVEN_AZURE__ACKNOWLEDGE": ("azure", "acknowledge", _list),
    "BEETHOVEN_AZURE__HAND_OVER_WITHIN": ("azure", "hand_over_within", _seconds),
}
