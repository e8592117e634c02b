"""Which refusals to replay: reading `rejects` in the order in which they were refused.

Enters: a `Selection`. Leaves: `Refusal`s, one per (frame, reason) or whole record. Who calls: `historian.replay.run`.
Reads a snapshot, so what is refused again during a run is not picked up by the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from base.errors import InvalidRequestError, NotFoundError
from schemas.frame import SequenceKey, Stream
from schemas.verdicts import REJECT_FROM, RecordReject, Verdict

Connection = psycopg.Connection[Any]

SAMPLE_REASONS = tuple(verdict.name for verdict in Verdict if verdict >= REJECT_FROM)
RECORD_REASONS = (
    RecordReject.UNDECODABLE.value,
    RecordReject.UNKNOWN_SCHEMA.value,
    RecordReject.BAD_SIGNATURE.value,
    RecordReject.PROCESSING_FAILED.value,
)
REASONS = SAMPLE_REASONS + RECORD_REASONS


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """`tag_ids`: only these (None: all). `since` and `until` are times of refusal, the first inclusive."""

    reasons: tuple[str, ...]
    tag_ids: frozenset[int] | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Samples:
    """Refused samples of one refusal: their frame and columns of shape (n,)."""

    key: SequenceKey
    sequence: int
    tag_id: NDArray[np.int32]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Refusal:
    """One row of `rejects`: `samples`, or the `original` bytes of a record that was refused whole."""

    identity: str
    reason: str
    rejected_us: int
    topic: str
    samples: Samples | None
    original: bytes | None


def check_reasons(reasons: Sequence[str]) -> tuple[str, ...]:
    """The reasons, in upper case. Raises InvalidRequestError for one that cannot be replayed."""
    found = tuple(dict.fromkeys(reason.upper().replace("-", "_") for reason in reasons))
    for reason in found:
        if reason == RecordReject.IDENTITY_CONFLICT:
            msg = (
                "IDENTITY_CONFLICT cannot be replayed: two frames claim one identity, and the one that came first is"
                " stored; nothing of the other was counted as produced"
            )
            raise InvalidRequestError(msg)
        if reason not in REASONS:
            msg = f"no reason {reason}; known: {', '.join(REASONS)}"
            raise InvalidRequestError(msg)
    return found


def resolve_tags(connection: Connection, devices: Sequence[str], tags: Sequence[str]) -> frozenset[int] | None:
    """Ids of the tags named by path, by the end of a path, or by number; None when nothing is named.

    Raises NotFoundError for a name that is in no path.
    """
    if not devices and not tags:
        return None
    found: set[int] = set()
    for device in devices:
        found |= _named(
            connection, "device", "path LIKE '%%/' || %(name)s || '/%%' OR path LIKE %(name)s || '/%%'", device
        )
    for name in tags:
        if name.isdecimal():
            found.add(int(name))
        else:
            found |= _named(connection, "tag", "path = %(name)s OR path LIKE '%%/' || %(name)s", name)
    return frozenset(found)


def _named(connection: Connection, kind: str, condition: str, name: str) -> set[int]:
    escaped = name.strip("/").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    # Equality is against the name as LIKE reads it, so one escaped text serves both.
    query = f"SELECT tag_id FROM tag_definition WHERE {condition.replace('path = %(name)s', 'path LIKE %(name)s')}"
    rows = connection.execute(query.encode(), {"name": escaped}).fetchall()
    if not rows:
        msg = f"no {kind} with the path {name!r} is in the registry (a tag can be named by its number too)"
        raise NotFoundError(msg)
    return {row[0] for row in rows}


def read(connection: Connection, selection: Selection, *, at_once: int = 200) -> Iterator[list[Refusal]]:
    """Refusals in the order of their refusal, a few hundred at a time. Uses the connection until it ends."""
    with connection.transaction(), connection.cursor("refusals", binary=True) as cursor:
        cursor.itersize = at_once
        cursor.execute(
            """SELECT identity, reason, (extract(epoch FROM rejected_at) * 1000000)::bigint, source_topic, gateway_id, epoch, lane, stream,
                      sequence, tag_ids, times_us, "values", qualities, original
               FROM rejects
               WHERE reason = ANY (%(reasons)s)
                 AND (%(since)s::timestamptz IS NULL OR rejected_at >= %(since)s)
                 AND (%(until)s::timestamptz IS NULL OR rejected_at < %(until)s)
                 AND (%(tag_ids)s::integer[] IS NULL OR tag_ids && %(tag_ids)s::integer[])
               ORDER BY rejected_at, gateway_id, lane, stream, sequence, identity""",
            {
                "reasons": list(selection.reasons),
                "since": selection.since,
                "until": selection.until,
                "tag_ids": None if selection.tag_ids is None else sorted(selection.tag_ids),
            },
        )
        while rows := cursor.fetchmany(at_once):
            yield [_refusal(row) for row in rows]


def _refusal(row: tuple[Any, ...]) -> Refusal:
    identity, reason, rejected_us, topic, gateway_id, epoch, lane, stream, sequence, *columns, original = row
    samples = None
    if columns[0] is not None:
        tag_ids, times_us, values, qualities = columns
        assert isinstance(epoch, UUID)
        samples = Samples(
            key=SequenceKey(gateway_id, epoch, lane, Stream(stream)),
            sequence=sequence,
            tag_id=np.array(tag_ids, dtype=np.int32),
            time_us=np.array(times_us, dtype=np.int64),
            value=np.array(values, dtype=np.float64),
            quality=np.array(qualities, dtype=np.uint16),
        )
    return Refusal(
        identity=identity,
        reason=reason,
        rejected_us=rejected_us,
        topic=topic,
        samples=samples,
        original=None if original is None else bytes(original),
    )
