"""What a start of the gateway finds in its buffer: opens the segments, folds their records, names what is missing.

Who calls: `edge.buffer`, once, before it writes anything. Sequences of a stream key that are neither done nor in the log
are lost; how many samples they held follows from the running totals on either side of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from base.errors import MillraceError
from edge.segment import Entry, RecordKind, Segment, StreamKey
from schemas.events import UNKNOWN_SAMPLES, Gap
from schemas.frame import Stream

log = logging.getLogger(__name__)

EPOCHS_KEPT = 16
"""Epochs that are all done stay in the counters, and so in the health events, until that many newer ones exist."""


class BufferFailedError(MillraceError):
    """The disk does not do what a durable buffer needs; the gateway cannot go on."""


@dataclass(slots=True)
class Counter:
    """Cumulative numbers of one stream key. All sequences below `floor` are done, and those in `done` above it."""

    next_sequence: int = 0
    samples: int = 0
    checksum: int = 0
    floor: int = 0
    buffered_samples: int = 0
    dropped_samples: int = 0
    done: set[int] = field(default_factory=set)

    def is_done(self, sequence: int) -> bool:
        """Whether nothing more is to be done for that sequence."""
        return sequence < self.floor or sequence in self.done

    def finish(self, sequence: int, samples: int) -> bool:
        """Confirmed or dropped; False when it was before."""
        if self.is_done(sequence):
            return False
        self.done.add(sequence)
        self.buffered_samples -= samples
        self.raise_floor()
        return True

    def raise_floor(self) -> None:
        """Let the floor pass what is done right above it."""
        while self.floor in self.done:
            self.done.remove(self.floor)
            self.floor += 1


@dataclass(slots=True)
class _Known:
    """What the log says of one stream key: samples of each sequence in it, and running totals before and behind some."""

    found: dict[int, int] = field(default_factory=dict)
    before: dict[int, tuple[int, int]] = field(default_factory=dict)
    behind: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    floor: int = 0
    dropped: int = 0

    def fold(self, entry: Entry) -> None:
        """Take a frame or event in."""
        self.found[entry.sequence] = entry.samples
        self.before[entry.sequence] = (entry.total_samples - entry.samples, entry.from_us)
        self.behind[entry.sequence + 1] = (entry.total_samples, entry.total_checksum, entry.to_us)


@dataclass(slots=True)
class Recovered:
    """Open segments in order, counters, and gaps that tell of what is missing."""

    segments: list[Segment] = field(default_factory=list)
    counters: dict[StreamKey, Counter] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


def load(directory: Path, *, gateway_id: str, now_us: int, on_recovered: Callable[[bytes | Entry], None]) -> Recovered:
    """Read the buffer in `directory`; raises BufferFailedError when it is another gateway's."""
    result = Recovered()
    known: dict[StreamKey, _Known] = {}
    for segment, problem in _open_segments(directory):
        if problem:
            result.gaps.append(Gap(lane=0, samples=UNKNOWN_SAMPLES, from_us=now_us, to_us=now_us, cause=problem))
        if segment is None:
            continue
        result.segments.append(segment)
        for entry in segment.recover():
            if entry.kind is RecordKind.STATE:
                _merge(entry, known, gateway_id, on_recovered)
            else:
                known.setdefault(entry.key, _Known()).fold(entry)
                on_recovered(entry)
        if segment.damaged:
            segment.truncate()
            cause = f"the end of {segment.path.name} is torn or damaged behind byte {segment.used}"
            result.gaps.append(
                Gap(lane=0, samples=UNKNOWN_SAMPLES, from_us=segment.last_appended_us, to_us=now_us, cause=cause)
            )
    for key, one in sorted(known.items()):
        result.counters[key] = _counter(one)
        result.gaps += _missing(key, one, result.counters[key], now_us)
    _forget_old_epochs(result)
    return result


