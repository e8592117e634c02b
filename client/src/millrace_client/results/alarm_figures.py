"""Alarms of a while: when they held, and whether people can live with them, the figures of EEMUA 191."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from millrace_client.results.alarms import AlarmCount, AlarmCounts, AlarmEvaluation, AlarmPriority


class AlarmRateVerdict(StrEnum):
    """What EEMUA 191 says of new alarms per operator and 10 minutes."""

    UNSPECIFIED = "UNSPECIFIED"
    ACCEPTABLE = "ACCEPTABLE"
    """Very likely acceptable: at most 1."""
    MANAGEABLE = "MANAGEABLE"
    """At most 2."""
    OVER_DEMANDING = "OVER_DEMANDING"
    """Likely over-demanding: at most 5."""
    UNACCEPTABLE = "UNACCEPTABLE"
    """Very likely unacceptable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmScopeFigures:
    """Figures of an area, or of a site's gateways. `time_to_acknowledge_s`: half of the answers came within; None without any."""

    scope: str
    alarms: int
    per_10_min: float
    peak_10_min: int
    flood_share: float
    by_priority: tuple[AlarmCount, ...] = ()
    acknowledged: int = 0
    time_to_acknowledge_s: float | None = None
    verdict: AlarmRateVerdict = AlarmRateVerdict.UNSPECIFIED


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmRate:
    """New alarms of 10 minutes; `most`: of one scope, where more than 10 are a flood."""

    start_us: int
    alarms: int
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmSourceFigures:
    """New alarms of a source, and how often it began to chatter. `share`: of all new alarms."""

    path: str
    rule: str
    title: str = ""
    alarms: int = 0
    share: float = 0.0
    chattering: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StaleAlarm:
    """An alarm whose condition has held for longer than a day: nobody responds to it."""

    alarm_id: UUID
    path: str
    rule: str
    priority: AlarmPriority
    since_us: int
    title: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmFigures:
    """Whether people can live with the alarms of a while, by EEMUA 191. Spans of 10 minutes without an alarm are not among `rates`."""

    start_us: int
    end_us: int
    scopes: tuple[AlarmScopeFigures, ...]
    rates: tuple[AlarmRate, ...]
    top: tuple[AlarmSourceFigures, ...]
    chattering: tuple[AlarmSourceFigures, ...]
    stale: tuple[StaleAlarm, ...]
    counts: AlarmCounts
    evaluation: AlarmEvaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmActivation:
    """One time that an alarm was raised. Times are None for what has not happened."""

    alarm_id: UUID
    source_id: UUID
    rule: str
    priority: AlarmPriority
    path: str
    raised_us: int
    title: str = ""
    device_id: int = 0
    gateway_id: str = ""
    returned_us: int | None = None
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmActivations:
    """Activations that overlap a while, the newest first, and how many more there were."""

    activations: tuple[AlarmActivation, ...]
    left_out: int = 0
