"""What a metadata service answers when nothing goes wrong. Decisions only."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from beethoven.testing.arguments import expect, expect_texts
from beethoven.testing.azure_document import Document, part_of, text_of
from beethoven.testing.azure_requests import HttpAnswer, RecordedRequest

INSTANCE: Final = "/metadata/instance"
EVENTS: Final = "/metadata/scheduledevents"
VERSIONS: Final = "/metadata/versions"
INSTANCE_VERSIONS: Final = (
    "2017-04-02",
    "2017-08-01",
    "2017-12-01",
    "2018-02-01",
    "2018-10-01",
    "2019-06-01",
    "2019-11-01",
    "2020-06-01",
    "2020-09-01",
    "2021-02-01",
    "2021-12-13",
    "2023-07-01",
    "2023-11-15",
    "2024-03-15",
    "2024-07-17",
    "2025-04-07",
)
_NEWEST: Final = 3
_LONGEST_ID: Final = 128


@dataclass(frozen=True, slots=True)
class Service:
    """
    What answers are made of.

    Attributes:
        versions: Those of the instance's document, oldest first.
        event_versions: Those of the scheduled events, oldest first.
        unknown_event_version: Status for any other version of the scheduled events, 404 or 400.
        instance: Returns the document of the instance.
        events: Returns that of the scheduled events, in a version.
        approve: Lets events begin; returns whether their ids are known.

    Raises:
        ValueError: The versions are no texts, or the status is another.
    """

    versions: Sequence[str]
    event_versions: Sequence[str]
    unknown_event_version: int
    instance: Callable[[], Document]
    events: Callable[[str], dict[str, object]]
    approve: Callable[[tuple[str, ...]], bool]

    def __post_init__(self) -> None:
        expect_texts("versions", self.versions)
        expect_texts("event_versions", self.event_versions)
        is_status = self.unknown_event_version in {400, 404}
        expect("unknown_event_version", "404 or 400", self.unknown_event_version, holds=is_status)


def answer(request: RecordedRequest, service: Service) -> HttpAnswer:
    """Return the right answer to a request, whatever is wrong with that."""
    if refused := _refusal_by_headers(request):
        return refused
    path = request.path
    if path == VERSIONS:
        return _only_get(request) or _json(200, {"apiVersions": list(service.versions)})
    if path == EVENTS:
        return _events_answer(request, service)
    if path == INSTANCE or path.startswith(f"{INSTANCE}/"):
        return _instance_answer(request, service)
    return _error(404, "Not found")


def is_for_events(request: RecordedRequest) -> bool:
    """Return whether a request would switch the scheduled events on."""
    return request.path == EVENTS and _refusal_by_headers(request) is None


def _refusal_by_headers(request: RecordedRequest) -> HttpAnswer | None:
    if not request.target.startswith("/"):
        return _error(400, "Bad request. Proxies are not supported")
    if request.headers.get("metadata", "").casefold() != "true":
        return _error(400, "Bad request. Required metadata header not specified")
    if "x-forwarded-for" in request.headers:
        return _error(400, "Bad request. X-Forwarded-For is not supported")
    names = [name.casefold() for name, _ in request.query]
    if len(set(names)) < len(names):
        return _error(400, "Bad request. Duplicate query parameters")
    return None


def _only_get(request: RecordedRequest) -> HttpAnswer | None:
    return None if request.method == "GET" else _wrong_method("GET")


def _wrong_method(allowed: str) -> HttpAnswer:
    refused = _error(405, "Method not allowed")
    return HttpAnswer(405, refused.body, {"Allow": allowed})


def _parameter(request: RecordedRequest, name: str) -> str:
    return next((value for key, value in request.query if key.casefold() == name), "")


def _version_missing(versions: Sequence[str]) -> HttpAnswer:
    text = "Bad request. api-version is invalid or was not specified in the request"
    newest = list(reversed(versions[-_NEWEST:]))
    return _json(400, {"error": text, "newest-versions": newest})


def _instance_answer(request: RecordedRequest, service: Service) -> HttpAnswer:
    if refused := _only_get(request):
        return refused
    if _parameter(request, "api-version") not in service.versions:
        return _version_missing(service.versions)
    form = _parameter(request, "format").casefold() or "json"
    try:
        part = part_of(service.instance(), request.path[len(INSTANCE) + 1 :])
    except KeyError:
        return _error(404, "Not found")
    if form == "text":
        return HttpAnswer(200, text_of(part).encode(), {"Content-Type": "text/plain"})
    if form != "json" or isinstance(part, str):
        return _error(400, "Bad request. The format is invalid; leaves have format=text")
    return _json(200, part)


def _events_answer(request: RecordedRequest, service: Service) -> HttpAnswer:
    if request.method not in {"GET", "POST"}:
        return _wrong_method("GET, POST")
    version = _parameter(request, "api-version")
    if not version:
        return _version_missing(service.event_versions)
    if version not in service.event_versions:
        if service.unknown_event_version == 404:
            return _error(404, "Not found")
        return _version_missing(service.event_versions)
    if request.method == "GET":
        return _json(200, service.events(version))
    event_ids = _start_requests(request.body)
    if event_ids and service.approve(event_ids):
        return HttpAnswer(200)
    return _error(400, "Bad request. The payload is malformed or names no event")


def _start_requests(body: bytes) -> tuple[str, ...]:
    """Return the ids of the events that are approved; empty if the body is malformed."""
    try:
        match json.loads(body):
            case {"StartRequests": [*requests]}:
                ids = [each["EventId"] for each in requests if isinstance(each, dict)]
            case _:
                return ()
    except (ValueError, KeyError, RecursionError):
        return ()
    if len(ids) < len(requests) or not all(_is_id(each) for each in ids):
        return ()
    return tuple(ids)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID


def _error(status: int, text: str) -> HttpAnswer:
    return _json(status, {"error": text})


def _json(status: int, value: object) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(value, ensure_ascii=False).encode())
