"""Gap records for entries that the buffer gave up: exact sequences, samples and times, one per run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from edge.segment import Entry, StreamKey
from schemas.events import Gap


def gaps_of(key: StreamKey, lost: Iterable[Entry], cause: str) -> Iterator[Gap]:
    """Gaps that cover `lost`, which is in order of sequence."""
    gap: Gap | None = None
    for entry in lost:
        one = _gap_of(key, entry, cause)
        if gap is not None and gap.last_sequence == entry.sequence - 1:
            gap = replace(
                gap,
                last_sequence=one.last_sequence,
                samples=gap.samples + one.samples,
                from_us=min(gap.from_us, one.from_us),
                to_us=max(gap.to_us, one.to_us),
            )
            continue
        if gap is not None:
            yield gap
        gap = one
    if gap is not None:
        yield gap


def _gap_of(key: StreamKey, entry: Entry, cause: str) -> Gap:
    return Gap(
        lane=key.lane,
        epoch=key.epoch,
        stream=key.stream,
        first_sequence=entry.sequence,
        last_sequence=entry.sequence,
        samples=entry.samples,
        from_us=entry.from_us,
        to_us=entry.to_us,
        cause=cause,
    )
