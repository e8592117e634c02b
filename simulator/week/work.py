"""What people enter in the week: rows of the model of work, and the lots that the machines consumed and produced."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from simulator.week import plan
from simulator.week.model import HOUR_US, MINUTE_US, Actual, Job, Machine, Shift, Week

REASONS = (
    ("planned", "Planned", True),
    ("planned/break", "Break", True),
    ("planned/maintenance", "Planned maintenance", True),
    ("setup", "Set-up", False),
    ("setup/changeover", "Changeover to another product", False),
    ("mechanical", "Mechanical failure", False),
    ("mechanical/bearing", "Bearing", False),
    ("mechanical/spindle", "Spindle", False),
    ("electrical", "Electrical failure", False),
    ("electrical/drive", "Drive", False),
    ("process", "Process", False),
    ("process/tool", "Tool broken or worn", False),
    ("process/measuring", "Measuring between cycles", False),
    ("material", "Material", False),
    ("material/missing", "No material", False),
    ("organisation", "Organisation", False),
    ("organisation/waiting", "Waiting for somebody", False),
)
AUTOMATIC = dict.fromkeys(("SUSPENDING", "SUSPENDED", "UNSUSPENDING"), "material/missing")
"""Reason of a PackML state when nobody said anything: a suspended machine is starved or blocked."""
SCRAP_REASONS = {"dimension": "Out of tolerance", "surface": "Scratch or dent"}
DELAY_US = 5 * MINUTE_US
Row = dict[str, Any]


def uuid(*parts: str) -> str:
    """A UUID that is the same for the same words."""
    return str(uuid5(NAMESPACE_URL, "urn:millrace:week:" + "/".join(parts)))


def actuals(machines: Mapping[str, Machine], shifts: list[Shift], jobs: list[Job]) -> list[Actual]:
    """Mills turn bars into lots of pieces, a lot for each shift and order; the cell's robot packs those into a pallet."""
    found: list[Actual] = []
    lots = pallets = 0
    for cell, names in plan.CELLS.items():
        own = [shift for shift in shifts if shift.scope == plan.calendar_of(f"{cell}/{names[0]}")]
        for number, shift in enumerate(own):
            for order in plan.ORDERS:
                made: list[Actual] = []
                for name in names[:-1]:
                    job = _job(jobs, f"{cell}/{name}", order.job_order, shift)
                    if job is None or not (good := _good(machines[job.device], *_common(job, shift))):
                        continue
                    lots += 1
                    low_us, high_us = _common(job, shift)
                    bar = f"BAR-{name[-2:]}-{number // 2:02}"
                    found.append(Actual(bar, "CONSUMED", job.device, job.job_response, good, low_us, high_us))
                    made.append(
                        Actual(f"LOT-{lots:03}", "PRODUCED", job.device, job.job_response, good, low_us, high_us)
                    )
                robot = _job(jobs, f"{cell}/{names[-1]}", order.job_order, shift)
                found += made
                if robot is None or not made:
                    continue
                pallets += 1
                low_us, high_us = _common(robot, shift)
                for lot in made:
                    begin_us = min(max(low_us, lot.start_us + DELAY_US), high_us - MINUTE_US)
                    found.append(
                        Actual(lot.lot, "CONSUMED", robot.device, robot.job_response, lot.quantity, begin_us, high_us)
                    )
                total = sum(lot.quantity for lot in made)
                found.append(
                    Actual(f"PAL-{pallets:03}", "PRODUCED", robot.device, robot.job_response, total, low_us, high_us)
                )
    return found


def _job(jobs: list[Job], device: str, order: str, shift: Shift) -> Job | None:
    """The job of an order on a device, when it has more than two minutes of the shift."""
    for job in jobs:
        if job.device == device and job.job_order == order:
            low_us, high_us = _common(job, shift)
            return job if high_us - low_us > 2 * MINUTE_US else None
    return None


def _common(job: Job, shift: Shift) -> tuple[int, int]:
    return max(job.start_us, shift.start_us), min(job.end_us or shift.end_us, shift.end_us)


def _good(machine: Machine, low_us: int, high_us: int) -> int:
    return sum(low_us <= cycle.time_us < high_us and not cycle.scrapped for cycle in machine.cycles)


