"""The simulator's view of a plant: devices, their tags, and what each tag simulates.

Enters: the registry's `Plant`, so a file that the registry refuses is refused here with the same words. Leaves: `Device` and `Tag`, in
the file's order. Devices on connections that are not `simulated` are real machines, and left alone; no machine has calculated tags.
The registry allocates ids; here a tag is known by its path alone. Node ids and metric names follow a rule of the simulator's own
(`opcua_space`, `sparkplug_node`), which the address patterns of a simulated connection have to match.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

from base.errors import RegistryError
from registry import plant_file
from registry.plant import DeviceSpec, Plant, TagSpec
from schemas.definitions import DataType


class Protocol(StrEnum):
    """What the simulator speaks."""

    OPCUA = "opcua"
    SPARKPLUG = "sparkplug"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tag:
    """One tag of one device. `index` counts over the whole plant; `device` is `<site>.<device>`; `where` its place in the file."""

    index: int
    device: str
    name: str
    path: str
    protocol: Protocol
    data_type: DataType
    unit: str
    description: str
    eu: tuple[float, float] | None
    limits: tuple[float, float] | None
    period_us: int
    writable: bool
    simulate: Mapping[str, Any]
    where: str

    @property
    def span(self) -> float:
        """Width of the normal range; faults are sized in proportion to it."""
        low, high = self.eu or self.limits or (0.0, 1.0)
        return high - low


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Device:
    """One machine. `key` is `<site>.<device>`, `line` the path of its line, whose machines share shifts."""

    key: str
    site: str
    name: str
    device_class: str
    gateway: str
    line: str
    path: str
    protocol: Protocol
    tags: tuple[Tag, ...]


def read_devices(path: Path) -> tuple[Device, ...]:
    """Devices of the plant file; raises RegistryError naming the place that is wrong."""
    plant = plant_file.read_plant(path)
    try:
        return simulated(plant)
    except RegistryError as error:
        msg = f"{path}: {error}"
        raise RegistryError(msg) from error


def parse_devices(data: Any) -> tuple[Device, ...]:
    """Devices of a parsed plant file."""
    return simulated(plant_file.parse_plant(data))


def simulated(plant: Plant) -> tuple[Device, ...]:
    """Devices of a plant; raises RegistryError when a tag says nothing that could be simulated."""
    indices = count()
    return tuple(_device(device, indices) for device in plant.devices if device.simulated)


def _device(given: DeviceSpec, indices: count[int]) -> Device:
    key, path = f"{given.site}.{given.name}", f"{given.cell_path}/{given.name}"
    if given.protocol not in set(Protocol):
        msg = f"{given.where}: connection {given.connection} speaks {given.protocol}; simulated can be {', '.join(Protocol)}"
        raise RegistryError(msg)
    protocol = Protocol(given.protocol)
    return Device(
        key=key,
        site=given.site,
        name=given.name,
        device_class=given.device_class,
        gateway=given.gateway_id,
        line=given.cell_path.rpartition("/")[0],
        path=path,
        protocol=protocol,
        tags=tuple(_tag(key, path, protocol, tag, index=next(indices)) for tag in given.tags if not tag.expression),
    )


def _tag(device: str, device_path: str, protocol: Protocol, given: TagSpec, *, index: int) -> Tag:
    if not given.simulate:
        msg = f"{given.where}: simulate is missing, tag {device_path}/{given.name} cannot be simulated"
        raise RegistryError(msg)
    return Tag(
        index=index,
        device=device,
        name=given.name,
        path=f"{device_path}/{given.name}",
        protocol=protocol,
        data_type=given.data_type,
        unit=given.unit,
        description=given.description,
        eu=_range(given.eu_low, given.eu_high),
        limits=_range(given.limit_low, given.limit_high),
        period_us=given.period_ms * 1000,
        writable=given.writable,
        simulate=given.simulate,
        where=given.where,
    )


def _range(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)
