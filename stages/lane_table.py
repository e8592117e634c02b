"""The registry of one lane, compiled to numpy tables: one slot per tag, a view per frame dictionary.

Built from the registry whenever a newer version is complete; read by validation, windows, latest values and detection.
A frame's dictionary (`tag_ids`) is nearly always the same as in the frame before, so its view (tables gathered in the
dictionary's order) is cached by its bytes and a sample costs one gather at most.

Slots are ordered by (device, tag), so the tags of a device lie together. A tag that a gateway sends on another lane
than the registry says (it was moved while frames were under way) is given a guest slot: judged like any other and
flagged for repair, but not folded into this lane's windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.registry import DataType, Registry, TagDefinition
from schemas.verdicts import Verdict

Index = slice | NDArray[np.intp]
"""How a frame's tags address arrays over slots: a slice when they lie together, so that numpy makes a view instead of a
copy.
"""

HUGE = float(np.finfo(np.float64).max)
NO_RATE = float("inf")
"""Change per microsecond that nothing exceeds; times a zero difference it is NaN, which nothing exceeds either."""
NEVER_US = 1 << 62
LARGEST_WHOLE = float(1 << 53)
_VIEWS = 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TagView:
    """Tables in the order of one frame dictionary: every array has shape (entries,).

    Slot T, one past the last, stands for tags without a slot.
    """

    slots: NDArray[np.intp]
    index: Index
    device: NDArray[np.intp]
    static: NDArray[np.uint8]
    remap: NDArray[np.intp] | None
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    whole_low: NDArray[np.float64]
    whole_high: NDArray[np.float64]
    eu_low: NDArray[np.float64]
    eu_high: NDArray[np.float64]
    tight_low: NDArray[np.float64]
    tight_high: NDArray[np.float64]
    whole: NDArray[np.bool_]
    rate_per_us: NDArray[np.float64]
    stuck_us: NDArray[np.int64]
    guest: NDArray[np.bool_]
    windowed: dict[int, NDArray[np.bool_]]
    windowed_all: dict[int, bool]
    any_static: bool
    any_whole: bool
    any_rate: bool
    any_stuck: bool
    any_guest: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LaneTable:
    """Tags of a lane.

    Arrays over slots have shape (T,); `devices` has shape (D,). Limits of a tag that has none are infinite in effect.
    """

    gateway_id: str
    lane: int
    tags: tuple[TagDefinition, ...]
    tag_id: NDArray[np.int32]
    device: NDArray[np.intp]
    devices: NDArray[np.int32]
    guest: NDArray[np.bool_]
    window_sizes_s: tuple[int, ...]
    smallest_window_s: NDArray[np.int64]
    slot_of: dict[int, int]
    _views: dict[tuple[str, bytes], TagView] = field(default_factory=dict)

    def view(self, tag_ids: NDArray[np.int32], site: str, registry: Registry) -> TagView:
        """View of a frame dictionary as sent from `site`; `registry` explains tags that have no slot."""
        key = (site, tag_ids.tobytes())
        found = self._views.get(key)
        if found is None:
            if len(self._views) >= _VIEWS:
                self._views.clear()
            found = self._views[key] = _compile_view(self, tag_ids, site, registry)
        return found

    def missing_guests(self, tag_ids: NDArray[np.int32], registry: Registry) -> list[TagDefinition]:
        """Tags of this gateway among `tag_ids` that belong to another lane and have no slot here yet."""
        found = (registry.tags.get(tag) for tag in tag_ids.tolist() if tag not in self.slot_of)
        return [tag for tag in found if tag is not None and tag.gateway_id == self.gateway_id and not tag.retired]


def compile_table(registry: Registry, gateway_id: str, lane: int, guests: Iterable[TagDefinition] = ()) -> LaneTable:
    """Table of a lane at the registry's present state. Retired tags have no slot."""
    own = {tag.tag_id: tag for tag in registry.lane_tags(gateway_id, lane) if not tag.retired}
    strangers = {tag.tag_id: tag for tag in guests if tag.tag_id not in own}
    tags = tuple(sorted((own | strangers).values(), key=lambda tag: (tag.device_id, tag.tag_id)))
    device_ids = np.array([tag.device_id for tag in tags], dtype=np.int32)
    devices, device = np.unique(device_ids, return_inverse=True)
    return LaneTable(
        gateway_id=gateway_id,
        lane=lane,
        tags=tags,
        tag_id=np.array([tag.tag_id for tag in tags], dtype=np.int32),
        device=device.astype(np.intp),
        devices=devices,
        guest=np.array([tag.tag_id in strangers for tag in tags], dtype=np.bool_),
        window_sizes_s=tuple(sorted({size for tag in own.values() for size in tag.windows_s})),
        smallest_window_s=np.array([min(tag.windows_s, default=0) for tag in tags], dtype=np.int64),
        slot_of={tag.tag_id: slot for slot, tag in enumerate(tags)},
    )


