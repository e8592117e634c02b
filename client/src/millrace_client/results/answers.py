"""Answers of a plant's work: downtime by reason, reliability, production, genealogy, control charts, batches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from millrace_client.results.times import utc
from millrace_client.results.work import JobOrderStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class DowntimeCause:
    """Unplanned downtime for one reason (empty where nobody gives one); `share` of all downtime, `cumulative` with the longer ones."""

    reason: str
    stops: int
    downtime_s: float
    share: float
    cumulative: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """How reliable a machine was. MTBF and MTTR are None without a failure."""

    path: str
    failures: int
    operating_s: float
    repair_s: float
    mtbf_s: float | None = None
    mttr_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedProduction:
    """An order against its plan. `good`: as machines counted; `declared`: by lots; `expected`: at an even pace by now; `ahead` of that."""

    job_order: str
    material: str
    status: JobOrderStatus
    quantity: float
    planned_start_us: int
    planned_end_us: int
    started_us: int | None = None
    ended_us: int | None = None
    good: float
    declared: float
    expected: float
    ahead: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LotRelation:
    """A lot that another was made of (`direction` back) or that was made of it (forward), with a shortest way to it."""

    direction: str
    depth: int
    lot: str
    material: str
    trail: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LotValue:
    """What a tag of a machine was while a lot was produced there. `depth`: steps from the asked lot."""

    lot: str
    depth: int
    device_path: str
    start_us: int
    end_us: int
    name: str
    unit: str
    mean: float
    min: float
    max: float
    out_of_range_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AnomalyLot:
    """A lot that saw an anomaly: CONSUMED or PRODUCED meanwhile, or a DESCENDANT of one that was."""

    lot: str
    material: str
    use: str
    depth: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlLimits:
    """Limits of X-bar and R charts, spread and capability. None: there is no full subgroup, or no specification."""

    subgroups: int
    mean: float | None = None
    lcl: float | None = None
    ucl: float | None = None
    range_mean: float | None = None
    range_lcl: float | None = None
    range_ucl: float | None = None
    sigma: float | None = None
    lower_spec: float | None = None
    upper_spec: float | None = None
    cp: float | None = None
    cpk: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlPoint:
    """A subgroup, with the Western Electric rules (1 to 4) that it completes."""

    number: int
    start_us: int
    end_us: int
    mean: float
    range: float
    rules: tuple[int, ...] = ()
    range_out: bool = False

    @property
    def start(self) -> datetime:
        """Time of its first sample."""
        return utc(self.start_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlChart:
    """X-bar and R chart of a tag."""

    limits: ControlLimits
    points: tuple[ControlPoint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchDeviation:
    """How a tag differed from a golden batch in a phase, both at the same shares of it."""

    golden_batch: str
    phase: str
    name: str
    unit: str
    duration_s: float
    golden_duration_s: float
    mean_deviation: float
    rms_deviation: float
    max_deviation: float
