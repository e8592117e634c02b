"""The ledger in SQL: which frames are new, and the counts they add. Inside the caller's transaction.

Enters: frames by sequence key. Leaves: the frames nobody has stored before, their ledger rows locked; then updated
rows. Who calls: the historian's store. Rows are locked in the order of their key, so writers wait for each other and
never deadlock; whoever comes second sees the sequences of the first and stores nothing. The first verdict to get here
is the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from historian.samples import VERDICTS, Columns, Fate, key_sums, minute_sums
from schemas.checksum import to_signed
from schemas.frame import Frame, SequenceKey, Stream
from schemas.verdicts import Verdict

Cursor = psycopg.Cursor[Any]
LockedRow = tuple[Any, ...]


class Ledger:
    """Ledger of one connection. Remembers which rows exist, to save an INSERT per transaction."""

    def __init__(self) -> None:
        self._known: set[SequenceKey] = set()

    def lock(self, cursor: Cursor, keys: Sequence[SequenceKey]) -> dict[SequenceKey, LockedRow]:
        """Lock the rows of `keys` (made when missing); returns verdict_counts and checksums of each, that of calculated samples last."""
        parameters = _key_arrays(keys)
        if any(key not in self._known for key in keys):
            cursor.execute(_INSERT, parameters)
        rows = cursor.execute(_LOCK, parameters).fetchall()
        if len(rows) < len(keys):  # somebody deleted one
            cursor.execute(_INSERT, parameters)
            rows = cursor.execute(_LOCK, parameters).fetchall()
        self._known |= set(keys)
        return {SequenceKey(row[0], row[1], row[2], Stream(row[3])): row[4:] for row in rows}

    def forget(self) -> None:
        """After a transaction that was rolled back the rows it made are gone."""
        self._known.clear()


def new_frames(cursor: Cursor, frames: dict[SequenceKey, list[Frame]]) -> dict[SequenceKey, list[Frame]]:
    """Frames whose sequence is not in the (locked) ledger; keys without any are left out."""
    flat = [(key, frame) for key, group in frames.items() for frame in group]
    sequences = [frame.sequence for _, frame in flat]
    rows = cursor.execute(_NEW, (*_key_arrays([key for key, _ in flat]), sequences)).fetchall()
    found: dict[SequenceKey, list[Frame]] = {}
    for (place,) in rows:
        key, frame = flat[place - 1]
        found.setdefault(key, []).append(frame)
    return found


def add(
    cursor: Cursor, frames: dict[SequenceKey, list[Frame]], columns: Columns, locked: dict[SequenceKey, LockedRow]
) -> None:
    """Count the new frames in: ledger rows (locked before) and minutes."""
    updates = []
    for key, sums in zip(columns.keys, key_sums(columns), strict=True):
        verdict_counts, *checksums = locked[key]
        counts = [old + new for old, new in zip(verdict_counts or [0] * VERDICTS, sums.verdicts, strict=True)]
        added = (*sums.checksums, sums.calculated_checksum)
        totals = [to_signed(old + new) for old, new in zip(checksums, added, strict=True)]
        sequences, calculated = multirange(frame.sequence for frame in frames[key]), sums.verdicts[Verdict.CALCULATED]
        updates.append(
            (
                *(sequences, len(frames[key]), *sums.counts, calculated, *totals),
                *(counts, sums.late, sums.newest_us, *_key_values(key)),
            )
        )
    cursor.executemany(_UPDATE, updates)
    minutes = [
        (gateway_id, lane, minute * 60, *sums.counts, *(to_signed(value) for value in sums.checksums))
        for (gateway_id, lane, minute), sums in minute_sums(columns).items()
    ]
    cursor.executemany(_ADD_MINUTE, minutes)


def multirange(numbers: Iterable[int]) -> str:
    """`int8multirange` of numbers, as text."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1]:
            ranges[-1][1] = number + 1
        else:
            ranges.append([number, number + 1])
    return "{" + ",".join(f"[{low},{high})" for low, high in ranges) + "}"


def _key_values(key: SequenceKey) -> tuple[Any, ...]:
    return key.gateway_id, key.epoch, key.lane, int(key.stream)


def _key_arrays(keys: Sequence[SequenceKey]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*(_key_values(key) for key in keys), strict=True))


assert [fate.name.lower() for fate in Fate] == ["stored", "rejected", "suppressed"]

_KEYS = "unnest(%s::text[], %s::uuid[], %s::integer[], %s::smallint[]) AS k(gateway_id, epoch, lane, stream)"
_INSERT = f"""
INSERT INTO ledger (gateway_id, epoch, lane, stream)
SELECT DISTINCT gateway_id, epoch, lane, stream FROM {_KEYS} ORDER BY 1, 2, 3, 4
ON CONFLICT DO NOTHING"""
_LOCK = f"""
SELECT l.gateway_id, l.epoch, l.lane, l.stream, l.verdict_counts, l.stored_checksum, l.rejected_checksum, l.suppressed_checksum,
       l.calculated_checksum
FROM ledger l JOIN {_KEYS} USING (gateway_id, epoch, lane, stream)
ORDER BY 1, 2, 3, 4
FOR UPDATE OF l"""
_NEW = """
SELECT k.place
FROM unnest(%s::text[], %s::uuid[], %s::integer[], %s::smallint[], %s::bigint[]) WITH ORDINALITY
     AS k(gateway_id, epoch, lane, stream, sequence, place)
JOIN ledger l USING (gateway_id, epoch, lane, stream)
WHERE NOT k.sequence <@ l.sequences
ORDER BY k.place"""
_UPDATE = """
UPDATE ledger SET
    sequences = sequences + %s::int8multirange,
    frames = frames + %s,
    stored = stored + %s,
    rejected = rejected + %s,
    suppressed = suppressed + %s,
    calculated = calculated + %s,
    stored_checksum = %s,
    rejected_checksum = %s,
    suppressed_checksum = %s,
    calculated_checksum = %s,
    verdict_counts = %s,
    late = late + %s,
    newest_time = greatest(newest_time, to_time(%s::bigint)),
    updated_at = clock_timestamp()
WHERE gateway_id = %s AND epoch = %s AND lane = %s AND stream = %s"""
_ADD_MINUTE = """
INSERT INTO ledger_minute AS m (
    gateway_id, lane, minute, stored, rejected, suppressed, stored_checksum, rejected_checksum, suppressed_checksum
) VALUES (%s, %s, to_timestamp(%s), %s, %s, %s, %s, %s, %s)
ON CONFLICT (gateway_id, lane, minute) DO UPDATE SET
    stored = m.stored + EXCLUDED.stored,
    rejected = m.rejected + EXCLUDED.rejected,
    suppressed = m.suppressed + EXCLUDED.suppressed,
    stored_checksum = wrap64(m.stored_checksum::numeric + EXCLUDED.stored_checksum),
    rejected_checksum = wrap64(m.rejected_checksum::numeric + EXCLUDED.rejected_checksum),
    suppressed_checksum = wrap64(m.suppressed_checksum::numeric + EXCLUDED.suppressed_checksum)"""
