"""`beethoven run FILE`: run a node in the foreground."""

import argparse

from beethoven.cli.checking import checked_settings
from beethoven.log import LogFormat, LogLevel
from beethoven.node.root import run_node

SUMMARY = "Run a node in the foreground."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("file", metavar="FILE", help="the configuration, such as app.toml")
    parser.add_argument("--name", help="the node's name, instead of the one in the file")
    parser.add_argument("--log-level", choices=[*LogLevel], help="instead of the one in the file")
    parser.add_argument("--log-format", choices=[*LogFormat], help="instead of the one in the file")


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    overrides = {
        "BEETHOVEN_NAME": options.name,
        "BEETHOVEN_LOGGING__LEVEL": options.log_level,
        "BEETHOVEN_LOGGING__FORMAT": options.log_format,
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    return run_node(checked_settings(options.file, given))
