"""
The settings of a node, as values: what each means, its unit and its default.

How they are read from `app.toml` is in `config`. Durations are seconds.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from beethoven.cloud.settings import AzureSettings
from beethoven.cluster.addresses import Address
from beethoven.cluster.locator_events import HostName
from beethoven.cluster.role_spec import Handover, Reconcile
from beethoven.cluster.timing import DEFAULT, Timing
from beethoven.log import LogFormat, LogLevel
from beethoven.vocabulary import Restart


@dataclass(frozen=True, slots=True)
class LogSettings:
    """
    `[logging]`: what a node writes about itself.

    Attributes:
        level: The lowest level written: debug, info, warning or error.
        format: `text` for people, `json` for programs; one line per record either way.
    """

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.TEXT


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """
    `[roles.NAME]`: one piece of work. It has either a `module` or a `command`.

    Attributes:
        name: Unique in the cluster: a small letter, then small letters, digits, `_` and `-`; at
            most 64 characters, and not starting with "beethoven".
        module: The class that runs, as `package.module:Class`. The folder of the configuration
            file is searched first.
        command: The program that runs and its arguments. The program is an absolute path or a
            name found on PATH.
        args: What `init` of the class gets, any TOML value. An empty table by default.
        instances: Wanted across the cluster, >= 1; a node runs at most one.
        restart: When an instance that ended is started again on its node.
        shutdown: How long an instance may take to stop before it is killed, in seconds >= 0;
            "brutal_kill" kills it at once, "infinity" waits for ever. A command is sent
            `stop_signal` first.
        max_restarts: Restarts allowed within `max_seconds`, >= 0; one more is a failure of the
            role on this node.
        max_seconds: The window in which restarts are counted, in seconds > 0.
        start_timeout: How long an instance may take to start, in seconds > 0.
        environment: Variables that an instance gets besides those of the node.
        working_directory: Where an instance runs, absolute; `None` is where the node runs. The
            file may say it relative to its own folder.
        stop_signal: What asks a command to stop.
        requires: Labels that a node must have to run the role.
        prefers: Labels that a node should have to run the role; the more, the better.
        handover: What comes first when an instance moves to another node.
        reconcile: Which instances stay when more run than are wanted.
        version: Which of two configurations of the role is newer, >= 0.
        place: Where the file defines what runs, such as `app.toml:12: roles.test.module`, for
            messages about it. Not part of equality.
        folder: The folder of the file, absolute. Not part of equality.
    """

    name: str
    module: str | None = None
    command: tuple[str, ...] | None = None
    args: object = field(default_factory=dict)
    instances: int = 1
    restart: Restart = Restart.PERMANENT
    shutdown: float | str = 5.0
    max_restarts: int = 3
    max_seconds: float = 5.0
    start_timeout: float = 30.0
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    requires: frozenset[str] = frozenset()
    prefers: frozenset[str] = frozenset()
    handover: Handover = Handover.STOP_FIRST
    reconcile: Reconcile = Reconcile.KEEP_OLDEST
    version: int = 0
    place: str = field(default="", compare=False)
    folder: Path = field(default=Path("/"), compare=False)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """
    Everything that one configuration file says.

    Attributes:
        path: The file, absolute.
        name: The node's name, unique in the cluster: at most 32 small letters, digits, `-`, `_` and
            `.`, and the first is a letter or a digit. `None` leaves it to `addresses.node_name`.
        cluster: The name of the cluster: nodes of other clusters are left alone.
        cluster_net: The first address of the network that is searched for other nodes.
        cluster_net_mask: How many leading bits the addresses of that network share: 0 to 32 for
            IPv4, 0 to 128 for IPv6. The default net has 2 ** (32 - 29) = 8 addresses.
        listener_port: The TCP port that every node of the cluster listens on, 1 to 65535.
        bind: The numeric address to listen on; `None` chooses one inside the network.
        seeds: Where other nodes may be, inside the network or not.
        seed_names: Names that stand for such addresses.
        use_az_net: Whether Azure's metadata service says where the node stands: its network, its
            address, its labels and its zone.
        cookie_file: The file with the cluster's secret, absolute; `None` if none was named.
        labels: What roles may require of the node, or prefer.
        zone: Where the node stands; empty is unknown.
        timing: Every timer of the cluster.
        drain_timeout: How long a stopping node waits for others to take over its roles, in
            seconds >= 0.
        rebalance: Whether running instances are moved to nodes that are less busy.
        logging: What the node writes about itself.
        azure: How Azure's metadata service is used, if it is.
        roles: The roles, in the order of the file.
        notes: What was read in another way than written, one line each, for the log.
    """

    path: Path
    name: str | None = None
    cluster: str = "beethoven"
    cluster_net: str = "127.0.0.0"
    cluster_net_mask: int = 29
    listener_port: int = 33000
    bind: str | None = None
    seeds: tuple[Address, ...] = ()
    seed_names: tuple[HostName, ...] = ()
    use_az_net: bool = False
    cookie_file: Path | None = None
    labels: frozenset[str] = frozenset()
    zone: str = ""
    timing: Timing = DEFAULT
    drain_timeout: float = 8.0
    rebalance: bool = True
    logging: LogSettings = field(default_factory=LogSettings)
    azure: AzureSettings = field(default_factory=AzureSettings)
    roles: tuple[RoleSettings, ...] = ()
    notes: tuple[str, ...] = ()
