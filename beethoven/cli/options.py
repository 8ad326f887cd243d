"""Options that several verbs share."""

import argparse
import os


def add_node(parser: argparse.ArgumentParser) -> None:
    """Add `--node`."""
    parser.add_argument(
        "--node",
        metavar="NAME",
        default=os.environ.get("BEETHOVEN_NODE") or None,
        help="which node, if several run here (default: $BEETHOVEN_NODE, or the only one)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_timeout(parser: argparse.ArgumentParser, default: float, what: str) -> None:
    """Add `--timeout`."""
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=default,
        metavar="S",
        help=f"{what}, in seconds (default: %(default)g)",
    )


def seconds(text: str) -> float:
    """Return a duration given on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"expected seconds from 0 to 1000000, got: {text!r}")
    return value
