"""`beethoven restart ROLE`: stop a role in good order and start it anew."""

import argparse

from beethoven.cli import exit_codes
from beethoven.cli.options import add_node, add_timeout
from beethoven.node.control import NodeClient

SUMMARY = "Stop a role's instance on this node in good order, and start it anew."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("role", metavar="ROLE", help="the role's name")
    add_timeout(parser, 60.0, "how long to wait until it runs again")
    add_node(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    instance = NodeClient.find(options.node).restart(options.role, options.timeout)
    if instance["state"] == "running":
        print(f"{options.role} runs again, pid {instance['pid']}")
    else:
        print(f"{options.role} was started, and has ended: {instance['last_exit']}")
    return exit_codes.OK
