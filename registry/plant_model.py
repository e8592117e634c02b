"""The plant file's model: its keys, their types and defaults, and what must hold within one entry.

Enters: parsed YAML. Leaves: a `PlantFile`, or pydantic's ValidationError, which `plant_errors` puts into words. What ties entries together
(a device's class, its gateway) is checked where they are brought together, in `plant_file`. A new key of the file is a field here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from registry.plant_connection import Connection
from registry.plant_entry import Entry, Name, Text
from registry.plant_errors import refuse_entry, refuse_value
from schemas.definitions import DataType, Historise

_HOUR_S = 3600
_MINUTE_S = 60


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
Whole = Annotated[int, AfterValidator(_whole)]
Positive = Annotated[float, Field(gt=0)]
Range = Annotated[Annotated[Bounds, Field(strict=False), AfterValidator(_ordered)] | None, BeforeValidator(_pair)]


class TagClass(Entry):
    """Windows of the tags of a class, in seconds, ascending."""

    windows_s: Annotated[list[int], AfterValidator(_windows)]
    """Window lengths in seconds; each divides an hour, exactly one is a minute or longer."""


class Tag(Entry):
    """What a device class measures, or calculates, under one name.

    `eu` is what is normal, `limits` what is believable, `address` a pattern. A tag with an `expression` is calculated by the telemetry job.
    """

    tag_class: str
    """Class of the tag, which gives its windows."""
    data_type: Annotated[DataType, Field(strict=False)]
    """Type at the machine; every value is stored as double precision."""
    unit: Text
    """UCUM code, as `kW.h` or `Cel`; `1` for none."""
    description: Text
    """For people."""
    eu: Range = None
    """What is normal: [low, high], the EURange of OPC UA."""
    limits: Range = None
    """What is believable: [low, high]; a sample beyond is refused, a command too."""
    max_rate: Positive | None = None
    """Largest believable change per second, in the unit."""
    stuck_after_s: Positive | None = None
    """Longest believable time without any change, seconds."""
    period_ms: Annotated[Whole, Field(gt=0)]
    """Nominal sampling period, milliseconds; the shortest window spans at least ten."""
    deadband: Annotated[float, Field(ge=0)] = 0.0
    """Absolute deadband at the gateway, in the unit; 0 for none."""
    deadband_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Deadband in percent of the range `eu`, in the place of an absolute one."""
    swinging_door: bool | None = None
    """Whether the deadband keeps corners of a line instead of changes; left out, as the gateway is set."""
    max_silence_s: Positive | None = None
    """A sample is reported at least so often, seconds, whatever the deadband; left out, as the gateway is set."""
    sampling_ms: Annotated[Whole, Field(gt=0)] | None = None
    """How often the machine is to be looked at, at most `period_ms`; left out, OPC UA as often as the server can, polls once a period."""
    historise: Annotated[Historise, Field(strict=False)] = Historise.ALL
    """What is stored: ALL, ON_CHANGE or NONE."""
    writable: bool = False
    """Whether commands may write it."""
    address: Text = ""
    """Pattern of its address, with {site} {area} {line} {cell} {device} {tag}."""
    expression: Text = ""
    """CEL over measured tags of the same device (`tag.power / tag.speed`), of a calculated tag, which has no address."""
    simulate: dict[str, Any] | None = None
    """What the simulator plays; of no meaning elsewhere."""

    @model_validator(mode="after")
    def _is_reported_one_way(self) -> Self:
        if self.deadband_percent and self.deadband:
            refuse_entry("deadband and deadband_percent: a tag has one of them")
        if self.deadband_percent and (self.eu is None or None in self.eu):
            refuse_entry("deadband_percent is of the range eu, which needs both bounds")
        if self.sampling_ms is not None and self.sampling_ms > self.period_ms:
            refuse_entry(f"sampling_ms is {self.sampling_ms}, longer than the period of {self.period_ms} ms")
        return self

    @model_validator(mode="after")
    def _normal_is_believable(self) -> Self:
        (eu_low, eu_high), (low, high) = self.eu or (None, None), self.limits or (None, None)
        if eu_low is None or eu_high is None or low is None or high is None or low <= eu_low <= eu_high <= high:
            return self
        refuse_entry(f"eu [{eu_low:g}, {eu_high:g}] does not lie within limits [{low:g}, {high:g}]")


class DeviceClass(Entry):
    """What the machines of a class have in common. `planned_run_time_s` is PRI of ISO 22400-2.

    `address` is the pattern of the tags that have none of their own.
    """

    detector: Text = ""
    """Detector class; empty for none."""
    address: Text = ""
    """Pattern of the addresses of tags that have none of their own."""
    planned_run_time_s: Positive | None = None
    """Planned run time per item in seconds, PRI of ISO 22400-2; none when nothing is made."""
    tags: dict[Name, Tag]
    """What is measured or set, by name."""

    @model_validator(mode="after")
    def _measures_something(self) -> Self:
        if not self.tags:
            refuse_entry("tags is empty")
        return self


class Device(Entry):
    """A machine, where it stands; `addresses` are of single tags, as they are: no patterns.

    `detector`, `planned_run_time_s` and `tags` say what is different at this one from its class: `tags: {power: {limits: [0, 90]}}`.
    """

    name: Name
    """Unique within the site: with it the registry recognises the device when it moves."""
    device_class: Annotated[str, Field(alias="class")]
    """Class, which gives the tags."""
    gateway: str
    """The one gateway that owns it."""
    connection: str
    """Connection of that gateway through which it is reached."""
    addresses: dict[str, Text] = Field(default_factory=dict)
    """Addresses of single tags, by tag name, as they are: no patterns."""
    detector: Text | None = None
    """Detector class, when another than the class's."""
    planned_run_time_s: Positive | None = None
    """Planned run time per item, when another than the class's."""
    tags: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """What is different from the class, by tag name: `{power: {limits: [0, 90]}}`. A tag that the class does not have is defined whole."""
    lane: Whole | None = None
    """Lane of the gateway; the registry chooses when it is left out."""


class Cell(Entry):
    """ISA-95 work cell."""

    name: Name
    devices: list[Device]


class Line(Entry):
    """ISA-95 production line."""

    name: Name
    cells: list[Cell]


class Area(Entry):
    """ISA-95 area."""

    name: Name
    lines: list[Line]


class Gateway(Entry):
    """A gateway process, its connections, and over how many lanes its devices are spread."""

    id: Name
    lanes: Annotated[Whole, Field(gt=0)] = 1
    uplink: Literal["kafka", "ingestion"] = "kafka"
    connections: list[Connection] = Field(default_factory=list)


class Site(Entry):
    """ISA-95 site with its gateways."""

    name: Name
    gateways: list[Gateway]
    areas: list[Area]


class PlantFile(Entry):
    """The file."""

    enterprise: Name
    tag_classes: dict[Name, TagClass]
    device_classes: dict[Name, DeviceClass]
    sites: list[Site]
