"""Event-time windows of one lane: exact under disorder, duplicates and replay, whatever the other devices' clocks say.

Every device has a clock of its own: the newest accepted source time of its LIVE samples. A window of a device is
emitted when that clock has passed its end, and again, with more samples, when late ones arrive. Once the clock is
`lateness` past its end the window leaves the state; what still comes for it is flagged LATE, and the historian
recomputes it from the samples. Lateness is judged against the clock before the frame, so samples inside one frame never
make one another late. A silent device's clock runs on with processing time, some seconds behind, to emit what is open;
that is harmless when the device comes back, since the same window is simply emitted again.

State: one packed array per (window length, start), with a column per tag of the lane (`stages.windows.algebra`), and a row
that says how many samples the last emission had folded: a window is pending when it has folded more. Callers are
`stages.telemetry.lane` (fold, close) and `stages.detection` (reads what closed).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.config import WindowConfig
from stages.intake.lane_table import NEVER_US, Index, LaneTable, TagView
from stages.intake.segments import Segments
from stages.validation.checks import Judgement
from stages.windows import algebra as aggregates
from stages.windows.algebra import COUNT, Runs, merge, summarise
from stages.windows.device_clocks import DeviceClocks

EMITTED = aggregates.ROWS
BLOCK_ROWS = aggregates.ROWS + 1
LAYOUT = 1
BlockKey = tuple[int, int]
"""Window length in seconds, start in microseconds UTC."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Closed:
    """Windows of one length and start that are to be emitted.

    `slots` (k,) of the lane table, -1 for tags that left it; `rows` (14, k); `fresh` (k,): emitted for the first time.
    """

    size_s: int
    start_us: int
    tag_id: NDArray[np.int32]
    slots: NDArray[np.intp]
    rows: NDArray[np.int64]
    fresh: NDArray[np.bool_]


class Block:
    """One window of all tags of the lane: `rows` shape (15, T).

    `pending`: some tag may have more samples than were emitted.
    """

    __slots__ = ("pending", "rows")

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self.pending = True

    def fold(self, index: Index, part: NDArray[np.int64]) -> None:
        """Merge partials, shape (14, p), into the columns at `index`."""
        if isinstance(index, slice):
            merge(self.rows[:, index], part)
        else:
            columns = self.rows.take(index, axis=1)
            merge(columns, part)
            self.rows[:, index] = columns
        self.pending = True

    def take(self, wanted: NDArray[np.bool_] | None, key: BlockKey, tag_id: NDArray[np.int32]) -> Closed | None:
        """Pending windows among the `wanted` slots, shape (T,) (None: all), marked as emitted.

        None when there are none.
        """
        pending = self.rows[COUNT] > self.rows[EMITTED]
        due = pending if wanted is None else pending & wanted
        slots = np.flatnonzero(due)
        self.pending = wanted is not None and int(np.count_nonzero(pending)) > len(slots)
        if not len(slots):
            return None
        rows = self.rows[: aggregates.ROWS].take(slots, axis=1)
        fresh = self.rows[EMITTED, slots] == 0
        self.rows[EMITTED, slots] = rows[COUNT]
        return Closed(size_s=key[0], start_us=key[1], tag_id=tag_id[slots], slots=slots, rows=rows, fresh=fresh)


def empty_block(slots: int) -> Block:
    """Block that has seen nothing."""
    rows = np.zeros((BLOCK_ROWS, slots), dtype=np.int64)
    rows[: aggregates.ROWS] = aggregates.IDENTITY[:, None]
    return Block(rows)


