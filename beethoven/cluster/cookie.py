"""
The cookie: where a node has its keyring from.

In this order: the variable `BEETHOVEN_COOKIE`; the file that the settings name; the user's own
file, which is made on first use. Whatever is wrong is a `ConfigError` that says where, and never
shows a secret.
"""

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from beethoven.cluster.keyring import BadKey, Keyring
from beethoven.errors import ConfigError

VARIABLE: Final = "BEETHOVEN_COOKIE"
_LONGEST_FILE: Final = 8192
_MADE_BY: Final = 'python -c "import secrets; print(secrets.token_hex(32))"'


class CookieSource(StrEnum):
    """Where a keyring comes from."""

    ENVIRONMENT = "environment"
    FILE = "file"
    USER = "user"


def source_of(cookie_file: Path | None, environ: Mapping[str, str]) -> CookieSource:
    """Return where the keyring will come from."""
    if VARIABLE in environ:
        return CookieSource.ENVIRONMENT
    return CookieSource.USER if cookie_file is None else CookieSource.FILE


def requires_cookie(network: IPv4Network | IPv6Network, source: CookieSource) -> str | None:
    """
    Return why a node must not start in that network with a cookie from there; `None` if it may.

    Beyond loopback the cookie must have been given. One that is made for each user on each machine
    would keep the machines apart, and nobody would know why.
    """
    if network.is_loopback or source is not CookieSource.USER:
        return None
    return (
        f"expected a cookie, because {network} reaches beyond this machine; set {VARIABLE} or"
        f" cookie_file to one secret on every node, such as {_MADE_BY} prints"
    )


def load_keyring(cookie_file: Path | None, environ: Mapping[str, str]) -> Keyring:
    """
    Return the keyring of this node.

    Args:
        cookie_file: The file that the settings name, if they do.
        environ: The variables of the environment.

    Raises:
        ConfigError: It cannot be had, or is not fit to be used.
    """
    if VARIABLE in environ:
        return _parse(environ[VARIABLE], VARIABLE)
    if cookie_file is not None:
        return read_cookie_file(cookie_file)
    path = user_cookie_file(environ)
    _make_unless_there(path)
    return read_cookie_file(path)


def find_keyring(environ: Mapping[str, str]) -> Keyring:
    """
    Return the keyring of a program that meets a cluster which is there: it makes no cookie.

    Raises:
        ConfigError: There is none, or it is not fit to be used.
    """
    if VARIABLE in environ:
        return _parse(environ[VARIABLE], VARIABLE)
    path = user_cookie_file(environ)
    if not path.exists():
        fix = f"give cookie=, set {VARIABLE}, or copy the cookie file of a node to {path}"
        raise ConfigError([f"no cookie: {fix}"])
    return read_cookie_file(path)


def user_cookie_file(environ: Mapping[str, str]) -> Path:
    """
    Return the path of the user's own cookie, `$XDG_CONFIG_HOME/beethoven/cookie`.

    Raises:
        ConfigError: Neither that variable nor `HOME` is set.
    """
    folder = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():
        home = environ.get("HOME", "")
        if not Path(home).is_absolute():
            raise ConfigError([f"cookie: this user has no home; set {VARIABLE} or cookie_file"])
        folder = Path(home, ".config")
    return folder / "beethoven" / "cookie"


def read_cookie_file(path: Path) -> Keyring:
    """
    Return the keyring in a file.

    Raises:
        ConfigError: It is no regular file of this user, others may read or write it, or it holds no
            fit key.
    """
    try:
        # Without waiting: the path may turn out to be a pipe.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _wrong(path, f"cannot read the cookie: {error.strerror}") from error
    try:
        _check_private(path, os.fstat(handle))
        data = os.read(handle, _LONGEST_FILE + 1)
    finally:
        os.close(handle)
    if len(data) > _LONGEST_FILE:
        raise _wrong(path, f"expected a cookie of at most {_LONGEST_FILE} bytes")
    # As the environment is decoded, so that a key is the same wherever it is written.
    return _parse(data.decode("utf-8", "surrogateescape"), str(path))


def _check_private(path: Path, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        kind = stat.filemode(about.st_mode)
        raise _wrong(path, f"expected the cookie to be a regular file, got: {kind}")
    if about.st_uid != os.geteuid():
        expected = f"expected the cookie to belong to uid {os.geteuid()}"
        raise _wrong(path, f"{expected}, got: uid {about.st_uid}")
    if about.st_mode & 0o077:
        got = f"mode {stat.S_IMODE(about.st_mode):04o}; run: chmod 600 {path}"
        raise _wrong(path, f"expected nobody else to have access to the cookie, got: {got}")


def _parse(text: str, place: str) -> Keyring:
    try:
        return Keyring.parse(text)
    except BadKey as error:
        raise _wrong(place, str(error)) from None


def _make_unless_there(path: Path) -> None:
    """
    Make the user's cookie.

    It appears whole and once: of several processes that do this, one gives the cookie to all.
    """
    if path.exists():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".cookie-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"{secrets.token_hex(32)}\n")
                file.flush()
                os.fsync(handle)
            with contextlib.suppress(FileExistsError):
                os.link(name, path)
        finally:
            Path(name).unlink()
    except OSError as error:
        fix = f"set {VARIABLE} or cookie_file"
        raise _wrong(path, f"cannot make a cookie: {error.strerror}; {fix}") from error


def _wrong(place: Path | str, problem: str) -> ConfigError:
    return ConfigError([f"{place}: {problem}"])
