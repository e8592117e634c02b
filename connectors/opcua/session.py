"""One OPC UA session of the gateway: a subscription whose notifications are acknowledged when the caller says so.

Thin over asyncua's service calls (its own subscription layer acknowledges every notification on arrival and starts a task
per value). Who calls: `connectors.opcua.connector`. A session is used once: after any error it is closed and another one is made.
Several publish requests are under way at once, so that the server can send while earlier notifications wait for their
acknowledgement; notifications are handed over in the order the server numbered them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import Client, ua

from base import secrets
from connectors.opcua.settings import OpcUaSettings

log = logging.getLogger(__name__)

_CHUNK = 1000
_PUBLISH_REQUESTS = 4
# The server's health is asked for at this pace; a lost TCP connection is seen at once in any case.
_WATCHDOG_S = 5.0

# asyncua formats every notification for its INFO log, and warns of what is said here in other words.
logging.getLogger("asyncua").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Monitored:
    """A node to monitor under a handle of the caller's choice."""

    handle: int
    node_id: Any


class OpcUaSession:
    """One connection and its subscription, used once. Methods raise what asyncua raises: OSError, TimeoutError, ua.UaError."""

    def __init__(self, settings: OpcUaSettings) -> None:
        self._settings = settings
        self._client = Client(settings.endpoint, timeout=settings.request_timeout_s, watchdog_intervall=_WATCHDOG_S)
        self._client.name = self._client.description = "millrace gateway"
        self._client.connection_lost_callback = self._lost
        self._acknowledged: list[Any] = []
        self._subscription_id = 0
        self._server_handles: dict[int, int] = {}
        self._ended = asyncio.Event()
        self._loss: Exception = ConnectionError("the connection was lost")
        self._opened = False

    async def open(self) -> None:
        """Connect and create the subscription."""
        if self._settings.username:
            self._client.set_user(self._settings.username)
            self._client.set_password(secrets.resolve(self._settings.password))
        if self._settings.security:
            await self._client.set_security_string(self._settings.security)
        try:
            await self._client.connect()
        except BaseException:
            self._client.disconnect_socket()
            raise
        raise_if_cancelled()
        self._opened = True
        session = self._session
        # asyncua's own publish loop would acknowledge on arrival.
        session.ensure_publish_loop = lambda: None
        keepalive = max(1, 5000 // self._settings.publishing_interval_ms)
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=float(self._settings.publishing_interval_ms),
            RequestedLifetimeCount=10 * keepalive,
            RequestedMaxKeepAliveCount=keepalive,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
        )
        created = await session.create_subscription(parameters, callback=_unused)
        self._subscription_id = created.SubscriptionId

    async def close(self) -> None:
        """Close the session and its subscription, whatever state it is in."""
        if not self._opened:
            return
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                await self._client.disconnect()
        except (OSError, TimeoutError, ua.UaError) as error:
            log.debug("closing the session failed", extra={"url": self._settings.endpoint, "cause": str(error)})

    async def monitor(self, nodes: Sequence[Monitored]) -> dict[int, str]:
        """Add nodes to the subscription; returns the status names of those the server refused, by handle."""
        refused: dict[int, str] = {}
        for start in range(0, len(nodes), _CHUNK):
            chunk = nodes[start : start + _CHUNK]
            parameters = ua.CreateMonitoredItemsParameters()
            parameters.SubscriptionId = self._subscription_id
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            parameters.ItemsToCreate = [self._item(node) for node in chunk]
            results = await self._session.create_monitored_items(parameters)
            for node, result in zip(chunk, results, strict=True):
                if result.StatusCode.is_good():
                    self._server_handles[node.handle] = result.MonitoredItemId
                else:
                    refused[node.handle] = result.StatusCode.name
        return refused

    async def unmonitor(self, handles: Iterable[int]) -> None:
        """Take nodes out of the subscription."""
        found = [self._server_handles.pop(handle) for handle in handles if handle in self._server_handles]
        if found:
            parameters = ua.DeleteMonitoredItemsParameters()
            parameters.SubscriptionId = self._subscription_id
            parameters.MonitoredItemIds = found
            await self._session.delete_monitored_items(parameters)

    async def run(self, on_result: Callable[[Any], None]) -> None:
        """Take publish results until the session ends, then raise why; `on_result` gets each ua.PublishResult."""
        workers = [asyncio.create_task(self._publish(on_result)) for _ in range(_PUBLISH_REQUESTS)]
        ended = asyncio.create_task(self._end())
        try:
            done, _ = await asyncio.wait({ended, *workers}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in (ended, *workers):
                task.cancel()
            await asyncio.gather(ended, *workers, return_exceptions=True)

    def acknowledge(self, sequence_number: int) -> None:
        """Tell the server, with the next publish request, that a notification is safe."""
        acknowledgement = ua.SubscriptionAcknowledgement()
        acknowledgement.SubscriptionId = self._subscription_id
        acknowledgement.SequenceNumber = sequence_number
        self._acknowledged.append(acknowledgement)

    async def write(self, values: Sequence[tuple[Any, Any]]) -> list[Any]:
        """Write (node id, ua.Variant) pairs in one request; returns status codes."""
        parameters = ua.WriteParameters()
        for node_id, variant in values:
            item = ua.WriteValue()
            item.NodeId, item.AttributeId = node_id, ua.AttributeIds.Value
            # Without timestamps: most servers refuse to have them written.
            item.Value = ua.DataValue(variant)
            parameters.NodesToWrite.append(item)
        return list(await self._session.write(parameters))

    async def read(self, node_ids: Sequence[Any]) -> list[Any]:
        """Data values of nodes, from the device."""
        parameters = ua.ReadParameters()
        for node_id in node_ids:
            item = ua.ReadValueId()
            item.NodeId, item.AttributeId = node_id, ua.AttributeIds.Value
            parameters.NodesToRead.append(item)
        return list(await self._session.read(parameters))

    @property
    def _session(self) -> Any:
        return self._client.uaclient.session

    async def _publish(self, on_result: Callable[[Any], None]) -> None:
        while True:
            acknowledged, self._acknowledged = self._acknowledged, []
            response = await self._session.publish(acknowledged)
            on_result(response.Parameters)

    async def _lost(self, error: Exception) -> None:
        self._loss = error
        self._ended.set()

    async def _end(self) -> None:
        await self._ended.wait()
        raise self._loss

    def _item(self, node: Monitored) -> Any:
        read = ua.ReadValueId()
        read.NodeId, read.AttributeId = node.node_id, ua.AttributeIds.Value
        requested = ua.MonitoringParameters()
        requested.ClientHandle = node.handle
        # As often as the server samples; what changes in between is queued.
        requested.SamplingInterval = 0.0
        requested.QueueSize = self._settings.queue_size
        requested.DiscardOldest = True
        # A repeated value with a new source time is a new sample.
        requested.Filter = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
        item = ua.MonitoredItemCreateRequest()
        item.ItemToMonitor, item.MonitoringMode = read, ua.MonitoringMode.Reporting
        item.RequestedParameters = requested
        return item


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task was told to stop: asyncua swallows that while it ends its own tasks."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _unused(_result: Any) -> None:
    """Results come through `run`."""
