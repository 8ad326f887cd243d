"""`beethoven version`: which Beethoven and which Python this is."""

import argparse
import platform

import beethoven
from beethoven.cli import exit_codes
from beethoven.cli.options import add_json
from beethoven.cli.output import print_json

SUMMARY = "Show the version."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_json(parser)


def facts() -> dict[str, str]:
    """Return what an issue report needs to name."""
    return {
        "beethoven": beethoven.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    if options.json:
        print_json(facts())
    else:
        print(" ".join(f"{name} {value}" for name, value in facts().items()))
    return exit_codes.OK
