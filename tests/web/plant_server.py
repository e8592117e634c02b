"""A serving process with both faces inside the test's own, with the demonstration plant: what reaches it is what Kafka would bring.

Enters: calls of the test. Leaves: an address for browsers. It can be stopped and comes back on the same port.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from base.ids import now_us, uuid7
from base.settings import KafkaSettings, PostgresSettings
from schemas import codec, definitions, quality, topics
from schemas.alarm_rules import AlarmRule
from schemas.commands import CommandAck, CommandRequest, CommandState, CommandStateRecord
from schemas.definitions import TagDefinition
from serving.config import HttpSettings, LimitSettings, ServingConfig
from serving.oidc.settings import OidcSettings
from serving.server import COMMAND_SERVICE, STATE_SERVICE, Server, build
from tests.contract import examples
from tests.unit.alarming import AlarmsInPlace
from tests.unit.served import RequestList
from tests.web import demo_plant

GATEWAYS = {"gw-north-1": "north", "gw-south-1": "south"}
_DEAD_US = 340_000_000


@dataclass
class PlantServer:
    """The server, and what the test does in the place of the line."""

    folder: Path
    dsn: str
    port: int
    server: Server = field(init=False)
    alarms: AlarmsInPlace = field(init=False)
    rules: list[AlarmRule] = field(default_factory=list)
    requests: RequestList = field(default_factory=RequestList)
    tags: list[TagDefinition] = field(default_factory=demo_plant.tags)
    overrides: dict[int, float] = field(default_factory=dict)
    oidc: OidcSettings = field(default_factory=OidcSettings)
    push_key: str = ""
    tokens: str = ""
    """Tokens file; without one a name is enough to sign in."""
    story: bool = True
    """Live values and an anomaly of the demonstration plant; without it there is the registry alone."""

    @property
    def origin(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    def tag(self, path: str) -> TagDefinition:
        """Tag at a path."""
        return next(tag for tag in self.tags if tag.path == path)

    async def start(self) -> None:
        """Listen, and know what the topics hold."""
        config = ServingConfig(
            listen="127.0.0.1:0",
            kafka=KafkaSettings(bootstrap_servers="unused"),
            postgres=PostgresSettings(dsn=self.dsn),
            http=HttpSettings(listen=f"127.0.0.1:{self.port}", page=str(self.folder), push_key=self.push_key),
            # A test machine may be busy: bulk is not what is tried here.
            limits=LimitSettings(overload_lag_ms=60_000),
            drain_s=0.5,
            oidc=self.oidc,
            tokens=self.tokens,
        )
        self.server = build(config, self.requests, RequestList())
        await self.server.start()
        for tag in self.tags:
            self.server.plant.apply(definitions.encode_tag(tag)[1])
        self.server.plant.apply(definitions.encode_version(8, tags=len(self.tags), time_us=now_us())[1])
        for service in (STATE_SERVICE, COMMAND_SERVICE):
            await self.server.set_ready(service)
        self.alarms = AlarmsInPlace(self.server, self.tags, self.rules)
        self.requests.told = self.alarms.acted
        await self.alarms.begin()
        if not self.story:
            return
        self.health()
        self.apply(list(self.tags))
        self.feed(topics.ANOMALIES, codec.encode("Anomaly", demo_plant.anomaly(now_us())))

    def health(self) -> None:
        """What gateways report every second: one machine is dead, one connection down."""
        dead = next(tag.device_id for tag in self.tags if tag.device_path == demo_plant.DEAD)
        for gateway, site in GATEWAYS.items():
            north = site == "north"
            attributes = {
                "dead_devices": str(dead) if north else "",
                "buffer_bytes": "40960",
                "connected.opcua": "true",
                "connected.spb": "false" if north else "true",
            }
            if north:
                attributes["problem.spb"] = "no answer from mqtt://127.0.0.1:29883"
            self.event(kind="GATEWAY_HEALTH", gateway_id=gateway, device_id=0, text="", attributes=attributes)

    def event(self, **fields: Any) -> None:
        """A device event, as it would come from the topic."""
        now = now_us()
        record = examples.records()["DeviceEvent"] | {"event_id": uuid7(now), "time_us": now, "gap": None, "lanes": []}
        gateway = str((record | fields)["gateway_id"])
        self.feed(topics.EVENTS, codec.encode("DeviceEvent", record | fields), GATEWAYS.get(gateway, "north"))

    def feed(self, topic: topics.Topic, message: bytes, *site: str) -> None:
        """Give a message to what follows the topic, with the site of a topic that has one."""
        server = self.server
        table = server.feeds()
        next(one for one in table if one.topic == topic).apply(message, *site)

    def apply(self, tags: list[TagDefinition], *, time_us: int = 0) -> None:
        """New values of tags; those of the dead machine are as old as its death."""
        at_us = time_us or now_us()
        for gateway in GATEWAYS:
            mine = [tag for tag in tags if tag.gateway_id == gateway]
            if not mine:
                continue
            times = [at_us - _DEAD_US if tag.device_path == demo_plant.DEAD else at_us for tag in mine]
            values = [self.overrides.get(tag.tag_id, demo_plant.value_at(tag, at_us)) for tag in mine]
            batch = {
                "gateway_id": gateway,
                "lane": 0,
                "closed_time_us": at_us,
                "tag_id": np.array([tag.tag_id for tag in mine], np.int32),
                "time_us": np.array(times, np.int64),
                "value": np.array(values, np.float64),
                "quality": np.full(len(mine), quality.GOOD, np.uint16),
            }
            self.feed(topics.LATEST, codec.encode("LatestBatch", batch))

    async def move(self) -> None:
        """Values and health go on coming until this is cancelled."""
        living = [tag for tag in self.tags if tag.device_path != demo_plant.DEAD]
        while True:
            await asyncio.sleep(0.25)
            self.apply(living)
            self.alarms.advance()
            self.health()

    def record(self, request: CommandRequest, state: CommandState, version: int, **fields: Any) -> None:
        """The record of a command, as the commands job writes it."""
        names = ("command_id", "device_id", "gateway_id", "site", "name", "parameters", "submitted_by", "submitted_us")
        shared = {name: getattr(request, name) for name in (*names, "expires_us", "attempt")}
        made = CommandStateRecord(**shared | {"state": state, "version": version, "updated_us": now_us()} | fields)
        self.feed(topics.STATES, made.encode())

    def ack(self, request: CommandRequest, state: CommandState, **fields: Any) -> None:
        """The word of the gateway, ahead of the record."""
        made = CommandAck(
            command_id=request.command_id,
            attempt=request.attempt,
            device_id=request.device_id,
            gateway_id=request.gateway_id,
            state=state,
            time_us=now_us(),
            **fields,
        )
        self.feed(topics.ACKS, made.encode(), GATEWAYS[made.gateway_id])

    def asked(self) -> CommandRequest:
        """The newest request that was written."""
        found = [content for name, content in self.requests.decoded if name == "CommandRequest"]
        return CommandRequest.from_record(found[-1])


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def plant_server(
    folder: Path,
    *,
    dsn: str = "",
    registry: list[TagDefinition] | None = None,
    rules: Iterable[AlarmRule] = (),
    push_key: str = "",
    tokens: str = "",
) -> AsyncIterator[PlantServer]:
    """A server with the demonstration plant, or another `registry`; ends with the block. Without `dsn` the database is away."""
    running = PlantServer(folder=folder, dsn=dsn, port=free_port(), rules=list(rules), push_key=push_key, tokens=tokens)
    if registry is not None:
        running.tags, running.story = registry, False
    await running.start()
    try:
        yield running
    finally:
        await running.server.stop()
