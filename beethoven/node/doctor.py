"""
The doctor: looks at everything that a node needs, and says what it found and what to do about it.

It starts no node, searches no network and leaves nothing behind. What is slow is bounded: names by
`_NAMES_WITHIN`, the metadata service by `_METADATA_WITHIN`, a running node by `_REPORT_WITHIN`.
"""

import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from beethoven.clock import utc
from beethoven.cloud.site import UNTOLD, Site
from beethoven.cluster.addresses import Network, network_of
from beethoven.cluster.locator import hosts_of
from beethoven.errors import ConfigError, NodeError, NodeNotFound, ProcessError
from beethoven.node.addresses import locator_settings, machine_addresses, networks
from beethoven.node.azure_words import failures, report_line
from beethoven.node.checking import loading_problems
from beethoven.node.config import PROGRAM, read_settings
from beethoven.node.control import NodeClient
from beethoven.node.findings import Finding, Level, ok, problem, warning
from beethoven.node.metadata_check import Glance, ask_azure, metadata_findings
from beethoven.node.place_checks import bind_finding, net_finding, seeds_finding
from beethoven.node.presence import Presence, find_node, running_nodes
from beethoven.node.secret_check import cookie_finding
from beethoven.node.settings import NodeSettings
from beethoven.runtime import kernel

_NAMES_WITHIN: Final = 2.0
_METADATA_WITHIN: Final = 3.0
_REPORT_WITHIN: Final = 1.0
# With fewer a search asks fewer addresses at a time than it might.
_FEW_DESCRIPTORS: Final = 1024

Metadata = Callable[[NodeSettings, float], Glance]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """
    Everything that was found.

    Attributes:
        file: The configuration that was looked at.
        findings: One for each check, or more.
        azure: What the nodes that run from the file were told by Azure, by name.
    """

    file: str
    findings: tuple[Finding, ...]
    azure: Mapping[str, Any]

    @property
    def problems(self) -> list[Finding]:
        """Those for which a node does not start, or does not what its file says."""
        return [each for each in self.findings if each.level is Level.PROBLEM]


def diagnose(
    file: str | None,
    node: str | None,
    environ: Mapping[str, str],
    *,
    metadata: Metadata = ask_azure,
) -> Diagnosis:
    """
    Return what there is to say of a configuration, of this machine, and of what runs here.

    Args:
        file: The configuration; None is that of the running node, with the environment of that.
        node: Which running node is meant; None is the only one, or all that run from the file.
        environ: The variables of the environment, for a configuration that is named.
        metadata: Asks the metadata service; only if the configuration says so.

    Raises:
        NodeNotFound: No file is named, and there is no such node, or several and none was named.
        NodeError: No file is named, and the runtime folder cannot be used.
    """
    if file is None:
        file, environ = _given(node)
    elif node is not None:
        find_node(node)
    path = Path(file)
    nodes, unreadable = _nodes()
    running = [each for each in nodes if _is_from(each, path) and node in {None, each.name}]
    try:
        settings = _settings(path, environ)
    except ConfigError as error:
        findings = [_wrong(text) for text in error.problems]
    else:
        findings = [_file(path, settings), *_roles(path, settings)]
        findings += _machine(settings, nodes, running, environ, metadata)
    findings += unreadable or _running(path, nodes, running)
    azure = _azure(running)
    findings += [_told(name, report) for name, report in azure.items()]
    return Diagnosis(str(path), (*findings, _limits()), azure)


def _given(node: str | None) -> tuple[str, Mapping[str, str]]:
    """Return what a running node was given: its configuration, and its environment."""
    try:
        found = find_node(node)
    except NodeNotFound as error:
        raise NodeNotFound(f"{error}; or name a configuration: beethoven doctor FILE") from None
    if Path(found.config).name == PROGRAM:
        raise NodeError(f"node {found.name!r} was configured by a program, not by a file")
    try:
        return found.config, psutil.Process(found.pid).environ()
    except psutil.Error:
        raise NodeNotFound(f"node {found.name!r} does not run any more") from None


def _nodes() -> tuple[list[Presence], list[Finding]]:
    """Return the nodes that run here, and what keeps them from being found."""
    try:
        return running_nodes(), []
    except (NodeError, OSError) as error:
        fix = "make it a folder of this user with mode 0700, or set BEETHOVEN_RUNTIME_DIR"
        return [], [problem("node", str(error), fix)]


