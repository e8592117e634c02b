"""Serving's side of `schemas.origins`: records of one site about a gateway or a device of another are refused, and counted.

Enters: the site of a topic and what came on it. Leaves: nothing, or ForeignRecordError. Follows the plant's complete versions. Called in
the event loop only, before any cache is touched.
"""

from __future__ import annotations

from base.errors import SchemaError
from schemas import events
from schemas.commands import CommandAck
from schemas.events import DeviceEvent, EventKind
from schemas.origins import Sites
from serving.caches.plant import Plant


class ForeignRecordError(SchemaError):
    """A record of one site about a gateway or a device of another."""


class Origins:
    """Sites of gateways and devices. `refused` counts."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._sites = Sites()
        self.refused = 0
        plant.on_version(self._follow)

    def check_event(self, site: str, event: DeviceEvent) -> None:
        """Raises ForeignRecordError, and SchemaError for a report that cannot be read."""
        devices = {event.device_id} if event.device_id else set()
        if event.kind is EventKind.GATEWAY_HEALTH:
            devices |= events.device_ids(event.attributes.get(events.DEAD_DEVICES, ""))
        self._check(self._sites.foreign(site, event.gateway_id, devices))

    def check_ack(self, site: str, ack: CommandAck) -> None:
        """Raises ForeignRecordError, for a gateway that nobody knows too: commands are for devices of the registry."""
        known = ack.gateway_id in self._sites.gateways
        self._check(self._sites.foreign(site, ack.gateway_id) if known else f"gateway {ack.gateway_id} is of no site")

    def _check(self, foreign: str) -> None:
        if foreign:
            self.refused += 1
            raise ForeignRecordError(foreign)

    def _follow(self) -> None:
        definitions = self._plant.definitions()
        self._sites = Sites(
            gateways={tag.gateway_id: tag.site for tag in definitions},
            devices={tag.device_id: tag.site for tag in definitions},
        )
