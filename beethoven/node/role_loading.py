"""
Finds the class of a role, or says why it cannot be found.

The caller has put the folder of the configuration file on `sys.path`.
"""

import importlib
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from types import ModuleType
from typing import Final

from beethoven.errors import ConfigError
from beethoven.node.settings import RoleSettings

# Frames of the machinery of imports, which a reader need not see.
_MACHINERY: Final = (__file__, "<frozen ", importlib.__file__)


def load_role(module: str, base: type) -> type:
    """
    Return the class that `package.module:Class` names.

    Args:
        module: The name of the module, a colon, and the name of the class inside it.
        base: What the class has to be a subclass of.

    Raises:
        ConfigError: The module cannot be imported, or has no such class. The one problem in it
            says which of the two; the error of the module's own code is its cause.
    """
    module_name, _, class_name = module.partition(":")
    if module_name == "__main__":
        # Every process has another one.
        rule = f"the file that has the class, as in 'app:{class_name}' for app.py"
        raise ConfigError([f"expected the module to be {rule}, got: {module!r}"])
    found = _find(_import(module_name), class_name)
    if not isinstance(found, type):
        raise ConfigError([f"expected {module!r} to be a class, got: {type(found).__name__}"])
    if not issubclass(found, base):
        wanted = f"{base.__module__}.{base.__qualname__}"
        got = " and ".join(parent.__qualname__ for parent in found.__bases__)
        raise ConfigError(
            [f"expected {module!r} to be a subclass of {wanted}, got: a subclass of {got}"]
        )
    return found


def role_problems(roles: Iterable[RoleSettings], base: type) -> list[str]:
    """Return what is wrong with the classes of roles, each problem with its place in the file."""
    problems = []
    for role in roles:
        if role.module is not None:
            try:
                load_role(role.module, base)
            except ConfigError as error:
                problems += [f"{role.place}: {problem}" for problem in error.problems]
    return problems


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError([f"no module named {error.name!r}"]) from error
        raise ConfigError([_failed_import(name, error)]) from error
    except (Exception, SystemExit) as error:
        # A script that is not guarded by `__main__` may well end by SystemExit.
        raise ConfigError([_failed_import(name, error)]) from error


def _failed_import(name: str, error: BaseException) -> str:
    """Return what went wrong in the module's own code, with the way there."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_MACHINERY)
    ]
    # The indented lines of a syntax error are its place; the rest repeats the summary.
    place = [line for line in traceback.format_exception_only(error) if line.startswith(" ")]
    way = "".join([*traceback.format_list(frames), *place]).splitlines()
    summary = " ".join(f"{type(error).__name__}: {error}".splitlines())
    return "\n".join([f"the module {name!r} could not be imported: {summary}", *way])


def _find(module: ModuleType, name: str) -> object:
    found: object = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            text = f"the module {module.__name__!r} has no class {name!r}{_nearest(found, part)}"
            raise ConfigError([text]) from error
        except Exception as error:
            # A module may import lazily what it exports, and that may fail.
            raise ConfigError([_failed_import(module.__name__, error)]) from error
    return found


def _nearest(holder: object, name: str) -> str:
    members = getattr(holder, "__dict__", {})
    classes = [key for key, value in members.items() if isinstance(value, type)]
    nearest = get_close_matches(name, classes, n=1)
    return f", did you mean {nearest[0]!r}?" if nearest else ""
