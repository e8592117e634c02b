"""Which devices are dead, so that their last values are shown as stale at once, and not with the age that gives them away.

Enters: DeviceEvents, the last ones of each partition and what comes. A DEATH or BIRTH counts at once; the gateway's health,
every second, names all devices that are dead, so that a server which has just started knows them too. Events may come out
of order (those of an outage come behind the live ones): each counts only if it is newer than what is known. Leaves:
quality of the tags in `serving.caches.values`. Called in the event loop only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from base.errors import NotFoundError
from schemas import events, quality
from schemas.events import DeviceEvent, EventKind
from serving.caches.plant import Plant
from serving.caches.values import LastValues


@dataclass(slots=True)
class _Gateway:
    """Devices that are dead, with the quality of their values; and when each last changed, in ms of the gateway's clock."""

    health_ms: int = 0
    dead: dict[int, int] = field(default_factory=dict)
    changed_ms: dict[int, int] = field(default_factory=dict)


class Liveness:
    """Follows the events of all gateways."""

    def __init__(self, plant: Plant, values: LastValues) -> None:
        self._plant, self._values = plant, values
        self._gateways: dict[str, _Gateway] = {}
        self._stale: dict[int, tuple[int, ...]] = {}
        self._dead: Counter[int] = Counter()
        plant.on_version(self._on_version)

    @property
    def dead(self) -> set[int]:
        """Ids of devices whose values are stale."""
        return set(self._dead)

    def is_dead(self, device_id: int) -> bool:
        """Whether a device's values are stale."""
        return self._dead[device_id] > 0

    def apply(self, message: bytes) -> None:
        """Fold one event in. Raises SchemaError."""
        self.fold(events.decode(message))

    def fold(self, event: DeviceEvent) -> None:
        """Fold one decoded event in. Raises SchemaError for a report whose dead devices cannot be read."""
        if event.kind in {EventKind.DEATH, EventKind.BIRTH} and event.device_id:
            self._device(event)
        elif event.kind is EventKind.GATEWAY_HEALTH and (text := event.attributes.get(events.DEAD_DEVICES)) is not None:
            self._health(event, events.device_ids(text))

    def _device(self, event: DeviceEvent) -> None:
        gateway = self._gateways.setdefault(event.gateway_id, _Gateway())
        at_ms, device_id = _made_ms(event), event.device_id
        if at_ms < max(gateway.health_ms, gateway.changed_ms.get(device_id, 0)):
            return
        gateway.changed_ms[device_id] = at_ms
        self._set(gateway, device_id, _quality(event) if event.kind is EventKind.DEATH else 0)

    def _health(self, event: DeviceEvent, dead: frozenset[int]) -> None:
        gateway = self._gateways.setdefault(event.gateway_id, _Gateway())
        at_ms = _made_ms(event)
        if at_ms < gateway.health_ms:
            return
        gateway.health_ms = at_ms
        gateway.changed_ms = {one: changed for one, changed in gateway.changed_ms.items() if changed > at_ms}
        for device_id in dead ^ gateway.dead.keys():
            if device_id not in gateway.changed_ms:
                self._set(gateway, device_id, quality.BAD_NO_COMMUNICATION if device_id in dead else 0)

    def _set(self, gateway: _Gateway, device_id: int, code: int) -> None:
        if code:
            self._dead[device_id] += device_id not in gateway.dead
            gateway.dead[device_id] = code
        elif gateway.dead.pop(device_id, None) is not None:
            self._dead[device_id] -= 1
            self._dead += Counter()  # leaves out what is 0
        self._show(device_id, code)

    def _show(self, device_id: int, code: int) -> None:
        if not code:
            self._values.set_stale(self._stale.pop(device_id, ()), 0)
            return
        try:
            tags = tuple(tag.tag_id for tag in self._plant.device(device_id).tags)
        except NotFoundError:
            return  # shown as soon as the registry knows the device
        self._stale[device_id] = tags
        self._values.set_stale(tags, code)

    def _on_version(self) -> None:
        for gateway in self._gateways.values():
            for device_id, code in gateway.dead.items():
                self._show(device_id, code)


def _made_ms(event: DeviceEvent) -> int:
    """When the gateway made the event: its id is a UUIDv7. Its time may be the machine's."""
    return event.event_id.int >> 80


def _quality(event: DeviceEvent) -> int:
    try:
        return int(event.attributes["quality"], 16) & 0xFFFF or quality.BAD_NO_COMMUNICATION
    except (KeyError, ValueError):
        return quality.BAD_NO_COMMUNICATION
