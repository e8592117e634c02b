"""The real server as the client's conformance suite wants it: its caches fed by hand, commands moved on by hand."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import numpy as np

import client_conformance as suite
from base.ids import now_us
from millrace_client import (
    Aggregate,
    Anomaly,
    AsyncClient,
    Client,
    CommandState,
    Connection,
    Event,
    Gateway,
    Quality,
    Reject,
    Value,
)
from millrace_client.fake.archive import Archive
from schemas import commands
from schemas.commands import CommandAck, CommandRequest
from schemas.definitions import DataType, TagDefinition
from schemas.events import CONNECTED, PROBLEM, DeviceEvent, EventKind, LaneHealth
from schemas.frame import Stream
from serving.caches.alarm_job import AlarmJob
from serving.caches.closed_windows import ClosedWindows
from serving.config import LimitSettings
from serving.server import COMMAND_SERVICE, STATE_SERVICE, Server, build
from serving.tokens import hash_token
from tests.contract import examples
from tests.unit.alarming import AlarmsInPlace, rule
from tests.unit.served import RequestList, Served, batch, definition, served

GATEWAY = "gw-north-1"
PRESSES = [
    definition(
        tag_id=100 + 10 * number + place,
        device_id=10 + number,
        path=f"{press}/{name}",
        name=name,
        unit="Cel",
        data_type=DataType(kind),
        writable=writable,
        eu_low=0.0,
        eu_high=150.0,
        limit_low=None,
        limit_high=None,
    )
    for number, press in enumerate(suite.PRESSES)
    for place, (name, kind, writable) in enumerate(suite.TAGS)
]


_LANE = LaneHealth(
    lane=1, epoch=UUID(int=1), stream=Stream.LIVE, next_sequence=1, produced_samples=0, produced_checksum=0,
    delivered_sequence=0, buffered_samples=0, dropped_samples=0,
)  # fmt: skip


R = TypeVar("R", bound="RealRun")


class RealRun:
    """A real server as the suite wants it. What is put into its caches is put again into those of a server that follows."""

    def __init__(self, running: Served, *, threads: bool, ca: str, tokens: Path | None) -> None:
        self.clients: list[Any] = []
        self._running = running
        self._threads = threads
        self._ca = ca
        self._tokens = tokens
        self._registry: dict[int, TagDefinition] = {}
        self._archive = Archive()
        self._history: list[Callable[[Server], None]] = []
        self._versions: Counter[UUID] = Counter()
        self._revisions: Counter[str] = Counter()
        self._know(PRESSES)
        self.alarms = AlarmsInPlace(running.server, PRESSES, [rule("hot", "temperature", 150.0)])
        running.requests.told = self.alarms.acted

    def client(self, name: str = "", *, allow: Collection[str] = suite.EVERYTHING, **options: Any) -> Any:
        token = ""
        if self._tokens is not None:
            token = f"token-of-{name}"
            allowed = ", ".join(f'"{one}"' for one in allow)
            with self._tokens.open("a") as file:
                file.write(f'[principals.{name}]\nsha256 = "{hash_token(token)}"\nallow = [{allowed}]\n')
        connection = Connection(
            self._running.address, ca=self._ca, token=token, name=name if self._tokens is None else ""
        )
        make = Client if self._threads else AsyncClient
        self.clients.append(suite.face(make(connection, **options)))
        return self.clients[-1]

    def define(self, path: str, *, tag_id: int, device_id: int) -> object:
        self._know([definition(tag_id=tag_id, device_id=device_id, path=path, name=path.rpartition("/")[2])])
        return None

    def set(self, tag_id: int, value: float, *, code: int = 0, time_us: int | None = None) -> None:
        record = batch({tag_id: value}, time_us=time_us, quality=code, lane=tag_id)
        quality = Quality.BAD if code & 0x8000 else Quality.UNCERTAIN if code & 0x4000 else Quality.GOOD
        self._archive.add(tag_id, Value(value=value, time_us=int(record["time_us"][0]), quality=quality))
        self._apply(lambda server: server.values.apply(record))

    def publish(self, step: Anomaly) -> None:
        record = self.anomaly(step)
        self._apply(lambda server: server.episodes.apply(record))

    def anomaly(self, step: Anomaly) -> dict[str, Any]:
        """The next record of an episode."""
        self._revisions[step.episode_id] += 1
        fields = dataclasses.asdict(step) | {
            "episode_id": UUID(step.episode_id),
            "phase": str(step.phase),
            "revision": self._revisions[step.episode_id],
            "contributors": [
                {name: value for name, value in dataclasses.asdict(part).items() if name != "path"}
                for part in step.contributors
            ],
        }
        return {name: fields.get(name, value) for name, value in examples.records()["Anomaly"].items()}

    def set_state(self, device_id: int, *, heard: bool) -> None:
        kind = EventKind.BIRTH if heard else EventKind.DEATH
        health = DeviceEvent(kind=EventKind.GATEWAY_HEALTH, gateway_id=GATEWAY, device_id=0, time_us=now_us())
        event = DeviceEvent(kind=kind, gateway_id=GATEWAY, device_id=device_id, time_us=now_us())
        self._apply(lambda server: server.news.gateways.apply(health))
        self._apply(lambda server: server.liveness.fold(event))

    def close_window(self, tag_id: int, start_us: int, window_s: int) -> Aggregate:
        window = self._archive.window(tag_id, start_us, window_s)
        deviations = (window.stddev or 0.0) ** 2 * max(window.good - 1, 0)
        columns = {name: np.array([getattr(window, name)]) for name in ("tag_id", "start_us", "count", "good")}
        columns |= {name: np.array([getattr(window, name)]) for name in ("mean", "min", "max", "first", "last")}
        closed = ClosedWindows(window_s=window_s, m2=np.array([deviations]), **columns)
        self._running.server.news.windows.send(closed)
        return window

    def tell(self, event: Event) -> None:
        self._running.server.news.events.send(self.event(event))

    def event(self, event: Event) -> DeviceEvent:
        """As a gateway sends it."""
        return DeviceEvent(
            event_id=UUID(event.event_id),
            kind=EventKind(event.kind),
            gateway_id=event.gateway_id,
            device_id=event.device_id,
            time_us=event.time_us,
            text=event.text,
        )

    def report(self, gateway: Gateway) -> None:
        attributes = {f"{CONNECTED}{one.name}": str(one.connected).lower() for one in gateway.connections}
        attributes |= {f"{PROBLEM}{one.name}": one.detail for one in gateway.connections if one.detail}
        lane = dataclasses.replace(_LANE, buffered_samples=gateway.buffered_samples)
        told = DeviceEvent(
            kind=EventKind.GATEWAY_HEALTH,
            gateway_id=gateway.gateway_id,
            device_id=0,
            time_us=gateway.reported_us,
            attributes=attributes | {"buffer_bytes": str(gateway.buffered_bytes)},
            lanes=(lane,),
        )
        self._apply(lambda server: server.news.gateways.apply(told))

    def reject(self, reject: Reject) -> None:
        raise NotImplementedError  # what was refused is in the database, which no test of this rung has

    def know_work(self) -> None:
        raise NotImplementedError  # as above

    async def settle(self) -> None:
        raise NotImplementedError  # as above

    def advance(self, command_id: UUID, state: CommandState, *, provisional: bool = False, **more: Any) -> None:
        request = next(one for one in self._requests() if one.command_id == command_id)
        if provisional:
            ack = CommandAck(
                command_id=command_id,
                attempt=1,
                device_id=request.device_id,
                gateway_id=request.gateway_id,
                state=commands.CommandState(state),
                time_us=now_us(),
                **more,
            )
            self._apply(lambda server: server.book.apply_ack(ack))
            return
        self._versions[command_id] += 1
        version = self._versions[command_id]
        self._apply(lambda _: self._running.record(request, commands.CommandState(state), version, **more))

    def overheat(self, number: int, *, over: bool = False) -> None:
        self.alarms.see({100 + 10 * number: 20.0 if over else 200.0})

    def switch_alarms_off(self) -> None:
        job = self._running.server.alarms.job = AlarmJob()
        job.saw({}, {})

    @property
    def submitted(self) -> list[UUID]:
        return [request.command_id for request in self._requests()]

    @property
    def controls(self) -> list[tuple[str, UUID, str, str]]:
        return [
            (record["action"], record["command_id"], record["by"], record["reason"])
            for name, record in self._running.requests.decoded
            if name == "CommandControl"
        ]

    async def stop(self) -> None:
        await self._running.server.stop()

    async def start(self) -> None:
        config = dataclasses.replace(self._running.server.config, listen=self._running.address)
        server = self._running.server = build(config, self._running.requests, RequestList())
        for request in self._requests():
            server.book.apply_request(request)
        for change in self._history:
            change(server)
        await server.start()
        await server.set_ready(STATE_SERVICE)
        await server.set_ready(COMMAND_SERVICE)

    def _requests(self) -> list[CommandRequest]:
        decoded = self._running.requests.decoded
        return [CommandRequest.from_record(record) for name, record in decoded if name == "CommandRequest"]

    def _know(self, tags: list[TagDefinition]) -> None:
        self._registry |= {tag.tag_id: tag for tag in tags}
        known, version = list(self._registry.values()), 100 + len(self._history)
        self._apply(lambda _: self._running.know(known, version))

    def _apply(self, change: Callable[[Server], None]) -> None:
        self._history.append(change)
        change(self._running.server)


async def real_run(
    stack: AsyncExitStack,
    *,
    threads: bool,
    ca: str = "",
    tokens: Path | None = None,
    make: Callable[..., R] = RealRun,  # type: ignore[assignment]
    **more: Any,
) -> R:
    """A server for one case, and what `make` makes of it; both end with the stack."""
    limits = LimitSettings(requests_per_s=10_000, burst=10_000, commands_per_s=1_000, commands_burst=1_000)
    running = await stack.enter_async_context(
        served(limits=limits, drain_s=0.1, ca=ca, tokens="" if tokens is None else str(tokens), **more)
    )
    run = make(running, threads=threads, ca=ca, tokens=tokens)
    await run.alarms.begin()

    async def close() -> None:
        await asyncio.gather(*(client.close() for client in run.clients))

    stack.push_async_callback(close)
    return run
