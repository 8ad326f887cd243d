"""Parses the command line and runs a verb."""

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from beethoven.cli import exit_codes
from beethoven.cli.output import first_line, print_error
from beethoven.errors import AlreadyRunning, BeethovenError, ConfigError

# Each is a module of this package with SUMMARY, `configure(parser)` and `run(options)`. It has
# underscores where the verb has dashes.
VERBS: Final = (
    "run",
    "check",
    "status",
    "tree",
    "call",
    "restart",
    "allocate",
    "explain",
    "drain",
    "stop",
    "explain-timing",
    "doctor",
    "version",
)


def _verb(name: str) -> ModuleType:
    return import_module(f"beethoven.cli.{name.replace('-', '_')}")


def _version() -> str:
    return str(_verb("version").facts()["beethoven"])


def build_parser(chosen: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """Return the parser of the command line, or of some verbs of it: what they need is imported."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="beethoven",
        description="Supervised processes that keep running. A bare FILE means `run FILE`.",
        epilog=exit_codes.EPILOG,
        formatter_class=raw,
    )
    parser.add_argument("--version", action="version", version=f"beethoven {_version()}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in chosen:
        module = _verb(name)
        verb = verbs.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY,
            epilog=exit_codes.EPILOG,
            formatter_class=raw,
        )
        module.configure(verb)
    return parser


def with_verb(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the verb `run` put before a bare file."""
    first = next(iter(arguments), "")
    names_a_file = first.endswith(".toml") or Path(first).is_file()
    if first and not first.startswith("-") and first not in VERBS and names_a_file:
        return ["run", *arguments]
    return list(arguments)


def _meant(words: Sequence[str]) -> str:
    """Return the verb that is likely meant by a word that is none; else nothing."""
    if not words or words[0] in VERBS:
        return ""
    return next(iter(get_close_matches(words[0], VERBS, n=1)), "")


def _open_standard_streams() -> None:
    """Let the descriptors 0 to 2 be open, so that nothing else is ever taken for them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(descriptor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    _open_standard_streams()
    words = with_verb(sys.argv[1:] if arguments is None else arguments)
    chosen = words[:1] if words and words[0] in VERBS else VERBS
    parser = build_parser(chosen)
    if nearest := _meant(words):
        parser.error(f"there is no verb {words[0]!r}, did you mean {nearest!r}?")
    options = parser.parse_args(words)
    try:
        code: int = _verb(options.verb).run(options)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return exit_codes.CONFIG
    except AlreadyRunning as error:
        print_error(str(error))
        return exit_codes.ALREADY_RUNNING
    except BeethovenError as error:
        print_error(first_line(error))
        return exit_codes.FAILED
    except MemoryError:
        print_error("there is not enough memory for that")
        return exit_codes.FAILED
    except BrokenPipeError:
        # Whoever read our output has had enough; the interpreter must not complain at its end.
        sys.stdout = None
        return exit_codes.FAILED
    except OSError as error:
        # A mistake about this machine: a folder that is none, a disk that is full.
        print_error(str(error))
        return exit_codes.FAILED
    except KeyboardInterrupt:
        return 130
    return code
