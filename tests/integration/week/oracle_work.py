"""OEE, downtime, reliability, cycle times, scrap, energy and orders, worked out from the truth of a week.

The time of each machine is cut into slices wherever anything begins or ends; whatever is asked is a sum over slices and
cycles. Written from the definitions of ISO 22400-2, with plain loops: it shares nothing with the SQL that it judges.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from simulator.packml import State
from simulator.week import Week, plan
from simulator.week.model import Cycle, Machine

Row = dict[str, Any]
HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of one machine's time in which nothing changes."""

    device: str
    start_us: int
    end_us: int
    state: State
    shift: str | None
    day: date | None
    order: str | None
    material: str | None
    reason: str | None

    @property
    def seconds(self) -> float:
        return (self.end_us - self.start_us) / 1e6

    @property
    def scheduled(self) -> bool:
        return self.shift is not None

    @property
    def planned_stop(self) -> bool:
        return self.state is not State.EXECUTE and (self.reason or "").split("/")[0] == "planned"

    @property
    def busy(self) -> bool:
        """In planned busy time."""
        return self.scheduled and not self.planned_stop


class Oracle:
    """Answers for the range `from_us` to `to_us` of the machines under `scope`."""

    def __init__(self, week: Week, scope: str, from_us: int, to_us: int) -> None:
        # Seven days are an hour more than the week in which spring begins: before it nothing is known.
        self.before_s = max(week.start_us - from_us, 0) / 1e6
        from_us = max(from_us, week.start_us)
        self.week, self.from_us, self.to_us = week, from_us, to_us
        machines = [m for path, m in week.machines.items() if (path + "/").startswith(scope + "/")]
        self.slices = {machine.path: _slices(week, machine, from_us, to_us) for machine in machines}
        self.cycles = {m.path: [c for c in m.cycles if from_us <= c.time_us < to_us] for m in machines}
        self.states = {m.path: m.states for m in machines}

    # --- OEE --------------------------------------------------------------------------------------------------------

    def oee(self, *by: str) -> dict[tuple[Any, ...], Row]:
        """Elements and figures by group; the key has place, day, shift, hour, order, product, each None where it is not asked for."""
        groups: dict[tuple[Any, ...], Row] = defaultdict(lambda: defaultdict(float))
        for path, slices in self.slices.items():
            if self.before_s and "hour" not in by:
                nothing = Slice(path, 0, 0, State.STOPPED, None, None, None, None, None)
                groups[_key(path, nothing, by)]["calendar_s"] += self.before_s
            for one in slices:
                for part in _hours(one) if "hour" in by else [one]:
                    row = groups[_key(path, part, by)]
                    row["calendar_s"] += part.seconds
                    row["pbt_s"] += part.seconds * part.busy
                    row["apt_s"] += part.seconds * (part.busy and part.state is State.EXECUTE)
                    row["unplanned_apt_s"] += part.seconds * (not part.busy and part.state is State.EXECUTE)
            starts = [one.start_us for one in slices]
            for cycle in self.cycles[path]:
                one = slices[bisect_right(starts, cycle.time_us) - 1]
                if "hour" in by:
                    one = next(part for part in _hours(one) if part.start_us <= cycle.time_us < part.end_us)
                row = groups[_key(path, one, by)]
                if one.busy:
                    row["pq"] += 1
                    row["sq"] += cycle.scrapped
                    row["ideal_s"] += plan.ideal_s(path, one.material or "")
                else:
                    row["unplanned_pq"] += 1
                    row["unplanned_gq"] += not cycle.scrapped
        return {key: _figures(row) for key, row in groups.items()}

    # --- downtime ---------------------------------------------------------------------------------------------------

    def downtime(self, depth: int | None = None) -> dict[str | None, tuple[int, float]]:
        """Stops and seconds of unplanned downtime by reason."""
        found: dict[str | None, tuple[int, float]] = {}
        for slices in self.slices.values():
            before: tuple[int, str | None] | None = None
            for one in self._unplanned(slices):
                reason = one.reason if one.reason is None or depth is None else "/".join(one.reason.split("/")[:depth])
                stops, seconds = found.get(reason, (0, 0.0))
                found[reason] = (stops + (before != (one.start_us, reason)), seconds + one.seconds)
                before = (one.end_us, reason)
        return found

    def reliability(self, failed: Callable[[Slice], bool]) -> dict[str, Row]:
        """Failures, operating and repair time by machine. `failed` says whether a slice makes its stop a failure."""
        found = {}
        for path, slices in self.slices.items():
            stops: list[list[Slice]] = []
            for one in self._unplanned(slices):
                if stops and stops[-1][-1].end_us == one.start_us:
                    stops[-1].append(one)
                else:
                    stops.append([one])
            failures = [sum(one.seconds for one in stop) for stop in stops if any(map(failed, stop))]
            apt_s = sum(one.seconds for one in slices if one.busy and one.state is State.EXECUTE)
            count = len(failures)
            found[path] = {
                "failures": count, "operating_s": apt_s, "repair_s": sum(failures),
                "mtbf_s": apt_s / count if count else None, "mttr_s": sum(failures) / count if count else None,
            }  # fmt: skip
        return found

    @staticmethod
    def _unplanned(slices: Iterable[Slice]) -> Iterable[Slice]:
        return (one for one in slices if one.scheduled and one.state is not State.EXECUTE and not one.planned_stop)

    # --- cycles, scrap, energy --------------------------------------------------------------------------------------

    def cycle_times(self, path: str) -> list[tuple[int, float]]:
        """Ends and lengths of cycles that followed another one without a stop."""
        found = []
        for state in self.states[path]:
            if state.state is State.EXECUTE:
                within = [c for c in self.cycles[path] if state.start_us < c.time_us <= state.end_us]
                found += [(b.time_us, (b.time_us - a.time_us) / 1e6) for a, b in itertools.pairwise(within)]
        return found

    def product_at(self, path: str, at_us: int) -> str | None:
        """What a machine made."""
        for job in self.week.jobs:
            if job.device == path and job.start_us <= at_us < (job.end_us or math.inf):
                return job.material
        return None

    def scrap(self) -> dict[str | None, int]:
        """Pieces by reason, None for those that nobody explained."""
        found: dict[str | None, int] = defaultdict(int)
        for cycles in self.cycles.values():
            for cycle in cycles:
                if cycle.scrapped:
                    found[cycle.reason or None] += 1
        return dict(found)

    def energy(self, *by: str) -> dict[tuple[Any, ...], float]:
        """Energy by group; with `state` the key ends in the name of the state."""
        found: dict[tuple[Any, ...], float] = defaultdict(float)
        for path, slices in self.slices.items():
            meter = self.week.samples[path]["energy"]
            for one in slices:
                low, high = np.interp([one.start_us, one.end_us], meter.time_us, meter.value)
                key = _key(path, one, by)
                found[(*key, one.state.name) if "state" in by else key] += float(high - low)
        return dict(found)

    def good(self, *by: str) -> dict[tuple[Any, ...], int]:
        """Good pieces by group, whenever they were made."""
        found: dict[tuple[Any, ...], int] = defaultdict(int)
        for path, cycles in self.cycles.items():
            slices = self.slices[path]
            starts = [one.start_us for one in slices]
            for cycle in cycles:
                found[_key(path, slices[bisect_right(starts, cycle.time_us) - 1], by)] += not cycle.scrapped
        return dict(found)


