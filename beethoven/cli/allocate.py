"""`beethoven allocate`: which node is the least busy."""

import argparse
from typing import Any

from beethoven.cli import exit_codes
from beethoven.cli.options import add_json, add_node
from beethoven.cli.output import print_error, print_json, print_table
from beethoven.node.control import NodeClient

SUMMARY = "Print the name of the least busy node."
COLUMNS = ("NODE", "ADDRESS", "SCORE", "CPU", "MEMORY", "ROLES", "SIGNALS")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "--list", action="store_true", help="show all nodes, least busy first, and their load"
    )
    add_node(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    nodes = NodeClient.find(options.node).allocation_list()
    if not nodes:
        print_error("every node is leaving")
        return exit_codes.FAILED
    if options.json:
        print_json(nodes if options.list else nodes[0])
    elif options.list:
        print_table(COLUMNS, rows(nodes))
    else:
        print(nodes[0]["name"])
    return exit_codes.OK


def rows(nodes: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the rows of the table, whose columns are `COLUMNS`."""
    return [
        (
            node["name"],
            node["address"],
            f"{node['score']:.2f}",
            _percent(node["cpu"]),
            _percent(node["memory"]),
            str(node["roles"]),
            " ".join(f"{name}={points:.4g}" for name, points in node["signals"].items()) or "-",
        )
        for node in nodes
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}%"
