"""The samples of one batch as columns, and what the ledger has to add for them. Pure numpy.

Enters: frames that are new, grouped by sequence key. Leaves: a `Columns` over the whole batch (per-sample cost is
numpy's, however small the frames are), what happens to each sample, sums by key and by minute, and the ranges of time
that must be repaired. Who calls: the historian's store. Checksums are taken over what arrived, so loss between gateway
and table shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import checksum
from schemas.definitions import Historise
from schemas.frame import Frame, SequenceKey, Stream
from schemas.verdicts import LATE_FLAG, REJECT_FROM, VERDICT_MASK, Verdict

MINUTE_US = 60_000_000
VERDICTS = 32
"""Length of the ledger's array of counts by verdict."""
EARLIEST_US, LATEST_US = 946_684_800_000_000, 4_102_444_800_000_000
"""Years 2000 to 2099: an accepted sample outside makes no partition, its frame is refused."""


class Fate(IntEnum):
    """What becomes of a sample. The names are the ledger's columns."""

    STORED = 0
    REJECTED = 1
    SUPPRESSED = 2


POLICIES = {Historise.ALL: 0, Historise.ON_CHANGE: 1, Historise.NONE: 2}


@dataclass(kw_only=True, slots=True, eq=False)
class Columns:
    """Samples of all new frames of a batch, frames of one key next to each other in order of sequence. Arrays of shape (n,)."""

    keys: list[SequenceKey]
    bounds: NDArray[np.int64]
    """Samples of key i are bounds[i]:bounds[i + 1]."""
    tag_id: NDArray[np.int32]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint16]
    verdict: NDArray[np.uint8]
    late: NDArray[np.bool_]
    closed_minute: NDArray[np.int64]
    fate: NDArray[np.uint8]
    hash: NDArray[np.uint64]

    def of(self, key: int) -> slice:
        """Samples of the key at that place."""
        return slice(int(self.bounds[key]), int(self.bounds[key + 1]))

    def fates(self) -> list[int]:
        """How many samples have each fate."""
        return _counts(self.fate, len(Fate))


def columns_of(frames: dict[SequenceKey, list[Frame]]) -> Columns:
    """Columns of frames; `fate` says STORED or REJECTED by verdict, `apply_policy` may turn STORED into SUPPRESSED."""
    flat = [frame for group in frames.values() for frame in group]
    sizes = np.array([sum(frame.samples for frame in group) for group in frames.values()], dtype=np.int64)
    flagged = _join([frame.verdict for frame in flat if frame.verdict is not None], np.uint8)
    verdict = flagged & np.uint8(VERDICT_MASK)
    columns = Columns(
        keys=list(frames),
        bounds=np.concatenate([[0], np.cumsum(sizes)]),
        tag_id=_join([frame.tag_id for frame in flat], np.int32),
        time_us=_join([frame.time_us for frame in flat], np.int64),
        value=_join([frame.value for frame in flat], np.float64),
        quality=_join([frame.quality for frame in flat], np.uint16),
        verdict=verdict,
        late=(flagged & np.uint8(LATE_FLAG)) != 0,
        closed_minute=np.repeat(
            np.array([_plausible_minute(frame.closed_time_us) for frame in flat], dtype=np.int64),
            np.array([frame.samples for frame in flat], dtype=np.int64),
        ),
        fate=np.where(verdict >= REJECT_FROM, np.uint8(Fate.REJECTED), np.uint8(Fate.STORED)),
        hash=np.empty(0, dtype=np.uint64),
    )
    columns.hash = checksum.sample_hashes(columns.tag_id, columns.time_us, columns.value, columns.quality)
    return columns


def by_tag(tag_id: NDArray[np.int32], *, descending: bool = False) -> NDArray[np.intp]:
    """Order that puts the samples of each tag together, in the order in which they came; shape (n,), n > 0.

    Sorts 16 bits at a time: numpy sorts those by radix, ten times faster than wider integers.
    """
    offset = tag_id.max() - tag_id if descending else tag_id - tag_id.min()
    order = np.argsort(offset.astype(np.uint16), kind="stable")
    high = offset >> 16
    return order if not high.any() else order[np.argsort(high.astype(np.uint16)[order], kind="stable")]


def _join(parts: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)


def _plausible_minute(time_us: int) -> int:
    """Minute since 1970; a gateway's clock may say anything, a timestamp must stay one."""
    return min(max(time_us, 0), LATEST_US) // MINUTE_US


@dataclass(kw_only=True, slots=True)
class Sums:
    """Counts and checksums (modulo 2^64, unsigned) by fate."""

    counts: list[int]
    checksums: list[int]


@dataclass(kw_only=True, slots=True)
class KeySums(Sums):
    """What the ledger row of one key has to add."""

    verdicts: list[int]
    late: int
    newest_us: int | None
    calculated_checksum: int
    """Of the samples that the telemetry job calculated; how many there are, say `verdicts`."""


