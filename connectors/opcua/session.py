"""One OPC UA session of the gateway: connected, its limits and namespaces read, then used for calls and subscriptions until it ends.

Thin over asyncua's service calls (its own subscription layer acknowledges every notification on arrival and starts a task
per value). Who calls: `connectors.opcua.connector`. A session is used once: after any error it is closed and another one is made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

from asyncua import Client, ua

from connectors.opcua.limits import Limits, Operation, read_limits
from connectors.opcua.namespaces import NAMESPACE_ARRAY, START_TIME, Namespaces
from connectors.opcua.run_note import Run
from connectors.opcua.security import Security
from connectors.opcua.settings import OpcUaSettings

log = logging.getLogger(__name__)

# The server's health is asked for at this pace; a lost TCP connection is seen at once in any case.
_WATCHDOG_S = 3.0
# A server keeps what it has of a session that broke for so long; an hour, as the library asks for, fills it up.
_SESSION_TIMEOUT_MS = 60_000
_CLOSE_S = 2.0
_UNIX_YEAR = 1970
"""A null DateTime is of 1601."""

# asyncua formats every notification for its INFO log, and warns of what is said here in other words.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)


class OpcUaSession:
    """One connection, used once. `started` is when the server started, as it says.

    Methods raise what asyncua raises: OSError, TimeoutError, ua.UaError; `open` also ConfigError.
    """

    def __init__(self, settings: OpcUaSettings, limits: Limits, security: Security) -> None:
        self.namespaces = Namespaces()
        self.started: Any = None
        self.limits = limits
        self._settings, self._security = settings, security
        self._client = Client(settings.endpoint, timeout=settings.request_timeout_s, watchdog_intervall=_WATCHDOG_S)
        self._client.name = self._client.description = "millrace gateway"
        self._client.session_timeout = _SESSION_TIMEOUT_MS
        self._client.connection_lost_callback = self._lost
        self._ended = asyncio.Event()
        self._loss: Exception = ConnectionError("the connection was lost")
        self._opened = False

    async def open(self) -> None:
        """Connect, and read what the server says of itself."""
        await self._security.prepare(self._client)
        try:
            await self._client.connect()
        except BaseException:
            self._client.disconnect_socket()
            raise
        raise_if_cancelled()
        self._opened = True
        # asyncua's own publish loop would acknowledge on arrival.
        self.service.ensure_publish_loop = lambda: None
        await read_limits(self.limits, self.read)
        await self.read_namespaces()
        (started,) = await self.read([START_TIME])
        self.started = started.Value.Value if started.Value is not None else None

    async def close(self) -> None:
        """Close the session, whatever state it is in."""
        if not self._opened:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._client.disconnect()
        except (OSError, TimeoutError, ua.UaError) as error:
            log.debug("closing the session failed", extra={"url": self._settings.endpoint, "cause": str(error)})
            self._client.disconnect_socket()

    async def wait_lost(self) -> None:
        """Wait until the connection is lost, then raise why."""
        await self._ended.wait()
        raise self._loss

    async def read_namespaces(self) -> bool:
        """Read the NamespaceArray; whether it differs from the one known."""
        (value,) = await self.read([NAMESPACE_ARRAY])
        uris = value.Value.Value if value.Value is not None else None
        before = self.namespaces.uris
        self.namespaces = Namespaces([str(uri) for uri in uris] if isinstance(uris, list) else [])
        return self.namespaces.uris != before

    @property
    def run(self) -> Run | None:
        """What stays the same until the server starts again: its ids, and its namespaces, mean the same then. None: it does not say."""
        if not isinstance(self.started, datetime) or self.started.year < _UNIX_YEAR:
            return None
        return self._settings.endpoint, self.started.isoformat(), *self.namespaces.uris

    async def read(self, node_ids: Sequence[Any], attribute: int = ua.AttributeIds.Value) -> list[Any]:
        """Data values of nodes, from the device."""

        async def call(batch: Sequence[Any]) -> Sequence[Any]:
            parameters = ua.ReadParameters()
            for node_id in batch:
                item = ua.ReadValueId()
                item.NodeId, item.AttributeId = node_id, attribute
                parameters.NodesToRead.append(item)
            return list(await self.service.read(parameters))

        return await self.limits.each(Operation.READ, node_ids, call)

    async def write(self, values: Sequence[tuple[Any, Any, str]]) -> list[Any]:
        """Write (node id, ua.Variant, index range) triples; returns status codes."""

        async def call(batch: Sequence[tuple[Any, Any, str]]) -> Sequence[Any]:
            parameters = ua.WriteParameters()
            for node_id, variant, index_range in batch:
                item = ua.WriteValue()
                item.NodeId, item.AttributeId = node_id, ua.AttributeIds.Value
                item.IndexRange = index_range or None
                # Without timestamps: most servers refuse to have them written.
                item.Value = ua.DataValue(variant)
                parameters.NodesToWrite.append(item)
            return list(await self.service.write(parameters))

        return await self.limits.each(Operation.WRITE, values, call)

    async def call(self, owner: Any, method: Any, arguments: Sequence[Any]) -> Any:
        """Call a method of an object once; its ua.CallMethodResult."""
        request = ua.CallMethodRequest()
        request.ObjectId, request.MethodId, request.InputArguments = owner, method, list(arguments)
        (result,) = await self.service.call([request])
        return result

    async def parents(self, node_ids: Sequence[Any]) -> list[Any]:
        """Supertype of each type; None without one."""
        found = await self._related(node_ids, ua.ObjectIds.HasSubtype, ua.BrowseDirection.Inverse)
        return [one[0][1] if one else None for one in found]

    async def encodings(self, data_types: Sequence[Any]) -> list[Any]:
        """Id of the binary encoding of each type; None without one."""
        found = await self._related(data_types, ua.ObjectIds.HasEncoding, ua.BrowseDirection.Forward)
        return [next((node_id for name, node_id in one if name == "Default Binary"), None) for one in found]

    async def encoded(self, encodings: Sequence[Any]) -> list[Any]:
        """Type of each encoding; None without one."""
        found = await self._related(encodings, ua.ObjectIds.HasEncoding, ua.BrowseDirection.Inverse)
        return [one[0][1] if one else None for one in found]

    async def _related(
        self, node_ids: Sequence[Any], reference: int, direction: ua.BrowseDirection
    ) -> list[list[tuple[str, Any]]]:
        """Browse names and node ids of what is at the other end of such references of each node."""

        async def call(batch: Sequence[Any]) -> Sequence[Any]:
            parameters = ua.BrowseParameters()
            for node_id in batch:
                one = ua.BrowseDescription()
                one.NodeId, one.BrowseDirection = node_id, direction
                one.ReferenceTypeId, one.IncludeSubtypes = ua.NodeId(reference), True
                one.ResultMask = ua.BrowseResultMask.BrowseName
                parameters.NodesToBrowse.append(one)
            return list(await self.service.browse(parameters))

        return [
            [
                (str(r.BrowseName.Name), ua.NodeId(r.NodeId.Identifier, r.NodeId.NamespaceIndex))
                for r in one.References or ()
            ]
            for one in await self.limits.each(Operation.BROWSE, node_ids, call)
        ]

    async def properties(self, node_ids: Sequence[Any], names: Sequence[str]) -> list[list[Any]]:
        """Node ids of the named properties (of namespace 0) of each node; None where there is none. `A/B`: property B of component A."""

        async def call(batch: Sequence[Any]) -> Sequence[Any]:
            return list(await self.service.translate_browsepaths_to_nodeids(list(batch)))

        paths = [_property_path(node_id, name) for node_id in node_ids for name in names]
        found = [
            one.Targets[0].TargetId if one.StatusCode.is_good() and one.Targets else None
            for one in await self.limits.each(Operation.TRANSLATE, paths, call)
        ]
        plain = [None if one is None else ua.NodeId(one.Identifier, one.NamespaceIndex) for one in found]
        return [plain[at : at + len(names)] for at in range(0, len(plain), len(names))]

    @property
    def service(self) -> Any:
        """The session of the library, for its calls."""
        return self._client.uaclient.session

    async def _lost(self, error: Exception) -> None:
        self._loss = error
        self._ended.set()


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task was told to stop: asyncua swallows that while it ends its own tasks."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def until_first_ends(*work: Coroutine[Any, Any, None]) -> None:
    """Do them beside each other until the first of them ends, then cancel the others; raises what the first raised."""
    parts = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
    finally:
        for task in parts:
            task.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


def _property_path(node_id: Any, name: str) -> Any:
    path = ua.BrowsePath()
    path.StartingNode = node_id
    names = name.split("/")
    for place, one in enumerate(names, 1):
        element = ua.RelativePathElement()
        kind = ua.ObjectIds.HasProperty if place == len(names) else ua.ObjectIds.HasComponent
        element.ReferenceTypeId, element.IncludeSubtypes = ua.NodeId(kind), True
        element.IsInverse, element.TargetName = False, ua.QualifiedName(one, 0)
        path.RelativePath.Elements.append(element)
    return path
