"""Anomalies, events and refused samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from millrace_client.results.times import utc


class AnomalyPhase(StrEnum):
    """What a step of an anomaly episode is."""

    UNSPECIFIED = "UNSPECIFIED"
    OPEN = "OPEN"
    UPDATE = "UPDATE"
    CLOSE = "CLOSE"


class AnomalyVerdict(StrEnum):
    """What a person says that an episode was."""

    UNSPECIFIED = "UNSPECIFIED"
    NOT_A_FAULT = "NOT_A_FAULT"
    FAULT = "FAULT"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnomalyLabel:
    """What a person said of an episode, and why. `withdrawn_us`: None while it stands."""

    label_id: UUID
    verdict: AnomalyVerdict
    by: str
    time_us: int
    reason: str = ""
    withdrawn_us: int | None = None
    withdrawn_by: str = ""
    withdrawn_reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contributor:
    """A tag's part in an anomaly: its share `score`, its value, and the range that was expected (None: open to that side).

    `statistic` is what is strange about it: level, step, shift, drift, restless, calm, spread, relation or pattern; or
    forecast: `limit` will be reached, likely at `limit_us`, in four of five cases between `earliest_us` and `latest_us` (None: no telling),
    as far as was known at `as_of_us`.
    """

    tag_id: int
    path: str
    score: float
    value: float
    expected_low: float | None = None
    expected_high: float | None = None
    statistic: str = ""
    limit: float | None = None
    limit_us: int | None = None
    earliest_us: int | None = None
    latest_us: int | None = None
    as_of_us: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Anomaly:
    """A step of an anomaly episode of a device. Scores are in 0 to 1. `end_us`: None while it is open.

    `labels` is what people said of it, oldest first, withdrawn ones too.
    """

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
    labels: tuple[AnomalyLabel, ...] = ()

    @property
    def label(self) -> AnomalyLabel | None:
        """The newest label that stands."""
        return next((one for one in reversed(self.labels) if one.withdrawn_us is None), None)

    @property
    def start(self) -> datetime:
        """Beginning of the episode."""
        return utc(self.start_us)

    @property
    def end(self) -> datetime | None:
        """End of the episode, None while it is open."""
        return None if self.end_us is None else utc(self.end_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What is not a sample. `kind`: BIRTH, DEATH, STATE, STRING, PROPOSAL, REFUSED or GAP.

    The same event sent again has the same `event_id`. `device_id` is 0 and `device_path` empty for the gateway's own events.
    """

    event_id: str
    kind: str
    gateway_id: str
    device_id: int = 0
    device_path: str = ""
    time_us: int
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def time(self) -> datetime:
        """Source time."""
        return utc(self.time_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """A refused sample, or a record that was refused as a whole (`tag_id` 0, no `time_us`). `reason`: name of the verdict.

    `rejected_us`: when it was refused. `time_us`: source time of the sample, None when it is nonsense. `value`: as it was sent.
    """

    rejected_us: int
    reason: str
    detail: str = ""
    tag_id: int = 0
    path: str = ""
    time_us: int | None = None
    value: float | None = None
    gateway_id: str = ""

    @property
    def rejected(self) -> datetime:
        """When it was refused."""
        return utc(self.rejected_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectCount:
    """How many samples and records were refused for a reason; `device_path` is empty for records without a known device."""

    reason: str
    device_path: str
    count: int
