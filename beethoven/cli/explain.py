"""`beethoven explain ROLE`: why a role is where it is."""

import argparse

from beethoven.cli import exit_codes
from beethoven.cli.options import add_json, add_node
from beethoven.cli.output import print_json, print_table
from beethoven.node.control import NodeClient

SUMMARY = "Tell why a role is here, why not there, and what happens next."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("role", metavar="ROLE", help="the role")
    add_node(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    told = NodeClient.find(options.node).explain(options.role)
    if options.json:
        print_json(told)
        return exit_codes.OK
    print(f"role {told['role']}  {told['running']} of {told['wanted']} running")
    print(f"decided by {told['coordinator']}")
    print_table(("NODE", "WHY"), [(each["node"], each["why"]) for each in told["nodes"]])
    print(f"next: {told['next']}")
    return exit_codes.OK