def pack_state(gateway_id: str, counters: dict[StreamKey, Counter], note: bytes | None) -> bytes:
    """Body of a STATE record: counters as far as they are written in front of it."""
    rows = [
        [key.epoch.hex, key.lane, int(key.stream), one.next_sequence, one.samples, one.checksum, one.floor,
         one.dropped_samples, sorted(one.done)]
        for key, one in counters.items()
    ]  # fmt: skip
    state = {"gateway": gateway_id, "counters": rows}
    if note is not None:
        state["note"] = note.hex()
    return json.dumps(state, separators=(",", ":")).encode()


def _open_segments(directory: Path) -> Iterator[tuple[Segment | None, str]]:
    expected: int | None = None
    for path in sorted(directory.glob("segment-*.log")):
        segment = Segment.open(path)
        if segment is None:
            if path.read_bytes().strip(b"\0"):
                path.rename(path.with_suffix(".damaged"))
                yield None, f"{path.name} has no valid header"
            else:
                path.unlink()  # made, never used
            continue
        missing = expected is not None and segment.number != expected
        yield segment, f"segments {expected} to {segment.number - 1} are missing" if missing else ""
        expected = segment.number + 1


def _merge(
    entry: Entry, known: dict[StreamKey, _Known], gateway_id: str, on_recovered: Callable[[bytes | Entry], None]
) -> None:
    state = json.loads(entry.body)
    if state["gateway"] != gateway_id:
        msg = f"the buffer belongs to gateway {state['gateway']}, not to {gateway_id}"
        raise BufferFailedError(msg)
    for epoch, lane, stream, sequence, samples, checksum, floor, dropped, done in state["counters"]:
        one = known.setdefault(StreamKey(UUID(epoch), lane, Stream(stream)), _Known())
        one.before.setdefault(sequence, (samples, entry.appended_us))
        one.behind.setdefault(sequence, (samples, checksum, entry.appended_us))
        one.floor, one.dropped = max(one.floor, floor), max(one.dropped, dropped)
        one.done |= set(done)
    if "note" in state:
        on_recovered(bytes.fromhex(state["note"]))


def _counter(one: _Known) -> Counter:
    next_sequence = max(one.behind, default=0)
    samples, checksum, _ = one.behind.get(next_sequence, (0, 0, 0))
    counter = Counter(
        next_sequence=next_sequence, samples=samples, checksum=checksum, floor=one.floor, dropped_samples=one.dropped
    )
    counter.done = {sequence for sequence in one.done if sequence >= one.floor}
    counter.raise_floor()
    counter.buffered_samples = sum(n for sequence, n in one.found.items() if not counter.is_done(sequence))
    return counter


def _missing(key: StreamKey, one: _Known, counter: Counter, now_us: int) -> Iterator[Gap]:
    """Gaps for sequences that nobody done and that are not there; they are done (dropped) by this."""
    lost = [
        sequence
        for sequence in range(counter.floor, counter.next_sequence)
        if sequence not in one.found and sequence not in counter.done
    ]
    while lost:
        first = last = lost.pop(0)
        while lost and lost[0] == last + 1:
            last = lost.pop(0)
        start, end = one.behind.get(first), one.before.get(last + 1)
        samples = end[0] - start[0] if start and end else UNKNOWN_SAMPLES
        counter.dropped_samples += max(samples, 0)
        counter.done |= set(range(first, last + 1))
        yield Gap(
            lane=key.lane, epoch=key.epoch, stream=key.stream, first_sequence=first, last_sequence=last,
            samples=samples, from_us=start[2] if start else now_us, to_us=end[1] if end else now_us,
            cause="records missing from the buffer",
        )  # fmt: skip
    counter.raise_floor()


def _forget_old_epochs(result: Recovered) -> None:
    counters = result.counters
    needed = {key for segment in result.segments for key in segment.spans}
    epochs = sorted({key.epoch for key in counters}, key=lambda epoch: epoch.int)
    for epoch in epochs[:-EPOCHS_KEPT]:
        keys = [key for key in counters if key.epoch == epoch]
        if needed.isdisjoint(keys) and all(counters[key].floor >= counters[key].next_sequence for key in keys):
            for key in keys:
                del counters[key]