def key_sums(columns: Columns) -> Iterator[KeySums]:
    """Sums of each key, in the order of `columns.keys`."""
    for key in range(len(columns.keys)):
        part = columns.of(key)
        fate, verdict, late, times = (
            columns.fate[part],
            columns.verdict[part],
            columns.late[part],
            columns.time_us[part],
        )
        sums = _sums(fate, columns.hash[part])
        if sums.counts[Fate.REJECTED]:
            accepted = fate != Fate.REJECTED
            late, times = late[accepted], times[accepted]
        verdicts, hashes = _counts(verdict, VERDICTS), columns.hash[part]
        calculated = hashes[verdict == Verdict.CALCULATED].sum(dtype=np.uint64) if verdicts[Verdict.CALCULATED] else 0
        yield KeySums(
            counts=sums.counts,
            checksums=sums.checksums,
            verdicts=verdicts,
            late=int(np.count_nonzero(late)),
            newest_us=int(times.max()) if len(times) else None,
            calculated_checksum=int(calculated),
        )


def minute_sums(columns: Columns) -> dict[tuple[str, int, int], Sums]:
    """Sums of each (gateway, lane, minute since 1970), sorted. Rejected samples count in the minute their frame was closed."""
    found: dict[tuple[str, int, int], Sums] = {}
    for place, key in enumerate(columns.keys):
        part = columns.of(place)
        fate, hashes = columns.fate[part], columns.hash[part]
        for number, inside in _minutes(columns, part):
            sums = _sums(fate[inside], hashes[inside])
            total = found.setdefault((key.gateway_id, key.lane, number), Sums(counts=[0, 0, 0], checksums=[0, 0, 0]))
            for fate_number in range(3):
                total.counts[fate_number] += sums.counts[fate_number]
                total.checksums[fate_number] = (
                    total.checksums[fate_number] + sums.checksums[fate_number]
                ) % checksum.MODULUS
    return dict(sorted(found.items()))


def _minutes(columns: Columns, part: slice) -> Iterator[tuple[int, NDArray[np.bool_] | slice]]:
    """Minutes of samples, and which samples each has: nearly always one that has them all."""
    times, rejected = columns.time_us[part], columns.fate[part] == Fate.REJECTED
    if not rejected.any():
        first, last = (int(time_us) // MINUTE_US for time_us in (times.min(), times.max()))
        if first == last:
            yield first, slice(None)
            return
    minute = np.where(rejected, columns.closed_minute[part], times // MINUTE_US)
    for number in np.unique(minute).tolist():
        yield number, minute == number


def _counts(codes: NDArray[np.uint8], kinds: int) -> list[int]:
    """How often each code below `kinds` comes; nearly always there is only 0."""
    if not codes.any():
        return [len(codes)] + [0] * (kinds - 1)
    counts: list[int] = np.bincount(codes, minlength=kinds)[:kinds].tolist()
    return counts


def _sums(fate: NDArray[np.uint8], hashes: NDArray[np.uint64]) -> Sums:
    counts = _counts(fate, 3)
    if counts[Fate.STORED] == len(fate):
        return Sums(counts=counts, checksums=[int(hashes.sum(dtype=np.uint64)), 0, 0])
    return Sums(counts=counts, checksums=[int(hashes[fate == number].sum(dtype=np.uint64)) for number in range(3)])


@dataclass(frozen=True, kw_only=True, slots=True)
class DirtyRange:
    """Windows of a tag that the stream did not fold completely: from_us..to_us, whole minutes, end inclusive."""

    tag_id: int
    from_us: int
    to_us: int
    reason: str


def dirty_ranges(columns: Columns) -> list[DirtyRange]:
    """Ranges of accepted samples that the stream's windows do not contain: BACKFILL, REPLAY and late ones."""
    found: list[DirtyRange] = []
    for place, key in enumerate(columns.keys):
        part = columns.of(place)
        chosen = columns.fate[part] != Fate.REJECTED
        if key.stream is Stream.LIVE:
            chosen = chosen & columns.late[part]
        if chosen.any():
            reason = "LATE" if key.stream is Stream.LIVE else key.stream.name
            found += minute_ranges(columns.tag_id[part][chosen], columns.time_us[part][chosen], reason)
    return found


def minute_ranges(tag_id: NDArray[np.int32], time_us: NDArray[np.int64], reason: str) -> list[DirtyRange]:
    """Runs of consecutive minutes of each tag that hold one of the samples, sorted by tag and time."""
    # One integer per (tag, minute): minutes of this millennium fit 27 bits, so two tags are never neighbours.
    pairs = np.unique((tag_id.astype(np.int64) << 32) + time_us // MINUTE_US)
    begins = np.ones(len(pairs), dtype=np.bool_)
    begins[1:] = pairs[1:] != pairs[:-1] + 1
    starts = np.flatnonzero(begins)
    first, last = pairs[starts], pairs[np.append(starts[1:], len(pairs)) - 1]
    minute = (1 << 32) - 1
    return [
        DirtyRange(tag_id=tag, from_us=low * MINUTE_US, to_us=(high + 1) * MINUTE_US - 1, reason=reason)
        for tag, low, high in zip(
            (first >> 32).tolist(), (first & minute).tolist(), (last & minute).tolist(), strict=True
        )
    ]
