"""Gap records for entries that the buffer gave up: exact sequences, samples and times, one per run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edge.segment import Entry, StreamKey
from schemas.events import UNKNOWN_SAMPLES, Gap


def gaps_of(key: StreamKey, lost: list[Entry | int], cause: str) -> Iterator[Gap]:
    """Gaps that cover `lost`, which is in order of sequence; a bare number is an entry that cannot be read."""
    gap: Gap | None = None
    for item in lost:
        one = _gap_of(key, item, cause)
        if gap is not None and _continues(gap, one):
            gap = replace(
                gap,
                last_sequence=one.last_sequence,
                samples=gap.samples + one.samples if one.samples >= 0 else UNKNOWN_SAMPLES,
                from_us=min(gap.from_us, one.from_us),
                to_us=max(gap.to_us, one.to_us),
            )
            continue
        if gap is not None:
            yield gap
        gap = one
    if gap is not None:
        yield gap


def _continues(gap: Gap, one: Gap) -> bool:
    return gap.last_sequence == (one.first_sequence or 0) - 1 and (gap.samples < 0) == (one.samples < 0)


def _gap_of(key: StreamKey, item: Entry | int, cause: str) -> Gap:
    known = None if isinstance(item, int) else item
    sequence = item if isinstance(item, int) else item.sequence
    return Gap(
        lane=key.lane,
        epoch=key.epoch,
        stream=key.stream,
        first_sequence=sequence,
        last_sequence=sequence,
        samples=known.samples if known else UNKNOWN_SAMPLES,
        from_us=known.from_us if known else 0,
        to_us=known.to_us if known else 0,
        cause=cause,
    )