def _static_verdict(tag: TagDefinition | None, gateway_id: str, site: str) -> int:
    if tag is None or tag.retired:
        return Verdict.UNKNOWN_TAG
    return Verdict.GATEWAY_NOT_AUTHORISED if tag.gateway_id != gateway_id or tag.site != site else 0


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _compile_view(table: LaneTable, tag_ids: NDArray[np.int32], site: str, registry: Registry) -> TagView:
    ids = tag_ids.tolist()
    absent = len(table.tags)
    slots = np.array([table.slot_of.get(tag, absent) for tag in ids], dtype=np.intp)
    tags = [table.tags[slot] if slot < absent else None for slot in slots.tolist()]
    static = np.array(
        [
            _static_verdict(tag or registry.tags.get(i), table.gateway_id, site)
            for tag, i in zip(tags, ids, strict=True)
        ],
        dtype=np.uint8,
    )
    # A tag without a slot and without a static verdict would be a guest nobody asked for; refuse rather than fold it nowhere.
    static[(slots == absent) & (static == 0)] = Verdict.UNKNOWN_TAG
    first_of: dict[int, int] = {}
    canonical = np.array([first_of.setdefault(tag, at) for at, tag in enumerate(ids)], dtype=np.intp)
    types = [tag.data_type if tag else DataType.DOUBLE for tag in tags]
    low = np.array([_or(tag.limit_low if tag else None, -HUGE) for tag in tags])
    high = np.array([_or(tag.limit_high if tag else None, HUGE) for tag in tags])
    eu_low = np.array([_or(tag.eu_low if tag else None, -HUGE) for tag in tags])
    eu_high = np.array([_or(tag.eu_high if tag else None, HUGE) for tag in tags])
    whole_range = {
        DataType.DOUBLE: (-HUGE, HUGE),
        DataType.INTEGER: (-LARGEST_WHOLE, LARGEST_WHOLE),
        DataType.BOOLEAN: (0.0, 1.0),
    }
    whole_low = np.array([whole_range[kind][0] for kind in types])
    whole_high = np.array([whole_range[kind][1] for kind in types])
    whole = np.array([kind is not DataType.DOUBLE for kind in types], dtype=np.bool_)
    rate = np.array([NO_RATE if tag is None or tag.max_rate is None else tag.max_rate / 1e6 for tag in tags])
    stuck = np.array(
        [NEVER_US if tag is None or tag.stuck_after_s is None else round(tag.stuck_after_s * 1e6) for tag in tags],
        dtype=np.int64,
    )
    guest = np.append(table.guest, False)[slots]
    windowed = {
        size: np.array([tag is not None and size in tag.windows_s for tag in tags], dtype=np.bool_) & ~guest
        for size in table.window_sizes_s
    }
    return TagView(
        slots=slots,
        index=as_index(slots),
        device=np.append(table.device, 0)[slots],
        static=static,
        remap=None if len(first_of) == len(ids) else canonical,
        low=low,
        high=high,
        whole_low=whole_low,
        whole_high=whole_high,
        eu_low=eu_low,
        eu_high=eu_high,
        tight_low=np.maximum(np.maximum(low, eu_low), whole_low),
        tight_high=np.minimum(np.minimum(high, eu_high), whole_high),
        whole=whole,
        rate_per_us=rate,
        stuck_us=stuck,
        guest=guest,
        windowed=windowed,
        windowed_all={size: bool(mask.all()) for size, mask in windowed.items()},
        any_static=bool(static.any()),
        any_whole=bool(whole.any()),
        any_rate=bool((rate < NO_RATE).any()),
        any_stuck=bool((stuck < NEVER_US).any()),
        any_guest=bool(guest.any()),
    )


def as_index(slots: NDArray[np.intp]) -> Index:
    """The same slots as a slice when they are consecutive."""
    if len(slots) and (np.diff(slots) == 1).all():
        return slice(int(slots[0]), int(slots[-1]) + 1)
    return slots
