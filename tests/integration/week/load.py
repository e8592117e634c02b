"""Puts a week into a migrated database: samples through the historian's own store, entries of the model of work as rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from psycopg.sql import SQL, Identifier, Placeholder

from historian.partitions import close_ended
from historian.store import HistorianStore
from registry.load import load_plant
from registry.plant_file import read_plant
from schemas import frame
from schemas.frame import ClockStatus, Frame, Stream
from simulator.week import Week
from stack.config import StackConfig
from tests.integration.history import record, validated

EPOCH = UUID("01890000-0000-7000-8000-0000000000e0")
BAD = 0x8031
FRAME_US = 1_800_000_000
BATCH_FRAMES = 48


def fill(dsn: str, week: Week) -> None:
    """Load the example plant and the week."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        load_plant(connection, read_plant(StackConfig().plant))
        rows = connection.execute("SELECT path, tag_id, device_id, gateway_id, lane FROM tag_definition").fetchall()
        tags = {path: tag_id for path, tag_id, *_ in rows}
        devices = {path.rpartition("/")[0]: (device_id, gateway, lane) for path, _, device_id, gateway, lane in rows}
        enter(connection, week.entries, {path: device_id for path, (device_id, *_) in devices.items()})
    store = HistorianStore(dsn)
    frames = list(_frames(week, tags, devices))
    for first in range(0, len(frames), BATCH_FRAMES):
        result = store.write([validated(one) for one in frames[first : first + BATCH_FRAMES]])
        assert not result.poisoned
        assert result.stored == sum(one.samples for one in frames[first : first + BATCH_FRAMES])
    store.write([_episode(week, number, tags, devices) for number in range(len(week.episodes))])
    store.close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        close_ended(connection, datetime.now(UTC))  # as the maintenance service does it once they are over
        connection.execute("ANALYZE")


def enter(
    connection: psycopg.Connection[Any], entries: Mapping[str, list[dict[str, Any]]], devices: Mapping[str, int]
) -> None:
    """Insert rows of the model of work that are not there yet; `device` becomes the device's number."""
    for table, rows in entries.items():
        for row in rows:
            fields = row | {"entered_by": "import"}
            if "device" in fields:
                fields["device_id"] = devices[fields.pop("device")]
            if table == "work_calendar_exceptions":
                fields = {name: value for name, value in fields.items() if value is not None}
            statement = SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
                Identifier(table), SQL(", ").join(map(Identifier, fields)), SQL(", ").join(map(Placeholder, fields))
            )
            connection.execute(statement, fields)


def _frames(week: Week, tags: Mapping[str, int], devices: Mapping[str, tuple[int, str, int]]) -> Iterator[Frame]:
    """Frames of half an hour of each lane: no frame may hold more."""
    lanes: dict[tuple[str, int], list[tuple[Any, ...]]] = {}
    for path, series in week.samples.items():
        _, gateway_id, lane = devices[path]
        for name, one in series.items():
            tag_id = np.full(len(one.time_us), tags[f"{path}/{name}"], np.int32)
            lanes.setdefault((gateway_id, lane), []).append((tag_id, one.time_us, one.value, one.bad))
    for (gateway_id, lane), parts in lanes.items():
        tag_id, time_us, value, bad = (np.concatenate(column) for column in zip(*parts, strict=True))
        span = time_us // FRAME_US
        order = np.argsort(span, kind="stable")
        starts = np.flatnonzero(np.diff(span[order])) + 1
        for sequence, part in enumerate(np.split(order, starts)):
            built = frame.build(
                gateway_id=gateway_id, lane=lane, epoch=EPOCH, stream=Stream.BACKFILL, sequence=sequence,
                closed_time_us=week.end_us, clock_status=ClockStatus.SYNCHRONISED, registry_version=1,
                tag_id=tag_id[part], time_us=time_us[part], value=value[part],
                quality=np.where(bad[part], BAD, 0).astype(np.uint16),
            )  # fmt: skip
            yield dataclasses.replace(built, verdict=np.where(bad[part], 1, 0).astype(np.uint8))


def _episode(week: Week, number: int, tags: Mapping[str, int], devices: Mapping[str, tuple[int, str, int]]) -> Any:
    one = week.episodes[number]
    return record(
        "Anomaly", episode_id=UUID(one.episode), device_id=devices[one.device][0], phase="CLOSE", revision=2,
        start_us=one.start_us, end_us=one.end_us, score=0.2, peak_score=one.peak_score, threshold=0.8,
        detector="default", detector_version=1,
        contributors=[
            {"tag_id": tags[f"{one.device}/{one.tag}"], "score": 0.9, "value": 1.0, "expected_low": 0.0, "expected_high": 2.0}
        ],
    )  # fmt: skip
