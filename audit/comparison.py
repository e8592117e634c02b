"""Compares the topic, from its beginning, with what the log has of it. Pure but for reading the log.

Enters: the log, where the topic begins and ends, and its records in order. Leaves: which of them the log has, and what became of the
topic where the two part. Eight bytes for each offset, for as long as it takes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from audit import entries
from audit.tiles import Readable


def newest_of_topic(read: Readable, *, topic_anew: str) -> Iterator[tuple[int, bytes]]:
    """Records that the log has of the present topic, with their offsets, the newest first: back to an entry of the action `topic_anew`."""
    for _, entry in read.newest_first():
        fields = entries.fields_of(entry)
        if entries.OWN not in fields:
            yield fields["offset"], entry
        elif fields["action"] == topic_anew:
            return


@dataclass(frozen=True, slots=True)
class Difference:
    """The topic from `first` on is not what was taken. `anew`: nothing of the topic is."""

    first: int
    anew: bool
    detail: str


class Comparison:
    """Of the records that the log took since the topic was last made anew (an entry of the action `topic_anew`)."""

    def __init__(self, read: Readable, low: int, high: int, taken: int, *, topic_anew: str) -> None:
        self._low, self._high, self._taken = low, high, taken
        self._next = low
        self._known = array("Q", bytes(8 * max(0, taken + 1 - low)))
        for offset, entry in newest_of_topic(read, topic_anew=topic_anew):
            place = offset - low
            # Offsets go down on the way back, but for records that were lost, whose offsets were given again: those come first.
            if place < 0:
                break
            # An offset may have had several records, where the broker lost some: the newest counts, which comes first here.
            if 0 <= place < len(self._known) and not self._known[place]:
                self._known[place] = entries.digest(entry)

    def has(self, offset: int, entry: bytes) -> bool:
        """Whether the log has this record of the topic, the next one."""
        place = offset - self._low
        if not (0 <= place < len(self._known) and self._known[place] == entries.digest(entry)):
            return False
        self._next = offset + 1
        return True

    @property
    def ended(self) -> bool:
        """Whether all that was in the topic, or all that was taken, is compared."""
        return self._next >= min(self._high, self._taken + 1)

    def lost(self) -> Difference | None:
        """What is missing at the topic's end, where all of it was found in the log."""
        if self._next > self._taken:
            return None
        detail = f"the broker lost records {self._next} to {self._taken}; the log has them, and their offsets are given again"
        return Difference(self._next, anew=False, detail=detail)

    def differs_at(self, offset: int) -> Difference | None:
        """What became of the topic, whose record at `offset` the log does not have."""
        if offset > self._taken:
            return self.lost()
        if self._next == self._low:
            return Difference(
                offset, anew=True, detail=f"record {offset} is not the one that was taken: the topic was made anew"
            )
        detail = f"records {offset} to {self._taken} are not the ones that were taken: the broker lost those; the log has them"
        return Difference(offset, anew=False, detail=detail)
