"""What is in a segment that is given up: what has to be carried over, and what is lost. And which segments are done with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from edge import segment as files
from edge.recovery import Counter, Known
from edge.segment import Entry, RecordKind, Segment, StreamKey
from schemas.events import Gap
from schemas.frame import Stream

OWN_GAP = 1
"""Marks, in the checksum of an event, the gap events that the buffer made: they outlive the segment they are in."""


class StreamCounters(dict[StreamKey, Counter]):
    """Counters of all stream keys; one that is new begins at 0."""

    def __missing__(self, key: StreamKey) -> Counter:
        counter = self[key] = Counter()
        return counter

    def done_with(self, segment: Segment) -> bool:
        """Whether nothing in a segment is needed any more."""
        return all(last < self[key].floor for key, (_, last) in segment.spans.items())

    def pending_in(self, segment: Segment, stream: Stream) -> bool:
        """Whether a segment may have entries of a stream that are not done."""
        spans = segment.spans.items()
        return any(key.stream is stream and last >= self[key].floor for key, (_, last) in spans)


def contents_given_up(
    segment: Segment, counters: StreamCounters, outstanding: Callable[[StreamKey, int], bool]
) -> Iterator[tuple[StreamKey, list[Entry], list[Entry]]]:
    """For each stream key of a segment that is given up: entries to be carried over, and those that are lost.

    Carried over is what the uplink still holds (`outstanding`), and gap events. What cannot be read is not in here: see `unreadable`.
    """
    entries: dict[StreamKey, dict[int, Entry]] = {}
    for _, _, entry in segment.records(end=segment.used):
        if entry.kind not in files.OWN and not counters[entry.key].is_done(entry.sequence):
            entries.setdefault(entry.key, {})[entry.sequence] = entry
    for key in sorted(entries):
        carried: list[Entry] = []
        lost: list[Entry] = []
        for sequence, entry in sorted(entries[key].items()):
            (carried if outstanding(key, sequence) or _is_own_gap(entry) else lost).append(entry)
        yield key, carried, lost


def unreadable(
    damaged: Segment,
    segments: Iterable[Segment],
    counters: StreamCounters,
    outstanding: Callable[[StreamKey, int], bool],
    now_us: int,
) -> Iterator[tuple[StreamKey, Gap]]:
    """Gaps for what a segment should hold and does not, that is nowhere else: neither in another segment nor with the uplink."""
    known: dict[StreamKey, Known] = {key: Known() for key in damaged.spans}
    for segment in segments:
        if segment is damaged or not known.keys().isdisjoint(segment.spans):
            for _, _, entry in segment.records(end=segment.used):
                if entry.kind not in files.OWN and entry.key in known:
                    known[entry.key].fold(entry)
    for key, one in known.items():
        counter = counters[key]
        held = {sequence for sequence in range(counter.floor, counter.next_sequence) if outstanding(key, sequence)}
        first, last = damaged.spans[key]
        view = Counter(floor=max(first, counter.floor), next_sequence=last + 1, done=counter.done | held)
        for gap in one.missing(key, view, cause="damaged in the buffer", now_us=now_us):
            yield key, gap


def _is_own_gap(entry: Entry) -> bool:
    return entry.kind is RecordKind.EVENT and entry.checksum == OWN_GAP
