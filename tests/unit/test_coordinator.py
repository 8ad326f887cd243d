"""The coordinator at work: what it takes from other nodes."""

from typing import Any

import pytest

from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Member
from beethoven.engine.authority import Authority
from beethoven.engine.coordinator import Coordinator
from beethoven.engine.messages import report_to_wire, table_to_wire
from beethoven.engine.settings import CoordinatorSettings
from beethoven.engine.table import Epoch, Report, Stamp, Table
from beethoven.errors import WireError

ELDER = Member("1" * 16, "elder", Address("127.0.0.1", 33000), 1)
ME = Member("2" * 16, "me", Address("127.0.0.2", 33000), 2)


class Surroundings:
    """Takes everything, and remembers the tables."""

    def __init__(self) -> None:
        self.adopted: list[Table] = []

    def send(self, node_id: str, message: Any) -> None:
        pass

    def broadcast(self, message: Any) -> None:
        pass

    def adopt(self, table: Table) -> None:
        self.adopted.append(table)

    def release(self) -> None:
        pass

    def emptied(self, *, is_empty: bool) -> None:
        pass


def table(counter: int) -> Table:
    return Table(
        stamp=Stamp(Epoch(counter, ELDER.node_id), 1),
        members=frozenset({ELDER.node_id, ME.node_id}),
    )


@pytest.fixture
def place() -> tuple[Coordinator, Surroundings]:
    around = Surroundings()
    coordinator = Coordinator(ME, {}, CoordinatorSettings(), Authority(), around)
    coordinator.members_changed((ME, ELDER))
    return coordinator, around


def test_a_node_without_a_table_takes_any(place: tuple[Coordinator, Surroundings]) -> None:
    coordinator, around = place
    coordinator.receive(ELDER.node_id, table_to_wire(table(2**40)))
    assert [each.stamp.epoch.counter for each in around.adopted] == [2**40]


def test_an_epoch_that_cannot_be_is_refused(place: tuple[Coordinator, Surroundings]) -> None:
    coordinator, around = place
    coordinator.receive(ELDER.node_id, table_to_wire(table(7)))
    report = Report(sequence=1, stamp=table(2**62).stamp)
    for message in (table_to_wire(table(2**62)), report_to_wire(report)):
        with pytest.raises(WireError, match="expected an epoch near 7"):
            coordinator.receive(ELDER.node_id, message)
    coordinator.receive(ELDER.node_id, table_to_wire(table(8)))
    assert [each.stamp.epoch.counter for each in around.adopted] == [7, 8]
