"""
Sealing: specifications that supervisors pass on unread, so that they run no user code.

What is sealed is the role's class and its args. Only the process that becomes the role opens them:
a module that is slow to import, or that ends the process which imports it, is no supervisor's
problem.
"""

import pickle
from dataclasses import dataclass, replace
from typing import Any

from beethoven.runtime import birth, start
from beethoven.supervision.checks import refuse
from beethoven.supervision.child_spec import ChildSpec


@dataclass(frozen=True, slots=True)
class Sealed:
    """
    A role and its args, closed.

    Attributes:
        label: What to call a process that has no name: the class, or what runs in it.
        start_method: How the role wants to be started.
        role: The class, pickled.
        args: The args, pickled; empty where they have been forgotten.
    """

    label: str
    start_method: str
    role: bytes
    args: bytes

    def open(self) -> tuple[type, Any]:
        """Return the class and the args. Imports the role's module."""
        return pickle.loads(self.role), pickle.loads(self.args) if self.args else None


class SealedRole:
    """Stands for the role that is sealed in its args."""

    @classmethod
    def without_args(cls, sealed: Sealed) -> Sealed:
        """Return what is left of it when the args of the role are forgotten."""
        return replace(sealed, args=b"")

    @classmethod
    def resolve(cls, sealed: Sealed) -> tuple[type, Any]:
        """Return the class to run in this process, and the args of its `init`."""
        role, args = sealed.open()
        resolve = getattr(role, "resolve", None)
        return (role, args) if resolve is None else resolve(args)


def seal(spec: ChildSpec) -> ChildSpec:
    """
    Return the specification with its role and args sealed.

    Raises:
        SpecError: The role cannot be imported by another process, or the args cannot be pickled,
            or are none that a supervisor of that class is started with.
    """
    if spec.role is SealedRole:
        return spec
    subject = f"child {spec.id!r}"
    birth.check_importable(spec.role, subject)
    are_args = getattr(spec.role, "are_args", None)
    if are_args is not None and not are_args(spec.args):
        name = spec.role.__name__
        refuse(subject, "args", f"those of {name}.child_spec(...): use that", got=spec.args)
    try:
        role, args = pickle.dumps(spec.role, 5), pickle.dumps(spec.args, 5)
    except Exception as error:
        rule = f"a value that can be pickled ({type(error).__name__}: {error})"
        refuse(subject, "args", rule, got=spec.args)
    sealed = Sealed(label_of(spec), start_method_of(spec), role, args)
    return replace(spec, role=SealedRole, args=sealed)


def unseal(spec: ChildSpec) -> ChildSpec:
    """Return the specification as it was written. Imports the role's module."""
    if spec.role is not SealedRole:
        return spec
    role, args = spec.args.open()
    return replace(spec, role=role, args=args)


def label_of(spec: ChildSpec) -> str:
    """Return what to call a process that has no name."""
    if spec.role is SealedRole:
        return str(spec.args.label)
    # What runs whatever its args are is called after those.
    title_of = getattr(spec.role, "title_of", None)
    return spec.role.__qualname__ if title_of is None else str(title_of(spec.args))


def start_method_of(spec: ChildSpec) -> str:
    """Return how the role wants to be started."""
    if spec.role is SealedRole:
        return str(spec.args.start_method)
    return getattr(spec.role, "start_method", start.METHODS[0])