def _slices(week: Week, machine: Machine, from_us: int, to_us: int) -> list[Slice]:
    path = machine.path
    shifts = [shift for shift in week.shifts if shift.scope == plan.calendar_of(path)]
    words = [word for word in week.words if word.device == path]
    jobs = [job for job in week.jobs if job.device == path]
    ranges: list[Sequence[Any]] = [*machine.states, *shifts, *words, *jobs]
    cuts = {from_us, to_us}
    for one in ranges:
        cuts |= {one.start_us, one.end_us if one.end_us is not None else to_us}  # type: ignore[attr-defined]
    inside = sorted(at for at in cuts if from_us <= at <= to_us)
    starts = [state.start_us for state in machine.states]
    found = []
    for low, high in itertools.pairwise(inside):
        state = machine.states[bisect_right(starts, low) - 1].state
        shift = next((one for one in shifts if one.start_us <= low < one.end_us), None)
        job = next((one for one in jobs if one.start_us <= low < (one.end_us or math.inf)), None)
        said = [word.reason for word in words if word.start_us <= low < word.end_us]
        automatic = "material/missing" if "SUSPEND" in state.name else None
        found.append(
            Slice(
                path, low, high, state, shift.name if shift else None, shift.day if shift else None,
                job.job_order if job else None, job.material if job else None, said[-1] if said else automatic,
            )
        )  # fmt: skip
    return found


def _hours(one: Slice) -> Iterable[Slice]:
    low = one.start_us
    while low < one.end_us:
        high = min((low // HOUR_US + 1) * HOUR_US, one.end_us)
        yield Slice(one.device, low, high, one.state, one.shift, one.day, one.order, one.material, one.reason)
        low = high


def _key(path: str, one: Slice, by: Sequence[str]) -> tuple[Any, ...]:
    parts = next(
        (number for name, number in (("device", 6), ("cell", 5), ("line", 4), ("area", 3), ("site", 2)) if name in by),
        0,
    )
    return (
        "/".join(path.split("/")[:parts]) or None,
        one.day if {"shift", "day"} & set(by) else None,
        one.shift if "shift" in by else None,
        one.start_us // HOUR_US * HOUR_US if "hour" in by else None,
        one.order if "order" in by else None,
        one.material if {"order", "product"} & set(by) else None,
    )


def _figures(row: Row) -> Row:
    pbt_s, apt_s, pq, ideal_s = row["pbt_s"], row["apt_s"], row["pq"], row["ideal_s"]
    gq = pq - row["sq"]
    effective_s = ideal_s * gq / pq if pq else 0.0
    return {
        "pbt_s": pbt_s, "apt_s": apt_s, "pq": pq, "gq": gq,
        "availability": apt_s / pbt_s if pbt_s else None,
        "effectiveness": ideal_s / apt_s if apt_s else None,
        "quality": gq / pq if pq else None,
        "oee": effective_s / pbt_s if pbt_s else None,
        "teep": effective_s / row["calendar_s"] if pbt_s else None,
        "availability_loss_s": pbt_s - apt_s,
        "performance_loss_s": apt_s - ideal_s if pbt_s else None, "quality_loss_s": ideal_s - effective_s if pbt_s else None,
        "calendar_s": row["calendar_s"], "unplanned_apt_s": row["unplanned_apt_s"],
        "unplanned_pq": row["unplanned_pq"], "unplanned_gq": row["unplanned_gq"],
    }  # fmt: skip


__all__ = ["Cycle", "Oracle", "Slice"]
