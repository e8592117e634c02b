"""A real gRPC server on a free port, fed by hand: what the tests of serving and of the client share."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from base.errors import MillraceError
from base.ids import now_us
from base.settings import KafkaSettings
from millrace_client import AsyncClient, Connection
from schemas import codec, definitions
from schemas.audit import AuditEvent
from schemas.commands import CommandRequest, CommandState, CommandStateRecord
from schemas.definitions import DataType, TagDefinition
from schemas.proto.millrace.v1 import (
    alarms_pb2,
    audit_pb2,
    commands_pb2,
    commands_pb2_grpc,
    history_pb2,
    line_pb2,
    state_pb2,
    state_pb2_grpc,
    work_pb2,
)
from serving.config import LimitSettings, ServingConfig
from serving.server import COMMAND_SERVICE, STATE_SERVICE, Server, build
from tests.contract import examples

LINE = "acme/north/press/line1/cell1"
FILES = (state_pb2, commands_pb2, history_pb2, line_pb2, work_pb2, audit_pb2, alarms_pb2)
METHODS = [
    method for file in FILES for service in file.DESCRIPTOR.services_by_name.values() for method in service.methods
]
"""Every method of the contract."""
_TAGS = (
    ("temperature", DataType.DOUBLE, False),
    ("speed_setpoint", DataType.DOUBLE, True),
    ("packml_command", DataType.INTEGER, True),
    ("running", DataType.BOOLEAN, True),
)


def definition(**fields: Any) -> TagDefinition:
    """A tag definition."""
    return dataclasses.replace(definitions.tag_from_record(examples.records()["TagDefinition"]), **fields)


def presses(count: int = 3) -> list[TagDefinition]:
    """Tags of press00, press01, ...: device ids from 10, tag ids from 100, ten a device."""
    return [
        definition(
            tag_id=100 + 10 * d + t,
            device_id=10 + d,
            path=f"{LINE}/press{d:02}/{name}",
            name=name,
            data_type=kind,
            writable=writable,
            eu_low=0.0,
        )
        for d in range(count)
        for t, (name, kind, writable) in enumerate(_TAGS)
    ]


def batch(values: dict[int, float], *, time_us: int | None = None, quality: int = 0, lane: int = 1) -> dict[str, Any]:
    """A LatestBatch record of tag ids to values."""
    at_us = now_us() if time_us is None else time_us
    n = len(values)
    return {
        "gateway_id": "gw-north-1",
        "lane": lane,
        "closed_time_us": at_us,
        "tag_id": np.array(list(values), np.int32),
        "time_us": np.full(n, at_us, np.int64),
        "value": np.array(list(values.values()), np.float64),
        "quality": np.full(n, quality, np.uint16),
    }


@dataclass
class RequestList:
    """Stands for Kafka's end of a submit: keeps what was written, or fails as told."""

    records: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    failure: MillraceError | None = None
    tombstones: list[tuple[str, bytes]] = field(default_factory=list)
    told: Callable[[str, bytes], object] = lambda _topic, _value: None
    """Hears of each record: who would have read it."""

    async def send(self, topic: str, key: bytes, value: bytes | None) -> object:
        """Keep a record, or take back those of a key."""
        if self.failure is not None:
            raise self.failure
        if value is None:
            self.tombstones.append((topic, key))
            self.records = [one for one in self.records if one[:2] != (topic, key)]
            return None
        self.records.append((topic, key, value))
        self.told(topic, value)
        return None

    @property
    def decoded(self) -> list[tuple[str, dict[str, Any]]]:
        """Type and content of the records."""
        return [codec.decode(value) for _, _, value in self.records]


def record_of(request: CommandRequest, state: CommandState, version: int, **fields: Any) -> CommandStateRecord:
    """What the commands job publishes of a request."""
    shared = {
        name: getattr(request, name)
        for name in (
            "command_id",
            "device_id",
            "gateway_id",
            "site",
            "name",
            "parameters",
            "submitted_by",
            "submitted_us",
            "expires_us",
            "attempt",
            "reason",
        )
    }
    return CommandStateRecord(**shared | {"state": state, "version": version, "updated_us": now_us()} | fields)


@dataclass
class Served:
    """A running server, its log of requests, a client, and its log of audit events."""

    server: Server
    requests: RequestList
    client: AsyncClient
    events: RequestList

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server.port}"

    def know(self, tags: list[TagDefinition], version: int = 8) -> None:
        """Publish a registry version."""
        for tag in tags:
            self.server.plant.apply(definitions.encode_tag(tag)[1])
        self.server.plant.apply(definitions.encode_version(version, tags=len(tags), time_us=now_us())[1])

    def record(self, request: CommandRequest, state: CommandState, version: int, **fields: Any) -> None:
        """Publish a command's record."""
        self.server.book.apply_state(record_of(request, state, version, **fields))

    async def audited(self, *actions: str) -> list[AuditEvent]:
        """Audit events so far, of these actions; what is counted is written before."""
        await self.server.gate.trail.close()
        events = [AuditEvent.decode(value) for _, _, value in self.events.records]
        return [event for event in events if not actions or event.action in actions]

    def request(self, index: int = -1) -> CommandRequest:
        """A request as written."""
        return CommandRequest.from_record(self.requests.decoded[index][1])


@asynccontextmanager
async def served(
    *,
    ready: bool = True,
    name: str = "",
    limits: LimitSettings | None = None,
    ca: str = "",
    token: str = "",
    **settings: Any,
) -> AsyncIterator[Served]:
    """A server with three presses, and a client of it, called `name`; both end with the block. `ca` and `token` are the client's."""
    config = ServingConfig(
        listen="127.0.0.1:0",
        kafka=KafkaSettings(bootstrap_servers="unused"),
        # The machine of a test may be busy with others: only tests of overload are to meet it.
        limits=limits or LimitSettings(overload_lag_ms=60_000),
        **{"drain_s": 1.0} | settings,
    )
    requests = RequestList()
    events = RequestList()
    server = build(config, requests, events)
    server.commands.control_wait_s = 0.05  # no gateway will say anything unless the test does
    await server.start()
    connection = Connection(f"127.0.0.1:{server.port}", name=name, ca=ca, token=token)
    async with AsyncClient(connection, deadline_s=5.0) as client:
        running = Served(server, requests, client, events)
        running.know(presses())
        if ready:
            await server.set_ready(STATE_SERVICE)
            await server.set_ready(COMMAND_SERVICE)
        try:
            yield running
        finally:
            await running.server.stop()  # a test may have put another in its place


def state_stub(channel: grpc.aio.Channel) -> Any:
    """The plain stub, for what the client hides."""
    return state_pb2_grpc.StateServiceStub(channel)  # type: ignore[no-untyped-call]


def command_stub(channel: grpc.aio.Channel) -> Any:
    """The plain stub, for what the client hides."""
    return commands_pb2_grpc.CommandServiceStub(channel)  # type: ignore[no-untyped-call]


async def eventually(condition: Callable[[], Any], *, timeout_s: float = 5.0) -> None:
    """Yield to the loop until the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition is any state, nothing signals it
            await asyncio.sleep(0.005)
