"""How far the database has read Kafka: one row a partition, in the same transaction as what was read.

Enters: the first offset behind a batch, per partition. Leaves: rows of `read_positions`. Who calls: the store, last in a batch's
transactions; `historian.recovery` reads them after a restore or a takeover.

The claim "every record below is in this database" holds because a partition is read by one subtask of the historian, in order
(`jobs.flink.shards`), and because its batches are written one after the other. A row is set, not raised: the claim of a writer that is
behind is true as well, and a topic that was made anew begins again at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from schemas import topics

GROUP = "millrace-historian"
"""Consumer group of the historian job: where it begins without a restore point."""
INPUTS = (
    topics.VALIDATED,
    topics.REJECTED,
    topics.AGGREGATES,
    topics.LATEST,
    topics.LANES,
    topics.ANOMALIES,
    topics.ANOMALY_LABELS,
    topics.EVENTS,
    topics.STATES,
    topics.ALARMS,
    topics.ALARM_EVENTS,
)
"""Topics that history is made from."""

Partition = tuple[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """A row."""

    next_offset: int
    updated_at: datetime


def write(cursor: psycopg.Cursor[Any], positions: Mapping[Partition, int]) -> None:
    """Say how far this transaction has read, in the order of the rows' keys."""
    cursor.execute(
        """INSERT INTO read_positions AS p (topic, partition, next_offset, updated_at)
           SELECT topic, partition, next_offset, clock_timestamp()
           FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS r(topic, partition, next_offset) ORDER BY 1, 2
           ON CONFLICT (topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset, updated_at = EXCLUDED.updated_at""",
        (
            [topic for topic, _ in positions],
            [partition for _, partition in positions],
            list(positions.values()),
        ),
    )


def read(connection: psycopg.Connection[Any]) -> dict[Partition, Position]:
    """Every row."""
    rows = connection.execute("SELECT topic, partition, next_offset, updated_at FROM read_positions").fetchall()
    return {(row[0], row[1]): Position(next_offset=row[2], updated_at=row[3]) for row in rows}
