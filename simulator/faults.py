"""All faults of a plant: put on at run time or by schedule, taken off, and applied to readings.

Enters: requests (`FaultRequest`) from the configuration or the admin interface. Leaves: changed readings, each with the names of the faults
that touched it, which the journal keeps. `ignore_writes` and `refuse_writes` stand between a command and the machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from base.errors import ConflictError, InvalidRequestError, NotFoundError
from schemas.definitions import DataType
from simulator.fault_effects import EFFECTS, SECOND_US, Fault, Reading, reported
from simulator.fault_kinds import DATA_TYPES, OF_DEVICE, FaultKind, FaultRequest
from simulator.plant import Device, Tag


class Faults:
    """All faults of a plant. Not thread-safe: one event loop owns it."""

    def __init__(self, devices: Iterable[Device], *, seed: int) -> None:
        self._devices = {device.key: device for device in devices}
        self._seed = seed
        self._last_id = 0
        self._of_device: dict[str, list[Fault]] = {}

    def add(self, request: FaultRequest, now_us: int) -> Fault:
        """Put a fault on; raises NotFoundError, InvalidRequestError or ConflictError naming what does not fit."""
        device = self._device(request.device)
        tag = self._tag(device, request)
        for other in self._of_device.get(device.key, ()):
            if other.kind is request.kind and other.tag is tag and not other.over(now_us):
                where = f"{device.key} {tag.name}" if tag else device.key
                msg = f"{where} has the fault {request.kind} already, as number {other.id}"
                raise ConflictError(msg)
        self._last_id += 1
        fault = Fault(
            id=self._last_id, request=request, device=device, tag=tag,
            from_us=now_us + int(request.start_s * SECOND_US), random=Random(f"{self._seed}/fault/{self._last_id}"),
        )  # fmt: skip
        self._of_device.setdefault(device.key, []).append(fault)
        return fault

    def remove(self, fault_id: int) -> Fault:
        """Take a fault off; raises NotFoundError."""
        for fault in self.all():
            if fault.id == fault_id:
                self._forget(fault)
                return fault
        msg = f"no fault {fault_id}"
        raise NotFoundError(msg)

    def all(self) -> list[Fault]:
        """Every fault in force or to come, oldest first."""
        return sorted((fault for faults in self._of_device.values() for fault in faults), key=lambda fault: fault.id)

    def expire(self, now_us: int) -> list[Fault]:
        """Forget the faults that are over; returns them."""
        over = [fault for fault in self.all() if fault.over(now_us)]
        for fault in over:
            self._forget(fault)
        return over

    def active(self, device: Device, kind: FaultKind, time_us: int) -> Fault | None:
        """The device's own fault of that kind, when it is in force."""
        for fault in self._of_device.get(device.key, ()):
            if fault.kind is kind and fault.elapsed_us(time_us) is not None:
                return fault
        return None

    def apply(self, tag: Tag, reading: Reading, time_us: int) -> tuple[Reading, str]:
        """The reading with the faults on its tag, in the order they were put on, and their names."""
        names: list[str] = []
        for fault in self._of_device.get(tag.device, ()):
            if fault.tag is not tag:
                continue
            elapsed_us = fault.elapsed_us(time_us)
            if elapsed_us is None:
                fault.holds = False
                continue
            changed = EFFECTS[fault.kind](fault, tag, reading, elapsed_us / SECOND_US)
            if changed is not reading:
                reading = changed
                names.append(fault.kind)
        return (reported(tag, reading), "+".join(names)) if names else (reading, "")

    def _forget(self, fault: Fault) -> None:
        faults = self._of_device[fault.device.key]
        faults.remove(fault)
        if not faults:
            del self._of_device[fault.device.key]

    def _device(self, name: str) -> Device:
        if name in self._devices:
            return self._devices[name]
        found = [device for device in self._devices.values() if device.name == name]
        if len(found) != 1:
            sites = ", ".join(sorted(device.key for device in found))
            msg = (
                f"device {name!r} is at several sites: {sites}"
                if found
                else f"no device {name!r}; give <site>.<device>"
            )
            raise NotFoundError(msg)
        return found[0]

    def _tag(self, device: Device, request: FaultRequest) -> Tag | None:
        if request.kind in OF_DEVICE:
            if request.tag:
                msg = f"{request.kind} is a fault of a whole device; leave tag away"
                raise InvalidRequestError(msg)
            return None
        tag = next((tag for tag in device.tags if tag.name == request.tag), None)
        if tag is None:
            known = ", ".join(tag.name for tag in device.tags)
            msg = f"{request.kind} is a fault of one tag, and {device.key} has no tag {request.tag!r}; known: {known}"
            raise (NotFoundError if request.tag else InvalidRequestError)(msg)
        if tag.data_type not in DATA_TYPES.get(request.kind, frozenset(DataType)):
            msg = f"{request.kind} does not apply to {tag.name}, whose type is {tag.data_type}"
            raise InvalidRequestError(msg)
        return tag
