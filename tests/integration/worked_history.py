"""A day's work of site north of the example plant: two shifts with stops, slow cycles, scrap, orders and what people said.

Enters: a connection string of a migrated database, the local day. Leaves: what the historian stores of the 16 hours before 14:00 there, in
steps of half a minute, through its own store, and rows of the model of work, through their own functions. Seeded: a day is always the
same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import psycopg

from base.ids import uuid7
from historian.store import HistorianStore
from registry.load import load_plant
from registry.plant_file import read_plant
from schemas.events import DeviceEvent, EventKind, Gap, LaneHealth
from schemas.frame import Stream
from stack.config import StackConfig
from tests.integration.documented_history import _windows
from tests.integration.history import Record, make_frame, record, validated
from work.importing import import_files

ZONE = ZoneInfo("Europe/Berlin")
SITE = "acme/north"
STEP_S = 30
HOURS = 16
_EPOCH = UUID("01890000-0000-7000-8000-0000000000f0")
_EXECUTE = 6.0
# PackML state, stops a shift, their mean length in steps.
_STOPS = ((2.0, 1.2, 20), (11.0, 2.5, 8), (9.0, 1.0, 16), (5.0, 3.0, 5))
_PRODUCTS = """
INSERT INTO material_definitions (material, description, entered_by) VALUES
    ('bracket-40', 'Bracket', 'planner'), ('housing-a', 'Housing', 'planner');
