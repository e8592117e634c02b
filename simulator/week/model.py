"""What a week consists of. Times are microseconds since 1970 UTC, whole milliseconds as on Sparkplug; ranges exclude their end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.packml import State

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US


class Shift(NamedTuple):
    """A shift that is worked. `day` is the local day on which it begins."""

    scope: str
    name: str
    day: date
    start_us: int
    end_us: int


class StateInterval(NamedTuple):
    """A machine was in a PackML state."""

    state: State
    start_us: int
    end_us: int


class Cycle(NamedTuple):
    """A cycle ended at `time_us`. `reason` is empty for a scrapped piece that nobody explained."""

    time_us: int
    duration_us: int
    scrapped: bool
    reason: str


class Word(NamedTuple):
    """A person's word on a downtime. Words are in the order in which they were entered."""

    device: str
    start_us: int
    end_us: int
    reason: str


class Job(NamedTuple):
    """An order on a machine. `end_us` is None while it runs."""

    job_response: str
    job_order: str
    material: str
    device: str
    start_us: int
    end_us: int | None


class Actual(NamedTuple):
    """A lot that was consumed or produced on a machine."""

    lot: str
    use: str
    device: str
    job_response: str
    quantity: float
    start_us: int
    end_us: int


class Phase(NamedTuple):
    """A phase of a batch."""

    phase: str
    start_us: int
    end_us: int


class Batch(NamedTuple):
    """A batch on a machine."""

    batch: str
    device: str
    golden: bool
    phases: tuple[Phase, ...]


class Episode(NamedTuple):
    """An anomaly episode."""

    episode: str
    device: str
    tag: str
    start_us: int
    end_us: int
    peak_score: float


class Series(NamedTuple):
    """Samples of one tag in order of time. `bad` marks those with bad quality."""

    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    bad: NDArray[np.bool_]


@dataclass(kw_only=True, slots=True)
class Machine:
    """What one machine did."""

    path: str
    states: list[StateInterval] = field(default_factory=list)
    cycles: list[Cycle] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class Week:
    """A week. Machines and series go by device path; `entries` has rows of the tables of the model of work, devices by path."""

    zone: str
    start_us: int
    end_us: int
    machines: Mapping[str, Machine]
    shifts: list[Shift]
    words: list[Word]
    jobs: list[Job]
    actuals: list[Actual]
    batches: list[Batch]
    episodes: list[Episode]
    samples: Mapping[str, Mapping[str, Series]]
    entries: Mapping[str, list[dict[str, Any]]]
