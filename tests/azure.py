"""Asking the mock of Azure's metadata by real HTTP."""

import functools
import http.client
import json
from collections.abc import Mapping
from typing import Any

from beethoven.testing import AzureFabric, AzureMetadata, ManualClock

VERSION = "api-version=2021-02-01"
INSTANCE = f"/metadata/instance?{VERSION}"
EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
NEWEST_EVENTS = "/metadata/scheduledevents?api-version=2024-07-09"
PATIENCE = 10.0
WALL = 1_800_000_000.0

ASKED_RIGHTLY = {"Metadata": "true"}


def location(metadata: AzureMetadata) -> tuple[str, int]:
    host, _, port = metadata.endpoint.removeprefix("http://").rpartition(":")
    return host.strip("[]"), int(port)


def ask(
    metadata: AzureMetadata,
    target: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] = ASKED_RIGHTLY,
) -> tuple[int, bytes]:
    """Return status and body of one answer."""
    connection = http.client.HTTPConnection(*location(metadata), timeout=PATIENCE)
    try:
        connection.request(method, target, body=body, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def read(metadata: AzureMetadata, target: str) -> Any:
    """Return the JSON of an answer, which has to be right."""
    status, body = ask(metadata, target)
    assert status == 200, (status, body)
    return json.loads(body)


def events(metadata: AzureMetadata, target: str = EVENTS) -> list[dict[str, Any]]:
    listed = read(metadata, target)["Events"]
    assert isinstance(listed, list)
    return listed


def approve(metadata: AzureMetadata, *event_ids: str) -> int:
    """Return the status of an acknowledgement."""
    body = json.dumps({"StartRequests": [{"EventId": each} for each in event_ids]}).encode()
    return ask(metadata, EVENTS, method="POST", body=body)[0]


class World:
    """Two machines that see each other's events; time stands still until it is advanced."""

    def __init__(self) -> None:
        self.clock = ManualClock(WALL)
        self.fabric = AzureFabric(clock=self.clock)
        self.mine = AzureMetadata("127.0.0.2", name="web_3", fabric=self.fabric)
        self.other = AzureMetadata("127.0.0.3", name="web_4", fabric=self.fabric)
        self.log: list[tuple[str, str]] = []
        for each in (self.mine, self.other):
            each.machine.on_evicted = functools.partial(self.log.append, ("evicted", each.name))
            each.machine.on_returned = functools.partial(self.log.append, ("returned", each.name))

    def shown(self, kind: str | None = None) -> tuple[list[str], int]:
        """Return the status of the events of a kind, and the incarnation."""
        document = read(self.mine, NEWEST_EVENTS)
        found = [each for each in document["Events"] if kind in {None, each["EventType"]}]
        return [each["EventStatus"] for each in found], document["DocumentIncarnation"]
