"""What a start of the gateway finds in its buffer: opens the segments, folds their records, names what is missing.

Who calls: `edge.buffer`, once, before it writes anything. Sequences of a stream key that are neither done nor in the log
are lost; how many samples they held follows from the running totals on either side of them.
"""

from __future__ import annotations

import json
import logging
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np

from base.errors import ConfigError, MillraceError
from edge.at_rest import NOTE
from edge.plain_note import ANY
from edge.segment import Entry, Hole, KeyOf, RecordKind, Segment, StreamKey, no_key
from edge.segment_header import PLAIN, UNIT
from schemas.events import UNKNOWN_SAMPLES, Gap
from schemas.frame import Stream

log = logging.getLogger(__name__)

REFUSED = ".refused"
"""What a plain segment is named that is not taken: it stays for who looks into it."""
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

    def skip(self, first: int, last: int) -> None:
        """Sequences from `first` to `last` are done, however many they are; none when `last` is smaller."""
        if first <= self.floor <= last + 1:
            self.floor = last + 1
            self.done = {sequence for sequence in self.done if sequence > last}
        else:
            self.done |= set(range(max(first, self.floor), last + 1))
        self.raise_floor()


@dataclass(slots=True)
class Known:
    """What the log says of one stream key: its records in columns of 40 bytes, and the running totals in STATE records."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    """(sequence, samples, samples before it, first and last source time) of each record."""
    states: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """Samples, checksum and time of append in front of a sequence, as a STATE record had them."""
    newest: tuple[int, int, int] = (0, 0, 0)
    """Sequence behind the newest record, with the running totals of samples and checksum."""
    done: set[int] = field(default_factory=set)
    floor: int | None = None
    dropped: int = 0

    def fold(self, entry: Entry) -> None:
        """Take a frame or event in."""
        before = entry.total_samples - entry.samples
        self.rows.extend((entry.sequence, entry.samples, before, entry.from_us, entry.to_us))
        if entry.sequence >= self.newest[0]:
            self.newest = (entry.sequence + 1, entry.total_samples, entry.total_checksum)

    def state(self, sequence: int, samples: int, checksum: int, time_us: int) -> None:
        """Take the running totals of a STATE record in."""
        self.states.setdefault(sequence, (samples, checksum, time_us))
        if sequence > self.newest[0]:
            self.newest = (sequence, samples, checksum)

    def counter(self) -> Counter:
        """The stream key's numbers, before anything that is missing is accounted for."""
        table = self._table()
        # Without a STATE record: what is older than the oldest record was done, or its segment would be there.
        floor = self.floor if self.floor is not None else int(table[0, 0]) if len(table) else 0
        next_sequence, samples, checksum = self.newest
        counter = Counter(
            next_sequence=next_sequence, samples=samples, checksum=checksum, floor=floor, dropped_samples=self.dropped
        )
        counter.done = {sequence for sequence in self.done if sequence >= floor}
        counter.raise_floor()
        waiting = table[table[:, 0] >= counter.floor]
        if counter.done:
            waiting = waiting[~np.isin(waiting[:, 0], list(counter.done))]
        counter.buffered_samples = int(waiting[:, 1].sum())
        return counter

    def missing(self, key: StreamKey, counter: Counter, *, cause: str, now_us: int) -> Iterator[Gap]:
        """Gaps for sequences that nobody did and that are in no record, with the samples that the totals around them tell."""
        table = self._table()
        for first, last in self.runs_missing(counter):
            start, end = self._before(first, table), self._behind(last, table)
            samples = end[0] - start[0] if start and end else UNKNOWN_SAMPLES
            from_us, to_us = start[1] if start else now_us, end[1] if end else now_us
            yield Gap(
                lane=key.lane, epoch=key.epoch, stream=key.stream, first_sequence=first, last_sequence=last,
                samples=samples, from_us=min(from_us, to_us), to_us=to_us, cause=cause,
            )  # fmt: skip

    def runs_missing(self, counter: Counter) -> list[tuple[int, int]]:
        """First and last of the sequences in a row that nobody did and that are in no record."""
        there = np.union1d(self._table()[:, 0], np.array(sorted(counter.done), dtype=np.int64))
        edges = np.concatenate(([counter.floor - 1], there[there >= counter.floor], [counter.next_sequence]))
        return [(int(edges[at]) + 1, int(edges[at + 1]) - 1) for at in np.flatnonzero(np.diff(edges) > 1).tolist()]

    def _table(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """Rows by sequence, each once."""
        table = np.frombuffer(self.rows, dtype=np.int64).reshape(-1, 5) if self.rows else np.zeros((0, 5), np.int64)
        _, first = np.unique(table[:, 0], return_index=True)
        return table[first]

    def _before(self, sequence: int, table: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> tuple[int, int] | None:
        """Samples in front of a sequence, and the last time known in front of it."""
        at = int(np.searchsorted(table[:, 0], sequence - 1))
        if at < len(table) and table[at, 0] == sequence - 1:
            return int(table[at, 2] + table[at, 1]), int(table[at, 4])
        found = self.states.get(sequence)
        return None if found is None else (found[0], found[2])

    def _behind(self, sequence: int, table: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> tuple[int, int] | None:
        """Samples up to a sequence and with it, and the first time known behind it."""
        at = int(np.searchsorted(table[:, 0], sequence + 1))
        if at < len(table) and table[at, 0] == sequence + 1:
            return int(table[at, 2]), int(table[at, 3])
        found = self.states.get(sequence + 1)
        return None if found is None else (found[0], found[2])


@dataclass(slots=True)
class Recovered:
    """Segments in order, counters, gaps that tell of what is missing, and holes to be mended once those are durable."""

    segments: list[Segment] = field(default_factory=list)
    counters: dict[StreamKey, Counter] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    damaged: list[Segment] = field(default_factory=list)


Admits = Callable[[bool], range]
"""Numbers of the segments that may be plain; asked with whether there are encrypted ones. Raises MissingKeyError."""


def all_may_be_plain(_: bool) -> range:
    """Where nothing is encrypted."""
    return ANY


def load(
    directory: Path,
    *,
    gateway_id: str,
    now_us: int,
    on_recovered: Callable[[bytes | Entry], None],
    key_of: KeyOf = no_key,
    admits: Admits = all_may_be_plain,
) -> Recovered:
    """Read the buffer in `directory`; raises BufferFailedError, having changed nothing, for another gateway's or without its key."""
    result = Recovered()
    known: dict[StreamKey, Known] = {}
    note: bytes | None = None
    since: list[Entry] = []
    oldest: dict[StreamKey, int] = {}
    result.segments, problem = _open_segments(directory, key_of, admits)
    for segment in result.segments:
        for entry in segment.recover():
            if segment is result.segments[0] and entry.kind is not RecordKind.STATE:
                oldest[entry.key] = min(oldest.get(entry.key, entry.sequence), entry.sequence)
            if entry.kind is RecordKind.STATE:
                found = _merge(entry, known, gateway_id)
                if segment is result.segments[0] and segment.state_at == segment.begin:
                    oldest = {key: one.newest[0] for key, one in known.items()}
                if found is not None:
                    note, since = found, []
            else:
                known.setdefault(entry.key, Known()).fold(entry)
                since.append(entry)
        segment.seal()
    if note is not None:
        on_recovered(note)
    for entry in since:
        on_recovered(entry)
    result.damaged = [segment for segment in result.segments if segment.needs_mending]
    unproven = list(_unproven(result.segments, problem, now_us))
    result.gaps += unproven
    for key, one in sorted(known.items()):
        counter = result.counters[key] = one.counter()
        if unproven:
            # The newest positions are lost. What is older than the oldest segment was done, or that segment would be there.
            for first, last in one.runs_missing(counter):
                counter.skip(first, min(last, oldest.get(key, 0) - 1))
        for gap in one.missing(key, counter, cause="records missing from the buffer", now_us=now_us):
            assert gap.first_sequence is not None
            assert gap.last_sequence is not None
            counter.dropped_samples += max(gap.samples, 0)
            counter.skip(gap.first_sequence, gap.last_sequence)
            result.gaps.append(gap)
    _forget_old_epochs(result)
    return result


def _unproven(segments: Iterable[Segment], problem: str, now_us: int) -> Iterator[Gap]:
    """Gaps for damage behind which no STATE record says what was there; else the sequences tell."""
    last_state: tuple[int, int] = max(((one.number, one.state_at) for one in segments if one.state_at), default=(-1, 0))
    last_us = 0
    for segment in segments:
        for hole in segment.holes:
            if (segment.number, hole.start) > last_state:
                yield _bounds(f"{segment.path.name} is damaged behind byte {hole.start}", hole, last_us, now_us)
        last_us = max(last_us, segment.last_appended_us)
    if problem:
        yield Gap(lane=0, samples=UNKNOWN_SAMPLES, from_us=last_us, to_us=now_us, cause=problem)


def _bounds(cause: str, hole: Hole, last_us: int, now_us: int) -> Gap:
    from_us, to_us = hole.after_us or last_us, hole.before_us or now_us
    return Gap(lane=0, samples=UNKNOWN_SAMPLES, from_us=min(from_us, to_us), to_us=to_us, cause=cause)


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


def _open_segments(directory: Path, key_of: KeyOf, admits: Admits) -> tuple[list[Segment], str]:
    """Segments in order; and a problem when the last one cannot be read, or is not taken: of those before it the next one tells."""
    found: dict[Path, Segment | None] = {}
    path = directory
    try:
        for path in sorted(directory.glob("segment-*.log")):
            found[path] = Segment.open(path, key_of=key_of)
        epochs = list(dict.fromkeys(segment.epoch for segment in found.values() if segment is not None))
        for path in [path for path, segment in found.items() if segment is None]:
            if (mended := Segment.open(path, epochs, key_of)) is not None:
                found[path] = mended
                log.error("the header of a segment is damaged and made again", extra={"segment": path.name})
        path = directory / NOTE
        plain = admits(any(segment is not None and segment.sealed for segment in found.values()))
    except ConfigError as error:
        # Before anything is renamed or deleted: with its key it will be read.
        for one in found.values():
            if one is not None:
                one.close()
        msg = f"{path.name} is encrypted: {error}"
        raise BufferFailedError(msg) from error
    segments, problem = list[Segment](), ""
    for path, segment in found.items():
        if segment is None:
            if _never_used(path):
                path.unlink()
                continue
            path.rename(path.with_suffix(".damaged"))
            problem = f"{path.name} has no valid header"
        elif not segment.sealed and segment.number not in plain:
            segment.close()
            path.rename(path.with_suffix(REFUSED))
            problem = f"{path.name} is not encrypted, though the buffer is: refused"
            log.error("a plain segment in an encrypted buffer is refused", extra={"segment": path.name})
        else:
            segments.append(segment)
            problem = ""
    return segments, problem


def _never_used(path: Path) -> bool:
    """Whether a file without a valid header has no record: allocated, and the gateway ended before it was used."""
    data = path.read_bytes()
    return len(data) >= UNIT and not data[PLAIN.size :].strip(b"\0")


def _merge(entry: Entry, known: dict[StreamKey, Known], gateway_id: str) -> bytes | None:
    """Take a STATE record in; returns the note in it."""
    state = json.loads(entry.body)
    if state["gateway"] != gateway_id:
        msg = f"the buffer belongs to gateway {state['gateway']}, not to {gateway_id}"
        raise BufferFailedError(msg)
    for epoch, lane, stream, sequence, samples, checksum, floor, dropped, done in state["counters"]:
        one = known.setdefault(StreamKey(UUID(epoch), lane, Stream(stream)), Known())
        one.state(sequence, samples, checksum, entry.appended_us)
        one.floor, one.dropped = max(one.floor or 0, floor), max(one.dropped, dropped)
        one.done |= set(done)
    return bytes.fromhex(state["note"]) if "note" in state else None


def _forget_old_epochs(result: Recovered) -> None:
    counters = result.counters
    needed = {key for segment in result.segments for key in segment.spans}
    epochs = sorted({key.epoch for key in counters}, key=lambda epoch: epoch.int)
    for epoch in epochs[:-EPOCHS_KEPT]:
        keys = [key for key in counters if key.epoch == epoch]
        if needed.isdisjoint(keys) and all(counters[key].floor >= counters[key].next_sequence for key in keys):
            for key in keys:
                del counters[key]
