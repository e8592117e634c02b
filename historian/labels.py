"""How labels of anomaly episodes are written: a row a label, inside the store's transaction (`historian.records`)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import psycopg

from schemas.labels import AnomalyLabel, merged


def write_labels(cursor: psycopg.Cursor[Any], records: Sequence[dict[str, Any]]) -> None:
    """Labels by id: a withdrawal stays, and else the first word."""
    found: dict[Any, AnomalyLabel] = {}
    for record in records:
        label = AnomalyLabel.from_record(record)
        found[label.label_id] = merged(found.get(label.label_id), label)
    cursor.executemany(
        """INSERT INTO anomaly_labels AS l (label_id, episode_id, device_id, verdict, labelled_by, labelled_at, reason, detector,
                                            peak_score, pattern, withdrawn_at, withdrawn_by, withdrawn_reason)
            VALUES (%s, %s, %s, %s, %s, to_time(%s), %s, %s, %s, %s, to_time(%s), %s, %s)
            ON CONFLICT (label_id) DO UPDATE SET withdrawn_at = EXCLUDED.withdrawn_at, withdrawn_by = EXCLUDED.withdrawn_by,
                withdrawn_reason = EXCLUDED.withdrawn_reason
            WHERE l.withdrawn_at IS NULL AND EXCLUDED.withdrawn_at IS NOT NULL""",
        [
            (
                label_id,
                one.episode_id,
                one.device_id,
                one.verdict,
                one.by,
                one.time_us,
                one.reason,
                one.detector,
                one.peak_score,
                json.dumps([dataclasses.asdict(tag) for tag in one.pattern]),
                one.withdrawn_us,
                one.withdrawn_by,
                one.withdrawn_reason,
            )
            for label_id, one in sorted(found.items())
        ],
    )
