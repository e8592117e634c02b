"""One gateway: puts the parts together, starts them, stops them in the right order.

Start: the buffer is recovered, the registry's copy on disk is used, connectors run, whether Kafka is there or not. Stop
(SIGTERM): connectors first, so that nothing new comes in; running commands are finished; what was collected is appended
and sent, for at most `shutdown_s`; the last health event has the final counters. What Kafka did not confirm by then is in
the buffer and is sent after the next start. A part that fails ends the gateway with an error: its supervisor starts it anew.

Over 350 lines: the parts and the order in which they start and stop are read together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from base import endpoint
from base.errors import ConfigError, MillraceError, UnavailableError, cause_of
from base.ids import Clock, now_us
from connectors.catalogue import Connection
from connectors.protocol import Context
from connectors.readings import Connector, Notice, Sink, Write, WriteResult
from edge import at_rest, platforms, reload, signing, systemd
from edge.clock import clock_status
from edge.command_feed import Acks, CommandFeed
from edge.command_journal import CommandJournal
from edge.commands import Commands
from edge.config import GatewayConfig
from edge.connections import Connections
from edge.events import Events
from edge.identity import Identity, Renewal
from edge.local_policies import LocalPolicies
from edge.normalise import TagTable
from edge.pages import Pages
from edge.pipeline import Pipeline, Thinning
from edge.registry_cache import RegistryCache, RegistryView
from edge.reload import Reloads
from edge.supervised import ConnectionSpec
from edge.uplink import Uplink
from schemas.command_rules import Acknowledgement
from schemas.commands import CommandRequest
from schemas.definitions import TagDefinition
from schemas.events import EventKind
from schemas.frame import ClockStatus

log = logging.getLogger(__name__)

_HEALTH_S = 1.0
_CLOCK_S = 10.0
_AGAIN_S = 5.0
"""Until the platform is read again after an error that does not pass by itself: a revoked certificate, for example."""


class Gateway:
    """All parts of one gateway process, from start to stop; make it in a running event loop. Implements `commands.Machines`."""

    def __init__(self, config: GatewayConfig, *, source: Path | None = None, clock: Clock = now_us) -> None:
        """Open buffer and journal; raises BufferFailedError, ConfigError, sqlite3.Error. `source` is the file that `reload` reads."""
        self._config, self._source, self._clock = config, source, clock
        self._reloads, self._reloading = Reloads(), asyncio.Lock()
        policies = LocalPolicies.read(config.policies)
        config.state_dir.mkdir(parents=True, exist_ok=True)
        keys = self._keys = at_rest.prepare(config.at_rest, config.state_dir)
        keys.claim()
        events = Events(config.gateway_id, clock)
        self._platform = platforms.of(config)
        self._identity = Identity(*map(Path, config.identity)) if config.enrolment.server else None
        self._signing = signing.of(
            self._wanted_signatures,
            config.way,
            self._platform,
            gateway_id=config.gateway_id,
            clock=clock,
            enrolled=self._identity is not None,
        )
        self._uplink = Uplink(
            self._platform,
            gateway_id=config.gateway_id,
            site=config.site,
            settings=config.uplink,
            on_reports=self._on_reports,
            sign=self._signing.tails if self._signing else None,
        )
        thinning = Thinning(config.thinning.swinging_door, config.thinning.max_silence_s)
        self._pipeline = Pipeline(
            config.state_dir / at_rest.BUFFER,
            gateway_id=config.gateway_id,
            clock=clock,
            framing_settings=config.framing,
            buffer_settings=config.buffer,
            thinning=thinning,
            is_outstanding=self._uplink.is_outstanding,
            events=events,
            keys=keys,
        )
        self._connections = Connections(sink=self._pipeline, clock=clock, settled=self._pipeline.settled)
        self._acks = Acks(self._platform, site=config.site, signing=self._signing)
        self._commands = Commands(
            CommandJournal(config.state_dir / at_rest.JOURNAL, clock=clock, at_rest=keys),
            gateway_id=config.gateway_id,
            machines=self,
            tell=self._acks.send,
            settings=config.commands,
            clock=clock,
            verify=self._signing.problem if self._signing else lambda _: "",
        )
        self._policies = LocalPolicies(
            gateway_id=config.gateway_id,
            site=config.site,
            clock=clock,
            notice=self._pipeline.notice,
            submit=self._submit,
        )
        self._policies.use(policies)
        self._pipeline.on_samples = self._policies.on_samples
        self._feed = CommandFeed(self._platform, site=config.site, commands=self._commands, signing=self._signing)
        self._registry = RegistryCache(
            config.state_dir / "registry.cache", gateway_id=config.gateway_id, site=config.site, on_view=self._use
        )
        self._renewed = asyncio.Event()
        self._renewal = self._make_renewal()
        self._admin: endpoint.Endpoint | None = None
        self._pages = Pages(
            config=config,
            clock=clock,
            pipeline=self._pipeline,
            uplink=self._uplink,
            connections=self._connections,
            commands=self._commands,
            feed=self._feed,
            registry=self._registry,
            reloads=self._reloads,
            policies=self._policies,
            renewal=self._renewal,
            signing=self._signing,
            keys=keys,
        )

    def _make_renewal(self) -> Renewal | None:
        """For a gateway that enrolled."""
        if self._identity is None:
            return None
        return Renewal(
            self._identity,
            self._config.enrolment.server,
            changed=self._reconnect,
            say=lambda text: self._say(text, {}),
            wanted=lambda: self._signing is not None and self._signing.unsettled,
            clock=self._clock_utc,
        )

    def _wanted_signatures(self) -> signing.SignatureSettings:
        own = self._config.signatures
        return own if self._identity is None else self._identity.signatures(own)

    def _clock_utc(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1e6, UTC)

    def _reconnect(self) -> None:
        """Go on with another certificate, which is read when one connects. What is under way is sent again."""
        if self._signing is not None:
            self._signing.renewed()
        self._uplink.renew()
        self._pipeline.wake()
        self._acks.renew()
        self._renewed.set()
        self._renewed = asyncio.Event()

    async def _with_newest_certificate(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do a work that reads from the platform, anew after each change of the certificate. A right that is missing costs nothing else."""
        while True:
            renewed = asyncio.create_task(self._renewed.wait())
            working = asyncio.create_task(work())
            try:
                await asyncio.wait({renewed, working}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    return working.result()
            except UnavailableError as error:
                log.error("the platform is not read", extra={"cause": str(error)})
                await asyncio.wait({renewed}, timeout=_AGAIN_S)
            finally:
                await _cancel([renewed, working])

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then stop in order; raises what made a part fail."""
        self._registry.load()
        self._check_clock()
        await self._commands.start()
        self._admin = self._pages.serve()
        log.info("gateway started", extra={"gateway_id": self._config.gateway_id, "admin_port": self.admin_port})
        await self._connections.apply(self._specs(self._config))
        self._check_served()
        connections = self._task(self._connections.run(), "connections")
        feed = (
            [self._task(self._with_newest_certificate(self._feed.run), "commands")]
            if self._config.commands.enabled
            else []
        )
        others = [
            self._task(self._with_newest_certificate(lambda: self._registry.run(self._platform)), "registry"),
            self._task(self._commands.run(), "journal"),
            self._task(self._report(), "health"),
        ]
        if self._signing is not None:
            others.append(self._task(self._with_newest_certificate(self._signing.run), "signing keys"))
        if self._renewal is not None:
            others.append(self._task(self._renewal.run(), "certificate"))
        pipeline = self._task(self._pipeline.run(self._uplink), "pipeline")
        if period_s := systemd.watchdog_s():
            others.append(self._task(systemd.feed(lambda: self._pipeline.turns, period_s), "watchdog"))
        systemd.notify(systemd.READY, f"STATUS=gateway {self._config.gateway_id} of site {self._config.site}")
        stopping = self._task(stop.wait(), "stop")
        parts = [connections, *feed, *others, pipeline]
        done: set[asyncio.Task[Any]] = set()
        try:
            done, _ = await asyncio.wait({stopping, *parts}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                log.critical("a part of the gateway failed", extra={"part": task.get_name()}, exc_info=task.exception())
        finally:
            systemd.notify(systemd.STOPPING)
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

    async def reload(self) -> None:
        """Go over to what the configuration file says now; a file that is wrong is refused whole, and the old one stays in force."""
        async with self._reloading:
            systemd.reloading()
            try:
                await self._reload()
            except (MillraceError, OSError) as error:
                self._reloads.refused += 1
                self._reloads.error = cause_of(error)
                log.error("the configuration is refused, the old one stays", extra={"cause": self._reloads.error})
                self._say(f"configuration refused: {self._reloads.error}", {"error": self._reloads.error})
            finally:
                systemd.notify(systemd.READY)

    async def _reload(self) -> None:
        if self._source is None:
            msg = "the gateway was started without a configuration file"
            raise ConfigError(msg)
        config = reload.read(self._source, self._config)
        policies = LocalPolicies.read(config.policies)
        self._policies.use(policies)
        changes = await self._connections.apply(self._specs(config))
        self._config = config
        self._reloads.applied += 1
        self._reloads.error, self._reloads.last = "", str(changes)
        log.info("configuration reloaded", extra={"changes": str(changes)})
        self._say(f"configuration reloaded: {changes}", {})
        self._check_served()

    def _say(self, text: str, attributes: dict[str, str]) -> None:
        """An event of the gateway itself."""
        self._pipeline.notice(
            Notice(kind=EventKind.STATE, device_id=0, time_us=self._clock(), text=text, attributes=attributes)
        )

    @property
    def admin_port(self) -> int:
        """Port of the admin interface, once started."""
        assert self._admin is not None
        return self._admin.port

    # --- Machines --------------------------------------------------------------------------------------------------------

    def tags_of(self, device_id: int) -> Sequence[TagDefinition]:
        """The gateway's tags of a device."""
        return self._registry.view.device(device_id)

    def refusal(self, request: CommandRequest, writes: Sequence[Write]) -> str:
        """Why local policies do not let a command be carried out now."""
        return self._policies.refusal(request, writes)

    def clock_status(self) -> ClockStatus:
        """Whether the clock is disciplined."""
        return self._pipeline.clock_status

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Write through the connection that serves the device."""
        return await self._connections.write(writes, timeout_s)

    async def acknowledge(self, wanted: Acknowledgement, timeout_s: float) -> WriteResult:
        """Acknowledge a condition through the connection that has it."""
        return await self._connections.acknowledge(wanted.condition, wanted.seen_us, wanted.comment, timeout_s)

    # --- parts -----------------------------------------------------------------------------------------------------------

    def _specs(self, config: GatewayConfig) -> list[ConnectionSpec]:
        """What the configuration says of each connection."""

        def spec(connection: Connection) -> ConnectionSpec:
            def make(sink: Sink) -> Connector:
                state_dir = config.state_dir / "connections" / connection.name
                context = Context(
                    gateway_id=config.gateway_id,
                    sink=sink,
                    clock=self._clock,
                    state_dir=state_dir,
                    shared_dir=config.state_dir,
                )
                return connection.make(context)

            return ConnectionSpec(name=connection.name, settings=connection, make=make)

        return [spec(connection) for connection in config.connections]

    def _use(self, view: RegistryView) -> None:
        """A new version of the registry."""
        self._pipeline.use(TagTable(view.version, view.tags.values()))
        self._policies.update(list(view.tags.values()))
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

    async def _submit(self, request: CommandRequest) -> None:
        """A command of a local rule."""
        await self._commands.receive([self._signing.own_request(request) if self._signing else request], [])

    def _check_clock(self) -> None:
        self._pipeline.clock_status = clock_status(time_service_expected=self._config.clock.time_service_expected)

    async def _report(self) -> None:
        """A health event a second."""
        clock_checked_s = time.monotonic()
        while True:
            self._uplink.send_health(await self._pages.health_event())
            await asyncio.sleep(_HEALTH_S)
            self._policies.tick()
            if time.monotonic() - clock_checked_s > _CLOCK_S:
                clock_checked_s = time.monotonic()
                self._check_clock()

    async def _finish(self, *, buffer_works: bool) -> None:
        if buffer_works:
            await self._pipeline.finish(self._uplink)
            left = await self._uplink.flush(self._config.shutdown_s)
            await self._pipeline.confirm_sent(self._uplink)
            self._uplink.send_health(await self._pages.health_event())
            left = await self._uplink.flush(1.0)
            log.info("gateway stopped", extra={"unconfirmed": left, **await self._pipeline.status()})
            await self._pipeline.close()
        await self._acks.close(1.0)
        await self._commands.close()
        await self._uplink.close()
        self._keys.release()
        if self._admin is not None:
            await asyncio.to_thread(self._admin.close)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