class LaneWindows:
    """Open and restatable windows of one lane.

    `changed` has the keys of blocks touched or removed since it was last cleared.
    """

    def __init__(self, table: LaneTable, config: WindowConfig) -> None:
        self.table = table
        self.config = config
        self.clocks = DeviceClocks(table.devices)
        self.blocks: dict[BlockKey, Block] = {}
        self.changed: set[BlockKey] = set()
        self._delay_us = round(config.close_delay_s * 1e6)
        self._next_idle_us = 0

    @property
    def idle_due_us(self) -> int:
        """Processing time before which `close_idle` finds nothing."""
        return self._next_idle_us

    def lateness_us(self, size_s: int) -> int:
        """How long windows of a length can be restated, microseconds of their device's clock."""
        return round(self.config.lateness_by_window_s.get(str(size_s), self.config.lateness_s) * 1e6)

    def none_late_by_another(self, segments: Segments, view: TagView) -> bool:
        """Whether no sample of these can be late because another of them moved its device's clock."""
        lateness_us = min(map(self.lateness_us, self.table.window_sizes_s), default=NEVER_US)
        first_us, last_us = segments.time_us[segments.starts], segments.time_us[segments.starts + segments.counts - 1]
        if int(last_us.max()) - int(first_us.min()) < lateness_us:
            return True
        device = view.device if segments.present is None else view.device[segments.present]
        low, high = np.full(len(self.table.devices), np.inf), np.full(len(self.table.devices), -np.inf)
        np.minimum.at(low, device, first_us)
        np.maximum.at(high, device, last_us)
        return bool((high - low < lateness_us).all())

    def fold(self, segments: Segments, view: TagView, judgement: Judgement, now_us: int) -> NDArray[np.bool_] | None:
        """Fold the accepted samples of a LIVE stretch in.

        The mask, shape (n,) in sorted order, of those too late for one of their windows, or None.
        """
        keep = judgement.accepted
        if view.any_guest:
            own = ~view.guest[segments.entry]
            keep = own if keep is None else keep & own
        if keep is not None and not keep.any():
            return None
        late: NDArray[np.bool_] | None = None
        whole = _Whole(segments, view, judgement.good, None if keep is None else np.flatnonzero(keep))
        with np.errstate(all="ignore"):  # values near the end of the double range may overflow their m2
            for size_s in self.table.window_sizes_s:
                late_here = _SizeFold(self, whole, size_s).run()
                if late_here is not None:
                    late = late_here if late is None else late | late_here
        self._advance(segments, view, keep, now_us)
        return late

    def _advance(self, segments: Segments, view: TagView, keep: NDArray[np.bool_] | None, now_us: int) -> None:
        if keep is None:
            device = view.device if segments.present is None else view.device[segments.present]
            self.clocks.advance(device, segments.time_us[segments.starts + segments.counts - 1], now_us)
        else:
            kept = np.flatnonzero(keep)
            self.clocks.advance(view.device[segments.entry[kept]], segments.time_us[kept], now_us)
        self._next_idle_us = min(self._next_idle_us, now_us + round(self.config.idle_s * 1e6))

    def block(self, key: BlockKey) -> Block:
        """Block to fold into, made when it is new."""
        self.changed.add(key)
        found = self.blocks.get(key)
        if found is None:
            found = self.blocks[key] = empty_block(len(self.table.tags))
        return found

    def close(self) -> list[Closed]:
        """Windows whose device's clock has passed their end; forgets those beyond restatement."""
        newest_us = self.clocks.newest_us
        closed = []
        for key, block in self.blocks.items():
            due_us = self._due_us(key)
            if block.pending and due_us <= newest_us:
                closed.append(self._take(key, block, self.clocks.clock_us >= due_us))
        found = [each for each in closed if each is not None]
        if found:
            self._forget()
        return found

    def close_idle(self, now_us: int) -> list[Closed]:
        """Windows of silent devices, whose clocks run on with processing time. Costs nothing until `idle_due_us`."""
        self.clocks.alive_since(now_us)
        if now_us < self._next_idle_us:
            return []
        idle_us = round(self.config.idle_s * 1e6)
        running_us = self.clocks.running_us(now_us, idle_us)
        closed = []
        for key, block in self.blocks.items():
            if block.pending:
                closed.append(self._take(key, block, running_us >= self._due_us(key)))
        if self.clocks.forget_silent(running_us, now_us, round(self.config.forget_idle_s * 1e6), self._last_end_us()):
            self._forget()
        self._next_idle_us = now_us + min(max(self._idle_wait_us(running_us), min(idle_us, 1_000_000)), idle_us)
        return [each for each in closed if each is not None]

    def _due_us(self, key: BlockKey) -> int:
        """What a device's clock has to reach for this window to be emitted first."""
        size_s, start_us = key
        return start_us + size_s * 1_000_000 + self._delay_us

    def _idle_wait_us(self, running_us: NDArray[np.int64]) -> int:
        """How long until a silent device's clock can have passed the end of a pending window: it runs one second per second."""
        wait_us = NEVER_US
        for key, block in self.blocks.items():
            if block.pending:
                left_us = self._due_us(key) - running_us
                # Devices without any clock yet are that far away that they never count.
                wait_us = min(wait_us, int(left_us.min(where=left_us > 0, initial=NEVER_US)))
        return wait_us

    def close_all(self) -> list[Closed]:
        """Everything pending, at the end of a bounded input."""
        taken = [self._take(key, block, None) for key, block in self.blocks.items() if block.pending]
        return [each for each in taken if each is not None]

    def _take(self, key: BlockKey, block: Block, due: NDArray[np.bool_] | None) -> Closed | None:
        """`due` is per device, shape (D,)."""
        wanted = None if due is None or due.all() else due[self.table.device]
        closed = block.take(wanted, key, self.table.tag_id)
        if closed is not None:
            self.changed.add(key)
        return closed

    def _last_end_us(self) -> int:
        return max((start_us + size_s * 1_000_000 for size_s, start_us in self.blocks), default=0)

    def _forget(self) -> None:
        """Drop blocks that no device can restate any more."""
        for key in list(self.blocks):
            size_s, start_us = key
            end_us = start_us + size_s * 1_000_000
            block = self.blocks[key]
            if block.pending:
                continue
            floor_us = self.clocks.floor_us(self.lateness_us(size_s))
            if (floor_us >= end_us).all() or (floor_us[self.table.device[block.rows[COUNT] > 0]] >= end_us).all():
                del self.blocks[key]
                self.changed.add(key)

    def relayout(self, table: LaneTable) -> list[Closed]:
        """Follow a new table. Pending windows of tags that leave it are emitted now."""
        before, self.table = self.table.tag_id, table
        blocks, self.blocks = self.blocks, {}
        self.clocks = self.clocks.relayout(table.devices)
        placed = [self._place(key, block.rows, before) for key, block in blocks.items()]
        self.changed |= blocks.keys()
        return [each for each in placed if each is not None]

    def _place(self, key: BlockKey, rows: NDArray[np.int64], tag_id: NDArray[np.int32]) -> Closed | None:
        """Put a block with columns for `tag_id` in, laid out for the table; what was pending of tags without a slot."""
        slots = self.table.slots_of(tag_id)
        stays = slots < len(self.table.tags)
        closed = Block(rows).take(~stays, key, tag_id)
        block = empty_block(len(self.table.tags))
        block.rows[:, slots[stays]] = rows[:, stays]
        if block.rows[COUNT].any():
            self.blocks[key] = block
        return (
            None
            if closed is None
            else dataclasses.replace(closed, slots=np.full_like(closed.slots, -1), fresh=np.zeros_like(closed.fresh))
        )

    def block_bytes(self, key: BlockKey) -> bytes | None:
        """State part of a block: the columns that have samples; None when it is gone."""
        block = self.blocks.get(key)
        if block is None:
            return None
        filled = block.rows[COUNT] > 0
        if filled.all():
            return packing.pack(LAYOUT, None, self.table.tag_id, block.rows)
        return packing.pack(LAYOUT, None, self.table.tag_id[filled], block.rows[:, filled])

    def restore_block(self, key: BlockKey, data: bytes) -> Closed | None:
        """Put a state part back; what was pending of tags that have left the lane since."""
        _, (tag_id, rows) = packing.unpack(data, LAYOUT, "window")
        return self._place(key, rows, tag_id)


