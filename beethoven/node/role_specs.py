"""What the cluster is told of a role of the configuration."""

import signal
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import date, time
from hashlib import blake2b
from pathlib import Path
from typing import Final

from beethoven.cluster.role_spec import RoleSpec
from beethoven.node.settings import RoleSettings

# What a start may take besides `init`: the way to the node, the fork and the imports.
_BESIDES_INIT: Final = 5.0

_DIGEST_SIZE: Final = 8
_DEFAULT: Final = RoleSettings("")


def role_spec(role: RoleSettings) -> RoleSpec:
    """Return what the cluster needs to know of a role."""
    return RoleSpec(
        role.name,
        instances=role.instances,
        requires=role.requires,
        prefers=role.prefers,
        digest=digest(role),
        version=role.version,
        handover=role.handover,
        reconcile=role.reconcile,
        start_within=role.start_timeout + _BESIDES_INIT,
    )


def digest(role: RoleSettings) -> str:
    """
    Return 16 hexadecimal digits that tell two configurations of a role apart.

    They are the same on every machine, in every process and whichever way a value is written.
    The version does not count, nor does where the file stands: a path inside its folder counts as
    one relative to it. A setting that has its default counts as missing, so that a release which
    adds one agrees with those before.
    """
    state = blake2b(digest_size=_DIGEST_SIZE)
    for field in fields(role):
        value = getattr(role, field.name)
        if field.compare and field.name != "version" and value != getattr(_DEFAULT, field.name):
            for word in _words([field.name, _portable(value, field.name, role.folder)]):
                state.update(word.encode("ascii") + b"\n")
    return state.hexdigest()


def _portable(value: object, name: str, folder: Path) -> object:
    """Return a setting without the folder of its file."""
    match name, value:
        case "working_directory", Path():
            return _inside(value, folder)
        case "command", (str() as program, *arguments) if "/" in program:
            return [_inside(Path(program), folder), *arguments]
    return value


def _inside(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _words(value: object) -> Iterator[str]:
    """
    Yield a value as lines of ASCII, which no other value has.

    Not recursive: what a file nests deeply must not end the program.
    """
    rest = [value]
    while rest:
        match rest.pop():
            case Mapping() as table:
                yield f"table {len(table)}"
                rest += [part for key in sorted(table, reverse=True) for part in (table[key], key)]
            case list() | tuple() as parts:
                yield f"list {len(parts)}"
                rest += reversed(parts)
            case frozenset() as parts:
                rest.append(sorted(parts))
            case str() as text:
                # `repr` shows what this release of Python can print; `ascii` never changes.
                yield f"text {str(text)!a}"
            case bool() | None as constant:
                yield f"constant {constant}"
            case signal.Signals() as number:
                yield f"signal {number.name}"
            case int() as number:
                yield f"integer {number:x}"
            case float() as number:
                yield f"float {number.hex()}"
            case date() | time() as moment:
                yield f"{type(moment).__name__} {moment.isoformat()}"
            case other:
                raise TypeError(f"expected a value of TOML, got: {type(other).__name__}")
