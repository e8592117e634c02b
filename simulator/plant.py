"""The simulator's view of the plant file: devices, their tags, and what each tag simulates.

Enters: the YAML file that the registry also reads. Leaves: `Device` and `Tag`, in the file's order, with the addresses that gateways use.
The registry allocates ids; here a tag is known by its path alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from base.errors import RegistryError
from schemas.definitions import DataType


class Protocol(StrEnum):
    """How a device is reached."""

    OPCUA = "opcua"
    SPARKPLUG = "sparkplug"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tag:
    """One tag of one device. `index` counts over the whole plant; `device` is `<site>.<device>`."""

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


def read_plant(path: Path) -> tuple[Device, ...]:
    """Devices of the plant file; raises RegistryError naming the place that is wrong."""
    try:
        plant = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        msg = f"plant file {path} cannot be read: {error}"
        raise RegistryError(msg) from error
    return parse_plant(plant)


def parse_plant(plant: Any) -> tuple[Device, ...]:
    """Devices of a parsed plant file."""
    devices: list[Device] = []
    index = 0
    try:
        for where, site, item in _walk(plant):
            device = _device(plant, where, site, item, first_index=index)
            index += len(device.tags)
            devices.append(device)
    except (KeyError, TypeError) as error:
        msg = f"plant definition: {error!r} where enterprise, device_classes and sites with areas, lines, cells and devices were expected"
        raise RegistryError(msg) from error
    keys = [device.key for device in devices]
    if twice := {key for key in keys if keys.count(key) > 1}:
        msg = f"plant definition: device {min(twice)} is there twice"
        raise RegistryError(msg)
    return tuple(devices)


def _walk(plant: Any) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    for site in plant["sites"]:
        for area in site.get("areas", ()):
            for line in area.get("lines", ()):
                for cell in line.get("cells", ()):
                    for device in cell.get("devices", ()):
                        where = (plant["enterprise"], site["name"], area["name"], line["name"], cell["name"])
                        yield where, site["name"], device


def _device(plant: Any, where: tuple[str, ...], site: str, item: Any, *, first_index: int) -> Device:
    key, path = f"{site}.{item['name']}", "/".join((*where, item["name"]))
    tags = plant["device_classes"][item["class"]]["tags"]
    protocol = Protocol(item["protocol"])
    return Device(
        key=key,
        site=site,
        name=item["name"],
        device_class=item["class"],
        gateway=item["gateway"],
        line="/".join(where[:4]),
        path=path,
        protocol=protocol,
        tags=tuple(
            _tag(key, path, protocol, name, spec, index=first_index + i) for i, (name, spec) in enumerate(tags.items())
        ),
    )


def _tag(device: str, device_path: str, protocol: Protocol, name: str, spec: Any, *, index: int) -> Tag:
    try:
        return Tag(
            index=index,
            device=device,
            name=name,
            path=f"{device_path}/{name}",
            protocol=protocol,
            data_type=DataType(spec["data_type"]),
            unit=str(spec.get("unit", "1")),
            description=str(spec.get("description", "")),
            eu=_range(spec.get("eu")),
            limits=_range(spec.get("limits")),
            period_us=int(spec["period_ms"]) * 1000,
            writable=bool(spec.get("writable", False)),
            simulate=spec["simulate"],
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = f"tag {device_path}/{name} cannot be simulated: {error!r}"
        raise RegistryError(msg) from error


def _range(pair: Any) -> tuple[float, float] | None:
    return None if pair is None else (float(pair[0]), float(pair[1]))
