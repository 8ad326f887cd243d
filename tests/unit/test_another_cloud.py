"""The provider that docs/azure.md has as an example does what that page says of providers."""

import json
import pickle
import re
import sys
import types
from ipaddress import ip_network
from pathlib import Path

import pytest

import beethoven
from beethoven import log
from beethoven.cloud.first_look import FirstLook, first_look
from beethoven.cloud.notice import Notice, NoticeKind
from beethoven.cloud.provider import (
    Absent,
    AcknowledgeRequested,
    Answered,
    Ask,
    Learned,
    Note,
    Noticed,
    Started,
    Ticked,
    Unanswered,
)
from beethoven.cloud.settings import Endpoint
from beethoven.cloud.site import Site

PAGE = Path(beethoven.__file__).parent.parent / "docs" / "azure.md"
ASK = Ask("document", "GET", "/document", timeout=2.0)
TOLD = {
    "machine": "i-7",
    "network": "10.0.0.0/24",
    "address": "10.0.0.7",
    "zone": "eu-1a",
    "ends_in": None,
}
SITE = Site(
    "i-7",
    (ip_network("10.0.0.0/24"),),
    ("10.0.0.7",),
    frozenset({"orchard.zone=eu-1a"}),
    "eu-1a",
)


def answer(**changes):
    return Answered("document", 200, {}, json.dumps({**TOLD, **changes}).encode())


@pytest.fixture
def orchard(monkeypatch):
    """Return the class of the page."""
    section = PAGE.read_text("utf-8").partition("## Another cloud")[2]
    (source,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    module = types.ModuleType("orchard")
    monkeypatch.setitem(sys.modules, "orchard", module)
    exec(source, module.__dict__)
    return module.Orchard


def test_the_document_of_the_page_says_where_a_node_stands(orchard):
    told = re.findall(r"a document such as `(.*?)`", PAGE.read_text("utf-8"))
    assert [json.loads(each) for each in told] == [TOLD]
    found = first_look(orchard(), Endpoint(), 5.0, ask=lambda *_: answer())
    assert found == FirstLook(SITE)


def test_it_asks_every_second_and_tells_what_is_news(orchard):
    now = 100.0
    provider = pickle.loads(pickle.dumps(orchard()))
    provider._elapsed = lambda: now
    assert provider.summary() == {"asked_ago": None, "failing": ""}
    assert provider.handle(Started(), now=100.0) == [ASK]
    assert provider.next_deadline() is None
    assert provider.handle(answer(), now=100.0) == [Learned(SITE), Noticed(())]
    assert provider.next_deadline() == 101.0
    assert provider.handle(Ticked(), now=101.0) == [ASK]
    notice = Notice("end", NoticeKind.PREEMPT, frozenset({"i-7"}), begins_in=30.0)
    assert provider.handle(answer(ends_in=30), now=101.0) == [Noticed((notice,))]
    assert provider.handle(AcknowledgeRequested(("end",)), now=101.0) == []
    now = 103.5
    assert provider.summary() == {"asked_ago": 2.5, "failing": ""}


@pytest.mark.parametrize(
    "nonsense",
    [
        Answered("document", 500),
        Answered("document", 200, {}, b"{"),
        Answered("document", 200, {}, b"[" * 100_000),
        Answered("document", 200, {}, b"\xff"),
        answer(network="10.0.0.1/24"),
        answer(ends_in="soon"),
        Unanswered("document", "connection refused"),
    ],
)
def test_what_it_cannot_read_is_told_once_and_takes_nothing_back(orchard, nonsense):
    provider = orchard()
    provider.handle(Started(), now=0.0)
    (absent,) = provider.handle(nonsense, now=0.0)
    assert isinstance(absent, Absent)
    assert provider.handle(nonsense, now=1.0) == []
    assert provider.next_deadline() == 2.0
    assert provider.handle(answer(), now=2.0) == [Learned(SITE), Noticed(())]
    (note,) = provider.handle(nonsense, now=3.0)
    assert isinstance(note, Note)
    assert callable(getattr(log.get_log("test"), note.level))
    assert provider.summary()["failing"]
    assert provider.handle(nonsense, now=4.0) == []
