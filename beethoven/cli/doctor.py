"""`beethoven doctor [FILE]`: what a node would find here, and what is wrong with it."""

import argparse
import os
from typing import Any, Final

from beethoven.cli import exit_codes
from beethoven.cli.options import add_json, add_node
from beethoven.cli.output import is_rich, print_json, style_of
from beethoven.cli.version import facts
from beethoven.node.doctor import Diagnosis, diagnose
from beethoven.node.findings import Finding, ok

SUMMARY = "Look at all that a node needs here, and say what is wrong and what to do about it."

# Problems of these are mistakes in the configuration; those of others are the machine's.
_CONFIGURED: Final = frozenset({"file", "roles", "cookie"})


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="the configuration (default: that of the running node)",
    )
    add_node(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    diagnosis = diagnose(options.file, options.node, os.environ)
    if options.json:
        print_json(as_json(diagnosis))
    else:
        _show(diagnosis)
    if any(each.check in _CONFIGURED for each in diagnosis.problems):
        return exit_codes.CONFIG
    return exit_codes.FAILED if diagnosis.problems else exit_codes.OK


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return `{"ok", "version", "file", "checks", "azure"}`, as `doctor --json` prints it."""
    checks = [
        {
            "check": each.check,
            "level": str(each.level),
            "text": each.text,
            "fix": each.fix,
            "facts": dict(each.facts),
        }
        for each in diagnosis.findings
    ]
    return {
        "ok": not diagnosis.problems,
        "version": facts(),
        "file": diagnosis.file,
        "checks": checks,
        "azure": dict(diagnosis.azure),
    }


def line(finding: Finding, width: int) -> str:
    """Return a finding as a line; the names of all checks have `width` characters."""
    fix = f"; {finding.fix}" if finding.fix else ""
    return f"{finding.level:<7}  {finding.check:<{width}}  {finding.text}{fix}"


def _show(diagnosis: Diagnosis) -> None:
    version = ok("version", " ".join(f"{name} {value}" for name, value in facts().items()))
    findings = (version, *diagnosis.findings)
    width = max(len(each.check) for each in findings)
    lines = [line(each, width) for each in findings]
    if not is_rich():
        print("\n".join(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for finding, text in zip(findings, lines, strict=True):
        shown = Text(text)
        shown.stylize(style_of(finding.level), 0, len(finding.level))
        console.print(shown)
