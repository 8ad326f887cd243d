"""The peers: what each is called, what it needs, and what one of its actors is."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One peer.

    Attributes:
        key: Its module, and its name on the command line.
        title: Its name in the tables.
        actor: What one of its servers is.
        requirement: What pip installs for it; empty for nothing.
        program: The program that must be there; empty for none.
        package: Debian's package of that program.
        needs_isolation: Whether it listens at all addresses of the machine, so that it only runs
            in a network of its own.
    """

    key: str
    title: str
    actor: str
    requirement: str = ""
    program: str = ""
    package: str = ""
    needs_isolation: bool = False


PEERS: Final = (
    Entry("beethoven", "Beethoven", "process"),
    Entry("pipe", "`multiprocessing.Pipe`", "process"),
    Entry("managers", "`multiprocessing.managers`", "object in a server process"),
    Entry("rpyc", "RPyC", "object in a server process", "rpyc~=6.0"),
    Entry("xoscar", "xoscar", "object in a process of a pool", "xoscar~=0.12"),
    Entry("pykka", "Pykka", "thread", "pykka~=4.0"),
    Entry("thespian", "Thespian", "process", "thespian~=4.0", needs_isolation=True),
    Entry("ray", "Ray", "process", "ray~=2.40", needs_isolation=True),
    Entry("dask", "Dask actors", "object in a worker process", "distributed>=2025.1"),
    Entry("erlang", "Erlang/OTP, one VM", "Erlang process", "", "erl", "erlang-base"),
    Entry("erlang_nodes", "Erlang/OTP, two VMs", "Erlang process", "", "erl", "erlang-base"),
)

SMOKE: Final = ("beethoven", "pipe", "managers")
