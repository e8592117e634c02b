"""The line itself: gateways, stages, the accounting, and events as they come.

Enters: names of sites, paths. Leaves: what this server can see: reports of gateways, what advances on the topics, and
the database. What it cannot see is UNKNOWN, never well. Raises the branches of `base.errors`. Both faces call it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from base.errors import UnavailableError
from base.ids import Clock, now_us
from schemas.events import DeviceEvent
from serving.caches.broadcast import Broadcast
from serving.caches.gateways import Gateway, Gateways
from serving.caches.plant import Lookups, Plant
from serving.caches.wakeup import Streams
from serving.handlers.health import Assessment, LineHealth
from serving.handlers.records import Event, devices_under, gateways_under, kinds_of
from serving.seen import seen

_ACCOUNTING_S = 5.0
_LOOK_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneAccount:
    """The account of a lane, samples.

    `missing` is what is accounted for nowhere, `dropped` what the gateway said it took out of a full buffer.
    `calculated` samples are the telemetry job's, and contained in `stored` and `suppressed`.
    """

    gateway_id: str
    lane: int
    produced: int
    stored: int
    rejected: int
    suppressed: int
    held: int
    in_flight: int
    missing: int
    dropped: int
    calculated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Accounting:
    """produced + calculated = stored + rejected + suppressed + held + in_flight + dropped.

    `exact` is False also for what could not be measured.
    """

    lanes: tuple[LaneAccount, ...]
    exact: bool
    not_measured: tuple[str, ...]
    observed_us: int


Measure = Callable[[], Mapping[str, Any]]
"""`historian.accounting.measure` of this installation: blocks for up to seconds."""


@dataclass(kw_only=True, slots=True)
class LineHandlers:
    """What is known of the line. `measure`: None without a database."""

    plant: Plant
    gateways: Gateways
    events: Broadcast[DeviceEvent]
    streams: Streams
    assessment: Assessment
    measure: Measure | None
    ready: Callable[[], None]
    """Raises UnavailableError while the caches are being read."""
    clock: Clock = now_us
    _measured: tuple[float, Accounting] | None = None
    _measuring: asyncio.Task[Accounting] | None = field(default=None, repr=False)

    async def list_gateways(self, site: str = "") -> list[Gateway]:
        """Every gateway with its last report, by id."""
        self.ready()
        return self._gateways(seen(self.plant), site)

    async def watch_gateways(self, site: str = "") -> AsyncGenerator[Gateway, None]:
        """Every gateway, then those that changed, looked at every second. A newer report that says the same is no change."""
        self.ready()
        plant, shown = seen(self.plant), dict[str, Gateway]()
        with self.streams.opened() as wakeup:
            while True:
                for one in self._gateways(plant, site):
                    if _differs(shown.get(one.gateway_id), one):
                        shown[one.gateway_id] = one
                        yield one
                await wakeup.wait(_LOOK_S)

    async def line_health(self) -> LineHealth:
        """Each stage: whether it advances, and how far it is behind."""
        return await self.assessment.assess()

    async def accounting(self, site: str = "") -> Accounting:
        """The accounting, measured at most every five seconds for everybody together. Takes up to a few seconds."""
        plant = seen(self.plant)
        if self.measure is None:
            msg = "the accounting needs the database, and none is configured: postgres.dsn in serving.toml"
            raise UnavailableError(msg)
        if self._measured is None or time.monotonic() - self._measured[0] > _ACCOUNTING_S:
            if self._measuring is None or self._measuring.done():
                self._measuring = asyncio.create_task(self._measure(self.measure))
            # Shielded: who gives up must not take the answer from those that wait as well.
            found = await asyncio.shield(self._measuring)
        else:
            found = self._measured[1]
        if not site and plant.whole:
            return found
        sites = {one.gateway_id: plant.site_of_gateway(one.gateway_id) for one in found.lanes}
        lanes = tuple(one for one in found.lanes if sites[one.gateway_id] and site in {"", sites[one.gateway_id]})
        exact = not found.not_measured and not any(one.missing for one in lanes)
        return Accounting(lanes=lanes, exact=exact, not_measured=found.not_measured, observed_us=found.observed_us)

    async def watch_events(self, prefix: str = "", kinds: Sequence[str] = ()) -> AsyncGenerator[Event, None]:
        """Events from now on, of the devices under a path and of their gateways."""
        self.ready()
        plant = seen(self.plant)
        wanted, everywhere = kinds_of(kinds), not prefix and plant.whole
        found = devices_under(plant, prefix) if prefix else [] if everywhere else plant.devices_under("")
        devices = {device.device_id for device in found}
        gateways = gateways_under(plant, prefix)

        def pick(event: DeviceEvent) -> DeviceEvent | None:
            mine = everywhere or event.device_id in devices or (not event.device_id and event.gateway_id in gateways)
            return event if mine and event.kind in wanted else None

        with self.streams.opened() as wakeup, self.events.opened(wakeup, pick) as reader:
            async with aclosing(reader.items()) as items:
                async for event in items:
                    yield self._event(event)

    def _gateways(self, plant: Lookups, site: str) -> list[Gateway]:
        return [one for one in self.gateways.all(site) if plant.whole or plant.site_of_gateway(one.gateway_id)]

    async def _measure(self, measure: Measure) -> Accounting:
        found = await asyncio.to_thread(measure)
        lanes = tuple(
            LaneAccount(
                **{name: one[name] for name in LaneAccount.__dataclass_fields__ if name != "missing"},
                missing=one["difference"],
            )
            for one in found["lanes"]
        )
        accounting = Accounting(
            lanes=lanes,
            exact=bool(found["closed"]),
            not_measured=tuple(found["not_measured"]),
            observed_us=self.clock(),
        )
        self._measured = time.monotonic(), accounting
        return accounting

    def _event(self, event: DeviceEvent) -> Event:
        return Event(
            event_id=event.event_id,
            kind=event.kind.value,
            gateway_id=event.gateway_id,
            device_id=event.device_id,
            device_path=self.plant.device_path(event.device_id),
            time_us=event.time_us,
            text=event.text,
            attributes=dict(event.attributes),
        )


def _differs(before: Gateway | None, now: Gateway) -> bool:
    return before is None or any(
        getattr(before, name) != getattr(now, name) for name in Gateway.__dataclass_fields__ if name not in _PASSING
    )


_PASSING = {"reported_us", "attributes", "buffered_bytes", "buffered_samples"}
"""What changes with every report while nothing happens."""
