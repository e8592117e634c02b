"""The fake plant's tree: what is wrong at or below each node. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from millrace_client.results import Device, DeviceState, PlantNode, Quality, Tag

_LEVELS = ("enterprise", "site", "area", "line", "cell")


def nodes(devices: Sequence[Device], path: str, depth: int) -> list[PlantNode]:
    """Nodes at a path (empty: the root, which is none itself) and so many levels below it, by path."""
    by_path = {device.path: device for device in devices}
    ancestors = {
        "/".join(parts[:size])
        for parts in (device.path.split("/") for device in devices)
        for size in range(1, len(parts) + 1)
    }
    base = path.count("/") + 1 if path else 0
    wanted = [
        one
        for one in sorted(ancestors)
        if (not path or one == path or one.startswith(path + "/")) and one.count("/") + 1 <= base + depth
    ]
    return [
        _node(one, by_path.get(one), [d for d in devices if d.path == one or d.path.startswith(one + "/")])
        for one in wanted
    ]


def _node(path: str, device: Device | None, below: Sequence[Device]) -> PlantNode:
    tags = [tag for one in below for tag in one.tags]
    depth = path.count("/")
    return PlantNode(
        path=path,
        name=path.rpartition("/")[2],
        level="device" if device else _LEVELS[min(depth, len(_LEVELS) - 1)],
        device_id=device.device_id if device else 0,
        device_class=device.device_class if device else "",
        devices=len(below),
        devices_offline=sum(one.state is DeviceState.OFFLINE for one in below),
        tags=len(tags),
        tags_bad=sum(map(_bad, tags)),
        open_anomalies=sum(one.open_anomalies for one in below),
        packml_states=dict(Counter(one.packml_state for one in below if one.packml_state)),
    )


def _bad(tag: Tag) -> bool:
    return tag.stale or (tag.last is not None and tag.last.quality is Quality.BAD)