-- Nothing says by itself why a machine is held: people do, or nobody.
DELETE FROM packml_reasons WHERE packml_state = 'HELD';
"""


def shift_of(day: date) -> tuple[datetime, datetime]:
    """The early shift."""
    begin = datetime.combine(day, time(6), ZONE)
    return begin, begin + timedelta(hours=8)


def write(dsn: str, day: date) -> None:
    """Load the example plant, write the night and the early shift that end on that day at 14:00, and the work."""
    begin, end = shift_of(day)
    with psycopg.connect(dsn, autocommit=True) as connection:
        load_plant(connection, read_plant(StackConfig().plant))
        found = connection.execute(
            "SELECT d.path, d.device_id, d.gateway_id, d.lane, v.planned_run_time_s, jsonb_object_agg(t.name, t.tag_id)"
            " FROM device d JOIN devices v USING (device_id) JOIN tags t USING (device_id)"
            " WHERE starts_with(d.path, %s) AND v.planned_run_time_s IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1",
            [f"{SITE}/"],
        ).fetchall()
    store = HistorianStore(dsn)
    try:
        for one in _records(found, end):
            assert not store.write([one]).poisoned
    finally:
        store.close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        _work(connection, {path: device_id for path, device_id, *_ in found}, begin, end)


def _records(machines: list[Any], end: datetime) -> Iterator[Record]:
    random = np.random.default_rng(2611)
    steps = HOURS * 3600 // STEP_S
    end_us = int(end.timestamp()) * 1_000_000
    times = end_us - np.arange(steps, 0, -1, dtype=np.int64) * STEP_S * 1_000_000
    for path, device_id, gateway_id, lane, ideal_s, tags in machines:
        states = _states(random, steps)
        running = states == _EXECUTE
        made = np.cumsum(running * (STEP_S / ideal_s) * random.uniform(0.82, 0.99) * random.normal(1, 0.02, steps))
        scrap = np.cumsum(random.poisson(running * STEP_S / ideal_s * random.uniform(0.002, 0.03)))
        power = np.where(running, 30.0, 3.0) + random.normal(0, 0.4, steps)
        values = {
            "packml_state": states, "cycle_count": np.floor(made), "scrap_count": scrap.astype(float), "power": power,
            "energy": 1_000 + np.cumsum(power) * STEP_S / 3600,
        }  # fmt: skip
        lane_of = {"gateway_id": gateway_id, "lane": lane}
        for sequence, part in enumerate(np.array_split(np.arange(steps), HOURS)):
            yield validated(
                make_frame(
                    np.repeat([tags[name] for name in values], len(part)).tolist(), np.tile(times[part], len(values)).tolist(),
                    np.concatenate([values[name][part] for name in values]).tolist(), sequence=device_id * HOURS + sequence,
                    epoch=_EPOCH, **lane_of,
                )
            )  # fmt: skip
        # One machine was not heard for half an hour.
        kept = times < end_us - 1_800_000_000 if path.endswith("mill-02") else times > 0
        yield _windows(lane_of, tags["power"], times[kept], power[kept], 60)
    yield from _events(machines, end_us)


def _states(random: np.random.Generator, steps: int) -> Any:
    states = np.full(steps, _EXECUTE)
    for state, number, length in _STOPS:
        for at in random.integers(0, steps, random.poisson(number * 2)):
            states[at : at + max(2, int(random.exponential(length)))] = state
    return states


def _events(machines: list[Any], end_us: int) -> Iterator[Record]:
    for number, (_, device_id, gateway_id, lane, _, tags) in enumerate(machines[:3]):
        start = end_us - (number + 1) * 4_000_000_000
        yield record(
            "Anomaly", episode_id=uuid7(start), device_id=device_id, phase="CLOSE", revision=2, start_us=start,
            end_us=start + 600_000_000, score=0.2, peak_score=0.97 - number / 10, threshold=0.8, detector="default", detector_version=1,
            contributors=[{"tag_id": tags["power"], "score": 0.9, "value": 88.0, "expected_low": 40.0, "expected_high": 60.0}],
        )  # fmt: skip
        yield record(
            "Rejected", reason="OUT_OF_RANGE", detail="412.5 is above the limit 150", rejected_time_us=start,
            source_topic="telemetry.frames.north", source_partition=0, source_offset=number, gateway_id=gateway_id, lane=lane,
            epoch=_EPOCH, stream="LIVE", sequence=number, samples=1, position=np.array([0], np.int32),
            tag_id=np.array([tags["power"]], np.int32), time_us=np.array([start]), value=np.array([412.5]),
            quality=np.zeros(1, np.uint16),
        )  # fmt: skip
    _, _, gateway_id, lane, _, _ = machines[0]
    gap = Gap(lane=lane, samples=120, from_us=end_us - 9_000_000_000, to_us=end_us - 8_990_000_000, cause="FULL")
    event = DeviceEvent(
        kind=EventKind.GAP,
        gateway_id=gateway_id,
        device_id=0,
        time_us=end_us - 8_990_000_000,
        text="buffer full",
        gap=gap,
    )
    yield Record("device.events.north", 0, 0, event.key, event.encode())
    counted = LaneHealth(
        lane=lane,
        stream=Stream.LIVE,
        epoch=_EPOCH,
        next_sequence=9,
        produced_samples=900,
        produced_checksum=0,
        buffered_samples=40,
        dropped_samples=0,
        delivered_sequence=9,
    )
    health = DeviceEvent(
        kind=EventKind.GATEWAY_HEALTH, gateway_id=gateway_id, device_id=0, time_us=end_us, text="", lanes=(counted,)
    )
    yield Record("device.events.north", 0, 1, health.key, health.encode())


def _work(connection: psycopg.Connection[Any], devices: dict[str, int], begin: datetime, end: datetime) -> None:
    import_files(connection, sorted((StackConfig().plant.parent / "work").glob("*.csv")), who="planner")
    connection.execute(_PRODUCTS)
    line = f"{SITE}/forming/line-1"
    for order, material, quantity, length_h in (
        ("JO-1187", "bracket-40", 12_600, 12),
        ("JO-1188", "housing-a", 1_500, 4),
    ):
        scope = line if order == "JO-1187" else f"{SITE}/finishing/line-4"
        connection.execute(
            "INSERT INTO job_orders (job_order, material, quantity, scope, planned_start, planned_end, status, entered_by)"
            " VALUES (%s, %s, %s, %s, %s, %s, 'RELEASED', 'planner')",
            (order, material, quantity, scope, begin, begin + timedelta(hours=length_h)),
        )
        for path, device in devices.items():
            if path.startswith(f"{scope}/"):
                connection.execute("SELECT start_job(%s, %s, %s, 'operator')", (order, device, begin))
    press = devices[f"{line}/blanking/press-01"]
    stops = connection.execute(
        "SELECT device_id, start_time, end_time, packml_state FROM downtimes_between(%s, %s, %s)"
        " WHERE packml_state IN ('HELD', 'STOPPED') ORDER BY 2",
        (SITE, begin, end),
    ).fetchall()
    reasons = ("mechanical/bearing", "electrical/drive", "mechanical/jam")
    for number, (device, since, until, state) in enumerate(stops):
        if state == "STOPPED" or number % 3 == 0:
            reason = "setup/changeover" if number == len(stops) // 2 else reasons[number % 3]
            connection.execute(
                "SELECT enter_downtime(%s, %s, %s, %s, 'operator', 'seen')", (device, since, until, reason)
            )
    connection.execute("SELECT record_scrap(%s, %s, 3, 'surface', 'operator')", (press, begin + timedelta(hours=2)))
