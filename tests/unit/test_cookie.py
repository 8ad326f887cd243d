import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.cookie import (
    CookieSource,
    load_keyring,
    read_cookie_file,
    requires_cookie,
    source_of,
    user_cookie_file,
)
from beethoven.cluster.keyring import MOST_KEYS, BadKey, Keyring
from beethoven.errors import ConfigError

SECRET = "correct horse battery staple"
KEY = SECRET.encode()


@pytest.fixture
def cookie(tmp_path):
    """Return a fit cookie file."""
    path = tmp_path / "cookie"
    path.touch(mode=0o600)
    path.write_text(f"{SECRET}\n", encoding="utf-8")
    return path


def problem_of(path):
    with pytest.raises(ConfigError) as raised:
        read_cookie_file(path)
    (problem,) = raised.value.problems
    assert SECRET not in problem
    return problem.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (SECRET, (KEY,)),
        (f"\n  {SECRET}\t\r\n\n", (KEY,)),
        (f"{SECRET}\nanother passphrase\n", (KEY, b"another passphrase")),
        (f"{SECRET}\n{SECRET}", (KEY,)),
        ("0123456789abcdef" * 2, (b"0123456789abcdef" * 2,)),
        ("YWJjZGVmZ2hpamtsbW5vcA", (b"YWJjZGVmZ2hpamtsbW5vcA",)),
        ("ünïcödé secret", ("ünïcödé secret".encode(),)),
        ("x" * 512, (b"x" * 512,)),
    ],
)
def test_every_line_is_a_key_in_order(text, keys):
    assert Keyring.parse(text).keys == keys


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", f"expected 1 to {MOST_KEYS} keys, one on each line, got: 0"),
        (" \n\n", f"expected 1 to {MOST_KEYS} keys, one on each line, got: 0"),
        (
            "\n".join(f"{SECRET} {number}" for number in range(MOST_KEYS + 1)),
            f"expected 1 to {MOST_KEYS} keys, one on each line, got: {MOST_KEYS + 1}",
        ),
        (
            f"{SECRET}\ntoo short",
            "line 2: expected the key to have at least 128 bits (32 hexadecimal digits, 22 base64"
            " characters or any other text of 16 bytes), got: 9 bytes",
        ),
        ("x" * 513, "line 1: expected the key to be text of at most 512 bytes"),
        (f"{SECRET}\0", "line 1: expected the key to be text of at most 512 bytes"),
    ],
)
def test_what_is_no_keyring_is_refused_without_being_shown(text, problem):
    with pytest.raises(BadKey) as raised:
        Keyring.parse(text)
    assert str(raised.value) == problem


@pytest.mark.parametrize("digits", [16, 31])
def test_hexadecimal_digits_count_half(digits):
    with pytest.raises(BadKey, match=f"got: {digits} bytes"):
        Keyring.parse("a" * digits)


@given(st.text(max_size=120))
def test_any_text_is_a_keyring_or_is_refused(text):
    try:
        keyring = Keyring.parse(text)
    except BadKey:
        return
    assert all(16 <= len(key) <= 512 for key in keyring.keys)


def test_a_keyring_never_shows_its_keys():
    keyring = Keyring.parse(f"{SECRET}\nanother passphrase")
    for text in (repr(keyring), str(keyring), f"{keyring}", repr([keyring])):
        assert SECRET not in text
        assert "Keyring(<2 secret>)" in text


def test_the_environment_comes_before_the_file_and_the_file_before_the_user(cookie):
    environ = {"BEETHOVEN_COOKIE": "a cookie of the environment", "HOME": str(cookie.parent)}
    assert load_keyring(cookie, environ).keys == (b"a cookie of the environment",)
    assert source_of(cookie, environ) is CookieSource.ENVIRONMENT
    del environ["BEETHOVEN_COOKIE"]
    assert load_keyring(cookie, environ).keys == (KEY,)
    assert source_of(cookie, environ) is CookieSource.FILE
    assert load_keyring(None, environ).keys != (KEY,)
    assert source_of(None, environ) is CookieSource.USER


@pytest.mark.parametrize("value", ["", "short"])
def test_a_variable_that_holds_no_cookie_is_a_mistake_not_an_absence(cookie, value):
    with pytest.raises(ConfigError, match=r"^BEETHOVEN_COOKIE: "):
        load_keyring(cookie, {"BEETHOVEN_COOKIE": value})


