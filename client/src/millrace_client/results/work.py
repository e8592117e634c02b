"""The plant's work: shifts, orders, lots, stops, scrap, batches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobOrderStatus(StrEnum):
    """Where an order stands."""

    UNSPECIFIED = "UNSPECIFIED"
    PLANNED = "PLANNED"
    RELEASED = "RELEASED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class MaterialUse(StrEnum):
    """How a lot is used."""

    UNSPECIFIED = "UNSPECIFIED"
    CONSUMED = "CONSUMED"
    PRODUCED = "PRODUCED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """A shift; `day` is the local day on which it begins, such as 2026-10-25."""

    shift: str
    day: str
    start_us: int
    end_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """A product or material; `unit` is the UCUM code of quantities."""

    material: str
    description: str = ""
    unit: str = "1"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResponse:
    """What one machine did of an order."""

    job_response_id: str
    job_order: str
    device_path: str
    start_us: int
    end_us: int | None = None
    entered_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """An order with what machines did of it."""

    job_order: str
    material: str
    quantity: float
    unit: str
    scope: str
    planned_start_us: int
    planned_end_us: int
    status: JobOrderStatus
    priority: int = 0
    responses: tuple[JobResponse, ...] = ()
    entered_by: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaterialActual:
    """A lot that was consumed or produced at a machine."""

    actual_id: str
    lot: str
    use: MaterialUse
    quantity: float | None = None
    device_path: str
    job_order: str = ""
    start_us: int
    end_us: int | None = None
    entered_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaterialLot:
    """A lot with where it was used."""

    lot: str
    material: str
    quantity: float | None = None
    unit: str = "1"
    description: str = ""
    actuals: tuple[MaterialActual, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Downtime:
    """A stop, or a part of one with one state and one reason. `planned`: it is taken off planned busy time."""

    device_path: str
    start_us: int
    end_us: int
    packml_state: str = ""
    reason: str = ""
    planned: bool = False
    entered_by: str = ""
    entry_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DowntimeRange:
    """A range of a stop and its reason. An `end_us` of 0: until the machine executes; an empty reason takes back what was said."""

    start_us: int
    end_us: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """A reason of stops or of scrap; `reason` is its path in the tree."""

    reason: str
    description: str = ""
    planned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Reasons:
    """Reasons of stops and of scrap, by path."""

    downtime: tuple[Reason, ...] = ()
    scrap: tuple[Reason, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ScrapEntry:
    """Scrap as a person entered it."""

    entry_id: str
    device_path: str
    time_us: int
    quantity: float
    reason: str
    job_order: str = ""
    entered_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchPhase:
    """A phase of a batch; `nominal_s`: how long the recipe says it takes."""

    phase: str
    device_path: str
    start_us: int
    end_us: int | None = None
    nominal_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A batch with its phases. `golden`: others are compared with it."""

    batch: str
    recipe: str
    version: str
    material: str
    lot: str = ""
    device_path: str
    start_us: int
    end_us: int | None = None
    golden: bool = False
    phases: tuple[BatchPhase, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkChange:
    """A change of a row of the model of work; `key`, `before` and `after` are objects of JSON."""

    change_id: int
    changed_us: int
    who: str
    why: str
    table: str
    key: str
    before: str = ""
    after: str = ""
