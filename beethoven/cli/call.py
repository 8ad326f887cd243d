"""`beethoven call ROLE JSON`: call a role and print its reply."""

import argparse
import json

from beethoven.cli import exit_codes
from beethoven.cli.options import add_node, add_timeout
from beethoven.cli.output import print_error, print_json
from beethoven.node.control import NodeClient
from beethoven.node.report import shown

SUMMARY = "Call a role with a request in JSON, and print its reply as JSON."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("role", metavar="ROLE", help="the role's name")
    parser.add_argument(
        "request", metavar="JSON", type=parsed, help="""the request, such as '["echo", "hi"]'"""
    )
    add_timeout(parser, 5.0, "how long to wait for the reply")
    add_node(parser)


def parsed(text: str) -> object:
    """Return the request that was given as JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"expected JSON, got: {shown(text)}: {error}") from error


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    reply = NodeClient.find(options.node).call(options.role, options.request, options.timeout)
    try:
        print_json(reply)
    except (TypeError, ValueError, RecursionError) as error:
        name = type(reply).__qualname__
        print_error(f"expected a reply that JSON can show, got: {name}: {error}")
        return exit_codes.FAILED
    return exit_codes.OK
