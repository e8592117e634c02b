"""What is known of each device now: whether it can be heard, and its PackML state.

Enters: the caches of liveness, gateways and last values. Leaves: answers at the moment of asking; nothing is kept.
Called in the event loop only.
"""

from __future__ import annotations

from enum import StrEnum

from schemas.definitions import TagDefinition
from serving.caches.gateways import Gateways
from serving.caches.liveness import Liveness
from serving.caches.plant import Device
from serving.caches.values import LastValues

PACKML_TAG = "packml_state"
PACKML_STATES = {
    1: "CLEARING", 2: "STOPPED", 3: "STARTING", 4: "IDLE", 5: "SUSPENDED", 6: "EXECUTE", 7: "STOPPING", 8: "ABORTING", 9: "ABORTED",
    10: "HOLDING", 11: "HELD", 12: "UNHOLDING", 13: "SUSPENDING", 14: "UNSUSPENDING", 15: "RESETTING", 16: "COMPLETING", 17: "COMPLETE",
}  # fmt: skip
"""Of ISA-TR88.00.02, by number."""


class DeviceState(StrEnum):
    """Whether a device can be heard."""

    ONLINE = "ONLINE"
    """It is born, and its gateway is heard."""
    OFFLINE = "OFFLINE"
    """It died, its connection is down, or its gateway is silent."""
    UNKNOWN = "UNKNOWN"
    """Nothing was ever heard of it."""


class DeviceStates:
    """Answers about devices."""

    def __init__(self, values: LastValues, liveness: Liveness, gateways: Gateways) -> None:
        self._values, self._liveness, self._gateways = values, liveness, gateways

    def of(self, device: Device) -> DeviceState:
        """State of a device."""
        if self._liveness.is_dead(device.device_id):
            return DeviceState.OFFLINE
        heard = self._gateways.heard(device.gateway_id)
        if heard is None or not any(self._values.last(tag.tag_id) for tag in device.tags):
            return DeviceState.UNKNOWN
        return DeviceState.ONLINE if heard else DeviceState.OFFLINE

    def is_stale(self, tag: TagDefinition) -> bool:
        """Whether a tag's value is only the last one known."""
        return self._liveness.is_dead(tag.device_id) or self._gateways.heard(tag.gateway_id) is False

    def packml(self, device: Device) -> str:
        """Name of the PackML state; empty for a device without one."""
        tag = device.tag(PACKML_TAG)
        last = self._values.last(tag.tag_id) if tag else None
        return PACKML_STATES.get(int(last.value), "") if last is not None else ""
