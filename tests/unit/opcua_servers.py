"""A real OPC UA server in this process that keeps its clients short: calls, publish requests, items, queues, notifications.

Of asyncua's server everything is real, session and transport included; `Limited` decides what a session of a client is granted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession

from base.ids import now_us
from connectors.opcua.certificates import CertificateStore
from connectors.opcua.connector import OpcUaConnector
from connectors.opcua.settings import OpcUaSettings
from schemas.definitions import TagDefinition
from tests.integration.gateway_support import MemorySink, free_port, tag, until

URI = "urn:test:machine"
T0 = datetime(2026, 1, 1, tzinfo=UTC)
T0_US = int(T0.timestamp()) * 1_000_000


@dataclass
class Limited:
    """What the server grants; 0 is no limit. `refused` counts calls that were refused."""

    per_call: int = 0
    publish_requests: int = 0
    items_per_subscription: int = 0
    items: int = 0
    subscriptions: int = 0
    queue_size: int = 0
    sampling_ms: float = 0.0
    filters: bool = True
    """Without: an item with a filter is refused."""
    swallow: int = 0
    """So many publish results with data are not sent."""
    forget: bool = False
    """What is swallowed cannot be had again."""
    refused: int = 0
    sizes: list[int] = field(default_factory=list)

    def check(self, count: int) -> None:
        """Raise what the server answers to a call with so many operations."""
        self.sizes.append(count)
        if self.per_call and count > self.per_call:
            self.refused += 1
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)


class _Session(InternalSession):  # type: ignore[misc]  # asyncua is not typed for us
    def __init__(self, limited: Limited, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limited = limited

    async def read(self, params: Any) -> Any:
        self._limited.check(len(params.NodesToRead))
        return await super().read(params)

    async def write(self, params: Any) -> Any:
        self._limited.check(len(params.NodesToWrite))
        return await super().write(params)

    async def delete_monitored_items(self, params: Any) -> Any:
        self._limited.check(len(params.MonitoredItemIds))
        return await super().delete_monitored_items(params)

    async def create_subscription(
        self, params: Any, callback: Callable[..., Awaitable[None]], request_callback: Any = None
    ) -> Any:
        limited, subscriptions = self._limited, self.subscription_service.subscriptions
        if limited.subscriptions and len(subscriptions) >= limited.subscriptions:
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)

        async def send(result: Any, *rest: Any) -> None:
            if limited.swallow and result.NotificationMessage.NotificationData:
                limited.swallow -= 1
                if limited.forget:
                    kept = subscriptions[result.SubscriptionId]._not_acknowledged_results
                    kept.pop(result.NotificationMessage.SequenceNumber, None)
                return
            await callback(result, *rest)

        return await super().create_subscription(params, send, request_callback)

    async def create_monitored_items(self, params: Any) -> Any:
        limited = self._limited
        limited.check(len(params.ItemsToCreate))
        created = self.subscription_service.subscriptions
        mine = created[params.SubscriptionId].monitored_item_srv._monitored_items
        total = sum(len(one.monitored_item_srv._monitored_items) for one in created.values())
        wanted = params.ItemsToCreate
        if not limited.filters and any(
            isinstance(one.RequestedParameters.Filter, ua.DataChangeFilter) for one in wanted
        ):
            unsupported = ua.StatusCode(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
            return [ua.MonitoredItemCreateResult(StatusCode=unsupported) for _ in wanted]
        rooms = [len(wanted)]
        rooms += [limited.items_per_subscription - len(mine)] if limited.items_per_subscription else []
        rooms += [limited.items - total] if limited.items else []
        room = max(0, min(rooms))
        params.ItemsToCreate = wanted[:room]
        for one in params.ItemsToCreate:
            # asyncua's server takes the null filter that it decoded for a filter.
            if not _filtered(one):
                one.RequestedParameters.Filter = None
        results = await super().create_monitored_items(params)
        for result in results:
            result.RevisedQueueSize = limited.queue_size or result.RevisedQueueSize
            result.RevisedSamplingInterval = limited.sampling_ms or result.RevisedSamplingInterval
        refused = ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems)
        return [*results, *(ua.MonitoredItemCreateResult(StatusCode=refused) for _ in wanted[room:])]

    def publish(self, acks: Any = None) -> Any:
        count, results = super().publish(acks)
        # The processor queues ten requests more than there are subscriptions.
        return (self._limited.publish_requests - 10 if self._limited.publish_requests else count), results


def _filtered(item: Any) -> bool:
    """Whether a client asked for a filter; none comes as a null ExtensionObject."""
    return not isinstance(item.RequestedParameters.Filter, ua.ExtensionObject | None)


class _Internal(InternalServer):  # type: ignore[misc]
    def __init__(self, limited: Limited) -> None:
        super().__init__()
        self.limited = limited

    def create_session(self, name: str, user: Any = None, external: bool = False) -> Any:
        extra = {} if user is None else {"user": user}
        return _Session(self.limited, self, self.aspace, self.subscription_service, name, external=external, **extra)


class Machine:
    """The server. Variables are addressed by name in the namespace URI; source times advance 10 ms a value."""

    def __init__(self, port: int = 0) -> None:
        self.url = f"opc.tcp://127.0.0.1:{port or free_port()}/machine"
        self.limited = Limited()
        self.server = Server(iserver=_Internal(self.limited))
        self.nodes: dict[str, Any] = {}
        self._index = 0
        self._step = 0

    async def start(self, namespaces: Iterable[str] = (URI,)) -> None:
        """Listen, with these namespaces behind the server's own."""
        await self.server.init()
        self.server.set_endpoint(self.url)
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for uri in namespaces:
            await self.server.register_namespace(uri)
        self._index = await self.server.get_namespace_index(URI)
        await self.server.start()

    async def stop(self) -> None:
        """Close all connections."""
        await self.server.stop()

    def reset(self) -> None:
        """Grant everything again."""
        for name, value in vars(Limited()).items():
            setattr(self.limited, name, value)

    async def add(
        self, names: Iterable[str], value: Any = 0.0, kind: Any = ua.VariantType.Double, *, index: int = 0
    ) -> list[str]:
        """Add writable variables; returns their addresses."""
        found = []
        for name in names:
            node_id = ua.NodeId(name, index or self._index)
            node = await self.server.nodes.objects.add_variable(node_id, name, value, kind)
            await node.set_writable()
            self.nodes[name] = node
            found.append(f"nsu={URI};s={name}")
        return found

    async def delete(self, name: str, *, told: bool = True) -> None:
        """Delete a variable. Its items are told, as OPC 10000-4, 5.13.1 has it and asyncua does not do; or not."""
        node = self.nodes.pop(name)
        if told:
            stamp = T0 + timedelta(milliseconds=self._step)
            unknown = ua.DataValue(None, ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown), None, stamp)
            await self.server.iserver.aspace.write_attribute_value(node.nodeid, ua.AttributeIds.Value, unknown)
        space = self.server.iserver.aspace
        for handle in list(space[node.nodeid].attributes[ua.AttributeIds.Value].datachange_callbacks):
            space.delete_datachange_callback(handle)
        await self.server.delete_nodes([node])

    async def set(self, name: str, value: Any, *, at_ms: int | None = None, status: int = 0) -> int:
        """Give a variable a value; returns its source time in microseconds."""
        self._step += 10
        at_ms = self._step if at_ms is None else at_ms
        stamp = T0 + timedelta(milliseconds=at_ms)
        variant = value if isinstance(value, ua.Variant) else ua.Variant(value)
        await self.nodes[name].write_value(ua.DataValue(variant, ua.StatusCode(status), stamp, stamp))
        return T0_US + at_ms * 1000

    async def state(self, limit: str, value: int) -> None:
        """State a limit in the server's capabilities."""
        node = self.server.get_node(ua.NodeId(getattr(ua.ObjectIds, f"Server_ServerCapabilities_{limit}")))
        await node.write_value(ua.DataValue(ua.Variant(value, ua.VariantType.UInt32)))

    def subscriptions(self) -> list[Any]:
        """The clients' subscriptions."""
        found = self.server.iserver.subscription_service.subscriptions.values()
        return [one for one in found if one.pub_request_callback is not None]


def tags_of(addresses: Iterable[str], *, first: int = 1, **changes: Any) -> list[TagDefinition]:
    """A tag for each address, on connection `ua`."""
    return [tag(number, f"ua:{text}", **changes) for number, text in enumerate(addresses, start=first)]


@contextlib.asynccontextmanager
async def connected(
    machine: Machine,
    tags: list[TagDefinition],
    sink: MemorySink,
    *,
    pki: Path = Path("pki"),
    state: Path | None = None,
    **settings: Any,
) -> AsyncIterator[OpcUaConnector]:
    """A connector that runs, and has its session."""
    values: dict[str, Any] = {
        "endpoint": machine.url, "publishing_interval_ms": 20, "reconnect_min_s": 0.1, "reconnect_max_s": 0.2,
    }  # fmt: skip
    certificates = CertificateStore(pki, "gw1")
    connector = OpcUaConnector(
        OpcUaSettings(**(values | settings)),
        name="ua",
        sink=sink,
        clock=now_us,
        certificates=certificates,
        state_dir=state,
    )
    connector.update({one.address: one for one in tags}, frozenset())
    task = asyncio.create_task(connector.run())
    try:
        await until(lambda: connector.status()["connected"], timeout_s=60)
        yield connector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
