"""`beethoven check FILE`: say everything that is wrong with a configuration."""

import argparse

from beethoven.cli import exit_codes
from beethoven.cli.options import add_json
from beethoven.cli.output import print_json
from beethoven.errors import ConfigError
from beethoven.node.checking import checked_settings

SUMMARY = "Check a configuration and import its roles, without starting anything."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("file", metavar="FILE", help="the configuration, such as app.toml")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    try:
        settings = checked_settings(options.file, {})
    except ConfigError as error:
        if not options.json:
            raise
        print_json({"ok": False, "problems": error.problems, "notes": []})
        return exit_codes.CONFIG
    if options.json:
        print_json({"ok": True, "problems": [], "notes": list(settings.notes)})
        return exit_codes.OK
    for note in settings.notes:
        print(note)
    count = len(settings.roles)
    print(f"{options.file}: ok, {count} role{'' if count == 1 else 's'}")
    return exit_codes.OK
