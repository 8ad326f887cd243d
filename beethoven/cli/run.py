"""`beethoven run FILE`: run a node in the foreground."""

import argparse
from collections.abc import Mapping
from typing import Final

from beethoven.cli.several import run_nodes
from beethoven.errors import ConfigError
from beethoven.log import LogFormat, LogLevel
from beethoven.node.checking import checked_settings
from beethoven.node.root import run_node

SUMMARY = "Run a node in the foreground."

# An option counts more than the variable that sets the same.
_VARIABLES: Final = {
    "--name": "BEETHOVEN_NAME",
    "--log-level": "BEETHOVEN_LOGGING__LEVEL",
    "--log-format": "BEETHOVEN_LOGGING__FORMAT",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("file", metavar="FILE", help="the configuration, such as app.toml")
    parser.add_argument("--name", help="the node's name, instead of the one in the file")
    parser.add_argument("--log-level", choices=[*LogLevel], help="instead of the one in the file")
    parser.add_argument("--log-format", choices=[*LogFormat], help="instead of the one in the file")
    parser.add_argument(
        "--nodes",
        type=_count,
        default=1,
        metavar="N",
        help="play a cluster of so many nodes in this terminal (default: 1)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    overrides = {
        "--name": options.name,
        "--log-level": options.log_level,
        "--log-format": options.log_format,
    }
    given = {_VARIABLES[name]: value for name, value in overrides.items() if value is not None}
    try:
        settings = checked_settings(options.file, given)
    except ConfigError as error:
        raise ConfigError([_as_option(problem, given) for problem in error.problems]) from error
    if options.nodes > 1:
        return run_nodes(settings, options.nodes, given)
    return run_node(settings)


def _count(text: str) -> int:
    """Return how many nodes are to run."""
    value = int(text) if text.isascii() and text.isdecimal() and len(text) <= 3 else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 999, got: {text!r}")
    return value


def _as_option(problem: str, given: Mapping[str, str]) -> str:
    """Return a problem with the option that it is about, instead of the option's variable."""
    for option, variable in _VARIABLES.items():
        if variable in given and problem.startswith(f"{variable}:"):
            return option + problem.removeprefix(variable)
    return problem
