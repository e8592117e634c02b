"""Two hours of the example plant for the documented queries, through the historian's own store: every kind of record there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg

from base.ids import now_us, uuid7
from historian.replay.correction import Correction
from historian.replay.run import replay
from historian.replay.selection import Selection
from historian.store import HistorianStore
from registry import edit
from registry.load import load_plant
from registry.plant_file import read_plant
from schemas import alarms, frame
from schemas.commands import CommandState, CommandStateRecord, Effect, ParameterOutcome
from schemas.events import DeviceEvent, EventKind, Gap
from schemas.frame import ClockStatus, Frame, Stream
from schemas.priorities import Priority
from schemas.verdicts import Verdict
from stack.config import StackConfig
from tests.integration.history import Record, record, validated
from work.importing import import_files

DEVICE = "acme/north/forming/line-1/blanking/press-01"
EPOCH = UUID("01890000-0000-7000-8000-0000000000d0")
STEP_US = 10_000_000
SPAN_US = 7_200_000_000
WINDOWS_S = {"power": 60, "oil_temperature": 60, "bearing_temperature": 60, "energy": 300}


def fill(dsn: str, store: HistorianStore) -> None:
    """Load the example plant and write what a press did in the last two hours."""
    plant: Path = StackConfig().plant
    with psycopg.connect(dsn, autocommit=True) as connection:
        load_plant(connection, read_plant(plant))
        rows = connection.execute(
            "SELECT name, tag_id, device_id, gateway_id, lane FROM tag_definition WHERE path LIKE %s", [f"{DEVICE}/%"]
        )
        found = rows.fetchall()
        _enter_work(connection, plant.parent / "work")
    tags = {name: tag_id for name, tag_id, *_ in found}
    _, _, device_id, gateway_id, lane = found[0]
    result = store.write(list(_records(tags, device_id, gateway_id, lane, now_us())))
    assert not result.poisoned
    with psycopg.connect(dsn, autocommit=True) as reading, psycopg.connect(dsn, autocommit=True) as writing:
        _, version = edit.definitions(writing)
        edit.set_published(writing, version)
        chosen = Selection(reasons=(Verdict.OUT_OF_RANGE.name,))
        replay(reading, writing, chosen, Correction(scale=0.1), send=lambda _topic, _records: None)
        writing.execute(
            """SELECT correct_samples(%s, now() - interval '4 minutes', now() - interval '3 minutes', 'SCALE', 'ada',
                                      'zero of the sensor', added => -1)""",
            (tags["oil_temperature"],),
        )


def _enter_work(connection: psycopg.Connection[Any], folder: Path) -> None:
    """The example's model of work, and what docs/work.md enters."""
    import_files(connection, sorted(folder.glob("*.csv")), who="planning")
    for words in (
        ("2026-11-23 09:00+01", "2026-11-23 10:00+01", "mechanical/jam", "anna"),
        ("2026-11-23 09:30+01", "2026-11-23 10:00+01", "setup/changeover", "bert"),
    ):
        connection.execute(
            "SELECT enter_downtime(device_id, %s, %s, %s, %s) FROM device WHERE path = %s", (*words, DEVICE)
        )


