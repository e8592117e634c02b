"""When detectors are written to the state: once in an interval, staggered by device, within a budget per timer call.

None of them stalls the line then; a failure costs at most one interval of learning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stages.intake.lane_table import NEVER_US

SNAPSHOT_MS = 0.5
"""What a snapshot costs, measured for ten tags: the budget is counted, not clocked, so that state follows from inputs."""


class SnapshotBudget:
    """How many snapshots one timer call may make, over all lanes it serves."""

    __slots__ = ("_left",)

    def __init__(self, budget_ms: float) -> None:
        self._left = max(int(budget_ms / SNAPSHOT_MS), 1)

    def spend(self) -> bool:
        """Whether one more fits."""
        self._left -= 1
        return self._left >= 0


Owner = tuple[int, int]
"""Device, and window length in seconds: whose detector it is."""


class SnapshotSchedule:
    """When each detector of a lane is due, processing time. `next_us` is when the next one is, after `due` was exhausted."""

    def __init__(self, interval_s: float) -> None:
        self._interval_us = round(interval_s * 1e6)
        self._due_us: dict[Owner, int] = {}
        self.next_us = NEVER_US

    def forget(self, owner: Owner) -> None:
        """A detector is gone."""
        self._due_us.pop(owner, None)

    def due(self, learned: Iterable[Owner], now_us: int, budget: SnapshotBudget) -> Iterator[Owner]:
        """Those of the detectors that learned which are due, longest overdue first, as far as the budget goes."""
        overdue: list[tuple[int, Owner]] = []
        self.next_us = NEVER_US
        for owner in learned:
            due_us = self._due_us.get(owner)
            if due_us is None:
                # A fixed share of the interval by device: the devices of a plant do not all come at once.
                due_us = self._due_us[owner] = now_us + self._interval_us * (owner[0] * 37 % 64) // 64
            if now_us >= due_us:
                overdue.append((due_us, owner))
            else:
                self.next_us = min(self.next_us, due_us)
        for due_us, owner in sorted(overdue):
            if not budget.spend():
                self.next_us = due_us
                return
            yield owner
            self._due_us[owner] = now_us + self._interval_us
