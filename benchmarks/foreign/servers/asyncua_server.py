"""A foreign OPC UA server (asyncua) whose items change by themselves: what `opcua_server.mjs` is on node-opcua.

Run as a program with the plan's file as its argument. The plan, the orders and the journal are described in
`benchmarks/foreign/plan.py`. The limits that asyncua does not know are put in here, as the specification words them.

Over 350 lines: a program that is started by its path alone, with nothing beside it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import struct
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.callback import CallbackType
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User
from asyncua.server.internal_session import InternalSession
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.server.uaprocessor import UaProcessor
from asyncua.server.user_managers import UserManager, UserRole

TYPES_URI = "urn:foreign:types"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OVERFLOW = 0x0480
_CEFACT = "http://www.opcfoundation.org/UA/units/un/cefact"


def _whole(bits: int, *, signed: bool) -> Callable[[int], int]:
    return lambda v: v % (1 << bits) - ((1 << (bits - 1)) if signed else 0)


# By type: value of the item's number and the step, as it stands in the journal.
VALUES: dict[str, Callable[[int], Any]] = {
    "Boolean": lambda v: v % 2 == 1,
    "SByte": _whole(8, signed=True),
    "Byte": _whole(8, signed=False),
    "Int16": _whole(16, signed=True),
    "UInt16": _whole(16, signed=False),
    "Int32": lambda v: -v,
    "UInt32": lambda v: v,
    "Int64": lambda v: -v * 1_000_003,
    "UInt64": lambda v: v * 1_000_003,
    "Float": lambda v: struct.unpack("<f", struct.pack("<f", v / 8))[0],
    "Double": lambda v: v / 8 + 0.1,
    "String": lambda v: f"part {v}",
    "DateTime": lambda v: v,
    "Enumeration": lambda v: v % 3,
    "Structure": lambda v: {"Number": v, "Weight": v / 8, "Product": f"part {v}"},
}


class Machines:
    """The server with its items."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._journal = os.open(plan["journal"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._items = {item["key"]: item for item in plan["items"]}
        self._nodes: dict[int, Any] = {}
        self._keys: dict[Any, int] = {}
        self._folders: dict[str, Any] = {}
        self._bad: set[int] = set()
        self._paused = bool(plan.get("paused"))
        self._last_ms = self._slot = 0
        self._server: Any = None
        self._batch: Any = None
        self._data_types: dict[str, Any] = {}

    async def start(self) -> None:
        """Build the address space and let clients in."""
        plan, security = self._plan, self._plan["security"]
        server = self._server = Server(user_manager=_Users(security) if security else None)
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{plan['port']}/")
        await server.set_application_uri(plan["application_uri"])
        if security:
            policy = getattr(ua.SecurityPolicyType, f"{security['policy']}_SignAndEncrypt")
            server.set_security_policy([policy])
            server.set_identity_tokens([ua.UserNameIdentityToken])
            await server.load_certificate(security["certificate"])
            await server.load_private_key(security["private_key"])
        else:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
            server.set_identity_tokens([ua.AnonymousIdentityToken])
        await server.import_xml(plan["types"])
        await server.load_data_type_definitions()
        types = await server.get_namespace_index(TYPES_URI)
        self._data_types = {"Enumeration": ua.NodeId(3001, types), "Structure": ua.NodeId(3002, types)}
        for uri in plan["namespaces"]:
            await server.register_namespace(uri)
        _limit(plan["limits"])
        await self._tell_limits(plan["limits"])
        server.subscribe_server_callback(CallbackType.PreWrite, self._written)
        for item in plan["items"]:
            if not item["absent"]:
                await self.create(item)
        if plan.get("methods"):
            await self._add_methods()
        await server.start()

    async def create(self, item: dict[str, Any]) -> None:
        """Add an item's node, with a first value."""
        index = await self._server.get_namespace_index(item["namespace"])
        # asyncua's parser splits at every semicolon.
        node_id = _node_id(item["id"], index)
        first = self._value(item, int(time.time() * 1000) // self._plan["period_ms"])
        data_type = self._data_types.get(item["type"])
        parent = await self._folder(item["folder"])
        name = ua.QualifiedName(item["name"], index)
        node = await parent.add_variable(node_id, name, self._variant(item, first), datatype=data_type)
        description = ua.LocalizedText(item["description"])
        await node.write_attribute(ua.AttributeIds.Description, ua.DataValue(ua.Variant(description)))
        if item["writable"]:
            await node.set_writable()
        if item["range"]:
            low, high = item["range"]
            await node.add_property(0, "EURange", ua.Range(Low=low, High=high))
            text = ua.LocalizedText(item["unit"])
            unit = ua.EUInformation(NamespaceUri=_CEFACT, UnitId=item["unit_id"], DisplayName=text, Description=text)
            await node.add_property(0, "EngineeringUnits", unit)
        self._nodes[item["key"]], self._keys[node.nodeid] = node, item["key"]
        await self.set([[item["key"], first]], max(int(time.time() * 1000), self._last_ms + 1))

    async def delete(self, key: int) -> None:
        """Take an item's node away."""
        node = self._nodes.pop(key)
        self._keys.pop(node.nodeid)
        await self._server.delete_nodes([node], recursive=True)

    async def set(self, changes: list[list[Any]], time_ms: int) -> None:
        """Give items new values; first the journal, whatever a client can have seen stands in it."""
        self._note({"t": time_ms, "v": changes})
        stamp = _EPOCH + timedelta(milliseconds=time_ms)
        for key, value in changes:
            status = ua.StatusCode(ua.StatusCodes.BadSensorFailure if value is None else ua.StatusCodes.Good)
            variant = ua.Variant(None, ua.VariantType.Null) if value is None else self._variant(self._items[key], value)
            shown = ua.DataValue(variant, status, stamp, stamp)
            await self._server.iserver.write_attribute_value(self._nodes[key].nodeid, shown)

    async def tick(self) -> None:
        """Change the items whose turn it is."""
        slots = max(1, round(self._plan["period_ms"] / self._plan["tick_ms"]))
        while True:
            await asyncio.sleep(self._plan["tick_ms"] / 1000)
            if self._paused:
                continue
            now = self._now()
            step = now // self._plan["period_ms"]
            turn = [key for key in self._nodes if key % slots == self._slot and not self._items[key]["still"]]
            self._slot = (self._slot + 1) % slots
            if turn:
                values = [None if key in self._bad else self._value(self._items[key], step) for key in turn]
                await self.set([[key, value] for key, value in zip(turn, values, strict=True)], now)

    async def obey(self, order: dict[str, Any]) -> None:
        """Carry out one order."""
        key = order.get("item", -1)
        match order["do"]:
            case "pause" | "resume":
                self._paused = order["do"] == "pause"
            case "delete":
                await self.delete(key)
            case "create":
                await self.create(self._items[key])
            case "bad":
                (self._bad.add if order["on"] else self._bad.discard)(key)
            case "burst":
                for step in range(order["count"]):
                    self._last_ms = max(self._last_ms + 1, int(time.time() * 1000))
                    await self.set([[key, self._value(self._items[key], step)]], self._last_ms)
            case "stop":
                self._paused = True
                await self._server.stop()
            case unknown:
                msg = f"unknown order {unknown!r}"
                raise ValueError(msg)

    def _now(self) -> int:
        self._last_ms = max(int(time.time() * 1000), self._last_ms + 1)
        return self._last_ms

    def _note(self, line: dict[str, Any]) -> None:
        os.write(self._journal, (json.dumps(line) + "\n").encode())

    def _value(self, item: dict[str, Any], step: int) -> Any:
        number, one = item["key"] * 1000 + step % 1000, VALUES[item["type"]]
        return [one(number + n) for n in range(3)] if item["array"] else one(number)

    def _variant(self, item: dict[str, Any], value: Any) -> Any:
        kind = item["type"]
        if kind == "Structure":
            return ua.Variant(ua.Batch(**value), ua.VariantType.ExtensionObject)
        if kind == "DateTime":
            return ua.Variant(_EPOCH + timedelta(seconds=value), ua.VariantType.DateTime)
        return ua.Variant(value, ua.VariantType.Int32 if kind == "Enumeration" else ua.VariantType[kind])

    async def _add_methods(self) -> None:
        index = await self._server.get_namespace_index("urn:foreign:press")
        owner = await self._server.nodes.objects.add_object(ua.NodeId("Doser", index), ua.QualifiedName("Doser", index))

        def argument(name: str, kind: Any) -> Any:
            return ua.Argument(
                Name=name, DataType=ua.NodeId(kind.value), ValueRank=-1, Description=ua.LocalizedText(name)
            )

        def method(name: str, status: int, *, noted: bool = True, wait_s: float = 0.0) -> Callable[..., Any]:
            async def run(_owner: Any, *given: Any) -> Any:
                if noted:
                    self._note({"t": self._now(), "called": [name, [one.Value for one in given]]})
                await asyncio.sleep(wait_s)
                answer = ua.CallMethodResult()
                answer.StatusCode = ua.StatusCode(status)
                if name == "Dose":
                    answer.OutputArguments = [ua.Variant(given[0].Value * 10, ua.VariantType.Double)]
                return answer

            return run

        codes, types = ua.StatusCodes, ua.VariantType
        dose = [argument("Amount", types.Float), argument("Valve", types.Byte)], [argument("Total", types.Double)]
        for name, run, (into, out) in (
            ("Dose", method("Dose", codes.Good), dose),
            ("Reset", method("Reset", codes.Good), ([], [])),
            ("Jam", method("Jam", codes.BadDeviceFailure), ([], [])),
            ("Locked", method("Locked", codes.BadInvalidState, noted=False), ([], [])),
            ("Hang", method("Hang", codes.Good, wait_s=60.0), ([], [])),
        ):
            await owner.add_method(ua.NodeId(f"Doser.{name}", index), ua.QualifiedName(name, index), run, into, out)

    async def _folder(self, name: str) -> Any:
        if name not in self._folders:
            index = await self._server.get_namespace_index(self._plan["namespaces"][0])
            objects = self._server.nodes.objects
            node_id, title = ua.NodeId(f"folder/{name}", index), ua.QualifiedName(name, index)
            self._folders[name] = await objects.add_object(node_id, title)
        return self._folders[name]

    async def _tell_limits(self, limits: dict[str, Any]) -> None:
        ids = ua.ObjectIds
        told = {
            ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead: limits["nodes_per_read"],
            ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse: limits["nodes_per_browse"],
            ids.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall: limits["items_per_call"],
        }
        for number, value in told.items():
            shown = ua.DataValue(ua.Variant(value or 0, ua.VariantType.UInt32))
            await self._server.iserver.write_attribute_value(ua.NodeId(number), shown)

    async def _written(self, event: Any, _service: Any) -> None:
        if not event.is_external:
            return
        for item in event.request_params.NodesToWrite:
            key = self._keys.get(item.NodeId)
            if key is not None and item.AttributeId == ua.AttributeIds.Value:
                now = self._now()
                stamp = _EPOCH + timedelta(milliseconds=now)
                item.Value = ua.DataValue(item.Value.Value, item.Value.StatusCode, stamp, stamp)
                self._note({"t": now, "w": [[key, item.Value.Value.Value]]})


class _Users(UserManager):  # type: ignore[misc]  # asyncua is not typed for us
    def __init__(self, security: dict[str, str]) -> None:
        self._pair = (security["username"], security["password"])

    def get_user(self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        return User(role=UserRole.User, name=username) if (username, password) == self._pair else None


def _node_id(text: str, index: int) -> Any:
    kind, _, rest = text.partition("=")
    if kind == "s":
        return ua.NodeId(rest, index)
    return ua.NodeId.from_string(f"ns={index};{text}")


def _limit(limits: dict[str, Any]) -> None:
    """Refuse what is beyond the limits, for clients only."""
    read, create, browse = InternalSession.read, InternalSession.create_monitored_items, InternalSession.browse

    def bound(name: str, found: list[Any], session: Any) -> None:
        if session.external and limits[name] and len(found) > limits[name]:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)

    async def bounded_read(self: Any, params: Any) -> Any:
        bound("nodes_per_read", params.NodesToRead, self)
        return await read(self, params)

    async def bounded_browse(self: Any, params: Any) -> Any:
        bound("nodes_per_browse", params.NodesToBrowse, self)
        return await browse(self, params)

    async def bounded_create(self: Any, params: Any) -> Any:
        bound("items_per_call", params.ItemsToCreate, self)
        return await create(self, params)

    InternalSession.read, InternalSession.create_monitored_items = bounded_read, bounded_create
    InternalSession.browse = bounded_browse
    if limits["publish_requests"]:
        UaProcessor.publish_request_limit = lambda *_: limits["publish_requests"]
    make, revise = MonitoredItemService.create_monitored_items, MonitoredItemService._revise_queue_size

    async def bounded_items(self: Any, params: Any) -> Any:
        results = []
        for item in params.ItemsToCreate:
            if limits["items_per_subscription"] and len(self._monitored_items) >= limits["items_per_subscription"]:
                refused = ua.MonitoredItemCreateResult()
                refused.StatusCode = ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems)
                results.append(refused)
                continue
            one = ua.CreateMonitoredItemsParameters(params.SubscriptionId, params.TimestampsToReturn, [item])
            (result,) = await make(self, one)
            if limits["sampling_ms"]:
                result.RevisedSamplingInterval = max(result.RevisedSamplingInterval, float(limits["sampling_ms"]))
            results.append(result)
        return results

    def bounded_queue(self: Any, requested: int) -> int:
        revised = int(revise(self, requested))
        return min(revised, limits["queue_size"]) if limits["queue_size"] else revised

    enqueue = InternalSubscription._enqueue_event

    async def overflowing(self: Any, mid: int, event: Any, size: int, queue: dict[int, list[Any]]) -> None:
        # OPC 10000-4, 5.13.1.5: the value behind the discarded one says that one is missing; asyncua forgets to.
        full = size > 1 and len(queue.get(mid, ())) >= size
        await enqueue(self, mid, event, size, queue)
        if full and isinstance(first := queue[mid][0], ua.MonitoredItemNotification):
            value, status = first.Value, ua.StatusCode(first.Value.StatusCode.value | _OVERFLOW)
            flagged = ua.DataValue(value.Value, status, value.SourceTimestamp, value.ServerTimestamp)
            queue[mid][0] = ua.MonitoredItemNotification(first.ClientHandle, flagged)

    InternalSubscription._enqueue_event = overflowing
    MonitoredItemService.create_monitored_items = bounded_items
    MonitoredItemService._revise_queue_size = bounded_queue


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main(plan: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    machines = Machines(plan)
    await machines.start()
    ticking = asyncio.create_task(machines.tick())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say({"ready": True, "pid": os.getpid()})
    while line := await reader.readline():
        order = json.loads(line)
        try:
            await machines.obey(order)
        except Exception as error:  # noqa: BLE001 - said to whoever gave the order
            _say({"failed": order.get("do"), "error": f"{type(error).__name__}: {error}"})
        else:
            _say({"done": order["do"]})
        if order.get("do") == "stop":
            break
    ticking.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
