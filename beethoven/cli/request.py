"""Requests on the command line: one in JSON, or a marked method and its arguments."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from beethoven.node.report import shown
from beethoven.runtime.invocation import Invocation


def add_request(parser: argparse.ArgumentParser) -> None:
    """Add `request`: `JSON`, or `METHOD [JSON ...] [NAME=JSON ...]`."""
    parser.add_argument(
        "request",
        metavar="REQUEST",
        help="""in JSON, such as '["echo", "hi"]'; or the name of a marked method""",
    )
    parser.add_argument(
        "arguments",
        metavar="ARGUMENT",
        nargs="*",
        default=[],
        action=_Arguments,
        help="of the method, in JSON: 5, or by name: number=5",
    )


class _Arguments(argparse.Action):
    """Makes one request of the words that were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(values, list)
        try:
            namespace.request = request_of([namespace.request, *values])
        except ValueError as error:
            raise argparse.ArgumentError(None, str(error)) from error


def request_of(words: Sequence[str]) -> object:
    """
    Return the request that was given.

    Raises:
        ValueError: It is none; says why.
    """
    first, *rest = words
    if first.isidentifier() and first not in {"true", "false", "null", "NaN", "Infinity"}:
        given = [_argument(word) for word in rest]
        args = tuple(value for name, value in given if not name)
        return Invocation(first, args, {name: value for name, value in given if name})
    if rest:
        rule = "one request in JSON, or the name of a method and its arguments"
        raise ValueError(f"expected {rule}, got also: {shown(rest[0])}")
    return _parsed(first)


def _argument(word: str) -> tuple[str, object]:
    """Return an argument of a method, with its name if it has one."""
    name, equals, value = word.partition("=")
    return (name, _parsed(value)) if equals and name.isidentifier() else ("", _parsed(word))


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        is_word = any(each.isalpha() for each in text) and not set(text) & set("\"'{}[]")
        hint = f"; a text needs quotes, as in '{json.dumps(text)}'" if is_word else ""
        raise ValueError(f"expected JSON, got: {shown(text)}: {error}{hint}") from error


def quotes_hint(request: object) -> str:
    """Return what may be wrong with a request that was refused; empty if nothing comes to mind."""
    if isinstance(request, Invocation) and not (request.args or request.kwargs):
        name = json.dumps(request.method)
        return f"{request.method} names a marked method; for a request that is a text: '{name}'"
    return ""