def _settings(path: Path, environ: Mapping[str, str]) -> NodeSettings:
    """
    Return the settings of a file.

    Raises:
        ConfigError: It is wrong, or is no file that can be read without waiting for somebody.
    """
    with suppress(OSError, ValueError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            fix = "write it to a file: who reads a pipe may wait for ever"
            raise ConfigError([f"{path}: expected a regular file\n{fix}"])
    return read_settings(path, environ)


def _is_from(node: Presence, path: Path) -> bool:
    """Whether a node runs from a file, however that is written."""
    try:
        return path.samefile(node.config)
    except OSError:
        return Path(node.config) == path.absolute()


def _wrong(text: str) -> Finding:
    """Return the finding of a problem of a configuration, whose further lines say what to do."""
    first, _, rest = text.partition("\n")
    return problem("file", first, rest or "see docs/configuration.md")


def _file(path: Path, settings: NodeSettings) -> Finding:
    if settings.notes:
        return warning("file", "; ".join(settings.notes), "write what is meant", file=str(path))
    return ok("file", f"{path} is valid", file=str(path))


def _roles(path: Path, settings: NodeSettings) -> list[Finding]:
    """Import the roles, as `check` does, but without writing what Python compiles of them."""
    names = [each.name for each in settings.roles]
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        problems = loading_problems(settings)
    finally:
        sys.dont_write_bytecode = before
    if problems:
        fix = f"beethoven check {path} says all of it"
        return [problem("roles", text.partition("\n")[0], fix) for text in problems]
    return [ok("roles", f"{len(names)} can be loaded" if names else "none", roles=names)]


def _machine(
    settings: NodeSettings,
    nodes: Sequence[Presence],
    running: Sequence[Presence],
    environ: Mapping[str, str],
    metadata: Metadata,
) -> list[Finding]:
    """Return what there is to say of this machine, for a node with these settings."""
    glance = metadata(settings, _METADATA_WITHIN) if settings.use_az_net else None
    site = UNTOLD if glance is None or glance.site is None else glance.site
    search = locator_settings(settings, site)
    return [
        *metadata_findings(settings, glance),
        net_finding(search, machine_addresses()),
        bind_finding(settings, site, nodes, running),
        seeds_finding(settings, hosts_of, _NAMES_WITHIN),
        cookie_finding(settings, _reach(settings, site), environ),
    ]


def _reach(settings: NodeSettings, site: Site) -> list[Network]:
    """Return where a node may be heard, or told to be."""
    hosts = [] if settings.bind is None else [settings.bind]
    hosts += site.addresses
    if settings.use_az_net:
        # What a service beyond this machine says leads to a network beyond it.
        hosts.append(settings.azure.endpoint.host)
    return [*networks(settings, site), *map(network_of, hosts)]


def _running(path: Path, nodes: Sequence[Presence], running: Sequence[Presence]) -> list[Finding]:
    """Return which nodes run from the file, and whether they know what is in it."""
    if not running:
        others = ", ".join(each.name for each in nodes)
        rest = f"; others run here: {others}" if others else ""
        return [ok("node", f"none runs from this file{rest}")]
    changed = path.stat().st_mtime if path.exists() else 0.0
    found = []
    for each in running:
        text = f"{each.name} runs from this file since {utc(each.since)}, pid {each.pid}"
        facts = {"name": each.name, "pid": each.pid, "address": each.address}
        if changed > each.since:
            text, fix = f"{text}; the file was changed after that", "restart the node to apply it"
            found.append(warning("node", text, fix, **facts))
        else:
            found.append(ok("node", text, **facts))
    return found


def _azure(running: Sequence[Presence]) -> dict[str, Any]:
    """Return what nodes have been told by Azure, by name, of those that ask it."""
    told = {}
    for each in running:
        # One may just be ending.
        with suppress(ProcessError):
            told[each.name] = NodeClient(each).azure(_REPORT_WITHIN)
    return {name: report for name, report in told.items() if report is not None}


def _told(name: str, report: Mapping[str, Any]) -> Finding:
    text = f"{name}: {report_line(report)}"
    if failures(report):
        return warning("azure", text, "see its log")
    return ok("azure", text, node=name)


def _limits() -> Finding:
    count = kernel.most_descriptors()
    text = f"{count} open files for each process"
    if count < _FEW_DESCRIPTORS:
        fix = "raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)"
        return warning("limits", f"{text}: searches are slower", fix, descriptors=count)
    return ok("limits", text, descriptors=count)
