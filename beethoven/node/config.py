"""
Reads `app.toml` into `NodeSettings`, or reports everything that is wrong with it.

It starts and imports nothing; whether the classes of roles can be loaded is checked by
`role_loading`. docs/configuration.md explains the file to its users.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import tomli

from beethoven.cluster.addresses import Address, network_of
from beethoven.cluster.locator_events import HostName
from beethoven.errors import ConfigError
from beethoven.log import LogFormat, LogLevel
from beethoven.node import kinds
from beethoven.node.azure_tables import read_azure
from beethoven.node.networks import read_network
from beethoven.node.overrides import override
from beethoven.node.programs import file_in
from beethoven.node.report import Report
from beethoven.node.role_tables import read_roles
from beethoven.node.seeds import Seed, numeric, seeds
from beethoven.node.settings import LogSettings, NodeSettings
from beethoven.node.tables import TableReader
from beethoven.node.timing_tables import read_timing
from beethoven.node.toml_lines import KeyPath, locate_keys

# What a program gives for itself, by table and key.
Given = Mapping[tuple[str, str], object]

# What messages call a configuration that is no file.
PROGRAM: Final = "start_node"

_LARGEST: Final = 16_000_000
_FORM: Final = "[a-z0-9][a-z0-9._-]*"
_NAME: Final = kinds.matching(_FORM, called="a node name", longest=32)
CLUSTER: Final = kinds.matching(_FORM, called="a cluster name", longest=64)


def read_settings(
    path: Path, environ: Mapping[str, str], given: Given | None = None
) -> NodeSettings:
    """
    Return the settings of a configuration file.

    Args:
        path: The file. In one named `pyproject.toml` the tables are inside `[tool.beethoven]`.
        environ: The variables, for `${NAME}` in strings, for overrides such as BEETHOVEN_NAME,
            and for PATH.
        given: What a program says itself, by (table, key); counts more than the rest.

    Raises:
        ConfigError: The file is missing, cannot be read, or is wrong. Every problem is in it.
    """
    return parse_settings(_read_source(path), path, environ, given)


def parse_settings(
    source: str,
    path: Path,
    environ: Mapping[str, str],
    given: Given | None = None,
) -> NodeSettings:
    """Return the settings of a configuration that was read already, as `read_settings` does."""
    try:
        document = _parse(source, path)
        prefix: KeyPath = ()
        if path.name == "pyproject.toml":
            document, prefix = _tool_table(document, path), ("tool", "beethoven")
        report = Report(str(path), locate_keys(source))
        return _read_document(document, prefix, report, path, environ, given or {})
    except RecursionError as error:
        raise ConfigError([f"{path}: the values are nested too deeply"]) from error


def tables_settings(
    tables: dict[str, Any], path: Path, environ: Mapping[str, str], given: Given
) -> NodeSettings:
    """
    Return the settings of tables that a program has made, as `read_settings` does.

    Args:
        tables: They have the shape of a file.
        path: Stands for the file: its folder is what paths are relative to.
        environ: As for `read_settings`.
        given: As for `read_settings`.
    """
    return _read_document(tables, (), Report(PROGRAM, None), path, environ, given)


def _read_source(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: no such file"]) from error
    except IsADirectoryError as error:
        raise ConfigError([f"{path}: expected a file, got: a folder"]) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError([f"{path}: the file cannot be read: {reason}"]) from error
    if len(content) > _LARGEST:
        raise ConfigError([f"{path}: expected at most {_LARGEST} bytes"])
    try:
        # Some editors start a file with a byte-order mark.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        text = f"{path}:{line}: expected UTF-8, got: the byte 0x{error.object[error.start]:02x}"
        raise ConfigError([text]) from error


def _parse(source: str, path: Path) -> dict[str, Any]:
    try:
        return tomli.loads(source)
    except tomli.TOMLDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise ConfigError([f"{place}: not valid TOML: {error.msg}"]) from error
    except ValueError as error:
        # Python's own refusal, of an integer with thousands of digits for instance.
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from error


def _read_document(
    tables: dict[str, Any],
    prefix: KeyPath,
    report: Report,
    path: Path,
    environ: Mapping[str, str],
    given: Given,
) -> NodeSettings:
    tables, variables = override(tables, environ)
    for (table, key), value in given.items():
        inner = tables.get(table, {})
        # A table that is none is reported when it is read.
        if isinstance(inner, dict):
            tables = {**tables, table: {**inner, key: value}}
            shown = key if table == "beethoven" else f"{table}.{key}"
            variables[table, key] = f"{PROGRAM}: {shown}"
    report.variables = {(*prefix, *key): place for key, place in variables.items()}
    root = TableReader(tables, prefix, report, environ)
    settings = _read_node(root, path)
    report.raise_problems()
    return settings


def _tool_table(document: dict[str, Any], path: Path) -> dict[str, Any]:
    tool = document.get("tool")
    table = tool.get("beethoven") if isinstance(tool, dict) else None
    if not isinstance(table, dict):
        raise ConfigError([f"{path}: expected a table [tool.beethoven]"])
    return table


def _read_node(root: TableReader, path: Path) -> NodeSettings:
    file = path.absolute()
    default = NodeSettings(file)
    table = root.table("beethoven")
    net, mask = read_network(table, default.cluster_net, default.cluster_net_mask)
    port = table.read("listener_port", kinds.integer(1, 65535), default.listener_port)
    places: tuple[Seed, ...] = table.read("seeds", seeds(port), ())
    settings = NodeSettings(
        path=file,
        name=table.read("name", _NAME, default.name),
        cluster=table.read("cluster", CLUSTER, default.cluster),
        cluster_net=net,
        cluster_net_mask=mask,
        listener_port=port,
        bind=table.read("bind", numeric, default.bind),
        seeds=tuple(each for each in places if isinstance(each, Address)),
        seed_names=tuple(each for each in places if isinstance(each, HostName)),
        use_az_net=table.read("use_az_net", kinds.boolean, default.use_az_net),
        cookie_file=table.read("cookie_file", file_in(file.parent), default.cookie_file),
        labels=table.read("labels", kinds.labels, default.labels),
        zone=table.read("zone", kinds.zone, default.zone),
        timing=read_timing(table, root.table("timing")),
        drain_timeout=table.read("drain_timeout", kinds.patience, default.drain_timeout),
        rebalance=table.read("rebalance", kinds.boolean, default.rebalance),
        logging=_read_logging(root.table("logging")),
        azure=read_azure(root.table("azure")),
        roles=read_roles(root.table("roles"), file.parent),
    )
    _note_what_is_not_searched(table, settings)
    table.finish()
    root.finish()
    return replace(settings, notes=root.report.notes)


def _note_what_is_not_searched(table: TableReader, settings: NodeSettings) -> None:
    network = network_of(settings.cluster_net, settings.cluster_net_mask)
    if network.version == 6 and not settings.seeds and not settings.seed_names:
        note = f"{network} is not searched, as no network of IPv6 is, and no seeds are set"
        table.report.note(table.path_of("cluster_net"), note)


def _read_logging(table: TableReader) -> LogSettings:
    default = LogSettings()
    settings = LogSettings(
        level=table.read("level", kinds.one_of(LogLevel), default.level),
        format=table.read("format", kinds.one_of(LogFormat), default.format),
    )
    table.finish()
    return settings
