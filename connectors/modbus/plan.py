"""Which tags are read with one request: neighbours in one table of one unit with one period. Pure functions.

A request reads from the first entry of its tags to the last, holes included. It ends where the next hole would be larger than
`max_hole`, or the request larger than the protocol (or the device) allows. A request that a device refuses is divided at its largest hole
and each half is tried, until the tag that it refuses is alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from connectors.modbus.address import Point
from schemas.definitions import TagDefinition


@dataclass(frozen=True, slots=True)
class Item:
    """A tag and where it is."""

    tag: TagDefinition
    point: Point


@dataclass(frozen=True, slots=True)
class Block:
    """What one request reads: items in the order of their addresses, all of one unit, table and period."""

    items: tuple[Item, ...]

    @property
    def unit(self) -> int:
        """Unit of all items."""
        return self.items[0].point.unit

    @property
    def period_us(self) -> int:
        """Period of all items."""
        return _sampling_ms(self.items[0]) * 1000

    @property
    def start(self) -> int:
        """First entry."""
        return self.items[0].point.start

    @property
    def count(self) -> int:
        """Number of entries."""
        return max(item.point.end for item in self.items) - self.start

    def halves(self) -> tuple[Block, Block]:
        """Two blocks of the same items, divided at the largest hole, or in the middle when there is none."""
        items = self.items
        ends = [max(item.point.end for item in items[: at + 1]) for at in range(len(items) - 1)]
        holes = [items[at + 1].point.start - end for at, end in enumerate(ends)]
        at = holes.index(max(holes)) + 1 if max(holes) > 0 else len(items) // 2
        return Block(items[:at]), Block(items[at:])


def blocks(items: Iterable[Item], *, max_registers: int, max_bits: int, max_hole: int) -> list[Block]:
    """Blocks that read all items."""
    found: list[Block] = []
    group: list[Item] = []
    end = 0
    for item in sorted(items, key=_key):
        point = item.point
        limit = max_bits if point.table.of_bits else max_registers
        fits = (
            bool(group)
            and _group(item) == _group(group[0])
            and point.start - end <= max_hole
            and max(end, point.end) - group[0].point.start <= limit
        )
        if not fits:
            found += [Block(tuple(group))] if group else []
            group, end = [], 0
        group.append(item)
        end = max(end, point.end)
    return [*found, Block(tuple(group))] if group else found


def _sampling_ms(item: Item) -> int:
    return item.tag.sampling_ms or item.tag.period_ms


def _group(item: Item) -> tuple[int, str, int]:
    return item.point.unit, item.point.table.value, _sampling_ms(item)


def _key(item: Item) -> tuple[tuple[int, str, int], int, int, int]:
    return _group(item), item.point.start, item.point.count, item.tag.tag_id