def _records(tags: dict[str, int], device_id: int, gateway_id: str, lane: int, end_us: int) -> Iterator[Record]:
    times = np.arange(end_us - SPAN_US, end_us, STEP_US, dtype=np.int64)
    steps = np.arange(len(times), dtype=np.float64)
    values = {name: 50 + np.sin(steps / 20 + tag_id) for name, tag_id in tags.items()}
    values |= {"cycle_count": steps * 4, "scrap_count": steps // 25, "energy": 1_000 + steps / 8}
    values |= {"packml_state": np.where(steps % 60 < 50, 6.0, 2.0), "speed_setpoint": np.full(len(times), 24.0)}
    lane_of = {"gateway_id": gateway_id, "lane": lane}
    for sequence, part in enumerate(np.array_split(np.arange(len(times)), 24)):
        if sequence != 11:  # a frame that never came
            yield validated(
                _frame(lane_of, tags, times[part], {name: values[name][part] for name in tags}, sequence=sequence)
            )
    late = {name: values[name][:6] for name in ("power",)}
    yield validated(_frame(lane_of, {"power": tags["power"]}, times[:6] + 1, late, stream=Stream.BACKFILL))
    for name, window_s in WINDOWS_S.items():
        yield _windows(lane_of, tags[name], times, values[name], window_s)
    yield record(
        "LatestBatch", **lane_of, closed_time_us=end_us, tag_id=np.array(list(tags.values()), np.int32),
        time_us=np.full(len(tags), end_us - STEP_US), value=np.array([values[name][-1] for name in tags]),
        quality=np.zeros(len(tags), np.uint16),
    )  # fmt: skip
    yield record(
        "Rejected", reason=Verdict.OUT_OF_RANGE.name, detail="412.5 is above the limit 150", rejected_time_us=end_us,
        source_topic="telemetry.frames.north", source_partition=0, source_offset=7, **lane_of, epoch=EPOCH, stream="LIVE",
        sequence=3, samples=1, position=np.array([5], np.int32), tag_id=np.array([tags["power"]], np.int32),
        time_us=np.array([end_us - STEP_US]), value=np.array([412.5]), quality=np.zeros(1, np.uint16),
    )  # fmt: skip
    yield record(
        "Anomaly", episode_id=uuid7(), device_id=device_id, phase="CLOSE", revision=2, start_us=end_us - 60_000_000, end_us=end_us,
        score=0.2, peak_score=0.97, threshold=0.8, detector="default", detector_version=1,
        contributors=[{"tag_id": tags["power"], "score": 0.9, "value": 88.0, "expected_low": 40.0, "expected_high": 60.0}],
    )  # fmt: skip
    gap = Gap(lane=lane, samples=12, from_us=end_us - SPAN_US, to_us=end_us - SPAN_US + STEP_US, cause="FULL")
    event = DeviceEvent(
        kind=EventKind.GAP, gateway_id=gateway_id, device_id=0, time_us=end_us, text="buffer full", gap=gap
    )
    yield Record("device.events.north", 0, 0, event.key, event.encode())
    command_id = uuid7()
    for version, state in enumerate((CommandState.ACCEPTED, CommandState.EXECUTING, CommandState.SUCCEEDED), start=1):
        known: Any = {
            "command_id": command_id,
            "device_id": device_id,
            "gateway_id": gateway_id,
            "site": "north",
            "attempt": 1,
        }
        value = CommandStateRecord(
            **known, version=version, state=state, name="write", parameters={"speed_setpoint": 24.0}, submitted_by="local",
            submitted_us=end_us, expires_us=end_us + STEP_US, updated_us=end_us + version * 1000,
        ).encode()  # fmt: skip
        yield Record("command.states", 0, version, str(command_id).encode(), value)
    partly = CommandStateRecord(
        command_id=uuid7(end_us - STEP_US), device_id=device_id, gateway_id=gateway_id, site="north", attempt=1, version=4,
        state=CommandState.FAILED, name="write", parameters={"speed_setpoint": 24.0, "packml_command": 2.0},
        submitted_by="local", submitted_us=end_us - STEP_US, expires_us=end_us, updated_us=end_us - STEP_US // 2,
        detail="partly carried out: ...", reason="new batch", approved_by="local:bob",
        outcomes=(
            ParameterOutcome(name="speed_setpoint", effect=Effect.APPLIED, readback=24.0, detail="written and read back"),
            ParameterOutcome(name="packml_command", effect=Effect.REFUSED, detail="BadOutOfRange"),
        ),
    )  # fmt: skip
    yield Record("command.states", 0, 10, str(partly.command_id).encode(), partly.encode())
    yield from _alarm(device_id, gateway_id, end_us - 60_000_000)


def _alarm(device_id: int, gateway_id: str, at_us: int) -> Iterator[Record]:
    """One that was raised and acknowledged, and stands."""
    source = alarms.source_id("north", f"power-high@{device_id}")
    known: dict[str, Any] = {
        "alarm_id": alarms.alarm_id(source, at_us), "source_id": source, "site": "north", "rule": "power-high",
        "device_id": device_id, "gateway_id": gateway_id, "path": f"{DEVICE}/power", "priority": Priority.HIGH,
    }  # fmt: skip
    steps = (
        (alarms.AlarmEventKind.RAISED, alarms.AlarmState.UNACKNOWLEDGED),
        (alarms.AlarmEventKind.ACKNOWLEDGED, alarms.AlarmState.ACKNOWLEDGED),
    )
    for version, (kind, state) in enumerate(steps, start=1):
        event = alarms.AlarmEvent(
            **known, event_id=uuid7(), version=version, kind=kind, state=state, time_us=at_us + version * STEP_US,
            recorded_us=at_us + version * STEP_US,
        )  # fmt: skip
        yield Record("alarm.events", 0, version, event.key, event.encode())
    alarm = alarms.Alarm(
        **known, version=2, rule_version=1, state=alarms.AlarmState.ACKNOWLEDGED, active=True, start_us=at_us, activated_us=at_us + STEP_US,
        acknowledged_us=at_us + 2 * STEP_US, acknowledged_by="anna", activations=1, value=92.0, detail="power is 92 kW, HI is 90",
        title="Power is high", updated_us=at_us + 2 * STEP_US,
    )  # fmt: skip
    yield Record("alarms", 0, 1, alarm.key, alarm.encode())


def _frame(
    lane_of: dict[str, Any],
    tags: dict[str, int],
    times: np.ndarray[Any, np.dtype[np.int64]],
    values: dict[str, Any],
    *,
    sequence: int = 0,
    stream: Stream = Stream.LIVE,
) -> Frame:
    built = frame.build(
        **lane_of,
        epoch=EPOCH,
        stream=stream,
        sequence=sequence,
        closed_time_us=int(times[-1]),
        clock_status=ClockStatus.SYNCHRONISED,
        registry_version=1,
        tag_id=np.repeat(np.array(list(tags.values()), np.int32), len(times)),
        time_us=np.tile(times, len(tags)),
        value=np.concatenate([values[name] for name in tags]),
        quality=np.zeros(len(times) * len(tags), np.uint16),
    )
    return dataclasses.replace(built, verdict=np.zeros(built.samples, np.uint8))


def _windows(lane_of: dict[str, Any], tag_id: int, times: Any, value: Any, window_s: int) -> Record:
    starts = times // (window_s * 1_000_000) * (window_s * 1_000_000)
    start, first, count = np.unique(starts, return_index=True, return_counts=True)
    last = first + count - 1
    parts = np.split(value, first[1:])
    mean = np.array([part.mean() for part in parts])
    return record(
        "AggregateBatch", **lane_of, window_s=window_s, closed_time_us=int(times[-1]), tag_id=np.full(len(start), tag_id, np.int32),
        start_us=start, count=count.astype(np.int32), good=count.astype(np.int32), mean=mean,
        m2=np.array([((part - centre) ** 2).sum() for part, centre in zip(parts, mean, strict=True)]),
        min=np.array([part.min() for part in parts]), min_time_us=times[first + [int(part.argmin()) for part in parts]],
        max=np.array([part.max() for part in parts]), max_time_us=times[first + [int(part.argmax()) for part in parts]],
        first=value[first], first_time_us=times[first], last=value[last], last_time_us=times[last],
    )  # fmt: skip
