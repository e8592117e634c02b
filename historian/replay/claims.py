"""Claims: rows of `replays`, which say that a refusal's samples are replayed, how, and as which frame.

Enters: what a run wants to send. Leaves: where each stands. A refusal's samples of a tag can be claimed once: with the
same correction they may be sent again while they have not arrived, with another one never, since both might be stored.
Claims are committed before anything is sent, so a run that dies leaves nothing that a repetition does not finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import psycopg

from historian.replay.frames import Resent
from schemas.frame import SequenceKey, Stream

Connection = psycopg.Connection[Any]


class Standing(Enum):
    """Where the samples of a refusal and tag stand; the text is for people."""

    NEW = "new"
    """Never claimed before."""
    UNFINISHED = "sent before, not arrived: sent again"
    """Claimed with this correction, and its frame is not in the ledger."""
    ARRIVED = "replayed before"
    """Its frame is in the ledger, whatever the correction was."""
    ELSEWHERE = "under way with another correction"
    """Claimed with another correction, and that frame is not in the ledger."""

    @property
    def to_send(self) -> bool:
        """Whether the frame is to be sent."""
        return self in (Standing.NEW, Standing.UNFINISHED)


def claim(connection: Connection, wanted: Sequence[Resent], *, dry_run: bool = False) -> list[Standing]:
    """Claim what nobody has claimed, and say where each stands; with `dry_run` only say it. Commits."""
    if not wanted:
        return []
    with connection.transaction():
        fresh = set() if dry_run else _insert(connection, wanted)
        known = _known(connection, wanted)
    return [_standing(one, fresh, known) for one in wanted]


def _standing(
    one: Resent, fresh: set[tuple[str, int]], known: dict[tuple[str, int], tuple[str, SequenceKey, int, bool]]
) -> Standing:
    place = (one.refusal, one.tag_id)
    if place in fresh or place not in known:
        return Standing.NEW
    correction, key, sequence, arrived = known[place]
    if arrived:
        return Standing.ARRIVED
    same = (correction, key, sequence) == (one.correction, one.key, one.sequence)
    return Standing.UNFINISHED if same else Standing.ELSEWHERE


def _insert(connection: Connection, wanted: Sequence[Resent]) -> set[tuple[str, int]]:
    rows = sorted(wanted, key=lambda one: (one.refusal, one.tag_id))  # so that two runs at once wait, not deadlock
    inserted = connection.execute(
        """INSERT INTO replays (reject_identity, tag_id, correction, gateway_id, epoch, lane, stream, sequence, samples)
           SELECT * FROM unnest(%s::text[], %s::integer[], %s::text[], %s::text[], %s::uuid[], %s::integer[], %s::smallint[],
                                %s::bigint[], %s::integer[])
           ON CONFLICT DO NOTHING
           RETURNING reject_identity, tag_id""",
        [
            [one.refusal for one in rows], [one.tag_id for one in rows], [one.correction for one in rows],
            *_columns(one.key for one in rows), [one.sequence for one in rows], [one.samples for one in rows],
        ],
    ).fetchall()  # fmt: skip
    return {(refusal, tag_id) for refusal, tag_id in inserted}


def _known(
    connection: Connection, wanted: Sequence[Resent]
) -> dict[tuple[str, int], tuple[str, SequenceKey, int, bool]]:
    """Correction, identity and arrival of what is claimed."""
    rows = connection.execute(
        """SELECT p.reject_identity, p.tag_id, p.correction, p.gateway_id, p.epoch, p.lane, p.stream, p.sequence,
                  coalesce(p.sequence <@ l.sequences, false)
           FROM replays p
           LEFT JOIN ledger l USING (gateway_id, epoch, lane, stream)
           WHERE p.reject_identity = ANY (%s)""",
        (sorted({one.refusal for one in wanted}),),
    ).fetchall()
    return {
        (refusal, tag_id): (correction, SequenceKey(gateway_id, epoch, lane, Stream(stream)), sequence, arrived)
        for refusal, tag_id, correction, gateway_id, epoch, lane, stream, sequence, arrived in rows
    }


Totals = tuple[int, int, int]
"""Stored, suppressed and rejected samples."""


def totals(connection: Connection, keys: Iterable[SequenceKey]) -> dict[SequenceKey, Totals]:
    """What the ledger has of each sequence; keys it has not are left out."""
    rows = connection.execute(
        """SELECT l.gateway_id, l.epoch, l.lane, l.stream, l.stored, l.suppressed, l.rejected
           FROM ledger l
           JOIN unnest(%s::text[], %s::uuid[], %s::integer[], %s::smallint[]) AS k(gateway_id, epoch, lane, stream)
             USING (gateway_id, epoch, lane, stream)""",
        _columns(keys),
    ).fetchall()
    return {
        SequenceKey(gateway_id, epoch, lane, Stream(stream)): (*sums,)
        for gateway_id, epoch, lane, stream, *sums in rows
    }


def missing(connection: Connection, frames: Sequence[tuple[SequenceKey, int]]) -> list[tuple[SequenceKey, int]]:
    """Those of the frames that are not in the ledger."""
    rows = connection.execute(
        """SELECT k.place
           FROM unnest(%s::text[], %s::uuid[], %s::integer[], %s::smallint[], %s::bigint[]) WITH ORDINALITY
                AS k(gateway_id, epoch, lane, stream, sequence, place)
           LEFT JOIN ledger l USING (gateway_id, epoch, lane, stream)
           WHERE l.sequences IS NULL OR NOT k.sequence <@ l.sequences
           ORDER BY k.place""",
        [*_columns(key for key, _ in frames), [sequence for _, sequence in frames]],
    ).fetchall()
    return [frames[place - 1] for (place,) in rows]


def _columns(keys: Iterable[SequenceKey]) -> list[list[Any]]:
    listed = list(keys)
    return [
        [key.gateway_id for key in listed], [key.epoch for key in listed], [key.lane for key in listed],
        [int(key.stream) for key in listed],
    ]  # fmt: skip
