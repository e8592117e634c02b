"""One gateway: puts the parts together, starts them, stops them in the right order.

Start: the buffer is recovered, the registry's copy on disk is used, connectors run, whether Kafka is there or not. Stop
(SIGTERM): connectors first, so that nothing new comes in; running commands are finished; what was collected is appended
and sent, for at most `shutdown_s`; the last health event has the final counters. What Kafka did not confirm by then is in
the buffer and is sent after the next start. A part that fails ends the gateway with an error: its supervisor starts it anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from base import endpoint
from base.endpoint import Answer
from base.ids import Clock, now_us
from connectors.catalogue import Connection
from connectors.protocol import Context
from connectors.readings import Connector, Sink, Write, WriteResult
from edge.clock import clock_status
from edge.command_feed import Acks, CommandFeed
from edge.command_journal import CommandJournal
from edge.commands import Commands
from edge.config import GatewayConfig
from edge.connections import Connections
from edge.events import Events
from edge.metrics import GatewayCollector, GatewayNumbers
from edge.normalise import TagTable
from edge.pipeline import Pipeline, Thinning
from edge.registry_cache import RegistryCache, RegistryView
from edge.supervised import ConnectionSpec
from edge.uplink import Uplink
from schemas.definitions import TagDefinition
from schemas.events import DeviceEvent, EventKind
from schemas.frame import ClockStatus

log = logging.getLogger(__name__)

_HEALTH_S = 1.0
_CLOCK_S = 10.0


class Gateway:
    """All parts of one gateway process, from start to stop; make it in a running event loop. Implements `commands.Machines`."""

    def __init__(self, config: GatewayConfig, *, clock: Clock = now_us) -> None:
        """Open buffer and journal; raises BufferFailedError, sqlite3.Error."""
        self._config, self._clock = config, clock
        self._started_us = clock()
        config.state_dir.mkdir(parents=True, exist_ok=True)
        events = Events(config.gateway_id, clock)
        self._uplink = Uplink(
            config.kafka,
            gateway_id=config.gateway_id,
            site=config.site,
            settings=config.uplink,
            on_reports=self._on_reports,
        )
        thinning = Thinning(config.thinning.swinging_door, config.thinning.max_silence_s)
        self._pipeline = Pipeline(
            config.state_dir / "buffer",
            gateway_id=config.gateway_id,
            clock=clock,
            framing_settings=config.framing,
            buffer_settings=config.buffer,
            thinning=thinning,
            is_outstanding=self._uplink.is_outstanding,
            events=events,
        )
        self._connections = Connections(sink=self._pipeline, clock=clock, settled=self._pipeline.settled)
        self._acks = Acks(config.kafka, site=config.site)
        self._commands = Commands(
            CommandJournal(config.state_dir / "commands.sqlite", clock=clock),
            gateway_id=config.gateway_id,
            machines=self,
            tell=self._acks.send,
            settings=config.commands,
            clock=clock,
        )
        self._feed = CommandFeed(config.kafka, site=config.site, commands=self._commands)
        self._registry = RegistryCache(
            config.state_dir / "registry.cache", gateway_id=config.gateway_id, site=config.site, on_view=self._use
        )
        self._admin: endpoint.Endpoint | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then stop in order; raises what made a part fail."""
        self._registry.load()
        self._check_clock()
        await self._commands.start()
        self._admin = self._serve_admin()
        log.info("gateway started", extra={"gateway_id": self._config.gateway_id, "admin_port": self.admin_port})
        await self._connections.apply(self._specs(self._config))
        self._check_served()
        connections = self._task(self._connections.run(), "connections")
        feed = [self._task(self._feed.run(), "commands")] if self._config.commands.enabled else []
        others = [
            self._task(self._registry.run(self._config.kafka), "registry"),
            self._task(self._commands.run(), "journal"),
            self._task(self._report(), "health"),
        ]
        pipeline = self._task(self._pipeline.run(self._uplink), "pipeline")
        stopping = self._task(stop.wait(), "stop")
        parts = [connections, *feed, *others, pipeline]
        done: set[asyncio.Task[Any]] = set()
        try:
            done, _ = await asyncio.wait({stopping, *parts}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                log.critical("a part of the gateway failed", extra={"part": task.get_name()}, exc_info=task.exception())
        finally:
            await _cancel([stopping, *feed])
            await self._commands.stop()
            await _cancel([connections])
            await self._connections.close()
            await _cancel(others)
            self._pipeline.stop()
            await asyncio.gather(pipeline, return_exceptions=True)
            await self._finish(buffer_works=pipeline not in done)
        for task in done - {stopping}:
            task.result()

    @property
    def admin_port(self) -> int:
        """Port of the admin interface, once started."""
        assert self._admin is not None
        return self._admin.port

    # --- Machines --------------------------------------------------------------------------------------------------------

    def tags_of(self, device_id: int) -> Sequence[TagDefinition]:
        """The gateway's tags of a device."""
        return self._registry.view.device(device_id)

    def clock_status(self) -> ClockStatus:
        """Whether the clock is disciplined."""
        return self._pipeline.clock_status

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Write through the connection that serves the device."""
        return await self._connections.write(writes, timeout_s)

    # --- parts -----------------------------------------------------------------------------------------------------------

    def _specs(self, config: GatewayConfig) -> list[ConnectionSpec]:
        """What the configuration says of each connection."""

        def spec(connection: Connection) -> ConnectionSpec:
            def make(sink: Sink) -> Connector:
                state_dir = config.state_dir / "connections" / connection.name
                context = Context(gateway_id=config.gateway_id, sink=sink, clock=self._clock, state_dir=state_dir)
                return connection.make(context)

            return ConnectionSpec(name=connection.name, settings=connection, make=make)

        return [spec(connection) for connection in config.connections]

    def _use(self, view: RegistryView) -> None:
        """A new version of the registry."""
        self._pipeline.use(TagTable(view.version, view.tags.values()))
        self._connections.update({tag.address: tag for tag in view.tags.values()}, view.foreign)
        if self._admin is not None:
            self._check_served()

    def _check_served(self) -> None:
        if unserved := self._connections.unserved():
            log.warning("addresses that no connection serves", extra={"count": len(unserved), "first": unserved[:5]})

    def _on_reports(self) -> None:
        self._pipeline.wake()

    def _task(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        return asyncio.create_task(work, name=name)

    def _check_clock(self) -> None:
        self._pipeline.clock_status = clock_status(time_service_expected=self._config.clock.time_service_expected)

    async def _report(self) -> None:
        """A health event a second."""
        clock_checked_s = time.monotonic()
        while True:
            self._uplink.send_health(await self._health())
            await asyncio.sleep(_HEALTH_S)
            if time.monotonic() - clock_checked_s > _CLOCK_S:
                clock_checked_s = time.monotonic()
                self._check_clock()

    async def _finish(self, *, buffer_works: bool) -> None:
        if buffer_works:
            await self._pipeline.finish(self._uplink)
            left = await self._uplink.flush(self._config.shutdown_s)
            await self._pipeline.confirm_sent(self._uplink)
            self._uplink.send_health(await self._health())
            left = await self._uplink.flush(1.0)
            log.info("gateway stopped", extra={"unconfirmed": left, **await self._pipeline.status()})
            await self._pipeline.close()
        await self._acks.close(1.0)
        await self._commands.close()
        await self._uplink.close()
        if self._admin is not None:
            await asyncio.to_thread(self._admin.close)

    # --- health ----------------------------------------------------------------------------------------------------------

    async def _health(self) -> bytes:
        status = await self._pipeline.status()
        now = self._clock()
        attributes = {
            "epoch": status["epoch"],
            "registry_version": str(self._registry.view.version),
            "deadbanded": str(status["deadbanded"]),
            "buffer_bytes": str(status["buffer_bytes"]),
            "disk_full": str(status["disk_full"]).lower(),
            "oldest_age_ms": str((now - status["oldest_us"]) // 1000 if status["oldest_us"] else 0),
            "live": str(self._uplink.is_live()).lower(),
            "clock": self._pipeline.clock_status.value,
            "started_us": str(self._started_us),
        }
        for connection in self._connections.status():
            attributes[f"connected.{connection['name']}"] = str(connection["connected"]).lower()
        event = DeviceEvent(
            kind=EventKind.GATEWAY_HEALTH,
            gateway_id=self._config.gateway_id,
            device_id=0,
            time_us=now,
            attributes=attributes,
            lanes=await self._pipeline.health(),
        )
        return event.encode()

    def _serve_admin(self) -> endpoint.Endpoint:
        """Health, status and metrics; asked in threads of the endpoint, answered in the event loop."""
        loop, registry = asyncio.get_running_loop(), endpoint.new_registry()
        registry.register(GatewayCollector(partial(endpoint.from_loop, loop, self._numbers)))
        pages = {
            "/health": partial(endpoint.from_loop, loop, self._health_page),
            "/status": partial(endpoint.from_loop, loop, self._status_page),
        }
        return endpoint.serve(self._config.admin.host, self._config.admin.port, registry, pages)

    async def _problems(self) -> list[str]:
        status = await self._pipeline.status()
        problems = [f"{one['name']}: {one['problem']}" for one in self._connections.status() if one["problem"]]
        if not self._uplink.is_live():
            problems.append("kafka does not take frames")
        if status["disk_full"]:
            problems.append("the disk is full")
        if not self._registry.view.version:
            problems.append("no registry yet")
        return problems

    def _warnings(self) -> list[str]:
        """What is not as it should be, while everything else works."""
        found = []
        for one in self._connections.status():
            if refused := one.get("refused"):
                count = one.get("refused_count", len(refused))
                found.append(f"{one['name']}: {count} addresses are refused, the first: {next(iter(refused))}")
            if one["last_error"] and not one["problem"]:
                found.append(f"{one['name']}: {one['restarts']} restarts; last error: {one['last_error']}")
        if unserved := self._connections.unserved():
            found.append(f"{len(unserved)} addresses that no connection serves, the first: {unserved[0]}")
        return found

    async def _health_page(self) -> Answer:
        problems = await self._problems()
        code = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return Answer({"healthy": not problems, "problems": problems, "warnings": self._warnings()}, code)

    async def _numbers(self) -> GatewayNumbers:
        buffer, uplink, commands = await self._pipeline.status(), self._uplink.status(), self._commands.status()
        oldest_us = buffer["oldest_us"]
        return GatewayNumbers(
            gateway_id=self._config.gateway_id,
            healthy=not await self._problems(),
            lanes=await self._pipeline.health(),
            suppressed=buffer["deadbanded"],
            buffer_bytes=buffer["buffer_bytes"],
            oldest_age_s=max(0, self._clock() - oldest_us) / 1e6 if oldest_us else 0.0,
            disk_full=buffer["disk_full"],
            live=self._uplink.is_live(),
            outstanding_bytes=uplink["outstanding_bytes"],
            registry_version=self._registry.view.version,
            tags=len(self._registry.view.tags),
            connections=self._connections.status(),
            commands_waiting=commands["waiting"],
            outcomes=commands["outcomes"],
        )

    async def _status_page(self) -> Answer:
        lanes = [
            {
                "lane": one.lane,
                "epoch": str(one.epoch),
                "stream": one.stream.name,
                "next_sequence": one.next_sequence,
                "produced_samples": one.produced_samples,
                "produced_checksum": one.produced_checksum,
                "delivered_sequence": one.delivered_sequence,
                "buffered_samples": one.buffered_samples,
                "dropped_samples": one.dropped_samples,
            }
            for one in await self._pipeline.health()
        ]
        return Answer(
            {
                "gateway_id": self._config.gateway_id,
                "site": self._config.site,
                "started_us": self._started_us,
                "clock": self._pipeline.clock_status.value,
                "registry": {"version": self._registry.view.version, "tags": len(self._registry.view.tags)},
                "buffer": await self._pipeline.status(),
                "lanes": lanes,
                "uplink": self._uplink.status(),
                "connectors": self._connections.status(),
                "commands": {"problem": self._feed.problem, **self._commands.status()},
            }
        )


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
