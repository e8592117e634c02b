"""Records of every kind that history is made from, as the jobs and gateways write them; and the tables that they become, to be compared."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import psycopg

from schemas import codec, frame, topics
from schemas.frame import Stream
from tests.integration.history import T0_US, event_fields, make_frame

Sent = tuple[str, bytes, bytes]
"""Topic, key, value."""
SITE = "north"
_WHEN = {"updated_at", "marked_at", "dirty_id"}
"""Columns that say when or in which order a row was written: another life may have others."""


def records(tag_id: int, numbers: range) -> list[Sent]:
    """For each number one record of every kind: later ones replace earlier ones where the newest counts."""
    return [one for number in numbers for one in _of_number(tag_id, number)]


def contents(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that is made from Kafka, without the columns of `_WHEN`; positions and queues are left out."""
    left_out = {"read_positions", "rollup_stale", "dirty_ranges"}
    with psycopg.connect(dsn, autocommit=True) as connection:
        names = [
            row[0] for row in connection.execute("SELECT name FROM table_origin WHERE origin = 'kafka'").fetchall()
        ]
        found = {}
        for name in sorted(set(names) - left_out):
            columns = [
                row[0]
                for row in connection.execute(
                    "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s",
                    (name,),
                ).fetchall()
                if row[0] not in _WHEN
            ]
            shown = ", ".join(f'"{column}"::text' for column in columns)
            found[name] = sorted(connection.execute(f"SELECT {shown} FROM {name}").fetchall(), key=repr)
        # As minutes: how they are cut into ranges depends on the batches.
        found["dirty_ranges"] = connection.execute(
            """SELECT DISTINCT tag_id, reason, generate_series(date_trunc('minute', from_time), to_time, '1 minute')
               FROM dirty_ranges ORDER BY 1, 2, 3"""
        ).fetchall()
        return found


def _of_number(tag_id: int, number: int) -> list[Sent]:
    at_us = T0_US + number * 1_000_000
    key = b"gw/0"
    item = make_frame([tag_id, tag_id], [at_us, at_us + 1000], [float(number), 2.0], sequence=number)
    late = make_frame([tag_id], [at_us - 500], [1.5], sequence=number, stream=Stream.BACKFILL)
    identity: dict[str, Any] = {"gateway_id": "gw", "lane": 0}
    column = {"tag_id": np.array([tag_id], dtype=np.int32)}
    statistics = {name: np.array([float(number)]) for name in ("mean", "min", "max", "first", "last")}
    times = {f"{name}_time_us": np.array([at_us]) for name in ("min", "max", "first", "last")}
    made = {
        topics.REJECTED: ("Rejected", {
            "reason": "OUT_OF_RANGE", "detail": "", "rejected_time_us": at_us, "source_topic": "telemetry.frames.north",
            "source_partition": 0, "source_offset": number, "samples": 1, "epoch": item.epoch, "stream": "LIVE", "sequence": number,
            "position": np.array([0], dtype=np.int32), "time_us": np.array([at_us]), "value": np.array([500.0]),
            "quality": np.array([0], dtype=np.uint16), "original": None, **identity, **column,
        }),
        topics.AGGREGATES: ("AggregateBatch", {
            "window_s": 1, "closed_time_us": at_us, "lineage": 1, "start_us": np.array([at_us]), "count": np.array([2], dtype=np.int32),
            "good": np.array([2], dtype=np.int32), "m2": np.array([0.0]), **statistics, **times, **identity, **column,
        }),
        topics.LATEST: ("LatestBatch", {
            "closed_time_us": at_us, "time_us": np.array([at_us]), "value": np.array([float(number)]),
            "quality": np.array([0], dtype=np.uint16), **identity, **column,
        }),
        topics.LANES: ("LaneProgress", {
            "time_us": at_us, "frames": number, "samples": 2 * number, "duplicate_frames": 0, "duplicate_samples": 0,
            "identity_conflicts": 0, "held": [], **identity,
        }),
        topics.ANOMALIES: ("Anomaly", {
            "episode_id": UUID(int=(0x7 << 76) | (0x2 << 62) | number // 2), "device_id": 1, "phase": "UPDATE", "revision": number,
            "start_us": T0_US, "end_us": None, "score": 0.9, "peak_score": 0.9, "threshold": 0.8, "contributors": [],
            "detector": "default", "detector_version": 1,
        }),
        topics.ANOMALY_LABELS: ("AnomalyLabel", {
            "label_id": UUID(int=number // 2), "episode_id": UUID(int=number // 4), "device_id": 1, "verdict": "FAULT", "by": "anna",
            "time_us": T0_US, "reason": "", "detector": "default", "peak_score": 0.9, "pattern": [],
            "withdrawn_us": at_us if number % 2 else None,
        }),
        topics.EVENTS: ("DeviceEvent", event_fields(event_id=UUID(int=(0x7 << 76) | (0x2 << 62) | number), time_us=at_us)),
        topics.STATES: ("CommandState", {
            "command_id": UUID(int=(0x7 << 76) | (0x2 << 62) | number // 3), "version": number % 3 + 1, "state": "ACCEPTED",
            "device_id": 1, "gateway_id": "gw", "site": SITE, "name": "write", "parameters": {"x": 1.0}, "submitted_by": "anna",
            "submitted_us": at_us, "expires_us": at_us + 9, "updated_us": at_us, "attempt": 1, "detail": "", "readback": {},
            "late_acks": 0, "duplicate_acks": 0, "outcomes": [], "reason": "", "approved_by": "",
        }),
        topics.ALARMS: ("Alarm", {
            "alarm_id": UUID(int=number // 3), "source_id": UUID(int=1), "version": number % 3 + 1, "site": SITE, "rule": "hot",
            "rule_version": 1, "device_id": 1, "gateway_id": "gw", "path": "acme/north/a/l/c/press", "priority": "HIGH",
            "state": "UNACKNOWLEDGED", "active": True, "start_us": at_us, "updated_us": at_us,
        }),
        topics.ALARM_EVENTS: ("AlarmEvent", {
            "event_id": UUID(int=number), "alarm_id": UUID(int=number // 3), "source_id": UUID(int=1), "version": number % 3 + 1,
            "kind": "RAISED", "state": "UNACKNOWLEDGED", "site": SITE, "time_us": at_us, "recorded_us": at_us,
        }),
    }  # fmt: skip
    others = [(topic.for_site(SITE), key, codec.encode(name, fields)) for topic, (name, fields) in made.items()]
    health = event_fields(
        event_id=UUID(int=(0x7 << 76) | (0x2 << 62) | 1000 + number),
        kind="GATEWAY_HEALTH",
        time_us=at_us,
        lanes=[
            {
                "epoch": item.epoch, "lane": 0, "stream": "LIVE", "next_sequence": number + 1, "produced_samples": 2 * number,
                "produced_checksum": number, "delivered_sequence": number + 1, "buffered_samples": 0, "dropped_samples": 0,
            }
        ],
    )  # fmt: skip
    return [
        (topics.VALIDATED.name, key, frame.encode(item)),
        (topics.VALIDATED.name, key, frame.encode(late)),
        *others,
        (topics.EVENTS.for_site(SITE), key, codec.encode("DeviceEvent", health)),
    ]
