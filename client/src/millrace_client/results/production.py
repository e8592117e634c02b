"""What machines did: OEE and states."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from millrace_client.results.times import utc


@dataclass(frozen=True, kw_only=True, slots=True)
class OeeFigures:
    """OEE by ISO 22400-2 of a group of machine time. Texts are empty, numbers None, where they do not apply or cannot be said.

    `shift_day`: local day on which the shift begins, ISO 8601. `pbt_s`: planned busy time; `apt_s`: actual production time; `ideal_s`:
    planned run time of what was produced; `pq`, `gq`: produced and good quantity within planned busy time, `unplanned_gq` outside of it.
    `unknown_s`: planned busy time in which nobody knows the state.
    """

    path: str = ""
    shift_day: str = ""
    shift: str = ""
    start_us: int | None = None
    job_order: str = ""
    material: str = ""
    pbt_s: float
    apt_s: float
    pq: float
    gq: float
    ideal_s: float | None = None
    availability: float | None = None
    effectiveness: float | None = None
    quality: float | None = None
    oee: float | None = None
    unknown_s: float = 0.0
    unplanned_gq: float = 0.0

    @property
    def start(self) -> datetime | None:
        """Start of the hour."""
        return None if self.start_us is None else utc(self.start_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class StateInterval:
    """A PackML state of a machine for as long as it lasted. Where nobody knows the state there is none."""

    device_id: int
    device_path: str
    packml_state: str
    start_us: int
    end_us: int

    @property
    def start(self) -> datetime:
        """Begin, inclusive."""
        return utc(self.start_us)

    @property
    def end(self) -> datetime:
        """End, exclusive."""
        return utc(self.end_us)
