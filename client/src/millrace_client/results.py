"""What the services answer, as frozen dataclasses. Times ending in `_us` are microseconds since 1970-01-01 UTC.

A number that this version has no name for, from a newer server, becomes the member UNSPECIFIED of its enum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc(time_us: int) -> datetime:
    """Time of microseconds since 1970-01-01 UTC, exact.

    >>> utc(1_700_000_000_123_456).isoformat()
    '2023-11-14T22:13:20.123456+00:00'
    """
    return _EPOCH + timedelta(microseconds=time_us)


class Quality(StrEnum):
    """How far a value can be trusted, after OPC UA."""

    UNSPECIFIED = "UNSPECIFIED"
    GOOD = "GOOD"
    UNCERTAIN = "UNCERTAIN"
    BAD = "BAD"


class AnomalyPhase(StrEnum):
    """What a step of an anomaly episode is."""

    UNSPECIFIED = "UNSPECIFIED"
    OPEN = "OPEN"
    UPDATE = "UPDATE"
    CLOSE = "CLOSE"


class CommandState(StrEnum):
    """Where a command stands."""

    UNSPECIFIED = "UNSPECIFIED"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    """Waits for somebody other than the submitter to approve."""
    ACCEPTED = "ACCEPTED"
    """Recorded; not yet at the gateway."""
    DELIVERED = "DELIVERED"
    """The gateway has persisted it."""
    EXECUTING = "EXECUTING"
    """The gateway is writing to the device."""
    SUCCEEDED = "SUCCEEDED"
    """Written and read back."""
    FAILED = "FAILED"
    """The device refused, or the read-back differs."""
    REJECTED = "REJECTED"
    """The gateway's policy or the device class does not allow it."""
    EXPIRED = "EXPIRED"
    """Its time was over before it was carried out."""
    CANCELLED = "CANCELLED"
    """Withdrawn before it was carried out."""
    UNKNOWN = "UNKNOWN"
    """Nobody can say whether it was carried out; a late word of the gateway corrects it, the system never tries again."""


OUTCOMES = frozenset(
    {
        CommandState.SUCCEEDED,
        CommandState.FAILED,
        CommandState.REJECTED,
        CommandState.EXPIRED,
        CommandState.CANCELLED,
        CommandState.UNKNOWN,
    }
)
"""States that end a command."""


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

    `eu_low`, `eu_high`: engineering range in that unit. `last`: newest value, None when none was ever seen.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device. `tags`: by path; empty in lists of devices."""

    device_id: int
    path: str
    device_class: str
    site: str
    gateway_id: str
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """Some of a list; `next_page_token` gives the next part and is empty on the last."""

    items: tuple[T, ...]
    next_page_token: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TagUpdate:
    """A tag's new value."""

    tag_id: int
    path: str
    value: Value


@dataclass(frozen=True, kw_only=True, slots=True)
class Contributor:
    """A tag's part in an anomaly: its share `score`, its value, and the range that was expected (None: open to that side)."""

    tag_id: int
    path: str
    score: float
    value: float
    expected_low: float | None = None
    expected_high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Anomaly:
    """A step of an anomaly episode of a device. Scores are in 0 to 1. `end_us`: None while it is open."""

    episode_id: str
    device_id: int
    device_path: str
    phase: AnomalyPhase
    start_us: int
    end_us: int | None = None
    score: float
    peak_score: float
    threshold: float
    contributors: tuple[Contributor, ...] = ()
    detector: str = ""
    detector_version: int = 0

    @property
    def start(self) -> datetime:
        """Beginning of the episode."""
        return utc(self.start_us)

    @property
    def end(self) -> datetime | None:
        """End of the episode, None while it is open."""
        return None if self.end_us is None else utc(self.end_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command as it stands. `version`: number of its last recorded transition, 0 before the first.

    `provisional`: shown ahead of the record, which confirms or corrects it. `readback`: values read from the device after the write.
    """

    command_id: UUID
    state: CommandState
    version: int = 0
    device_id: int
    device_path: str
    name: str
    parameters: Mapping[str, float] = field(default_factory=dict, hash=False)
    submitted_by: str = ""
    submitted_us: int
    expires_us: int
    updated_us: int
    detail: str = ""
    readback: Mapping[str, float] = field(default_factory=dict, hash=False)
    late_acks: int = 0
    duplicate_acks: int = 0
    provisional: bool = False

    @property
    def final(self) -> bool:
        """Whether the record has an outcome."""
        return not self.provisional and self.state in OUTCOMES

    @property
    def succeeded(self) -> bool:
        """Whether the record says that it was carried out."""
        return self.final and self.state is CommandState.SUCCEEDED

    @property
    def submitted(self) -> datetime:
        """When it was submitted."""
        return utc(self.submitted_us)

    @property
    def expires(self) -> datetime:
        """It is not carried out later than this."""
        return utc(self.expires_us)

    @property
    def updated(self) -> datetime:
        """When it came to stand like this."""
        return utc(self.updated_us)
