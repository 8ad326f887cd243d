"""`beethoven tree`: the supervision tree."""

import argparse
from typing import Any

from beethoven.cli import exit_codes
from beethoven.cli.options import add_json, add_node
from beethoven.cli.output import is_rich, print_json, style_of
from beethoven.node.control import NodeClient

SUMMARY = "Show the supervision tree."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_node(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    root = NodeClient.find(options.node).tree()
    if options.json:
        print_json(root)
    elif is_rich():
        _show_rich(root)
    else:
        print("\n".join(tree_lines(root)))
    return exit_codes.OK


def _label(node: dict[str, Any]) -> str:
    text = f"{node['id']}  {node['status']}"
    if node["pid"] is not None:
        text += f"  pid {node['pid']}"
    if node["restarts"]:
        text += f"  restarts {node['restarts']}"
    if node["last_exit"] is not None:
        text += f"  last exit: {node['last_exit']}"
    return text


def tree_lines(node: dict[str, Any], first: str = "", rest: str = "") -> list[str]:
    """Return the tree as lines of text."""
    lines = [first + _label(node)]
    *others, last = node["children"] or [None]
    for child in others:
        lines += tree_lines(child, f"{rest}├─ ", f"{rest}│  ")
    if last is not None:
        lines += tree_lines(last, f"{rest}└─ ", f"{rest}   ")
    return lines


def _show_rich(root: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    def branch(node: dict[str, Any]) -> Tree:
        tree = Tree(Text(_label(node), style=style_of(node["status"])))
        for child in node["children"]:
            tree.children.append(branch(child))
        return tree

    Console(highlight=False).print(branch(root))
