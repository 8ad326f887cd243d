"""`beethoven explain-timing [FILE]`: what the timing of a cluster means."""

import argparse
import os
from dataclasses import asdict
from pathlib import Path

from beethoven.cli import exit_codes
from beethoven.cli.options import add_json
from beethoven.cli.output import print_json
from beethoven.cluster.timing import PRESETS, Timing, explain, preset
from beethoven.node.config import read_settings

SUMMARY = "Say what the timing of a cluster means: how soon a failure is found, and so on."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "file", metavar="FILE", nargs="?", help="the configuration whose timing is meant"
    )
    which.add_argument(
        "--preset", choices=[*PRESETS], help="a timing without a configuration (default: default)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    if options.file is None:
        timing = preset(options.preset or "default")
    else:
        timing = read_settings(Path(options.file), os.environ).timing
    if options.json:
        print_json(_seconds(timing))
    else:
        print("\n".join(explain(timing)))
    return exit_codes.OK


def _seconds(timing: Timing) -> dict[str, float]:
    """Return the settings, and what is derived from them."""
    derived = [name for name, value in vars(Timing).items() if isinstance(value, property)]
    return {**asdict(timing), **{name: getattr(timing, name) for name in derived}}