def at(time_us: int | None) -> datetime | None:
    """Timestamp of microseconds, exact."""
    return None if time_us is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def entries(week: Week) -> dict[str, list[Row]]:
    """Rows by table, in an order that foreign keys allow. A device is given by its path, under `device`."""
    first = datetime.fromtimestamp(week.start_us / 1e6, ZoneInfo(week.zone)).date()
    materials = {order.job_order: order.material for order in plan.ORDERS}
    return {
        "shift_patterns": [{"name": name, "time_zone": week.zone} for name in plan.PATTERNS],
        "shift_pattern_shifts": [
            {"pattern": name, "shift": one.name, "weekdays": list(one.weekdays), "starts": one.starts, "ends": one.ends}
            for name, shifts in plan.PATTERNS.items() for one in shifts
        ],
        "work_calendars": [
            {"scope": scope, "valid_from": date(2020, 1, 1), "valid_to": None, "pattern": pattern}
            for scope, pattern in plan.CALENDARS.items()
        ],
        "work_calendar_exceptions": [
            {"scope": one.scope, "day": day, "kind": one.kind, "shift": one.shift, "starts": one.starts, "ends": one.ends}
            for one in plan.EXCEPTIONS
            for day in (first + timedelta(days=number) for number in range(-1, 9)) if day.isoweekday() == one.weekday
        ],
        "material_definitions": [
            {"material": name, "description": text, "unit": "1"} for name, text in plan.MATERIALS.items()
        ],
        "ideal_cycle_times": _ideal(),
        "job_orders": [
            {
                "job_order": one.job_order, "material": one.material, "quantity": one.quantity, "scope": plan.LINE,
                "planned_start": at(week.start_us + int(one.after_h * HOUR_US)),
                "planned_end": at(week.start_us + int(one.until_h * HOUR_US)),
                "status": "RUNNING" if one.until_h >= 168 else "COMPLETED", "priority": 5,
            }
            for one in plan.ORDERS
        ],
        "job_responses": [
            {
                "job_response": job.job_response, "job_order": job.job_order, "device": job.device,
                "start_time": at(job.start_us), "end_time": at(job.end_us),
            }
            for job in week.jobs
        ],
        "material_lots": _lots(week.actuals, week.jobs, materials),
        "material_actuals": [
            {
                "actual": uuid(one.lot, one.use, one.device, str(one.start_us)), "lot": one.lot, "job_response": one.job_response,
                "device": one.device, "use": one.use, "quantity": one.quantity, "start_time": at(one.start_us),
                "end_time": at(one.end_us),
            }
            for one in week.actuals
        ],
        "downtime_reasons": [{"reason": r, "description": text, "planned": planned} for r, text, planned in REASONS],
        "packml_reasons": [
            {"device_class": kind, "packml_state": state, "reason": reason}
            for kind in ("cnc_mill", "robot") for state, reason in AUTOMATIC.items()
        ],
        "downtime_entries": [
            {
                "entry": uuid("word", str(number)), "device": word.device, "start_time": at(word.start_us),
                "end_time": at(word.end_us), "reason": word.reason,
            }
            for number, word in enumerate(week.words)
        ],
        "scrap_reasons": [{"reason": reason, "description": text} for reason, text in SCRAP_REASONS.items()],
        "scrap_entries": _scrap(week),
        "recipes": [{"recipe": plan.RECIPE[0], "version": plan.RECIPE[1], "material": "housing"}],
        "recipe_phases": [
            {
                "recipe": plan.RECIPE[0], "version": plan.RECIPE[1], "phase": name, "ordinal": number,
                "nominal_s": nominal_s,
            }
            for number, (name, nominal_s, _) in enumerate(plan.PHASES, start=1)
        ],
        "batches": [
            {
                "batch": one.batch, "recipe": plan.RECIPE[0], "version": plan.RECIPE[1], "lot": None, "device": one.device,
                "start_time": at(one.phases[0].start_us), "end_time": at(one.phases[-1].end_us), "golden": one.golden,
            }
            for one in week.batches
        ],
        "batch_phases": [
            {
                "batch": one.batch, "phase": phase.phase, "device": one.device, "start_time": at(phase.start_us),
                "end_time": at(phase.end_us),
            }
            for one in week.batches for phase in one.phases
        ],
    }  # fmt: skip


def _ideal() -> list[Row]:
    mills = [(material, plan.LINE, seconds) for material, seconds in plan.IDEAL_S.items()]
    robots = [(None, device, plan.ROBOT_IDEAL_S) for device in plan.DEVICES if "robot" in device]
    return [
        {
            "material": material,
            "scope": scope,
            "cycle_time_s": seconds,
            "valid_from": date(2020, 1, 1),
            "valid_to": None,
        }
        for material, scope, seconds in mills + robots
    ]


def _lots(found: list[Actual], jobs: list[Job], materials: Mapping[str, str]) -> list[Row]:
    order = {job.job_response: job.job_order for job in jobs}
    lots: dict[str, Row] = {}
    for one in found:
        if one.lot.startswith("BAR"):
            material = "bar-40"
        elif one.lot.startswith("PAL"):
            material = "pallet"
        else:
            material = materials[order[one.job_response]]
        lots.setdefault(
            one.lot, {"lot": one.lot, "material": material, "quantity": one.quantity, "unit": "1", "description": ""}
        )
    return list(lots.values())


def _scrap(week: Week) -> list[Row]:
    rows = []
    for path, machine in week.machines.items():
        own = [job for job in week.jobs if job.device == path]
        for cycle in machine.cycles:
            if cycle.scrapped and cycle.reason:
                job = next((j for j in own if j.start_us <= cycle.time_us < (j.end_us or week.end_us)), None)
                rows.append({
                    "entry": uuid("scrap", path, str(cycle.time_us)), "device": path, "time": at(cycle.time_us),
                    "quantity": 1.0, "reason": cycle.reason, "job_response": job.job_response if job else None,
                })  # fmt: skip
    return rows
