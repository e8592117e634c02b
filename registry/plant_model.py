"""The plant file's model: its keys, their types and defaults, and what must hold within one entry.

Enters: parsed YAML. Leaves: a `PlantFile`, or pydantic's ValidationError, which `plant_errors` puts into words. What ties entries together
(a device's class, its gateway) is checked where they are brought together, in `plant_file`. A new key of the file is a field here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from registry.plant import Protocol
from registry.plant_errors import refuse_entry, refuse_name, refuse_value
from schemas.definitions import DataType, Historise

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_HOUR_S = 3600
_MINUTE_S = 60


def _name(value: Any) -> str:
    """A name as paths, topics and addresses can carry it."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        refuse_name(value)
    return value


def _text(value: str, info: ValidationInfo) -> str:
    if "\x00" in value:
        refuse_value(f"{info.field_name} contains a NUL character")
    return value


def _whole(value: int, info: ValidationInfo) -> int:
    if not -(1 << 31) <= value < 1 << 31:
        refuse_value(f"{info.field_name} is {value}, which 32 bits do not hold")
    return value


def _pair(value: Any, info: ValidationInfo) -> Any:
    if value is not None and (not isinstance(value, list) or len(value) != 2):
        refuse_value(f"{info.field_name} is {value!r}, not [low, high]")
    return value


def _ordered(value: Bounds, info: ValidationInfo) -> Bounds:
    low, high = value
    if low is not None and high is not None and low > high:
        refuse_value(f"{info.field_name} is [{low:g}, {high:g}]: low is above high")
    return value


def _windows(value: list[int]) -> list[int]:
    if not value or any(window < 1 or _HOUR_S % window for window in value):
        refuse_value(f"windows_s is {value}: every window must divide an hour ({_HOUR_S} s)")
    if sum(window >= _MINUTE_S for window in value) != 1:
        refuse_value(f"windows_s is {value}: exactly one must be a minute or longer, hours are rolled up from it")
    return sorted(value)


Bounds = tuple[float | None, float | None]
Name = Annotated[str, BeforeValidator(_name)]
Text = Annotated[str, AfterValidator(_text)]
Whole = Annotated[int, AfterValidator(_whole)]
Positive = Annotated[float, Field(gt=0)]
Range = Annotated[Annotated[Bounds, Field(strict=False), AfterValidator(_ordered)] | None, BeforeValidator(_pair)]


class _Entry(BaseModel):
    """A mapping of the file: keys that mean nothing are refused, most are misspelt; nothing is converted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            refuse_entry(f"a mapping is expected, not {type(data).__name__}")
        known = _keys(cls)
        unknown = next((key for key in data if key not in known), None)
        if unknown is not None:
            refuse_entry(f"unknown key {unknown!r}; known: {', '.join(known)}")
        return data


@cache
def _keys(entry: type[_Entry]) -> tuple[str, ...]:
    return tuple(spec.alias or name for name, spec in entry.model_fields.items())


class TagClass(_Entry):
    """Windows of the tags of a class, in seconds, ascending."""

    windows_s: Annotated[list[int], AfterValidator(_windows)]


class Tag(_Entry):
    """What a device class measures under one name. `eu` is what is normal, `limits` what is believable."""

    tag_class: str
    data_type: Annotated[DataType, Field(strict=False)]
    unit: Text
    description: Text
    eu: Range = None
    limits: Range = None
    max_rate: Positive | None = None
    stuck_after_s: Positive | None = None
    period_ms: Annotated[Whole, Field(gt=0)]
    deadband: Annotated[float, Field(ge=0)] = 0.0
    historise: Annotated[Historise, Field(strict=False)] = Historise.ALL
    writable: bool = False
    simulate: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _normal_is_believable(self) -> Self:
        (eu_low, eu_high), (low, high) = self.eu or (None, None), self.limits or (None, None)
        if eu_low is None or eu_high is None or low is None or high is None or low <= eu_low <= eu_high <= high:
            return self
        refuse_entry(f"eu [{eu_low:g}, {eu_high:g}] does not lie within limits [{low:g}, {high:g}]")


class DeviceClass(_Entry):
    """What the machines of a class have in common. `planned_run_time_s` is PRI of ISO 22400-2."""

    detector: Text = ""
    planned_run_time_s: Positive | None = None
    tags: dict[Name, Tag]

    @model_validator(mode="after")
    def _measures_something(self) -> Self:
        if not self.tags:
            refuse_entry("tags is empty")
        return self


class Device(_Entry):
    """A machine, where it stands."""

    name: Name
    device_class: Annotated[str, Field(alias="class")]
    gateway: str
    protocol: Annotated[Protocol, Field(strict=False)]
    lane: Whole | None = None


class Cell(_Entry):
    """ISA-95 work cell."""

    name: Name
    devices: list[Device]


class Line(_Entry):
    """ISA-95 production line."""

    name: Name
    cells: list[Cell]


class Area(_Entry):
    """ISA-95 area."""

    name: Name
    lines: list[Line]


class Gateway(_Entry):
    """A gateway process and over how many lanes its devices are spread."""

    id: Name
    lanes: Annotated[Whole, Field(gt=0)] = 1


class Site(_Entry):
    """ISA-95 site with its gateways."""

    name: Name
    gateways: list[Gateway]
    areas: list[Area]


class PlantFile(_Entry):
    """The file."""

    enterprise: Name
    tag_classes: dict[Name, TagClass]
    device_classes: dict[Name, DeviceClass]
    sites: list[Site]
