"""What the historian left in the database, as plain values."""

from __future__ import annotations

from typing import Any

import psycopg

_QUERIES = {
    "ledger": """SELECT gateway_id, lane, epoch::text, stream, sequences::text, frames, stored, rejected, suppressed, late,
                        stored_checksum, rejected_checksum FROM ledger ORDER BY 1, 2, 3, 4""",
    "samples": "SELECT tag_id, count(*), sum(value)::float8 FROM samples WHERE value <> 'NaN' GROUP BY 1 ORDER BY 1",
    "windows": """SELECT tag_id, window_s, count(*), sum(count), sum(good), sum(mean)::float8, min(lineage) FROM aggregates
                  WHERE good > 0 GROUP BY 1, 2 ORDER BY 1, 2""",
    "rejects": "SELECT reason, count(*), sum(samples) FROM rejects GROUP BY 1 ORDER BY 1",
    "anomalies": "SELECT episode_id::text, phase, revision, peak_score FROM anomalies ORDER BY 1",
    "events": "SELECT event_id::text, kind, device_id, text FROM device_events ORDER BY 1",
    "health": "SELECT gateway_id, lane, stream, next_sequence, produced_samples FROM gateway_health ORDER BY 1, 2, 3",
    # Outcomes had no versions of their own in 0.2 and before: one that is recorded again stands there twice.
    "commands": "SELECT DISTINCT command_id::text, version % 1000000, state, detail FROM commands ORDER BY 1, 2",
    "latest": 'SELECT gateway_id, lane, tag_ids, times_us, "values"::text FROM lane_latest ORDER BY 1, 2',
    "progress": """SELECT gateway_id, lane, frames, samples, duplicate_frames, identity_conflicts, held_samples
                   FROM lane_progress ORDER BY 1, 2""",
}


def history(dsn: str) -> dict[str, Any]:
    """Rows of every table that the historian fills, without times of writing."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return {name: [_plain(row) for row in connection.execute(query)] for name, query in _QUERIES.items()}


def _plain(row: tuple[Any, ...]) -> list[Any]:
    """Sums of integers are decimals in SQL."""
    return [value if isinstance(value, (str, float, list, type(None))) else int(value) for value in row]
