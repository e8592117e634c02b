"""The past of the demonstration plant, written as the historian writes it: samples, windows, an episode, events, what was refused.

Enters: a connection string of a migrated database, and when the past ends. Leaves: half an hour of samples of one press each
second, its windows of ten seconds over nine hours, some of them recomputed.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import psycopg

from base.ids import uuid7
from historian.store import HistorianStore
from schemas.definitions import DataType, TagDefinition
from schemas.events import DeviceEvent, EventKind, Gap
from schemas.verdicts import Verdict
from tests.integration.history import Record, make_frame, record, validated
from tests.web import demo_plant

_SECOND, _MINUTE = 1_000_000, 60_000_000
_SAMPLED_S, _WINDOW_S, _WINDOWS = 1_800, 10, 3_240
_GATEWAY = "gw-north-1"


def write(dsn: str, tags: list[TagDefinition], now_us: int) -> None:
    """Everything, in one go."""
    press = [tag for tag in tags if tag.device_path == demo_plant.PRESS]
    drawn = [tag for tag in press if tag.data_type is DataType.DOUBLE]
    records = [validated(_samples(drawn, now_us)), *(_windows(tag, now_us) for tag in drawn), *_others(press, now_us)]
    store = HistorianStore(dsn)
    try:
        for one in records:
            store.write([one])
    finally:
        store.close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        recomputed = "UPDATE aggregates SET repaired = true WHERE start BETWEEN to_timestamp(%s) AND to_timestamp(%s)"
        connection.execute(recomputed, ((now_us - 300 * _MINUTE) / 1e6, (now_us - 250 * _MINUTE) / 1e6))


def _samples(tags: list[TagDefinition], now_us: int) -> Any:
    times = np.arange(now_us - _SAMPLED_S * _SECOND, now_us, _SECOND)
    pairs = [(tag, int(at)) for tag in tags for at in times]
    return make_frame(
        [tag.tag_id for tag, _ in pairs],
        [at for _, at in pairs],
        [demo_plant.value_at(tag, at) for tag, at in pairs],
        gateway_id=_GATEWAY,
    )


def _windows(tag: TagDefinition, now_us: int) -> Record:
    """One record with all windows of a tag; a stretch is missing, as after an outage."""
    window_us = _WINDOW_S * _SECOND
    last = now_us // window_us * window_us
    starts = np.array([last - n * window_us for n in range(_WINDOWS, 0, -1) if not 720 < n < 900], np.int64)
    n = len(starts)
    span = (demo_plant.kind_of(tag).normal[1] - demo_plant.kind_of(tag).normal[0]) * 0.012
    phase = np.arange(n) / 190 + tag.tag_id
    mean = np.array([demo_plant.value_at(tag, int(at)) for at in starts]) + span * np.sin(phase)
    width = span * (1 + 0.5 * np.sin(phase / 2))
    value = {"mean": mean, "min": mean - width, "max": mean + width, "first": mean, "last": mean}
    return record(
        "AggregateBatch",
        gateway_id=_GATEWAY,
        lane=0,
        window_s=_WINDOW_S,
        closed_time_us=now_us,
        lineage=1,
        tag_id=np.full(n, tag.tag_id, np.int32),
        start_us=starts,
        count=np.full(n, _WINDOW_S, np.int32),
        good=np.full(n, _WINDOW_S, np.int32),
        m2=np.full(n, span),
        **value,
        **{f"{name}_time_us": starts for name in ("min", "max", "first", "last")},
    )


def _others(press: list[TagDefinition], now_us: int) -> list[Record]:
    ids = {tag.name: tag.tag_id for tag in press}
    refused = [
        _refused(Verdict.OUT_OF_RANGE, f"{value} is above the limit 150", ids["power"], value, now_us, place)
        for place, value in enumerate((412.5, 398.1, 405.7))
    ]
    stuck = _refused(Verdict.STUCK, "3.2 for 31 s, believable for 30 s", ids["ram_vibration"], 3.2, now_us, 9)
    episode = record(
        "Anomaly",
        **demo_plant.anomaly(now_us)
        | {
            "episode_id": UUID("0198c0de-0000-7000-8000-000000000002"),
            "phase": "CLOSE",
            "start_us": now_us - 95 * _MINUTE,
            "end_us": now_us - 78 * _MINUTE,
        },
    )
    gap = Gap(lane=0, samples=120, from_us=now_us - 130 * _MINUTE, to_us=now_us - 128 * _MINUTE, cause="FULL")
    events = (
        DeviceEvent(
            kind=EventKind.GAP,
            gateway_id=_GATEWAY,
            device_id=0,
            time_us=now_us - 120 * _MINUTE,
            text="buffer full: oldest segment dropped",
            gap=gap,
        ),
        DeviceEvent(
            kind=EventKind.DEATH,
            gateway_id=_GATEWAY,
            device_id=13,
            time_us=now_us - 340 * _SECOND,
            text="connection lost",
        ),
        DeviceEvent(
            kind=EventKind.BIRTH, gateway_id=_GATEWAY, device_id=10, time_us=now_us - 119 * _MINUTE, text="9 tags"
        ),
    )
    sent = [Record("device.events.north", 0, at, one.key, one.encode()) for at, one in enumerate(events)]
    return [*refused, stuck, episode, *sent]


def _refused(verdict: Verdict, detail: str, tag_id: int, value: float, now_us: int, place: int) -> Record:
    at_us = now_us - (place + 1) * 47 * _SECOND
    return record(
        "Rejected",
        reason=verdict.name,
        detail=detail,
        rejected_time_us=at_us,
        source_topic="telemetry.frames.north",
        source_partition=0,
        source_offset=place,
        gateway_id=_GATEWAY,
        epoch=uuid7(),
        lane=0,
        stream="LIVE",
        sequence=place,
        samples=1,
        position=np.array([0], np.int32),
        tag_id=np.array([tag_id], np.int32),
        time_us=np.array([at_us], np.int64),
        value=np.array([value]),
        quality=np.zeros(1, np.uint16),
    )