class _Whole:
    """A stretch's samples that are folded, `chosen` (None: all). Window lengths that they fit in share their partials by tag."""

    def __init__(
        self,
        segments: Segments,
        view: TagView,
        good: NDArray[np.bool_] | None,
        chosen: NDArray[np.intp] | None,
    ) -> None:
        self.segments, self.view, self.chosen = segments, view, chosen
        self._good = good
        self._by_tag: tuple[Index, NDArray[np.int64]] | None = None

    def by_tag(self, chosen: NDArray[np.intp] | None) -> tuple[Index, NDArray[np.int64]]:
        """Columns and partials of chosen samples, all of which lie in one window: the runs are the tags."""
        if chosen is not self.chosen:
            return self._summarise(chosen)
        if self._by_tag is None:
            self._by_tag = self._summarise(chosen)
        return self._by_tag

    def _summarise(self, chosen: NDArray[np.intp] | None) -> tuple[Index, NDArray[np.int64]]:
        segments, view = self.segments, self.view
        if chosen is None:
            index = view.index if segments.present is None else view.slots[segments.present]
            return index, summarise(self.runs(None, segments.starts, segments.counts))
        entry = segments.entry[chosen]
        starts = _starts(entry[1:] != entry[:-1])
        return view.slots[entry[starts]], summarise(self.runs(chosen, starts, np.diff(starts, append=len(entry))))

    def runs(self, chosen: NDArray[np.intp] | None, starts: NDArray[np.intp], counts: NDArray[np.intp]) -> Runs:
        """Runs of chosen samples."""
        segments, good = self.segments, self._good
        time_us, value, rank = segments.time_us, segments.value, segments.rank
        if chosen is not None:
            time_us, value, rank = time_us[chosen], value[chosen], rank[chosen]
            good = None if good is None else good[chosen]
        return Runs(starts=starts, counts=counts, time_us=time_us, value=value, rank=rank, good=good)


