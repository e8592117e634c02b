"""Values of i3X objects: value, quality and time (VQT) of tags, devices and levels.

A tag's value is a scalar of its type; a device's is an object with a property for each tag, null where a tag has none; a level has none.
What i3X calls Bad has no value: a value that was read badly, or is the last of a dead device, is left out, its time stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas import quality
from schemas.definitions import DataType, TagDefinition
from serving.caches.values import LastValue
from serving.http.i3x.space import Node, Space

Last = Callable[[int], LastValue | None]
_QUALITY = {"good": "Good", "uncertain": "Uncertain", "bad": "Bad"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(time_us: int) -> str:
    """A time as RFC 3339, in UTC."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def vqt(tag: TagDefinition, value: float, time_us: int, code: int) -> dict[str, Any]:
    """A value of a tag."""
    found = scalar(tag, value)
    name = _QUALITY[quality.name(code)] if found is not None else "Bad"
    return {"value": None if name == "Bad" else found, "quality": name, "timestamp": timestamp(time_us)}


def scalar(tag: TagDefinition, value: float) -> Any:
    """A number as the tag's type; None for what is not finite."""
    if not math.isfinite(value):
        return None
    if tag.data_type is DataType.BOOLEAN:
        return value != 0
    return int(value) if tag.data_type is DataType.INTEGER and value.is_integer() else value


def current(space: Space, node: Node, last: Last, now_us: int, *, depth: int) -> dict[str, Any]:
    """Value of an object; with `depth` 0 or above 1 also of its components."""
    found = _own(node, last, now_us)
    if node.is_composition and depth != 1:
        found["components"] = {child: _own(space.nodes[child], last, now_us) for child in node.children}
    return {"isComposition": node.is_composition} | found


def _own(node: Node, last: Last, now_us: int) -> dict[str, Any]:
    if node.tag is not None:
        seen = last(node.tag.tag_id)
        if seen is None:
            return {"value": None, "quality": "GoodNoData", "timestamp": timestamp(now_us)}
        return vqt(node.tag, seen.value, seen.time_us, seen.quality)
    if node.device is None:
        return {"value": None, "quality": "GoodNoData", "timestamp": timestamp(now_us)}
    seen_of = {tag: last(tag.tag_id) for tag in node.device.tags}
    parts = {tag.name: vqt(tag, one.value, one.time_us, one.quality) for tag, one in seen_of.items() if one}
    if not parts:
        return {"value": None, "quality": "GoodNoData", "timestamp": timestamp(now_us)}
    newest = max(one.time_us for one in seen_of.values() if one)
    values = {name: part["value"] for name, part in parts.items()}
    if all(value is None for value in values.values()):
        return {"value": None, "quality": "Bad", "timestamp": timestamp(newest)}
    good = all(part["quality"] == "Good" for part in parts.values())
    return {"value": values, "quality": "Good" if good else "Uncertain", "timestamp": timestamp(newest)}
