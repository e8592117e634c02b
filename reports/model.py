"""What is on the page, as numbers. Made by `reports.figures`, shown by `reports.page`; nothing is computed after this but shares and sums.

Times are aware datetimes, durations seconds, shares between 0 and 1; None is "not known", never zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo


class Span(StrEnum):
    """How long the time of a report is."""

    SHIFT = "shift"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """`shift` is the shift's name, `day` the day on which it (or the week) begins, both in the time zone of the place."""

    span: Span
    day: date
    begin: datetime
    end: datetime
    zone: ZoneInfo
    shift: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Oee:
    """ISO 22400-2, as the function oee_between gives it.

    Planned busy time, actual production time, planned run time of what was produced (None where no machine makes items), produced and
    good quantity; `other_gq`: good pieces made outside planned busy time.
    """

    pbt_s: float = 0.0
    apt_s: float = 0.0
    ideal_s: float | None = None
    pq: float = 0.0
    gq: float = 0.0
    other_gq: float = 0.0

    @property
    def availability(self) -> float | None:
        """A = APT/PBT."""
        return _share(self.apt_s, self.pbt_s)

    @property
    def effectiveness(self) -> float | None:
        """E = PRI·PQ/APT."""
        return None if self.ideal_s is None else _share(self.ideal_s, self.apt_s)

    @property
    def quality(self) -> float | None:
        """Q = GQ/PQ."""
        return _share(self.gq, self.pq)

    @property
    def good_s(self) -> float | None:
        """Planned run time of what was good."""
        if self.ideal_s is None:
            return None
        return self.ideal_s * (self.quality or 0.0)

    @property
    def oee(self) -> float | None:
        """A·E·Q; None when one of them is."""
        factors = (self.availability, self.effectiveness, self.quality)
        return None if None in factors else math.prod(factor for factor in factors if factor is not None)

    @property
    def stopped_s(self) -> float:
        """Availability loss."""
        return max(self.pbt_s - self.apt_s, 0.0)

    @property
    def slow_s(self) -> float | None:
        """Effectiveness loss; negative when machines ran faster than planned."""
        return None if self.ideal_s is None else self.apt_s - self.ideal_s

    @property
    def scrapped_s(self) -> float | None:
        """Quality loss."""
        return None if self.ideal_s is None or self.good_s is None else self.ideal_s - self.good_s

    @property
    def scrap(self) -> float:
        """Pieces that were not good."""
        return self.pq - self.gq


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A line or a machine.

    `energy` in kWh; `planned`: pieces of its orders that are planned in the period; `coverage`: share of the time with data.
    """

    path: str
    device: bool
    oee: Oee
    planned: float | None = None
    energy: float | None = None
    anomalies: int = 0
    coverage: float | None = None

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """A reason of downtime (without one the PackML state): how long and how often; `planned` is no loss of availability."""

    reason: str
    state: str
    stopped_s: float
    times: int
    planned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A job order in the period: good pieces in it, and those of its plan that fall in it. `quantity` is of the whole order.

    A piece that passes several kinds of machines counts once: by the kind that has made the fewest.
    """

    name: str
    material: str
    status: str
    scope: str
    quantity: float
    planned: float
    good: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Anomaly:
    """An episode that touched the period."""

    device: str
    begin: datetime
    end: datetime | None
    score: float
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A piece of the period: an hour, a day of a week."""

    begin: datetime
    oee: Oee


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """How good the data is: share of the time of machines with data, refused samples, gaps that gateways reported and samples in them."""

    coverage: float | None
    refused: int
    gaps: int
    gap_samples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A page."""

    scope: str
    period: Period
    made_at: datetime
    total: Place
    before: Oee
    """The period before, of the same length."""
    places: tuple[Place, ...]
    causes: tuple[Cause, ...]
    orders: tuple[Order, ...]
    anomalies: tuple[Anomaly, ...]
    steps: tuple[Step, ...]
    data: Data


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
