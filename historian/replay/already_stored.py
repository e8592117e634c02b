"""Refusals that do not count: their frame was validated twice, and its samples were stored all the same.

Enters: refusals. Leaves: the (refusal, tag) pairs of which a sample is stored as it was sent. Who calls:
`historian.replay.run`. After a crash the telemetry job validates the frames since its last checkpoint again, and the first
verdict that reaches the ledger is the verdict. When the registry changed in between, the other validation may have left a
record of what it refused. It shows: more samples stand among the rejects of a sequence than the ledger has refused. Only
then are the samples themselves looked for, which costs a scan of their range of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from historian.replay.selection import Refusal
from schemas.frame import SequenceKey

Connection = psycopg.Connection[Any]


class AlreadyStored:
    """Finds them among refusals, for one run; what is known of each sequence is kept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._surplus: dict[SequenceKey, bool] = {}

    def among(self, batch: Sequence[Refusal]) -> set[tuple[str, int]]:
        """Refusal and tag of what is stored although it was refused once."""
        suspects = [each for each in batch if each.samples is not None and self._has_surplus(each.samples.key)]
        rows = [
            (each.identity, tag_id, time_us, value)
            for each in suspects
            if each.samples is not None
            for tag_id, time_us, value in zip(
                each.samples.tag_id.tolist(),
                each.samples.time_us.tolist(),
                each.samples.value.tolist(),
                strict=True,
            )
        ]
        if not rows:
            return set()
        identities, tag_ids, times_us, values = zip(*rows, strict=True)
        found = self._connection.execute(
            """SELECT DISTINCT k.identity, k.tag_id
               FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::float8[]) AS k(identity, tag_id, time_us, value)
               JOIN samples s ON s.tag_id = k.tag_id AND s.time = to_time(k.time_us) AND s.value = k.value
               WHERE s.time >= to_time(%s) AND s.time <= to_time(%s)""",
            (list(identities), list(tag_ids), list(times_us), list(values), min(times_us), max(times_us)),
        ).fetchall()
        return {(identity, tag_id) for identity, tag_id in found}

    def _has_surplus(self, key: SequenceKey) -> bool:
        known = self._surplus.get(key)
        if known is None:
            row = self._connection.execute(
                """SELECT (SELECT coalesce(sum(samples), 0) FROM rejects WHERE tag_ids IS NOT NULL AND {same})
                        > coalesce((SELECT rejected FROM ledger WHERE {same}), 0)""".format(
                    same="gateway_id = %(gateway_id)s AND epoch = %(epoch)s AND lane = %(lane)s AND stream = %(stream)s"
                ).encode(),
                {**key._asdict(), "stream": int(key.stream)},
            ).fetchone()
            known = self._surplus[key] = bool(row and row[0])
        return known
