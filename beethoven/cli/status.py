"""`beethoven status`: what runs."""

import argparse
from typing import Any

from beethoven.cli import exit_codes
from beethoven.cli.options import add_json, add_node
from beethoven.cli.output import print_error, print_json, print_table
from beethoven.errors import NodeNotFound
from beethoven.node.azure_words import report_words
from beethoven.node.control import NodeClient

SUMMARY = "Show what runs. Exits 3 if something that should run does not."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_node(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    try:
        status = NodeClient.find(options.node).status()
    except NodeNotFound as error:
        print_error(str(error))
        return exit_codes.NOT_RUNNING
    if options.json:
        print_json(status)
    else:
        _show(status)
    complete = all(map(is_complete, status["roles"]))
    return exit_codes.OK if complete else exit_codes.NOT_RUNNING


def is_complete(role: dict[str, Any]) -> bool:
    """Whether a role runs as often as it can, or has done what it was there for."""
    settled = sum(map(_is_settled, role["instances"]))
    # No node may be able to run it; one that says nothing about itself yet will be.
    possible: int = min(role["wanted"], max(1, role["eligible"]))
    return settled >= possible


def _is_settled(instance: dict[str, Any]) -> bool:
    if instance["state"] != "stopped":
        return bool(instance["state"] == "running")
    last_exit = instance["last_exit"] or "normal"
    return last_exit.partition(":")[0] in {"normal", "shutdown"}


def _show(status: dict[str, Any]) -> None:
    node = status["node"]
    print(f"node {node['name']}  {node['address']}  {node['state']}  pid {node['pid']}")
    if status["azure"] is not None:
        print("  ".join(["azure", *report_words(status["azure"])]))
    if len(status["members"]) > 1:
        members = [_member_row(member, node) for member in status["members"]]
        print_table(("MEMBER", "ADDRESS", "STATE", "ROLES"), members)
        print()
    rows = [
        (
            role["name"],
            f"{role['running']}/{role['wanted']}",
            instance["node"],
            str(instance["pid"] or "-"),
            instance["state"],
            str(instance["restarts"]),
            instance["since"],
            (instance["last_exit"] or "-").partition("\n")[0],
        )
        for role in status["roles"]
        for instance in role["instances"] or [_NONE]
    ]
    if rows:
        columns = ("ROLE", "RUNNING", "NODE", "PID", "STATE", "RESTARTS", "SINCE", "LAST EXIT")
        print_table(columns, rows)


def _member_row(member: dict[str, Any], node: dict[str, Any]) -> tuple[str, ...]:
    decides = member["name"] == node["coordinator"] and member["state"] not in {"down", "left"}
    state = f"{member['state']}, coordinator" if decides else member["state"]
    return member["name"], member["address"], state, " ".join(member["roles"]) or "-"


_NONE = {"node": "-", "pid": None, "state": "-", "restarts": "-", "since": "-", "last_exit": None}
