"""Gateways by their last report, and streams of their changes.

Enters: GATEWAY_HEALTH events, every second from each gateway, the last ones of each partition first. Leaves:
`Gateway`s. A gateway without a report for ten seconds is silent: nobody says so, so whoever reads asks again as time
passes. Called in the event loop only. A report counts from its arrival, because a gateway's clock may be wrong; old
reports that are read at the start all arrive at once and do not make a gateway heard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from base.ids import Clock, now_us
from schemas import events
from schemas.events import DeviceEvent
from serving.caches.plant import Plant

SILENT_AFTER_S = 10.0
_APART_S = 0.5
_BUFFER_BYTES = "buffer_bytes"


class GatewayState(StrEnum):
    """Whether a gateway is heard."""

    ONLINE = "ONLINE"
    """It reports, and its connections are up."""
    DEGRADED = "DEGRADED"
    """It reports, and something is wrong with a connection."""
    SILENT = "SILENT"
    """No report for ten seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayConnection:
    """A connection to machines. `detail`: what the gateway says is wrong with it."""

    name: str
    connected: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """A gateway as it is now. `attributes`: everything else that its report says."""

    gateway_id: str
    site: str
    state: GatewayState
    reported_us: int
    connections: tuple[GatewayConnection, ...]
    dead_device_ids: tuple[int, ...]
    buffered_bytes: int
    buffered_samples: int
    attributes: Mapping[str, str]


@dataclass(slots=True)
class _Known:
    event: DeviceEvent
    arrived_s: float
    heard_s: float


class Gateways:
    """The cache."""

    def __init__(self, plant: Plant, *, clock: Clock = now_us, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._plant, self._clock, self._clock_s = plant, clock, clock_s
        self._known: dict[str, _Known] = {}

    def apply(self, event: DeviceEvent) -> None:
        """Fold one report in; an older one than what is known is ignored."""
        known, now_s = self._known.get(event.gateway_id), self._clock_s()
        if (
            known is not None
            and event.time_us <= known.event.time_us
            and event.event_id.int <= known.event.event_id.int
        ):
            return
        fresh = abs(self._clock() - event.time_us) < SILENT_AFTER_S * 1e6
        paced = known is not None and now_s - known.arrived_s >= _APART_S
        heard_s = now_s if fresh or paced else (known.heard_s if known else -SILENT_AFTER_S)
        self._known[event.gateway_id] = _Known(event, now_s, heard_s)

    def heard(self, gateway_id: str) -> bool | None:
        """Whether a gateway reports; None when it never did."""
        known = self._known.get(gateway_id)
        return None if known is None else self._clock_s() - known.heard_s < SILENT_AFTER_S

    def all(self, site: str = "") -> list[Gateway]:
        """Every gateway that ever reported, of a site or of all, by id."""
        found = (self._gateway(gateway_id) for gateway_id in sorted(self._known))
        return [one for one in found if not site or one.site == site]

    def _gateway(self, gateway_id: str) -> Gateway:
        event = self._known[gateway_id].event
        rest = dict(event.attributes)
        connections = tuple(
            GatewayConnection(
                name=name.removeprefix(events.CONNECTED),
                connected=rest.pop(name) == "true",
                detail=rest.pop(events.PROBLEM + name.removeprefix(events.CONNECTED), ""),
            )
            for name in sorted(rest)
            if name.startswith(events.CONNECTED)
        )
        up = all(one.connected for one in connections)
        heard = bool(self.heard(gateway_id))
        return Gateway(
            gateway_id=gateway_id,
            site=self._plant.site_of_gateway(gateway_id),
            state=GatewayState.SILENT if not heard else GatewayState.ONLINE if up else GatewayState.DEGRADED,
            reported_us=event.time_us,
            connections=connections,
            dead_device_ids=_devices(rest.pop(events.DEAD_DEVICES, "")),
            buffered_bytes=_number(rest.pop(_BUFFER_BYTES, "0")),
            buffered_samples=sum(lane.buffered_samples for lane in event.lanes),
            attributes=rest,
        )


def _devices(text: str) -> tuple[int, ...]:
    return tuple(sorted(events.device_ids(text)))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
