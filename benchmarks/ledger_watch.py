"""Watching from outside when frames become readable in SQL, and how many samples are accounted for.

The ledger changes in the transaction that makes a frame's rows visible, so it is what is polled: twenty rows instead of the newest of
millions. That the rows themselves are there is verified when the run is over.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import psycopg

from base import ids

Ranges = tuple[tuple[int, int], ...]
"""Sorted, disjoint, end exclusive."""

POLL_S = 0.02
_RANGE = re.compile(r"\[(\d+),(\d+)\)")


def parse_ranges(text: str) -> Ranges:
    """Text of an `int8multirange`."""
    return tuple((int(low), int(high)) for low, high in _RANGE.findall(text))


def fresh(before: Ranges, now: Ranges) -> list[int]:
    """Numbers in `now` that are not in `before`, ascending."""
    known = set(before)
    found: list[int] = []
    for low, high in now:
        if (low, high) in known:
            continue
        # Ranges only grow: what was there before of this one is a few earlier ranges inside it.
        inside = [one for one in before if low <= one[0] and one[1] <= high]
        at = low
        for taken_low, taken_high in inside:
            found.extend(range(at, taken_low))
            at = taken_high
        found.extend(range(at, high))
    return found


@dataclass(kw_only=True)
class Seen:
    """What a watch saw. Times in microseconds since 1970, taken after the answer had come."""

    readable_us: dict[tuple[str, int], int] = field(default_factory=dict)
    """By gateway and sequence."""
    accounted: list[tuple[int, int]] = field(default_factory=list)
    """(time, samples accounted for): every change."""


class LedgerWatch:
    """Polls on a thread of its own while it is open. `frames=False` watches the totals only."""

    def __init__(self, dsn: str, *, frames: bool = True, poll_s: float = POLL_S) -> None:
        self.seen = Seen()
        self._dsn, self._frames, self._poll_s = dsn, frames, poll_s
        self._ranges: dict[str, Ranges] = {}
        self._done = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def samples(self) -> int:
        """Samples accounted for so far; raises what ended the watch."""
        if self._failure is not None:
            raise self._failure
        return self.seen.accounted[-1][1] if self.seen.accounted else 0

    def wait_for(self, samples: int, *, stalled_s: float = 60.0) -> None:
        """Return once so many samples are accounted for; TimeoutError when nothing moves for `stalled_s`."""
        moved, last = time.monotonic(), self.samples
        while (now := self.samples) < samples:
            if now != last:
                moved, last = time.monotonic(), now
            if time.monotonic() - moved > stalled_s:
                msg = f"{now} of {samples} samples are in the ledger after {stalled_s:.0f} s without progress"
                raise TimeoutError(msg)
            time.sleep(0.1)

    def _run(self) -> None:
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                connection.execute("SET plan_cache_mode = force_generic_plan")
                while not self._done.wait(self._poll_s):
                    self._look(connection)
        except Exception as error:  # noqa: BLE001 - raised by `samples`, which every scenario asks
            self._failure = error

    def _look(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        sequences = "sequences::text" if self._frames else "''"
        rows = connection.execute(
            f"SELECT gateway_id, {sequences}, stored + rejected + suppressed FROM ledger", prepare=True
        ).fetchall()
        now_us = ids.now_us()
        total = 0
        for gateway_id, text, samples in rows:
            total += int(str(samples))
            if self._frames:
                self._note(str(gateway_id), parse_ranges(str(text)), now_us)
        if rows and (not self.seen.accounted or self.seen.accounted[-1][1] != total):
            self.seen.accounted.append((now_us, total))

    def _note(self, gateway_id: str, ranges: Ranges, now_us: int) -> None:
        for sequence in fresh(self._ranges.get(gateway_id, ()), ranges):
            self.seen.readable_us[gateway_id, sequence] = now_us
        self._ranges[gateway_id] = ranges


def lag(sent: Sequence[tuple[int, int]], accounted: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Samples sent and not yet accounted for, at every time of `sent` ((time, total) each, ascending)."""
    found, place, total = [], 0, 0
    for at, so_far in sent:
        while place < len(accounted) and accounted[place][0] <= at:
            total = accounted[place][1]
            place += 1
        found.append((at, so_far - total))
    return found
