"""Records that are not samples: how each type is written. Inside the store's transaction.

Enters: decoded Avro records by type. Leaves: rows. Who calls: the historian's store, in the order of `WRITERS`. Each
is idempotent and independent of order: inserts ignore an identity they have, upserts take the newer one. Rows are
written in the order of their key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psycopg

from historian.labels import write_labels
from schemas.frame import Stream
from schemas.verdicts import RecordReject

Cursor = psycopg.Cursor[Any]
Record = dict[str, Any]


def clean(value: Any) -> Any:
    """The same without NUL characters, which PostgreSQL's text cannot hold."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, Mapping):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def _json(value: Any) -> str:
    # JSON has no NaN; what is not a number is shown as a text.
    return json.dumps(_finite(value), default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _newest(
    records: Iterable[Record], key: Callable[[Record], tuple[Any, ...]], age: Callable[[Record], Any]
) -> list[Record]:
    """The newest record of each key, in order of key."""
    found: dict[tuple[Any, ...], Record] = {}
    for record in records:
        other = found.setdefault(key(record), record)
        if age(record) >= age(other):
            found[key(record)] = record
    return [record for _, record in sorted(found.items(), key=lambda item: item[0])]


def reject_identity(record: Record) -> str:
    """What makes a refusal the same one: of samples the frame and reason, of a whole record its place and reason."""
    reason = record["reason"]
    if record["sequence"] is None or reason in set(RecordReject):
        return f"{record['source_topic']}[{record['source_partition']}]@{record['source_offset']} {reason}"
    frame = f"{record['gateway_id']}/{record['lane']} {record['epoch']} {record['stream']} {record['sequence']}"
    return f"{frame} {reason}"


_REJECT_COLUMNS = ("position", "tag_id", "time_us", "value", "quality")


def write_rejects(cursor: Cursor, records: Sequence[Record]) -> None:
    """Refused samples and records."""
    rows = {reject_identity(record): record for record in records}
    cursor.executemany(
        """INSERT INTO rejects (identity, reason, detail, rejected_at, source_topic, source_partition, source_offset, gateway_id,
                                epoch, lane,
                                stream, sequence, samples, positions, tag_ids, times_us, "values", qualities, original)
           VALUES (%s, %s, %s, to_time(%s), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        [
            (
                identity, record["reason"], record["detail"], record["rejected_time_us"], record["source_topic"],
                record["source_partition"], record["source_offset"], record["gateway_id"], record["epoch"], record["lane"],
                None if record["stream"] is None else int(Stream[record["stream"]]), record["sequence"], record["samples"],
                *(record[name] for name in _REJECT_COLUMNS),
                record["original"],
            )
            for identity, record in sorted(rows.items())
        ],
    )  # fmt: skip


def write_latest(cursor: Cursor, records: Sequence[Record]) -> None:
    """Last values of a lane: one row, replaced by a newer one."""
    newest = _newest(records, lambda r: (r["gateway_id"], r["lane"]), lambda r: r["closed_time_us"])
    cursor.executemany(
        """INSERT INTO lane_latest AS l (gateway_id, lane, closed_time, tag_ids, times_us, "values", qualities)
           VALUES (%s, %s, to_time(%s), %s, %s, %s, %s)
           ON CONFLICT (gateway_id, lane) DO UPDATE SET closed_time = EXCLUDED.closed_time, tag_ids = EXCLUDED.tag_ids,
               times_us = EXCLUDED.times_us, "values" = EXCLUDED."values", qualities = EXCLUDED.qualities
           WHERE EXCLUDED.closed_time >= l.closed_time""",
        [
            (
                r["gateway_id"],
                r["lane"],
                r["closed_time_us"],
                *(r[name] for name in ("tag_id", "time_us", "value", "quality")),
            )
            for r in newest
        ],
    )


def write_progress(cursor: Cursor, records: Sequence[Record]) -> None:
    """Counters of the telemetry job per lane: one row, replaced by a newer one."""
    newest = _newest(records, lambda r: (r["gateway_id"], r["lane"]), lambda r: r["time_us"])
    cursor.executemany(
        """INSERT INTO lane_progress AS l (gateway_id, lane, counted_at, frames, samples, duplicate_frames, duplicate_samples,
                                           identity_conflicts, held_samples, held)
           VALUES (%s, %s, to_time(%s), %s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (gateway_id, lane) DO UPDATE SET counted_at = EXCLUDED.counted_at, frames = EXCLUDED.frames,
               samples = EXCLUDED.samples, duplicate_frames = EXCLUDED.duplicate_frames, duplicate_samples = EXCLUDED.duplicate_samples,
               identity_conflicts = EXCLUDED.identity_conflicts, held_samples = EXCLUDED.held_samples, held = EXCLUDED.held
           WHERE EXCLUDED.counted_at >= l.counted_at""",
        [
            (
                r["gateway_id"], r["lane"], r["time_us"], r["frames"], r["samples"], r["duplicate_frames"], r["duplicate_samples"],
                r["identity_conflicts"], sum(held["samples"] for held in r["held"]), _json(r["held"]),
            )
            for r in newest
        ],
    )  # fmt: skip


def write_anomalies(cursor: Cursor, records: Sequence[Record]) -> None:
    """Episodes: the highest revision stays."""
    newest = _newest(records, lambda r: (r["episode_id"],), lambda r: r["revision"])
    cursor.executemany(
        """INSERT INTO anomalies AS a (episode_id, device_id, phase, revision, start_time, end_time, score, peak_score, threshold,
                                       contributors, detector, detector_version)
           VALUES (%s, %s, %s, %s, to_time(%s), to_time(%s), %s, %s, %s, %s, %s, %s)
           ON CONFLICT (episode_id) DO UPDATE SET phase = EXCLUDED.phase, revision = EXCLUDED.revision, start_time = EXCLUDED.start_time,
               end_time = EXCLUDED.end_time, score = EXCLUDED.score, peak_score = EXCLUDED.peak_score, threshold = EXCLUDED.threshold,
               contributors = EXCLUDED.contributors, detector = EXCLUDED.detector, detector_version = EXCLUDED.detector_version
           WHERE EXCLUDED.revision > a.revision""",
        [
            (
                r["episode_id"], r["device_id"], r["phase"], r["revision"], r["start_us"], r["end_us"], r["score"], r["peak_score"],
                r["threshold"], _json(r["contributors"]), r["detector"], r["detector_version"],
            )
            for r in newest
        ],
    )  # fmt: skip


def write_events(cursor: Cursor, records: Sequence[Record]) -> None:
    """Events by id; health reports as the newest counters of each sequence and the newest report of each gateway."""
    plain = {r["event_id"]: r for r in records if r["kind"] != "GATEWAY_HEALTH"}
    cursor.executemany(
        """INSERT INTO device_events (event_id, kind, gateway_id, device_id, time, text, attributes, gap)
           VALUES (%s, %s, %s, %s, to_time(%s), %s, %s, %s) ON CONFLICT DO NOTHING""",
        [
            (
                event_id, r["kind"], r["gateway_id"], r["device_id"], r["time_us"], r["text"], _json(r["attributes"]),
                None if r["gap"] is None else _json(r["gap"]),
            )
            for event_id, r in sorted(plain.items())
        ],
    )  # fmt: skip
    health = [r for r in records if r["kind"] == "GATEWAY_HEALTH"]
    if health:
        _write_health(cursor, health)


def _write_health(cursor: Cursor, records: Sequence[Record]) -> None:
    lanes = [{**lane, "gateway_id": r["gateway_id"], "time_us": r["time_us"]} for r in records for lane in r["lanes"]]
    newest = _newest(
        lanes,
        lambda r: (r["gateway_id"], r["epoch"], r["lane"], int(Stream[r["stream"]])),
        lambda r: (r["next_sequence"], r["delivered_sequence"], r["time_us"]),
    )
    cursor.executemany(
        """INSERT INTO gateway_health AS h (gateway_id, epoch, lane, stream, time, next_sequence, produced_samples, produced_checksum,
                                            delivered_sequence, buffered_samples, dropped_samples)
           VALUES (%s, %s, %s, %s, to_time(%s), %s, %s, %s, %s, %s, %s)
           ON CONFLICT (gateway_id, epoch, lane, stream) DO UPDATE SET time = EXCLUDED.time, next_sequence = EXCLUDED.next_sequence,
               produced_samples = EXCLUDED.produced_samples, produced_checksum = EXCLUDED.produced_checksum,
               delivered_sequence = EXCLUDED.delivered_sequence, buffered_samples = EXCLUDED.buffered_samples,
               dropped_samples = EXCLUDED.dropped_samples
           -- Counters only grow, whatever the clock of the gateway does.
           WHERE (EXCLUDED.next_sequence, EXCLUDED.delivered_sequence, EXCLUDED.time) >= (h.next_sequence, h.delivered_sequence, h.time)""",
        [
            (
                r["gateway_id"], r["epoch"], r["lane"], int(Stream[r["stream"]]), r["time_us"], r["next_sequence"], r["produced_samples"],
                r["produced_checksum"], r["delivered_sequence"], r["buffered_samples"], r["dropped_samples"],
            )
            for r in newest
        ],
    )  # fmt: skip
    cursor.executemany(
        """INSERT INTO gateway_status AS g (gateway_id, time, text, attributes) VALUES (%s, to_time(%s), %s, %s)
           ON CONFLICT (gateway_id) DO UPDATE SET time = EXCLUDED.time, text = EXCLUDED.text, attributes = EXCLUDED.attributes
           WHERE EXCLUDED.time >= g.time""",
        [
            (r["gateway_id"], r["time_us"], r["text"], _json(r["attributes"]))
            for r in _newest(records, lambda r: (r["gateway_id"],), lambda r: r["time_us"])
        ],
    )


def write_commands(cursor: Cursor, records: Sequence[Record]) -> None:
    """Transitions of commands by version."""
    rows = {(r["command_id"], r["version"]): r for r in records}
    cursor.executemany(
        """INSERT INTO commands (command_id, version, state, device_id, gateway_id, site, name, parameters, submitted_by, submitted_at,
                                 expires_at, updated_at, attempt, detail, readback, late_acks, duplicate_acks, outcomes, reason,
                                 approved_by)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, to_time(%s), to_time(%s), to_time(%s), %s, %s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT DO NOTHING""",
        [
            (
                command_id, version, r["state"], r["device_id"], r["gateway_id"], r["site"], r["name"], _json(r["parameters"]),
                r["submitted_by"], r["submitted_us"], r["expires_us"], r["updated_us"], r["attempt"], r["detail"], _json(r["readback"]),
                r["late_acks"], r["duplicate_acks"], _json(r["outcomes"]), r["reason"], r["approved_by"],
            )
            for (command_id, version), r in sorted(rows.items())
        ],
    )  # fmt: skip


_ALARM_COLUMNS = (
    *(
        "source_id",
        "version",
        "site",
        "rule",
        "rule_version",
        "device_id",
        "gateway_id",
        "tag_id",
        "path",
        "priority",
        "state",
        "active",
    ),
    *(
        "start_time",
        "activated_at",
        "returned_at",
        "acknowledged_at",
        "acknowledged_by",
        "activations",
        "overrides",
        "value",
        "detail",
    ),
    *(
        "cause_alarm_id",
        "first_out",
        "chattering",
        "fleeting",
        "late",
        "title",
        "cause",
        "consequence",
        "corrective_action",
        "comment",
    ),
    "updated_at",
    *("condition", "acknowledged_at_machine", "seen_us"),
)
_ALARM_TIMES = {
    "start_time": "start_us",
    "activated_at": "activated_us",
    "returned_at": "returned_us",
    "acknowledged_at": "acknowledged_us",
    "updated_at": "updated_us",
}


def write_alarms(cursor: Cursor, records: Sequence[Record]) -> None:
    """Where alarms stand: the highest version stays."""
    newest = _newest(records, lambda r: (r["alarm_id"],), lambda r: r["version"])
    places = ", ".join("to_time(%s)" if name in _ALARM_TIMES else "%s" for name in _ALARM_COLUMNS)
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in _ALARM_COLUMNS)
    cursor.executemany(
        f"""INSERT INTO alarms AS a (alarm_id, {", ".join(_ALARM_COLUMNS)}) VALUES (%s, {places})
            ON CONFLICT (alarm_id) DO UPDATE SET {changes} WHERE EXCLUDED.version > a.version""",
        [
            (
                r["alarm_id"],
                *(
                    _json(r[name]) if name == "overrides" else r[_ALARM_TIMES.get(name, name)]
                    for name in _ALARM_COLUMNS
                ),
            )
            for r in newest
        ],
    )


def write_alarm_events(cursor: Cursor, records: Sequence[Record]) -> None:
    """What happened to alarms, by id."""
    rows = {r["event_id"]: r for r in records}
    cursor.executemany(
        """INSERT INTO alarm_events (event_id, alarm_id, source_id, version, kind, state, site, rule, device_id, gateway_id, path, priority,
                                     time, recorded_at, who, reason, detail, action_id, until_time, value, late, withdrawn)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_time(%s), to_time(%s), %s, %s, %s, %s, to_time(%s), %s, %s, %s)
           ON CONFLICT DO NOTHING""",
        [
            (
                event_id, r["alarm_id"], r["source_id"], r["version"], r["kind"], r["state"], r["site"], r["rule"], r["device_id"],
                r["gateway_id"], r["path"], r["priority"], r["time_us"], r["recorded_us"], r["by"], r["reason"], r["detail"],
                r["action_id"], r["until_us"], r["value"], r["late"], r["withdrawn"],
            )
            for event_id, r in sorted(rows.items())
        ],
    )  # fmt: skip


WRITERS: Mapping[str, Callable[[Cursor, Sequence[Record]], None]] = {
    "Rejected": write_rejects,
    "LatestBatch": write_latest,
    "LaneProgress": write_progress,
    "Anomaly": write_anomalies,
    "AnomalyLabel": write_labels,
    "DeviceEvent": write_events,
    "CommandState": write_commands,
    "Alarm": write_alarms,
    "AlarmEvent": write_alarm_events,
}
