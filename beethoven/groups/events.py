"""What a scope of groups hears (events) and what it has done (effects)."""

from dataclasses import dataclass

from beethoven.cluster.member import Member
from beethoven.groups.messages import GroupsMessage
from beethoven.runtime.reference import Ref

# What processes of this node want is numbered by whoever wants it, so that it can be asked for
# again when the scope has died meanwhile, and is done once.


@dataclass(frozen=True, slots=True)
class Join:
    """A process joins a group."""

    number: str
    group: str
    ref: Ref


@dataclass(frozen=True, slots=True)
class Leave:
    """A process leaves a group, once."""

    number: str
    group: str
    ref: Ref


@dataclass(frozen=True, slots=True)
class Watch:
    """A process wants to be told who is in a group, whenever that changes."""

    number: str
    group: str
    ref: Ref


@dataclass(frozen=True, slots=True)
class Unwatch:
    """A process wants to be told no more."""

    number: str
    group: str
    ref: Ref


Wish = Join | Leave | Watch | Unwatch


@dataclass(frozen=True, slots=True)
class Ended:
    """A process of this node has ended."""

    identity: str


@dataclass(frozen=True, slots=True)
class NodesTold:
    """The core server says which other nodes are there."""

    nodes: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class NodeLinked:
    """A link to another node has opened; what was sent before may be lost."""

    node_id: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A message came from the scope of another node."""

    node_id: str
    message: GroupsMessage


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The scope was started some time ago: who has not told it anything is not waited for."""


Event = Wish | Ended | NodesTold | NodeLinked | Heard | Ticked | Settled


@dataclass(frozen=True, slots=True)
class Record:
    """Keep a wish for a successor."""

    wish: Wish


@dataclass(frozen=True, slots=True)
class Monitor:
    """Say when a process of this node ends."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Demonitor:
    """It need not be said any more."""

    identity: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to the scope of another node."""

    node_id: str
    message: GroupsMessage


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send a message to the scopes of all other nodes."""

    message: GroupsMessage


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell a process who is in a group now."""

    ref: Ref
    group: str


@dataclass(frozen=True, slots=True)
class AskForNodes:
    """Have the core server say which other nodes are there."""


Effect = Record | Monitor | Demonitor | Send | Broadcast | Tell | AskForNodes
