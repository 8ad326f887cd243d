"""`beethoven call ROLE JSON`, `call ROLE METHOD ARGUMENT…`: call a role and print its reply."""

import argparse

from beethoven.cli import exit_codes
from beethoven.cli.options import add_node, add_timeout
from beethoven.cli.output import first_line, print_error, print_json
from beethoven.cli.request import add_request, quotes_hint
from beethoven.errors import CallError, RequestRefused
from beethoven.node.connecting import connect
from beethoven.remote.calls import ALL

SUMMARY = "Call a role, wherever it runs, and print its reply as JSON."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("role", metavar="ROLE", help="the role's name")
    add_request(parser)
    parser.add_argument(
        "--to",
        metavar="NODE",
        help='the node that is meant, or "all" for the replies of all instances, by node',
    )
    add_timeout(parser, 5.0, "how long to wait for the reply")
    add_node(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    with connect(node=options.node) as cluster:
        errors: dict[str, CallError] = {}
        try:
            if options.to == ALL:
                reply, errors = cluster.multi_call(options.role, options.request, options.timeout)
            else:
                reply = cluster.call(options.role, options.request, options.timeout, to=options.to)
        except RequestRefused as refused:
            print_error(_told(refused, options.request))
            return exit_codes.FAILED
    for node, error in sorted(errors.items()):
        print_error(f"{node}: {_told(error, options.request)}")
    if options.to == ALL and not reply and not errors:
        print_error(f"role {options.role!r} runs nowhere at this moment")
        return exit_codes.FAILED
    try:
        print_json(reply)
    except (TypeError, ValueError, RecursionError) as error:
        name = type(reply).__qualname__
        print_error(f"expected a reply that JSON can show, got: {name}: {error}")
        return exit_codes.FAILED
    return exit_codes.FAILED if errors else exit_codes.OK


def _told(error: CallError, request: object) -> str:
    """Return what an error says, with what to do about it."""
    is_unknown = isinstance(error, RequestRefused) and "has no call" in error.cause
    hint = quotes_hint(request) if is_unknown else ""
    return f"{first_line(error)}\n{hint}".rstrip()
