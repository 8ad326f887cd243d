"""`beethoven stop`: stop a node."""

import argparse

from beethoven.cli import exit_codes
from beethoven.cli.options import add_node
from beethoven.node.control import NodeClient

SUMMARY = "Stop a node in good order, and wait until it is gone."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_node(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    client = NodeClient.find(options.node)
    client.stop()
    print(f"node {client.presence.name} stopped")
    return exit_codes.OK
