"""Devices, tags and values as they are, and what a watch tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from millrace_client.results.times import utc


class Quality(StrEnum):
    """How far a value can be trusted, after OPC UA."""

    UNSPECIFIED = "UNSPECIFIED"
    GOOD = "GOOD"
    UNCERTAIN = "UNCERTAIN"
    BAD = "BAD"


class DeviceState(StrEnum):
    """Whether a device can be heard."""

    UNSPECIFIED = "UNSPECIFIED"
    ONLINE = "ONLINE"
    """It is born, and its gateway is heard."""
    OFFLINE = "OFFLINE"
    """It died, or its connection is down."""
    UNKNOWN = "UNKNOWN"
    """Nothing was ever heard of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A value in its tag's unit. `time_us`: source time. `quality_code`: high 16 bits of the OPC UA StatusCode.

    `age_us`: age when it was sent, by the server's clock.
    """

    value: float
    time_us: int
    quality: Quality = Quality.GOOD
    quality_code: int = 0
    age_us: int = 0

    @property
    def time(self) -> datetime:
        """Source time."""
        return utc(self.time_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """A measuring or setting point. `path`: enterprise/site/area/line/cell/device/tag. `unit`: UCUM, "1" for none.

    `eu_low`, `eu_high`: engineering range, `limit_low`, `limit_high`: limits of operation, in that unit. `period_ms`: milliseconds between
    samples, nominally, 0 when they come on change. `last`: newest value, None when none was ever seen; `stale`: it is the last one known of
    a device or gateway that is not heard. `expression`: CEL over tags of the same device, of a calculated tag; empty for a measured one.
    """

    tag_id: int
    device_id: int
    path: str
    name: str
    description: str = ""
    unit: str = "1"
    data_type: str = "DOUBLE"
    eu_low: float | None = None
    eu_high: float | None = None
    writable: bool = False
    last: Value | None = None
    limit_low: float | None = None
    limit_high: float | None = None
    period_ms: int = 0
    stale: bool = False
    device_path: str = ""
    expression: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterDescription:
    """A parameter of a command. `data_type`: BOOLEAN, INTEGER or DOUBLE. `low`, `high`: what is accepted, None for no limit."""

    name: str
    description: str = ""
    data_type: str = "DOUBLE"
    unit: str = "1"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandDescription:
    """A command that a device takes; for `write` the parameters are its writable tags, at least one of which is given."""

    name: str
    description: str = ""
    parameters: tuple[ParameterDescription, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device. `tags`, `commands`: empty in lists of devices. `packml_state`: EXECUTE, HELD, ..., empty for a device without one.

    `open_anomalies`: anomaly episodes open now.
    """

    device_id: int
    path: str
    device_class: str
    site: str
    gateway_id: str
    tags: tuple[Tag, ...] = ()
    commands: tuple[CommandDescription, ...] = ()
    state: DeviceState = DeviceState.UNSPECIFIED
    packml_state: str = ""
    open_anomalies: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTags:
    """Tags that were asked for: those there are, in the order of the question (ids, then paths), and the names of the others."""

    tags: tuple[Tag, ...]
    unknown_tag_ids: tuple[int, ...] = ()
    unknown_paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantNode:
    """A node of the plant's tree. `level`: enterprise, site, area, line, cell or device. Counts are of what lies at or below it.

    `packml_states`: devices by PackML state.
    """

    path: str
    name: str
    level: str
    device_id: int = 0
    device_class: str = ""
    devices: int = 0
    devices_offline: int = 0
    tags: int = 0
    tags_bad: int = 0
    open_anomalies: int = 0
    packml_states: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TagUpdate:
    """A tag's new value."""

    tag_id: int
    path: str
    value: Value


@dataclass(frozen=True, kw_only=True, slots=True)
class TagBatch:
    """Updates of several tags, the newest value of each that changed; none in a heartbeat.

    `snapshot_complete`: everything that was known when the watch began, or since the position it was resumed from, has come.
    `sequence`: messages of this stream, from 1, without holes; it begins again when the client connects again. `position`: to go on behind
    this batch in another watch, empty from a server that has no batches. `sent_us`: the server's clock: a value's age is this less its
    `time_us`. `interval_ms`: least time between batches now, more than asked for when server or reader are behind. `notice`: for people.
    """

    updates: tuple[TagUpdate, ...] = ()
    snapshot_complete: bool = False
    sequence: int = 0
    position: str = ""
    sent_us: int = 0
    interval_ms: int = 0
    notice: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """A window of a tag from `start_us`, `window_s` long. `count`: accepted samples, `good`: those with good quality.

    Statistics are of samples with good quality, in the tag's unit, None when there are none (`stddev`: fewer than two).
    """

    tag_id: int
    start_us: int
    window_s: int
    count: int
    good: int
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    first: float | None = None
    last: float | None = None
    stddev: float | None = None

    @property
    def start(self) -> datetime:
        """Start of the window, inclusive."""
        return utc(self.start_us)
