"""The registry of one lane, compiled to numpy tables: one slot per tag, a view per frame dictionary.

Built from the registry whenever a newer version is complete; read by validation, windows, latest values and detection.
A view is the tables gathered in the order of a frame's dictionary (`tag_ids`), so that a sample costs one gather at
most. Recent ones are cached by the dictionary's bytes; but where tags report by exception, or one sample is missing
here and there, dictionaries hardly ever repeat, so making one must not cost Python per tag.

Slots are ordered by (device, tag), so the tags of a device lie together. A tag that a gateway sends on another lane
than the registry says (it was moved while frames were under way) is foreign: it gets a slot, is validated like any other
and flagged for repair, but is not folded into this lane's windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.definitions import DataType, Registry, TagDefinition
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
_VIEWS = 8
"""Dictionaries remembered. A lane whose tags take turns has a few; a plant has a thousand lanes."""


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
    foreign: NDArray[np.bool_]
    windowed: dict[int, NDArray[np.bool_]]
    windowed_all: dict[int, bool]
    any_static: bool
    any_whole: bool
    any_rate: bool
    any_stuck: bool
    any_foreign: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Rules:
    """What the registry says of each slot, and of slot T, which has no tag: arrays of shape (T + 1,)."""

    numbers: NDArray[np.float64]
    """Shape (9, T + 1): the rows are the float columns of TagView from `low` to `rate_per_us`, in its order."""
    stuck_us: NDArray[np.int64]
    whole: NDArray[np.bool_]
    device: NDArray[np.intp]
    foreign: NDArray[np.bool_]
    windowed: dict[int, NDArray[np.bool_]]


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
    foreign: NDArray[np.bool_]
    window_sizes_s: tuple[int, ...]
    smallest_window_s: NDArray[np.int64]
    _rules: _Rules
    _by_id: NDArray[np.intp]
    """Slots in the order of their tag ids."""
    _static: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    _views: dict[tuple[str, bytes], TagView] = field(default_factory=dict)

    def view(self, tag_ids: NDArray[np.int32], site: str, registry: Registry) -> TagView:
        """View of a frame dictionary as sent from `site`; `registry` explains tags that have no slot."""
        key = (site, tag_ids.tobytes())
        found = self._views.pop(key, None)
        if found is None:
            found = self._make_view(tag_ids, site, registry)
            if len(self._views) >= _VIEWS:
                del self._views[next(iter(self._views))]
        self._views[key] = found  # at the end: the first is the one not used for longest
        return found

    def slots_of(self, tag_ids: NDArray[np.int32]) -> NDArray[np.intp]:
        """Slot of each tag, shape of `tag_ids`; T where it has none."""
        if not len(self.tags):
            return np.zeros(len(tag_ids), dtype=np.intp)
        at = np.searchsorted(self.tag_id, tag_ids, sorter=self._by_id)
        slots = self._by_id.take(at, mode="clip")
        return np.where(self.tag_id[slots] == tag_ids, slots, len(self.tags))

    def old_of_new(self, tag_ids: NDArray[np.int32]) -> NDArray[np.intp]:
        """For a layout by `tag_ids`, of shape (k,): position in it of each slot's tag, shape (T,), -1 for none."""
        slots = self.slots_of(tag_ids)
        stays = np.flatnonzero(slots < len(self.tags))
        old_of_new = np.full(len(self.tags), -1, dtype=np.intp)
        old_of_new[slots[stays]] = stays
        return old_of_new

    @property
    def foreign_tags(self) -> list[TagDefinition]:
        """Tags with a slot that belong to another lane."""
        return [tag for tag, foreign in zip(self.tags, self.foreign, strict=True) if foreign]

    def missing_foreign(self, tag_ids: NDArray[np.int32], registry: Registry) -> list[TagDefinition]:
        """Tags of this gateway among `tag_ids` that belong to another lane and have no slot here yet."""
        found = map(registry.tags.get, tag_ids[self.slots_of(tag_ids) == len(self.tags)].tolist())
        return [tag for tag in found if tag is not None and tag.gateway_id == self.gateway_id and not tag.retired]

    def _make_view(self, tag_ids: NDArray[np.int32], site: str, registry: Registry) -> TagView:
        rules, slots = self._rules, self.slots_of(tag_ids)
        index = as_index(slots)
        static = self._static_at(site)[slots]
        for at in np.flatnonzero(slots == len(self.tags)).tolist():
            # A tag without a slot and without a static verdict would be a foreign one nobody asked for: refuse, fold it nowhere.
            tag = registry.tags.get(int(tag_ids[at]))
            static[at] = _static_verdict(tag, self.gateway_id, site) or Verdict.UNKNOWN_TAG
        numbers = rules.numbers[:, index] if isinstance(index, slice) else rules.numbers.take(index, axis=1)
        low, high, whole_low, whole_high, eu_low, eu_high, tight_low, tight_high, rate_per_us = numbers
        stuck_us, whole, foreign = rules.stuck_us[index], rules.whole[index], rules.foreign[index]
        windowed = {size: mask[index] for size, mask in rules.windowed.items()}
        return TagView(
            slots=slots,
            index=index,
            device=rules.device[index],
            static=static,
            remap=_remap(tag_ids),
            low=low,
            high=high,
            whole_low=whole_low,
            whole_high=whole_high,
            eu_low=eu_low,
            eu_high=eu_high,
            tight_low=tight_low,
            tight_high=tight_high,
            whole=whole,
            rate_per_us=rate_per_us,
            stuck_us=stuck_us,
            foreign=foreign,
            windowed=windowed,
            windowed_all={size: bool(mask.all()) for size, mask in windowed.items()},
            any_static=bool(static.any()),
            any_whole=bool(whole.any()),
            any_rate=bool((rate_per_us < NO_RATE).any()),
            any_stuck=bool((stuck_us < NEVER_US).any()),
            any_foreign=bool(foreign.any()),
        )

    def _static_at(self, site: str) -> NDArray[np.uint8]:
        """Verdict that each slot's samples get from `site` whatever they say, shape (T + 1,)."""
        found = self._static.get(site)
        if found is None:
            verdicts = [_static_verdict(tag, self.gateway_id, site) for tag in self.tags]
            found = self._static[site] = np.array([*verdicts, Verdict.UNKNOWN_TAG], dtype=np.uint8)
        return found


