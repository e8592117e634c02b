"""Event-time windows of one lane: exact under disorder, duplicates and replay, whatever the other devices' clocks say.

Every device has a clock of its own: the newest accepted source time of its LIVE samples. A window of a device is
emitted when that clock has passed its end, and again, with more samples, when late ones arrive. Once the clock is
`lateness` past its end the window leaves the state; what still comes for it is flagged LATE, and the historian
recomputes it from the samples. Lateness is measured against the clock before the frame, so samples inside one frame
never make one another late. A silent device's clock runs on with processing time, some seconds behind, to emit what is
open; that is harmless when the device comes back, since the same window is simply emitted again.

State: a block per (window length, start), see `stages.windows.block`. `stages.telemetry.frame_path` folds and closes,
`stages.detection` reads what closed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stages.config import WindowConfig
from stages.intake.lane_table import NEVER_US, LaneTable, TagView
from stages.intake.segments import Segments
from stages.validation.checks import Verdicts
from stages.windows.algebra import COUNT
from stages.windows.block import Block, BlockKey, Closed, empty_block, from_bytes, to_bytes
from stages.windows.device_clocks import DeviceClocks
from stages.windows.folding import Samples, SizeFold


class LaneWindows:
    """Open and restatable windows of one lane, with the clocks of its devices; a part of its state."""

    kinds: ClassVar[tuple[str, ...]] = ("window", "clocks")
    by_tag: ClassVar[bool] = True

    def __init__(self, table: LaneTable, config: WindowConfig) -> None:
        self.table = table
        self.config = config
        self.clocks = DeviceClocks(table.devices)
        self.blocks: dict[BlockKey, Block] = {}
        self._changed: set[BlockKey] = set()
        self._departed: list[Closed] = []
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

    def fold(self, segments: Segments, view: TagView, verdicts: Verdicts, now_us: int) -> NDArray[np.bool_] | None:
        """Fold the accepted samples of a LIVE micro-batch in.

        The mask, shape (n,) in sorted order, of those too late for one of their windows, or None.
        """
        keep = verdicts.accepted
        if view.any_foreign:
            own = ~view.foreign[segments.entry]
            keep = own if keep is None else keep & own
        if keep is not None and not keep.any():
            return None
        late: NDArray[np.bool_] | None = None
        samples = Samples(segments, view, verdicts.good, None if keep is None else np.flatnonzero(keep))
        with np.errstate(all="ignore"):  # values near the end of the double range may overflow their m2
            for size_s in self.table.window_sizes_s:
                late_here = SizeFold(self, samples, size_s).run()
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
        self._changed.add(key)
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
                closed.append(self._close(key, block, self.clocks.clock_us >= due_us))
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
                closed.append(self._close(key, block, running_us >= self._due_us(key)))
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
        closed = [self._close(key, block, None) for key, block in self.blocks.items() if block.pending]
        return [each for each in closed if each is not None]

    def _close(self, key: BlockKey, block: Block, due: NDArray[np.bool_] | None) -> Closed | None:
        """`due` is per device, shape (D,)."""
        wanted = None if due is None or due.all() else due[self.table.device]
        closed = block.close(wanted, key, self.table.tag_id)
        if closed is not None:
            self._changed.add(key)
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
                self._changed.add(key)

    # --- state -------------------------------------------------------------------------------------------------------

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart: one entry per block, one for the clocks."""
        changes: dict[str, bytes | None] = {}
        for key in self._changed:
            found = self.blocks.get(key)
            changes[f"window/{key[0]}/{key[1]}"] = None if found is None else to_bytes(found, self.table.tag_id)
        self._changed.clear()
        if self.clocks.changed:
            changes["clocks"] = self.clocks.to_bytes()
            self.clocks.changed = False
        return changes

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart. What was pending of tags that have left since departs."""
        for name, data in entries.items():
            kind, _, which = name.partition("/")
            if kind == "clocks":
                self.clocks = DeviceClocks.from_bytes(data).relayout(self.table.devices)
                self.clocks.changed = False
            else:
                size_s, _, start_us = which.partition("/")
                tag_id, rows = from_bytes(data)
                self._place((int(size_s), int(start_us)), rows, tag_id)

    def relayout(self, table: LaneTable) -> None:
        """See StatePart. Pending windows of tags that leave depart."""
        before, self.table = self.table.tag_id, table
        blocks, self.blocks = self.blocks, {}
        self.clocks = self.clocks.relayout(table.devices)
        for key, block in blocks.items():
            self._place(key, block.rows, before)
        self._changed |= blocks.keys()

    def drain_departed(self) -> list[Closed]:
        """Pending windows of tags that left the lane; nothing of them is kept, so they have to be emitted now."""
        departed, self._departed = self._departed, []
        return departed

    def _place(self, key: BlockKey, rows: NDArray[np.int64], tag_id: NDArray[np.int32]) -> None:
        """Put a block with columns for `tag_id` in, laid out for the table."""
        slots = self.table.slots_of(tag_id)
        stays = slots < len(self.table.tags)
        closed = Block(rows).close(~stays, key, tag_id)
        if closed is not None:
            nowhere, not_fresh = np.full_like(closed.slots, -1), np.zeros_like(closed.fresh)
            self._departed.append(dataclasses.replace(closed, slots=nowhere, fresh=not_fresh))
        block = empty_block(len(self.table.tags))
        block.rows[:, slots[stays]] = rows[:, stays]
        if block.rows[COUNT].any():
            self.blocks[key] = block
