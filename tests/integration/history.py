"""Builders for tests of the history: a small registry, frames, records, and a store on a database of its own."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import numpy as np
import psycopg

from registry.load import load_plant
from registry.plant_file import parse_plant
from schemas import codec, frame
from schemas.frame import ClockStatus, Frame, Stream
from schemas.verdicts import Verdict

EPOCH = UUID("01890000-0000-7000-8000-000000000001")
T0_US = 1_790_000_000_000_000 // 3_600_000_000 * 3_600_000_000  # a full hour in 2026
SECOND_US = 1_000_000
_offsets = itertools.count()


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes


CONNECTIONS = [
    {"name": "opcua", "protocol": "opcua", "endpoint": "opc.tcp://plc:4840", "address": "ns=2;s={site}.{device}.{tag}"}
]


def tag(**changes: Any) -> dict[str, Any]:
    return {
        "tag_class": "fast", "data_type": "DOUBLE", "unit": "kW", "description": "Power", "eu": [0, 100], "limits": [-10, 200],
        "period_ms": 100, **changes,
    }  # fmt: skip


def plant(**tags: dict[str, Any]) -> dict[str, Any]:
    """A plant of one site, one gateway and one device with these tags."""
    device = {"name": "press-01", "class": "press", "gateway": "gw", "connection": "opcua"}
    cells = [{"name": "cell-1", "devices": [device]}, {"name": "cell-2", "devices": []}]
    return {
        "enterprise": "acme",
        "tag_classes": {"fast": {"windows_s": [1, 60]}, "slow": {"windows_s": [300]}, "odd": {"windows_s": [16, 225]}},
        "device_classes": {
            "press": {"detector": "default", "planned_run_time_s": 2.0, "tags": tags or {"power": tag()}}
        },
        "sites": [
            {
                "name": "north",
                "gateways": [{"id": "gw", "lanes": 2, "connections": CONNECTIONS}],
                "areas": [{"name": "forming", "lines": [{"name": "line-1", "cells": cells}]}],
            }
        ],
    }


def register(dsn: str, **tags: dict[str, Any]) -> dict[str, int]:
    """Load a plant with these tags; returns tag ids by name."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        load_plant(connection, parse_plant(plant(**tags)))
        return dict(connection.execute("SELECT name, tag_id FROM tags").fetchall())


def make_frame(
    tag_id: Sequence[int],
    time_us: Sequence[int],
    value: Sequence[float],
    *,
    sequence: int = 0,
    stream: Stream = Stream.LIVE,
    lane: int = 0,
    quality: Sequence[int] | int = 0,
    verdict: Sequence[int] | int = Verdict.GOOD,
    gateway_id: str = "gw",
    epoch: UUID = EPOCH,
) -> Frame:
    n = len(tag_id)
    built = frame.build(
        gateway_id=gateway_id,
        epoch=epoch,
        lane=lane,
        stream=stream,
        sequence=sequence,
        closed_time_us=max(time_us),
        clock_status=ClockStatus.SYNCHRONISED,
        registry_version=1,
        tag_id=np.asarray(tag_id, dtype=np.int32),
        time_us=np.asarray(time_us, dtype=np.int64),
        value=np.asarray(value, dtype=np.float64),
        quality=np.broadcast_to(np.asarray(quality, dtype=np.uint16), n).copy(),
    )
    return dataclasses.replace(built, verdict=np.broadcast_to(np.asarray(verdict, dtype=np.uint8), n).copy())


def validated(item: Frame) -> Record:
    return Record("telemetry.validated", 0, next(_offsets), item.lane_key.encode(), frame.encode(item))


def record(name: str, /, **fields: Any) -> Record:
    return Record(f"test.{name}", 0, next(_offsets), b"", codec.encode(name, fields))


def event_fields(**changes: Any) -> dict[str, Any]:
    """Fields of a DeviceEvent."""
    return {
        "event_id": uuid4(), "kind": "BIRTH", "gateway_id": "gw", "device_id": 4, "time_us": T0_US, "text": "", "attributes": {},
        "gap": None, "lanes": [], **changes,
    }  # fmt: skip


def random_frames(
    rng: np.random.Generator, count: int, *, tag_ids: Sequence[int] = (1, 2, 3), lane: int = 0
) -> list[Frame]:
    """Frames of every stream with every kind of verdict and quality, over a few minutes."""
    frames = []
    for number in range(count):
        n = int(rng.integers(1, 40))
        frames.append(
            make_frame(
                rng.choice(tag_ids, n).tolist(),
                (T0_US + rng.integers(0, 180 * SECOND_US, n)).tolist(),
                rng.normal(size=n).tolist(),
                sequence=number // 2,
                stream=Stream(number % 2),
                lane=lane,
                quality=rng.choice([0, 0x4000, 0x8031, 0xFFFF], n).tolist(),
                verdict=rng.choice([0, 0, 0, 1, 3, 0x80, 16, 18, 24], n).tolist(),
            )
        )
    return frames


def window_of(tag_id: int, start_us: int, times_us: list[int], values: list[float]) -> Record:
    """A window of a second as the stream says it of these samples."""
    data, times = np.array(values), np.array(times_us)
    low, high = int(data.argmin()), int(data.argmax())
    said = {"mean": data.mean(), "m2": data.size * data.var(), "min": data[low], "max": data[high]}
    said |= {"first": data[0], "last": data[-1]}
    at = {"min": times[low], "max": times[high], "first": times[0], "last": times[-1]}
    one = {
        "tag_id": np.array([tag_id], np.int32), "start_us": np.array([start_us]), "count": np.array([data.size], np.int32),
        "good": np.array([data.size], np.int32),
        **{name: np.array([value]) for name, value in said.items()},
        **{f"{name}_time_us": np.array([time_us]) for name, time_us in at.items()},
    }  # fmt: skip
    return record("AggregateBatch", gateway_id="gw", lane=0, window_s=1, closed_time_us=start_us, lineage=1, **one)


def window_batch(
    tag_id: int,
    start_us: int,
    count: int,
    *,
    window_s: int = 1,
    value: float = 1.0,
    good: int | None = None,
    lineage: int = 1,
) -> Record:
    good = count if good is None else good
    one = {
        "tag_id": np.array([tag_id], dtype=np.int32), "start_us": np.array([start_us]), "count": np.array([count], dtype=np.int32),
        "good": np.array([good], dtype=np.int32), "m2": np.array([0.0]),
        **{name: np.array([value if good else np.nan]) for name in ("mean", "min", "max", "first", "last")},
        **{f"{name}_time_us": np.array([start_us]) for name in ("min", "max", "first", "last")},
    }  # fmt: skip
    return record(
        "AggregateBatch", gateway_id="gw", lane=0, window_s=window_s, closed_time_us=start_us, lineage=lineage, **one
    )
