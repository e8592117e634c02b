"""Domain types of the registry: what everybody needs to know of a tag, and the whole at one version.

The registry in PostgreSQL is the source; gateways, jobs and serving follow its copy on the compacted topic `registry.tags`, where a
RegistryVersion marker comes behind all definitions of its version.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from schemas import codec
from schemas.topics import REGISTRY_VERSION_KEY


class DataType(StrEnum):
    """Type at the machine; every value is carried as f8."""

    DOUBLE = "DOUBLE"
    INTEGER = "INTEGER"
    BOOLEAN = "BOOLEAN"


class Historise(StrEnum):
    """What the historian stores of a tag."""

    ALL = "ALL"
    ON_CHANGE = "ON_CHANGE"
    NONE = "NONE"


_DATA_TYPES = {str(one): one for one in DataType}
_HISTORISE = {str(one): one for one in Historise}


@dataclass(frozen=True, kw_only=True, slots=True)
class TagDefinition:
    """One tag. Fields as in TagDefinition.v3.avsc, which documents them."""

    tag_id: int
    device_id: int
    registry_version: int
    path: str
    name: str
    site: str
    device_class: str
    tag_class: str
    description: str
    data_type: DataType
    unit: str
    eu_low: float | None
    eu_high: float | None
    limit_low: float | None
    limit_high: float | None
    max_rate: float | None
    stuck_after_s: float | None
    period_ms: int
    deadband: float
    windows_s: tuple[int, ...]
    detector: str
    historise: Historise
    gateway_id: str
    lane: int
    address: str
    writable: bool
    retired: bool
    deadband_percent: float = 0.0
    swinging_door: bool | None = None
    max_silence_s: float | None = None
    sampling_ms: int | None = None
    expression: str = ""

    @property
    def calculated(self) -> bool:
        """Whether the telemetry job makes its samples, by `expression`, and no gateway knows of it."""
        return bool(self.expression)

    @property
    def band(self) -> float:
        """Deadband in the tag's unit; 0 for none. A percentage is of the EU range, and of nothing where there is none."""
        if not self.deadband_percent or self.eu_low is None or self.eu_high is None:
            return self.deadband
        return self.deadband_percent / 100 * (self.eu_high - self.eu_low)

    @property
    def device_path(self) -> str:
        """Path of the tag's device: enterprise/site/area/line/cell/device."""
        return self.path.rpartition("/")[0]


_MEASURED_VERSION = 2
"""Schema of definitions without an expression: readers that know no calculated tags go on, and leave out those that there are."""


def encode_tag(tag: TagDefinition) -> tuple[bytes, bytes]:
    """Kafka key and value of a definition."""
    record = {f.name: getattr(tag, f.name) for f in dataclasses.fields(tag)}
    record["windows_s"] = list(tag.windows_s)
    version = None if tag.calculated else _MEASURED_VERSION
    return str(tag.tag_id).encode(), codec.encode("TagDefinition", record, version=version)


def encode_version(version: int, *, tags: int, time_us: int) -> tuple[bytes, bytes]:
    """Kafka key and value of the marker behind a version's definitions."""
    return REGISTRY_VERSION_KEY, codec.encode("RegistryVersion", {"version": version, "tags": tags, "time_us": time_us})


def tag_from_record(record: dict[str, Any]) -> TagDefinition:
    """Definition of a decoded Avro record. A large plant has hundreds of thousands, read at each start."""
    fields = record.copy()
    fields["data_type"] = _DATA_TYPES[record["data_type"]]
    fields["historise"] = _HISTORISE[record["historise"]]
    fields["windows_s"] = tuple(record["windows_s"])
    return TagDefinition(**fields)


@dataclass(slots=True)
class Registry:
    """The definitions known so far, and the newest version known to be complete.

    Fold messages of `registry.tags` in order with `apply`; reading the topic again from its beginning changes nothing.
    """

    version: int = 0
    tags: dict[int, TagDefinition] = field(default_factory=dict)
    gateways: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Site of each gateway that has tags or had some; a gateway never changes its site."""
    _lanes: dict[tuple[str, int], set[int]] = field(default_factory=dict, repr=False, compare=False)
    _devices: dict[int, set[int]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for tag in self.tags.values():
            self._index(tag)

    def apply(self, message: bytes) -> bool:
        """Fold one message in; True when it completed a newer version. Raises SchemaError for a message that is neither kind."""
        return self.fold(*codec.decode(message, "TagDefinition", "RegistryVersion"))

    def fold(self, name: str, record: dict[str, Any]) -> bool:
        """As `apply`, of a message that is decoded already."""
        if name == "TagDefinition":
            tag = tag_from_record(record)
            known = self.tags.get(tag.tag_id)
            if known is None or tag.registry_version >= known.registry_version:
                self._put(tag, known)
            return False
        newer = bool(record["version"] > self.version)
        self.version = max(self.version, record["version"])
        return newer

    def lane_tags(self, gateway_id: str, lane: int) -> Iterator[TagDefinition]:
        """Definitions of one lane, by tag id."""
        return (self.tags[tag_id] for tag_id in sorted(self._lanes.get((gateway_id, lane), ())))

    def device_tags(self, device_id: int) -> Iterator[TagDefinition]:
        """Definitions of one device, by tag id."""
        return (self.tags[tag_id] for tag_id in sorted(self._devices.get(device_id, ())))

    def _put(self, tag: TagDefinition, known: TagDefinition | None) -> None:
        if known is not None:
            self._lanes[known.gateway_id, known.lane].discard(known.tag_id)
            self._devices[known.device_id].discard(known.tag_id)
        self.tags[tag.tag_id] = tag
        self._index(tag)

    def _index(self, tag: TagDefinition) -> None:
        self.gateways.setdefault(tag.gateway_id, tag.site)
        self._lanes.setdefault((tag.gateway_id, tag.lane), set()).add(tag.tag_id)
        self._devices.setdefault(tag.device_id, set()).add(tag.tag_id)


def registry_of(tags: Iterable[TagDefinition], version: int) -> Registry:
    """Registry of given definitions, complete at `version`."""
    return Registry(version=version, tags={tag.tag_id: tag for tag in tags})
