"""The base of all errors, and those about what was written wrong."""

from typing import Any


def _rebuild(cls: type["BeethovenError"], state: dict[str, Any]) -> "BeethovenError":
    error = cls.__new__(cls)
    error.__dict__.update(state)
    Exception.__init__(error, state["message"])
    return error


class BeethovenError(Exception):
    """The base of every error that Beethoven raises."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__)


class SpecError(BeethovenError):
    """
    A child specification, an option or a setting is wrong.

    The message reads `child 'name': expected <field> to be <rule>, got: <value>`.
    """

    def __init__(self, *, subject: str, field: str, expected: str, got: object) -> None:
        super().__init__(f"{subject}: expected {field} to be {expected}, got: {got!r}")
        self.subject = subject
        self.field = field
        self.expected = expected


class ConfigError(BeethovenError):
    """A configuration file is wrong. `problems` holds every problem found, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class MainNotGuarded(BeethovenError):
    """The main script starts processes while it is imported for one of them; has the fix."""

    def __init__(self) -> None:
        super().__init__(
            "the main script starts a process while it is being imported, because the new process "
            "needs a class that is defined in it. Put the part that starts things under a guard:\n"
            "\n"
            '    if __name__ == "__main__":\n'
            "        with Supervisor.start_link(...) as tree:\n"
            "            tree.wait()"
        )