def test_a_key_is_the_same_wherever_it_is_written(tmp_path, monkeypatch):
    raw = b"not utf-8: \xff\xfe and so on"
    path = tmp_path / "cookie"
    path.touch(mode=0o600)
    path.write_bytes(raw)
    monkeypatch.setitem(os.environb, b"BEETHOVEN_COOKIE", raw)
    assert load_keyring(path, {}).keys == load_keyring(None, os.environ).keys == (raw,)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o610, 0o666])
def test_a_file_that_others_can_touch_is_refused(cookie, mode):
    cookie.chmod(mode)
    assert problem_of(cookie) == (
        f"expected nobody else to have access to the cookie, got: mode {mode:04o};"
        f" run: chmod 600 {cookie}"
    )


def test_a_file_of_another_user_is_refused(cookie, monkeypatch):
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert problem_of(cookie) == f"expected the cookie to belong to uid {uid + 1}, got: uid {uid}"


def test_what_is_no_regular_file_is_refused_and_a_pipe_is_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    got = "expected the cookie to be a regular file, got: "
    assert problem_of(pipe) == f"{got}prw-------"
    assert problem_of(tmp_path).startswith(f"{got}d")


def test_a_file_that_is_missing_too_long_or_holds_no_key_is_refused(cookie):
    assert problem_of(cookie.parent / "none") == (
        "cannot read the cookie: No such file or directory"
    )
    cookie.write_text(SECRET * 1000)
    assert problem_of(cookie) == "expected a cookie of at most 8192 bytes"
    cookie.write_text(f"{SECRET}\nshort")
    assert problem_of(cookie).startswith("line 2: expected the key to have at least 128 bits")


def test_a_link_is_judged_by_what_it_leads_to(cookie, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(cookie)
    assert read_cookie_file(link).keys == (KEY,)
    cookie.chmod(0o644)
    assert problem_of(link).startswith("expected nobody else to have access")


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/beethoven/cookie"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/beethoven/cookie"),
        ({"XDG_CONFIG_HOME": "", "HOME": "/h"}, "/h/.config/beethoven/cookie"),
        ({"HOME": "/h"}, "/h/.config/beethoven/cookie"),
    ],
)
def test_the_cookie_of_a_user_lies_with_the_configuration(environ, path):
    assert user_cookie_file(environ) == Path(path)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "here"}])
def test_a_user_without_a_home_is_told_what_to_do(environ):
    with pytest.raises(ConfigError, match="no home; set BEETHOVEN_COOKIE or cookie_file"):
        load_keyring(None, environ)


def test_the_cookie_of_a_user_is_made_once_strong_and_private(tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    keyring = load_keyring(None, environ)
    assert load_keyring(None, environ) == keyring
    assert len(bytes.fromhex(keyring.keys[0].decode())) == 32
    path = user_cookie_file(environ)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_those_who_use_it_first_at_the_same_time_get_the_same_cookie(tmp_path):
    for attempt in range(20):
        environ = {"XDG_CONFIG_HOME": str(tmp_path / str(attempt))}
        barrier = Barrier(8)

        def load(environ=environ, barrier=barrier):
            barrier.wait()
            return load_keyring(None, environ)

        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(load) for _ in range(8)]
        assert len({future.result() for future in futures}) == 1
        assert len(list(user_cookie_file(environ).parent.iterdir())) == 1


def test_a_cookie_that_cannot_be_made_is_a_clear_problem(tmp_path):
    (tmp_path / "beethoven").write_text("in the way")
    with pytest.raises(ConfigError, match=r"cannot make a cookie: .*; set BEETHOVEN_COOKIE or"):
        load_keyring(None, {"XDG_CONFIG_HOME": str(tmp_path)})


NETWORKS = {
    "127.0.0.0/29": True,
    "127.0.0.0/8": True,
    "127.0.0.1/32": True,
    "::1/128": True,
    "10.1.2.0/24": False,
    "126.0.0.0/7": False,
    "0.0.0.0/0": False,
    "::/0": False,
    "fd00::/64": False,
}


@pytest.mark.parametrize(
    ("network", "source"), list(itertools.product(NETWORKS, CookieSource)), ids=str
)
def test_beyond_loopback_a_cookie_must_have_been_given(network, source):
    problem = requires_cookie(ip_network(network), source)
    if NETWORKS[network] or source is not CookieSource.USER:
        assert problem is None
    else:
        assert problem is not None
        assert problem.startswith(f"expected a cookie, because {network} reaches beyond")
