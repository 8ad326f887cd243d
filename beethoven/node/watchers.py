"""
Watchers: the processes of a node that want to be told when other nodes come and go.

A file in the tree's private folder stands for each; it is empty until the process has been told of
the nodes that were there before it. Another one holds the nodes that all were told of. So a core
server may die: its successor knows whom to tell, and what they know.
"""

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from beethoven.cluster.member import Cause, Member
from beethoven.cluster.membership_events import NodeDown, NodeLeft, NodeUp
from beethoven.log import get_log
from beethoven.node.component_names import CORE_SERVER
from beethoven.runtime.folder import write_whole
from beethoven.runtime.reference import Ref, cast_or_drop, send_or_drop

_PREFIX: Final = "watcher-"
_TOLD: Final = "members-told"

News = NodeUp | NodeDown | NodeLeft

log = get_log("core_server")


def register(folder: str, identity: str) -> None:
    """Have a process told, first of the nodes that are there."""
    Path(folder, f"{_PREFIX}{identity}").touch(0o600)
    cast_or_drop(CORE_SERVER, ("watching",))


def unregister(folder: str, identity: str) -> None:
    """Have a process told no more."""
    Path(folder, f"{_PREFIX}{identity}").unlink(missing_ok=True)


class Watchers:
    """
    Tells the watchers of one node.

    Args:
        folder: The private folder of the tree.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._told = self._read()

    @property
    def nodes(self) -> tuple[Member, ...]:
        """The nodes that the watchers know to be there."""
        return tuple(self._told.values())

    def tell(self, news: News) -> None:
        """Tell what is new to them: that a node is up is not, if they think so already."""
        member = news.member
        is_up = isinstance(news, NodeUp)
        if is_up == (member.node_id in self._told):
            if is_up:
                self.change(member)
            return
        self.greet()
        if is_up:
            self._told[member.node_id] = member
        else:
            del self._told[member.node_id]
        self._write()
        for path in self._paths():
            send_or_drop(self._ref(path), news)

    def change(self, member: Member) -> None:
        """Note that a node says something else of itself; nobody is told."""
        if self._told.get(member.node_id, member) != member:
            self._told[member.node_id] = member
            self._write()

    def greet(self) -> None:
        """Tell those that are new of the nodes that are there."""
        for path in self._paths():
            try:
                if path.stat().st_size:
                    continue
                with path.open("r+", encoding="utf-8") as file:
                    file.write("greeted")
            except FileNotFoundError:
                continue  # it wants to be told no more
            except OSError as error:
                log.warning("watchers_unwritable", problem=error.strerror)
            for member in self._told.values():
                send_or_drop(self._ref(path), NodeUp(member))

    def catch_up(self, present: set[str]) -> None:
        """Tell of the nodes that went while nobody looked."""
        for node_id in [each for each in self._told if each not in present]:
            self.tell(NodeDown(self._told[node_id], Cause.SILENT))

    def _paths(self) -> Iterator[Path]:
        """Return the files of those that live, and remove the others."""
        for path in sorted(Path(self._folder).glob(f"{_PREFIX}*")):
            if self._ref(path).is_alive():
                yield path
            else:
                path.unlink(missing_ok=True)

    def _ref(self, path: Path) -> Ref:
        return Ref(path.name.removeprefix(_PREFIX), self._folder)

    def _read(self) -> dict[str, Member]:
        with contextlib.suppress(OSError, pickle.UnpicklingError, EOFError):
            told: dict[str, Member] = pickle.loads(Path(self._folder, _TOLD).read_bytes())
            return told
        return {}

    def _write(self) -> None:
        try:
            write_whole(Path(self._folder, _TOLD), pickle.dumps(self._told, 5))
        except OSError as error:
            log.warning("watchers_unwritable", problem=error.strerror)
