"""Nowhere: the process of a role that somebody has made by hand. There is none."""

from typing import Any, Final, NoReturn

from beethoven.errors import SpecError


class _Nowhere:
    """Refuses whatever only a process can do."""

    def __getattr__(self, name: str) -> NoReturn:
        rule = "that of a role which start_link or start has started"
        raise SpecError(subject="role", field="the process", expected=rule, got=None)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        self.__getattr__(name)


NOWHERE: Final[Any] = _Nowhere()
