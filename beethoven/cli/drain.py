"""`beethoven drain [NODE]`: have a node hand over its roles, leave and stop."""

import argparse

from beethoven.cli import exit_codes
from beethoven.cli.options import add_node
from beethoven.node.control import NodeClient

SUMMARY = "Have a node hand over its roles, leave the cluster and stop."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "name",
        metavar="NODE",
        nargs="?",
        default="",
        help="the node, here or elsewhere in the cluster (default: the one that is asked)",
    )
    add_node(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    NodeClient.find(options.node).drain(options.name)
    return exit_codes.OK
