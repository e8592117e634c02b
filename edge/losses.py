"""What is in a segment that is given up: what has to be carried over, and what is lost. And which segments are done with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge import segment as files
from edge.recovery import Counter
from edge.segment import Entry, RecordKind, Segment, StreamKey
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
) -> Iterator[tuple[StreamKey, list[Entry], list[Entry | int]]]:
    """For each stream key of a segment that is given up: entries to be carried over, and what is lost.

    Carried over is what the uplink still holds (`outstanding`), and gap events. What cannot be read is lost by its number.
    """
    entries: dict[tuple[StreamKey, int], Entry] = {}
    readable = files.HEADER.size
    for behind, entry in segment.read(end=segment.used):
        readable = behind
        if entry.kind is not RecordKind.STATE:
            entries[entry.key, entry.sequence] = entry
    for key, (first, last) in sorted(segment.spans.items()):
        counter = counters[key]
        carried: list[Entry] = []
        lost: list[Entry | int] = []
        for sequence in range(max(first, counter.floor), last + 1):
            if counter.is_done(sequence):
                continue
            found = entries.get((key, sequence))
            if found is None:
                # Unreadable, unless the whole segment is readable: then it is a carried-over span's hole.
                lost += [sequence] if readable < segment.used else []
            elif outstanding(key, sequence) or _is_own_gap(found):
                carried.append(found)
            else:
                lost.append(found)
        yield key, carried, lost


def _is_own_gap(entry: Entry) -> bool:
    return entry.kind is RecordKind.EVENT and entry.checksum == OWN_GAP
