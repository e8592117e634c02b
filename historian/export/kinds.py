"""What can be exported: a query over the views for people, and the columns of its files.

A query takes `scope` (a path), `tag_ids` (of the devices that ever stood there), `from`, `to` and `window_s` (0: any). Its rows have a
total order, so the same rows make the same file. Columns have the names of the views.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

_TIME = pa.timestamp("us", "UTC")
_NAME = pa.dictionary(pa.int32(), pa.string())
"""Few different texts: readers get categories."""
_TEXT, _NUMBER, _INT, _LONG, _BOOL = pa.string(), pa.float64(), pa.int32(), pa.int64(), pa.bool_()


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Rows of a file: SQL and types by column name."""

    sql: str
    columns: Mapping[str, pa.DataType]
    texts: bool = False
    """Whether a text may go over several lines."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the files."""
        return pa.schema(list(self.columns.items()))


def _within(path: str) -> str:
    return f"({path} = %(scope)s OR starts_with({path}, %(scope)s || '/'))"


_SAMPLES = f"""
SELECT time, path, value, unit, quality, verdict, quality_code, tag_id
FROM telemetry
WHERE tag_id = ANY(%(tag_ids)s) AND time >= %(from)s AND time < %(to)s AND {_within("path")}
ORDER BY tag_id, time, value, quality_code, verdict
"""
_WINDOWS = f"""
SELECT start, path, window_s, unit, count, good, mean, stddev, min, min_time, max, max_time, first, first_time, last, last_time,
       repaired, tag_id
FROM aggregate
WHERE tag_id = ANY(%(tag_ids)s) AND start >= %(from)s AND start < %(to)s AND {_within("path")} AND %(window_s)s IN (0, window_s)
ORDER BY tag_id, window_s, start
"""
_ANOMALIES = f"""
SELECT start_time, end_time, device_path, phase, score, peak_score, threshold, to_json(contributors)::text, detector, detector_version,
       contributor_details::text, device_id, episode_id
FROM anomaly
WHERE start_time >= %(from)s AND start_time < %(to)s AND {_within("device_path")}
ORDER BY start_time, episode_id
"""
# What a gateway says of itself, and a record that was refused as a whole, have the place of the gateway's site.
_SITE = "(SELECT s.enterprise || '/' || s.site FROM gateways g JOIN sites s USING (site) WHERE g.gateway_id = {}.gateway_id)"
_EVENTS = f"""
SELECT time, place, kind, text, attributes, gap, gateway_id, device_id, event_id
FROM (
    SELECT e.time, coalesce(d.path, {_SITE.format("e")}) AS place, e.kind, e.text, e.attributes::text, e.gap::text, e.gateway_id,
           e.device_id, e.event_id
    FROM device_events e
    LEFT JOIN device d USING (device_id)
    WHERE e.time >= %(from)s AND e.time < %(to)s
) AS found
WHERE {_within("place")}
ORDER BY time, event_id
"""
_REJECTS = f"""
SELECT rejected_at, place, reason, detail, CASE WHEN isfinite(time) THEN time END, value, unit, quality_code, tag_id, gateway_id, lane,
       stream, sequence, position, source_topic, source_partition, source_offset
FROM (
    SELECT r.*, coalesce(r.path, {_SITE.format("r")}) AS place
    FROM rejected r
    WHERE r.rejected_at >= %(from)s AND r.rejected_at < %(to)s
) AS found
WHERE {_within("place")}
ORDER BY rejected_at, source_topic, source_partition, source_offset, reason, position
"""

KINDS: Mapping[str, Kind] = {
    "samples": Kind(
        sql=_SAMPLES,
        columns={
            "time": _TIME, "path": _NAME, "value": _NUMBER, "unit": _NAME, "quality": _NAME, "verdict": _NAME, "quality_code": _INT,
            "tag_id": _INT,
        },
    ),
    "windows": Kind(
        sql=_WINDOWS,
        columns={
            "start": _TIME, "path": _NAME, "window_s": _INT, "unit": _NAME, "count": _LONG, "good": _LONG, "mean": _NUMBER,
            "stddev": _NUMBER, "min": _NUMBER, "min_time": _TIME, "max": _NUMBER, "max_time": _TIME, "first": _NUMBER,
            "first_time": _TIME, "last": _NUMBER, "last_time": _TIME, "repaired": _BOOL, "tag_id": _INT,
        },
    ),
    "anomalies": Kind(
        sql=_ANOMALIES,
        columns={
            "start_time": _TIME, "end_time": _TIME, "device_path": _NAME, "phase": _NAME, "score": _NUMBER, "peak_score": _NUMBER,
            "threshold": _NUMBER, "contributors": _TEXT, "detector": _NAME, "detector_version": _INT, "contributor_details": _TEXT,
            "device_id": _INT, "episode_id": _TEXT,
        },
        texts=True,
    ),
    "events": Kind(
        sql=_EVENTS,
        columns={
            "time": _TIME, "place": _NAME, "kind": _NAME, "text": _TEXT, "attributes": _TEXT, "gap": _TEXT, "gateway_id": _NAME,
            "device_id": _INT, "event_id": _TEXT,
        },
        texts=True,
    ),
    "rejects": Kind(
        sql=_REJECTS,
        columns={
            "rejected_at": _TIME, "place": _NAME, "reason": _NAME, "detail": _TEXT, "time": _TIME, "value": _NUMBER, "unit": _NAME,
            "quality_code": _INT, "tag_id": _INT, "gateway_id": _NAME, "lane": _INT, "stream": _NAME, "sequence": _LONG,
            "position": _INT, "source_topic": _NAME, "source_partition": _INT, "source_offset": _LONG,
        },
        texts=True,
    ),
}  # fmt: skip
