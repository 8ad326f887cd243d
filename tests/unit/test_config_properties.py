"""Whatever is in a file, reading it gives settings or a ConfigError, and nothing else."""

import contextlib
import string
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from beethoven.errors import ConfigError
from beethoven.node.config import parse_settings
from beethoven.node.interpolation import NotInterpolated, interpolate
from beethoven.node.overrides import _VARIABLES
from beethoven.node.report import shown
from beethoven.node.role_tables import _KINDS
from beethoven.node.settings import NodeSettings
from beethoven.node.timing_tables import KEYS as TIMES

PATH = Path("/srv/app.toml")
KEYS = [*_KINDS, "command", "environment", "working_directory", "name", "cluster_net", "x"]
KEYS += ["cluster_net_mask", "listener_port", "use_az_net", "level", "format", "cluster", "bind"]
KEYS += ["seeds", "cookie_file", "labels", "zone", "timing", "drain_timeout", "rebalance", *TIMES]
KEYS += ["endpoint", "interface", "acknowledge", "hand_over_within"]

SCALARS = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.booleans(),
    st.sampled_from(
        ["a:B", "sh", "", "1s", "infinity", "${X}", "127.0.0.1/8", "::/0", "TERM", "fast"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    ),
    max_leaves=6,
)
TABLES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "beethoven": st.one_of(TABLES, VALUES),
        "logging": st.one_of(TABLES, VALUES),
        "timing": st.one_of(TABLES, VALUES),
        "azure": st.one_of(TABLES, VALUES),
        "roles": st.one_of(
            st.dictionaries(st.sampled_from(["a", "b", "B", "beethoven"]), TABLES, max_size=3),
            VALUES,
        ),
    },
)
ENVIRONS = st.dictionaries(
    st.sampled_from([*_VARIABLES, "PATH", "X"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9),
    max_size=4,
)


def toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{key} = {toml(part)}' for key, part in value.items())}}}"
    return repr(value)


def read(source: str, environ: dict[str, str]) -> NodeSettings | ConfigError:
    try:
        return parse_settings(source, PATH, environ)
    except ConfigError as error:
        return error


@given(DOCUMENTS, ENVIRONS)
def test_any_document_gives_settings_or_problems_with_places(document, environ):
    source = "".join(f"{key} = {toml(value)}\n" for key, value in document.items())
    found = read(source, environ)
    if isinstance(found, ConfigError):
        assert found.problems
        for problem in found.problems:
            assert problem.startswith((f"{PATH}:", "BEETHOVEN_")), problem
    else:
        assert len(found.roles) == len(document.get("roles", {}))


@given(st.text(max_size=60), ENVIRONS)
@example("\ufeff", {})
@example("a.b.c = 1\n[a.b]", {})
def test_any_text_gives_settings_or_problems(source, environ):
    found = read(source, environ)
    assert isinstance(found, NodeSettings) or found.problems


@given(st.text(f"${{}}:-?{string.ascii_uppercase}ab_ ", max_size=20), ENVIRONS)
def test_interpolation_gives_text_or_says_why_not(text, environ):
    found = None
    with contextlib.suppress(NotInterpolated):
        found = interpolate(text, environ)
    assert found is None or "$" in text or found == text


@given(VALUES)
def test_a_shown_value_is_short_and_on_one_line(value):
    text = shown(value)
    assert len(text) <= 80
    assert text.isprintable()
