"""Requests on the command line."""

import re

import pytest

from beethoven.cli.main import build_parser, main
from beethoven.cli.request import quotes_hint, request_of


def given(*words):
    request = build_parser().parse_args(["call", "orders", *words]).request
    return request if not hasattr(request, "method") else repr(request)


@pytest.mark.parametrize(
    ("word", "request_"),
    [('"next"', "next"), ('["get", 5]', ["get", 5]), ("5", 5), ("-5", -5), ("null", None)],
)
def test_a_request_is_given_in_json(word, request_):
    assert given(word) == request_


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["get"], "get()"),
        (["get", "5", "-1.5"], "get(5, -1.5)"),
        (["put", '{"a": [1]}', "loud=true", "note=null"], "put({'a': [1]}, loud=True, note=None)"),
        (["put", '"a=b"'], "put('a=b')"),
        (["nulls"], "nulls()"),
    ],
)
def test_a_marked_method_is_given_by_its_name(words, shown):
    assert given(*words) == shown
    assert given(*words, "--to", "two") == shown


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["{"], 'expected JSON, got: "{"'),
        (["get", "pen"], 'expected JSON, got: "pen"'),
        (["get", "pen"], """; a text needs quotes, as in '"pen"'"""),
        (["get", "number="], 'expected JSON, got: ""'),
        (["5", "6"], 'or the name of a method and its arguments, got also: "6"'),
        (["get-it"], 'expected JSON, got: "get-it"'),
    ],
)
def test_anything_else_is_refused(words, problem, capsys):
    with pytest.raises(ValueError, match=re.escape(problem)):
        request_of(words)
    with pytest.raises(SystemExit) as left:
        given(*words)
    assert left.value.code == 2
    assert "usage: beethoven call" in capsys.readouterr().err


def test_a_text_without_its_quotes_is_guessed():
    hint = """next names a marked method; for a request that is a text: '"next"'"""
    assert quotes_hint(request_of(["next"])) == hint
    assert quotes_hint(request_of(["next", "5"])) == ""
    assert quotes_hint(request_of(['"next"'])) == ""


def test_a_verb_that_is_nearly_right_is_told(capsys):
    with pytest.raises(SystemExit) as left:
        main(["callx", "orders"])
    assert left.value.code == 2
    assert "there is no verb 'callx', did you mean 'call'?" in capsys.readouterr().err