def compile_table(
    registry: Registry, gateway_id: str, lane: int, foreign_tags: Iterable[TagDefinition] = ()
) -> LaneTable:
    """Table of a lane at the registry's present state. Retired tags have no slot."""
    own = {tag.tag_id: tag for tag in registry.lane_tags(gateway_id, lane) if not tag.retired}
    others = {tag.tag_id: tag for tag in foreign_tags if tag.tag_id not in own}
    tags = tuple(sorted((own | others).values(), key=lambda tag: (tag.device_id, tag.tag_id)))
    tag_id = np.array([tag.tag_id for tag in tags], dtype=np.int32)
    devices, device = np.unique(np.array([tag.device_id for tag in tags], dtype=np.int32), return_inverse=True)
    device = device.astype(np.intp)
    foreign = np.array([tag.tag_id in others for tag in tags], dtype=np.bool_)
    window_sizes_s = tuple(sorted({size for tag in own.values() for size in tag.windows_s}))
    return LaneTable(
        gateway_id=gateway_id,
        lane=lane,
        tags=tags,
        tag_id=tag_id,
        device=device,
        devices=devices,
        foreign=foreign,
        window_sizes_s=window_sizes_s,
        smallest_window_s=np.array([min(tag.windows_s, default=0) for tag in tags], dtype=np.int64),
        _rules=_rules(tags, device, foreign, window_sizes_s),
        _by_id=np.argsort(tag_id),
    )


_WHOLE_RANGE = {
    DataType.DOUBLE: (-HUGE, HUGE),
    DataType.INTEGER: (-LARGEST_WHOLE, LARGEST_WHOLE),
    DataType.BOOLEAN: (0.0, 1.0),
}


def _rules(
    tags: tuple[TagDefinition, ...],
    device: NDArray[np.intp],
    foreign: NDArray[np.bool_],
    window_sizes_s: tuple[int, ...],
) -> _Rules:
    nobody = (-HUGE, HUGE, -HUGE, HUGE, -HUGE, HUGE, NO_RATE)
    columns = np.array([*(_numbers(tag) for tag in tags), nobody]).T
    low, high, whole_low, whole_high, eu_low, eu_high, rate_per_us = columns
    tight_low = np.maximum(np.maximum(low, eu_low), whole_low)
    tight_high = np.minimum(np.minimum(high, eu_high), whole_high)
    stuck = [NEVER_US if tag.stuck_after_s is None else round(tag.stuck_after_s * 1e6) for tag in tags]
    own = np.append(~foreign, False)
    return _Rules(
        numbers=np.stack((low, high, whole_low, whole_high, eu_low, eu_high, tight_low, tight_high, rate_per_us)),
        stuck_us=np.array([*stuck, NEVER_US], dtype=np.int64),
        whole=np.array([*(tag.data_type is not DataType.DOUBLE for tag in tags), False], dtype=np.bool_),
        device=np.append(device, 0),
        foreign=np.append(foreign, False),
        windowed={
            size: np.array([*(size in tag.windows_s for tag in tags), False], dtype=np.bool_) & own
            for size in window_sizes_s
        },
    )


def _numbers(tag: TagDefinition) -> tuple[float, ...]:
    """Limits, range of the type, normal range, rate per microsecond."""
    return (
        _or(tag.limit_low, -HUGE),
        _or(tag.limit_high, HUGE),
        *_WHOLE_RANGE[tag.data_type],
        _or(tag.eu_low, -HUGE),
        _or(tag.eu_high, HUGE),
        NO_RATE if tag.max_rate is None else tag.max_rate / 1e6,
    )


def _static_verdict(tag: TagDefinition | None, gateway_id: str, site: str) -> int:
    if tag is None or tag.retired:
        return Verdict.UNKNOWN_TAG
    foreign = tag.gateway_id != gateway_id or tag.site != site
    return Verdict.GATEWAY_NOT_AUTHORISED if foreign or tag.calculated else 0


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _remap(tag_ids: NDArray[np.int32]) -> NDArray[np.intp] | None:
    """First entry of each entry's tag, shape (entries,); None when no tag comes twice."""
    if (tag_ids[1:] > tag_ids[:-1]).all():
        return None
    ids, first, which = np.unique(tag_ids, return_index=True, return_inverse=True)
    return None if len(ids) == len(tag_ids) else first[which]


def as_index(slots: NDArray[np.intp]) -> Index:
    """The same slots as a slice when they are consecutive."""
    if len(slots) and (np.diff(slots) == 1).all():
        return slice(int(slots[0]), int(slots[-1]) + 1)
    return slots
