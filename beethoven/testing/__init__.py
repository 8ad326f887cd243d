"""
Stand-ins for what a node meets outside, for tests of Beethoven and of programs that use it.

They listen on loopback only, and leave no thread, socket or stopped process behind.
"""

from beethoven.testing.azure_document import Interface
from beethoven.testing.azure_events import EventKind, TimeFormat
from beethoven.testing.azure_fabric import Approval, AzureFabric
from beethoven.testing.azure_faults import Fault
from beethoven.testing.azure_metadata import AzureMetadata
from beethoven.testing.azure_requests import HttpAnswer, RecordedRequest
from beethoven.testing.clocks import ManualClock
from beethoven.testing.proxy_trap import ProxyTrap, Touch

__all__ = [
    "Approval",
    "AzureFabric",
    "AzureMetadata",
    "EventKind",
    "Fault",
    "HttpAnswer",
    "Interface",
    "ManualClock",
    "ProxyTrap",
    "RecordedRequest",
    "TimeFormat",
    "Touch",
]
