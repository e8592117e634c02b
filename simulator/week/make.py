"""Puts a week together: `make(end_us)`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from simulator.week import plan, signals, work
from simulator.week.machine import Course
from simulator.week.model import HOUR_US, MINUTE_US, SECOND_US, Batch, Episode, Job, Machine, Phase, Shift, Week, Word
from simulator.week.plan import LINE, microseconds

ZONE = "Europe/Berlin"
DAYS = 7

__all__ = ["DAYS", "LINE", "ZONE", "last_change_of_clocks", "make"]


def last_change_of_clocks(before: datetime, zone: str = ZONE) -> datetime:
    """End of the newest week, Monday to Monday in local time, that is over `before` and in which the zone's clocks changed."""
    tz = ZoneInfo(zone)
    local = before.astimezone(tz)
    monday = (local - timedelta(days=local.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    while (monday - timedelta(days=DAYS)).utcoffset() == monday.utcoffset():
        monday -= timedelta(days=DAYS)
    return monday.astimezone(UTC)


def make(end: datetime, *, zone: str = ZONE, days: int = DAYS, seed: int = 1) -> Week:
    """A week of `days` local days that ends at `end`."""
    end_us = microseconds(end.astimezone(UTC)) // SECOND_US * SECOND_US
    start = (end.astimezone(ZoneInfo(zone)) - timedelta(days=days)).astimezone(UTC)
    start_us = microseconds(start) // SECOND_US * SECOND_US
    random = Random(f"{seed}/week")
    shifts = plan.shifts(zone, start_us, end_us)
    jobs = _jobs(shifts, start_us, end_us, random)
    batches = _batches(shifts, random)
    maintenance = {f"{LINE}/milling-a/mill-02": _maintenance(shifts)}
    machines: dict[str, Machine] = {}
    words: list[Word] = []
    for path in plan.DEVICES:
        own = [shift for shift in shifts if shift.scope == plan.calendar_of(path)]
        of_device = [job for job in jobs if job.device == path]
        course = Course(path, own, of_device, maintenance.get(path, []), start_us, end_us, seed=seed)
        course.run()
        machines[path], words = course.machine, words + course.words
    words = _talk(words)
    episodes = _episodes(batches, start_us, end_us)
    actuals = work.actuals(machines, shifts, jobs)
    week = Week(
        zone=zone, start_us=start_us, end_us=end_us, machines=machines, shifts=shifts, words=words, jobs=jobs, actuals=actuals,
        batches=batches, episodes=episodes, entries={},
        samples={path: signals.series(machine, batches, episodes, seed=seed) for path, machine in machines.items()},
    )  # fmt: skip
    week.entries = work.entries(week)
    return week


def _jobs(shifts: list[Shift], start_us: int, end_us: int, random: Random) -> list[Job]:
    """An order begins on each machine when the machine's shift allows, some minutes apart."""
    found: list[Job] = []
    for path in plan.DEVICES:
        own = [shift for shift in shifts if shift.scope == plan.calendar_of(path)]
        for order in plan.ORDERS:
            low_us = _worked(own, start_us + int(order.after_h * HOUR_US), random)
            high_us = start_us + int(order.until_h * HOUR_US)
            if low_us is None or low_us >= min(high_us, end_us):
                continue
            # The next order's start on this machine is this one's end.
            if (
                found
                and found[-1].device == path
                and (found[-1].end_us is None or found[-1].end_us > low_us or order.job_order in _FOLLOWS)
            ):
                found[-1] = found[-1]._replace(end_us=low_us)
            until_us = None if high_us >= end_us or order.until_h >= 168 else high_us
            found.append(Job(work.uuid(path, order.job_order), order.job_order, order.material, path, low_us, until_us))
    return found


_FOLLOWS = frozenset({"WO-1002", "WO-1003", "WO-1004"})
"""Orders that begin where the one before ends."""


def _worked(shifts: list[Shift], at_us: int, random: Random) -> int | None:
    """A moment some minutes after `at_us`, moved into the next shift if nobody works then."""
    for shift in shifts:
        if at_us < shift.end_us - 2 * HOUR_US:
            return max(at_us, shift.start_us + 10 * MINUTE_US) + random.randrange(20) * MINUTE_US
    return None


def _maintenance(shifts: list[Shift]) -> list[Phase]:
    early = [shift for shift in shifts if shift.scope == LINE and shift.name == "early"]
    return [Phase("", shift.start_us + HOUR_US, shift.start_us + 2 * HOUR_US) for shift in early[3:4]]


def _batches(shifts: list[Shift], random: Random) -> list[Batch]:
    """One batch in each early shift of the machine, an hour and a half after its start; the first is the golden one."""
    early = [shift for shift in shifts if shift.scope == plan.calendar_of(plan.BATCH_DEVICE) and shift.name == "early"]
    found: list[Batch] = []
    for number, shift in enumerate(early[:5]):
        at_us, phases = shift.start_us + 90 * MINUTE_US, []
        for name, nominal_s, _ in plan.PHASES:
            seconds = nominal_s if number == 0 else round(nominal_s * random.uniform(0.85, 1.2))
            phases.append(Phase(name, at_us, at_us + int(seconds) * SECOND_US))
            at_us = phases[-1].end_us
        if at_us < shift.end_us:
            found.append(Batch(f"B-{number + 1}", plan.BATCH_DEVICE, not found, tuple(phases)))
    return found


def _talk(words: list[Word]) -> list[Word]:
    """Words in the order of their downtimes; then one is corrected, one is split and one takes in two of its neighbours."""
    words = sorted(words, key=lambda word: (word.start_us, word.device))
    stops = [word for word in words if word.reason.split("/")[0] in ("mechanical", "electrical", "process")]
    if len(stops) > 6:
        wrong, long, first = stops[1], max(stops, key=lambda word: word.end_us - word.start_us), stops[5]
        half_us = (long.start_us + long.end_us) // 2 // SECOND_US * SECOND_US
        words.append(wrong._replace(reason="electrical/drive"))
        words.append(long._replace(end_us=half_us, reason="organisation/waiting"))
        words.append(
            first._replace(
                start_us=first.start_us - 20 * MINUTE_US,
                end_us=first.end_us + 20 * MINUTE_US,
                reason="mechanical/spindle",
            )
        )
    return words


def _episodes(batches: list[Batch], start_us: int, end_us: int) -> list[Episode]:
    """Three anomalies, one of them in a batch."""
    planned = [
        (f"{LINE}/milling-a/mill-02", "coolant_pressure", start_us + 61 * HOUR_US, 45 * MINUTE_US, 0.91),
        (f"{LINE}/milling-a/robot-01", "joint_torque", start_us + 29 * HOUR_US, 12 * MINUTE_US, 0.84),
    ]
    if len(batches) > 2:
        load = batches[2].phases[1]
        planned.append((batches[2].device, "spindle_temperature", load.start_us, load.end_us - load.start_us, 0.97))
    return [
        Episode(work.uuid(device, tag, str(at_us)), device, tag, at_us, at_us + length_us, score)
        for device, tag, at_us, length_us, score in planned
        if at_us + length_us <= end_us
    ]
