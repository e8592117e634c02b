"""Requests for monitored items: every sample with its time, or as much of that as a server can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asyncua import ua

NO_FILTER = frozenset(
    {
        "BadMonitoredItemFilterUnsupported",
        "BadMonitoredItemFilterInvalid",
        "BadFilterNotAllowed",
        "BadDeadbandFilterInvalid",
    }
)
"""Status of an item whose filter the server does not know or allow."""


@dataclass(frozen=True, slots=True)
class Monitored:
    """A node to monitor under a handle of the caller's choice: its value, or its events with the ua.EventFilter `events`.

    Changes of less than `deadband` are not told, where the server can keep them back. It looks every `sampling_ms`; 0: as often as it can.
    """

    handle: int
    node_id: Any
    deadband: float = 0.0
    sampling_ms: int = 0
    events: Any = None

    def filters(self) -> Iterator[Any]:
        """OPC UA filters, from the one that is wanted to none at all."""
        if self.events is not None:
            yield self.events
            return
        # A repeated value with a new source time is a new sample.
        trigger = ua.DataChangeTrigger.StatusValueTimestamp
        if self.deadband > 0:
            yield ua.DataChangeFilter(
                Trigger=trigger, DeadbandType=ua.DeadbandType.Absolute, DeadbandValue=self.deadband
            )
        yield ua.DataChangeFilter(Trigger=trigger)
        yield None


def request(node: Monitored, filtered: Any, queue_size: int) -> Any:
    """The ua.MonitoredItemCreateRequest of a node with this filter."""
    read = ua.ReadValueId()
    read.NodeId = node.node_id
    read.AttributeId = ua.AttributeIds.Value if node.events is None else ua.AttributeIds.EventNotifier
    requested = ua.MonitoringParameters()
    requested.ClientHandle = node.handle
    # What changes between two publications is queued.
    requested.SamplingInterval = float(node.sampling_ms)
    requested.QueueSize = queue_size
    requested.DiscardOldest = True
    requested.Filter = filtered
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor, item.MonitoringMode = read, ua.MonitoringMode.Reporting
    item.RequestedParameters = requested
    return item