class _SizeFold:
    """Folding of one stretch into the windows of one length."""

    def __init__(self, windows: LaneWindows, whole: _Whole, size_s: int) -> None:
        self.windows, self.whole = windows, whole
        self.segments, self.view = whole.segments, whole.view
        self.size_s = size_s
        self.size_us = size_s * 1_000_000

    def run(self) -> NDArray[np.bool_] | None:
        """Mask of late samples, shape (n,) in sorted order, or None."""
        chosen = self._windowed()
        if chosen is not None and not len(chosen):
            return None
        time_us = self.segments.time_us if chosen is None else self.segments.time_us[chosen]
        oldest_us, newest_us = int(time_us.min()), int(time_us.max())
        late = None
        clocks = self.windows.clocks
        lateness_us = self.windows.lateness_us(self.size_s)
        if oldest_us < clocks.highest_floor_us(lateness_us):
            late, chosen = self._drop_late(chosen, time_us, clocks.floor_us(lateness_us))
            if not len(chosen):
                return late
            time_us = self.segments.time_us[chosen]
            oldest_us, newest_us = int(time_us.min()), int(time_us.max())
        number = oldest_us // self.size_us
        if number == newest_us // self.size_us:
            self.windows.block((self.size_s, number * self.size_us)).fold(*self.whole.by_tag(chosen))
        else:
            self._fold_many(chosen, time_us)
        return late

    def _windowed(self) -> NDArray[np.intp] | None:
        """Chosen samples of tags that have windows of this length."""
        chosen = self.whole.chosen
        if self.view.windowed_all[self.size_s]:
            return chosen
        mine = self.view.windowed[self.size_s][self.segments.entry]
        return np.flatnonzero(mine) if chosen is None else chosen[mine[chosen]]

    def _drop_late(
        self, chosen: NDArray[np.intp] | None, time_us: NDArray[np.int64], floor_us: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_] | None, NDArray[np.intp]]:
        if chosen is None:
            chosen = np.arange(self.segments.samples)
        end_us = (time_us // self.size_us + 1) * self.size_us
        too_late = end_us <= floor_us[self.view.device[self.segments.entry[chosen]]]
        if not too_late.any():
            return None, chosen
        late = np.zeros(self.segments.samples, dtype=np.bool_)
        late[chosen[too_late]] = True
        return late, chosen[~too_late]

    def _fold_many(self, chosen: NDArray[np.intp] | None, time_us: NDArray[np.int64]) -> None:
        entry = self.segments.entry if chosen is None else self.segments.entry[chosen]
        number = time_us // self.size_us
        starts = _starts((entry[1:] != entry[:-1]) | (number[1:] != number[:-1]))
        part = summarise(self.whole.runs(chosen, starts, np.diff(starts, append=len(entry))))
        slots, number = self.view.slots[entry[starts]], number[starts]
        order = np.argsort(number, kind="stable")
        bounds = _starts(number[order][1:] != number[order][:-1]).tolist()
        for start, stop in zip(bounds, [*bounds[1:], len(order)], strict=True):
            mine = order[start:stop]
            key = (self.size_s, int(number[mine[0]]) * self.size_us)
            self.windows.block(key).fold(slots[mine], part.take(mine, axis=1))


def _starts(changes: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Starts of runs, given whether each sample but the first begins one."""
    return np.concatenate((np.zeros(1, dtype=np.intp), np.flatnonzero(changes) + 1))
