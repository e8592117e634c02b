"""Notifications -> readings: source time, value as it came, quality.

The hot loop of the connector: about 2 µs a sample beside asyncua's decoding. A first notification that repeats the
last sample is no new one. A node that is gone says so once. A value without a source time has the server's, or else the
gateway's; the item says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua

from base.ids import Clock
from connectors.opcua.items import Item
from connectors.opcua.plain import PLAIN, plain
from connectors.readings import Readings, Seen
from schemas.definitions import TagDefinition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
# OPC 10000-4, 7.39.1: InfoType DataValue (bits 10-11 = 01) with the Overflow bit (7).
_INFO_MASK, _OVERFLOW = 0x0C80, 0x0480
_CODE_MASK, _SEMANTICS_CHANGED = 0xFFFF_0000, 0x4000
GONE = frozenset({ua.StatusCodes.BadNodeIdUnknown, ua.StatusCodes.BadNodeIdInvalid})
"""Status of an item whose node is not there any more: the item is dead, even if the node comes back."""


@dataclass(slots=True)
class Taken:
    """What a message said besides values. `overflowed`: tag, time before and time behind the loss. `other`: handles of no tag.

    `timed`: items whose times come from somewhere else than before. `semantics`: items whose range or unit has changed.
    """

    repeated: list[Item] = field(default_factory=list)
    overflowed: list[tuple[TagDefinition, int, int]] = field(default_factory=list)
    gone: list[Item] = field(default_factory=list)
    other: list[int] = field(default_factory=list)
    timed: list[Item] = field(default_factory=list)
    semantics: list[Item] = field(default_factory=list)


def take(notified: Iterable[Any], items: Mapping[int, Item], readings: Readings, clock: Clock) -> Taken:
    """Add the samples of ua.MonitoredItemNotifications to `readings`, in their order."""
    taken = Taken()
    tag_ids, times, values, qualities = readings.tag_id, readings.time_us, readings.value, readings.quality
    for one in notified:
        item = items.get(one.ClientHandle)
        if item is None:
            taken.other.append(one.ClientHandle)
            continue
        data = one.Value
        source = data.SourceTimestamp
        time_us = _other_time(item, data, taken, clock) if source is None else (source - _EPOCH) // _US
        status = data.StatusCode.value if data.StatusCode is not None else 0
        if status:
            if status & _CODE_MASK in GONE:
                if item.gone:
                    continue
                item.gone = True
                taken.gone.append(item)
            if status & _SEMANTICS_CHANGED:
                taken.semantics.append(item)
        value = item.value = data.Value.Value if data.Value is not None else None
        shown = value if type(value) in PLAIN and not item.path else plain(value, item.path, item.explain)
        code = (status >> 16) & 0xFFFF
        if item.fresh:
            item.fresh = False
            item.gone = item.gone and bool(status)
            item.variant_type = data.Value.VariantType if data.Value is not None else None
            if time_us == item.last.time_us and item.last.repeats(shown, code):
                taken.repeated.append(item)
                continue
        if status & _INFO_MASK == _OVERFLOW:
            taken.overflowed.append((item.tag, item.last.time_us, time_us))
        item.last = Seen.of(time_us, shown, code)
        tag_ids.append(item.tag.tag_id)
        times.append(time_us)
        values.append(shown)
        qualities.append(code)
    return taken


def _other_time(item: Item, data: Any, taken: Taken, clock: Clock) -> int:
    """Time of a value without a source time, in microseconds."""
    stamp = data.ServerTimestamp
    origin = "gateway" if stamp is None else "server"
    if item.time_source != origin and data.StatusCode is not None and data.StatusCode.is_good():
        item.time_source = origin
        taken.timed.append(item)
    return clock() if stamp is None else int((stamp - _EPOCH) // _US)
