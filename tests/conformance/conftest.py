"""What tests of conformance share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.hard import running
from tests.conformance.pure_stage import PureStage
from tests.conformance.real_stage import RealStage
from tests.conformance.stage import Stage
from tests.integration.roles import AsyncPuppet, Puppet
from tests.integration.trees import Journal
from tests.processes import end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have all tests of this folder share a tree."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.shared_tree)


@pytest.fixture(params=["pure", pytest.param("real", marks=pytest.mark.process)])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A stage for a scene about a supervisor: every scene is played on both."""
    if request.param == "pure":
        yield PureStage()
        return
    real = RealStage(tmp_path)
    yield real
    real.close()


@pytest.fixture
def puppet():
    ref = Puppet.start_link(name="puppet")
    yield ref
    end(ref)


@pytest.fixture
def other():
    ref = Puppet.start_link(name="other")
    yield ref
    end(ref)


@pytest.fixture(params=[Puppet, AsyncPuppet], ids=["plain", "async"])
def asker(request):
    ref = request.param.start_link(name="asker")
    yield ref
    end(ref)


@pytest.fixture
def journal(tmp_path):
    """A record in which no two instances of a worker overlap, and in the end nobody lives."""
    journal = Journal(tmp_path)
    yield journal
    journal.check()
    assert running(journal) == []
