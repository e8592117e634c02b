"""What of the calculated samples that a frame asks for it has room for, decided before anything is evaluated; and which tags wait."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence, Set
from typing import NamedTuple

import numpy as np

from stages.calculation.calculated_tag import CalculatedTag, Sample


class Wanted(NamedTuple):
    """A calculated tag, what is known of its inputs by name, and the ascending times at which a frame asks for it."""

    tag: CalculatedTag
    known: dict[str, list[Sample]]
    times_us: list[int]


class Waiting:
    """Calculated tags of which the last frame with an input made none, because another input was never heard at all."""

    def __init__(self) -> None:
        self._tag_ids: set[int] = set()

    def __len__(self) -> int:
        return len(self._tag_ids)

    def note(self, one: Wanted, *, made: bool) -> None:
        """What a frame came to for a tag."""
        if made or all(one.known.values()):
            self._tag_ids.discard(one.tag.tag_id)
        else:
            self._tag_ids.add(one.tag.tag_id)

    def keep(self, tag_ids: Set[int]) -> None:
        """No other tags are calculated any more."""
        self._tag_ids &= tag_ids


def fits(wanted: Sequence[Wanted], room: int, most_tags: int) -> bool:
    """Whether all of it has room."""
    return len(wanted) <= most_tags and asked(wanted) <= room


def possible(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Without the times that can make no sample: what waits for an input takes no room from what can be made."""
    narrowed = [one._replace(times_us=one.tag.possible(one.times_us, one.known)) for one in wanted]
    return [one for one in narrowed if one.times_us]


def fitting(wanted: list[Wanted], room: int, most_tags: int, *, turn: int) -> list[Wanted]:
    """What of it has room: the newest times, whichever tags they are of.

    Of the oldest time that has room for some tags only, the tags take turns by `turn`, the frame's number.
    """
    if len(wanted) > most_tags:
        start = turn % len(wanted)
        wanted = (wanted[start:] + wanted[:start])[: max(0, most_tags)]
    if asked(wanted) <= room:
        return wanted
    if room <= 0:
        return []
    times_us = np.concatenate([np.array(one.times_us, dtype=np.int64) for one in wanted])
    oldest_us = int(np.partition(times_us, len(times_us) - room - 1)[len(times_us) - room - 1])
    spare = room - int(np.count_nonzero(times_us > oldest_us))
    asking = [place for place, one in enumerate(wanted) if oldest_us in one.times_us]
    start = turn % len(asking)
    chosen = set((asking[start:] + asking[:start])[:spare])
    kept = list[Wanted]()
    for place, one in enumerate(wanted):
        first = bisect_left(one.times_us, oldest_us) if place in chosen else bisect_right(one.times_us, oldest_us)
        if first < len(one.times_us):
            kept.append(one._replace(times_us=one.times_us[first:]))
    return kept


def asked(wanted: Sequence[Wanted]) -> int:
    """How many samples that is."""
    return sum(len(one.times_us) for one in wanted)
