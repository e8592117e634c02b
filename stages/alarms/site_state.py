"""The state of a site's alarms: what is remembered, in parts of bytes, only those written that changed.

Parts: `site` (first-out groups, floods), `gateway/<id>` (its clock), `lane/<gateway>/<lane>` (last values of watched tags),
`window/<tag>/<length>/<hold>` (windows of expressions), `sources/<device or gateway>` (sources that differ from ones never touched) and
`ended/<time>` (alarms that the topic is to forget).
JSON and packed arrays, versioned; nothing of ours pickled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stages.alarms.config import AlarmConfig
from stages.alarms.ended import Ended
from stages.alarms.floods import Floods
from stages.alarms.lanes import LaneValues, Sample, no_lane
from stages.alarms.points import SiteTable
from stages.alarms.source import Source, from_plain, remains, to_json, to_plain
from stages.expressions.windows import HeldWindow, WindowKey
from stages.packing import StateError

LAYOUT = 1


@dataclass(kw_only=True, slots=True)
class Gateway:
    """What is known of a gateway's time. `clock_us` is the latest it told, `heard_us` when that was read, processing time."""

    clock_us: int = 0
    heard_us: int = 0
    resumed_us: int = 0
    """Its clock when it last came back from silence."""
    lagged_us: int = 0
    """When values were last read that are behind its clock, processing time: others may be further behind, and are still to be read."""
    ticked_us: int = 0
    """Its clock when expressions were last evaluated because time goes by; 0 where there are none."""


_GATEWAY = tuple(one.name for one in dataclasses.fields(Gateway))


@dataclass(kw_only=True, slots=True)
class Group:
    """A first-out group in which something is active: what came first, and which sources are active."""

    leader: str
    active: list[str] = field(default_factory=list)


class SiteState:
    """What a site's alarms remember."""

    def __init__(self, site: str, config: AlarmConfig) -> None:
        self.table = SiteTable()
        self.lanes: dict[tuple[str, int], LaneValues] = {}
        self.gateways: dict[str, Gateway] = {}
        self.clock_us = 0
        """The latest that any gateway has told."""
        self.lagged_us = 0
        """When values were last read that are behind their gateway's clock, of any."""
        self.sources: dict[str, Source] = {}
        self.groups: dict[str, Group] = {}
        self.windows: dict[WindowKey, HeldWindow] = {}
        self.floods = Floods(site, config)
        self.ended = Ended(config)
        self._changed: set[str] = set()
        self._parts: dict[str, set[str]] = {}
        """Keys of the sources of each part."""
        self._stored: set[str] = set()

    # --- access ------------------------------------------------------------------------------------------------------

    def source(self, key: str) -> Source:
        """The source of a key, to be changed."""
        self.touch(key)
        found = self.sources.get(key)
        if found is None:
            found = self.sources[key] = Source()
            self._parts.setdefault(_part_of(key), set()).add(key)
        return found

    def at_place(self, place: str) -> list[tuple[str, Source]]:
        """Keys and sources of a device or gateway."""
        keys = self._parts.get(f"sources/{place}", ())
        return [(key, self.sources[key]) for key in sorted(keys) if key in self.sources]

    def touch(self, key: str) -> None:
        """A source has changed."""
        self._changed.add(_part_of(key))

    def touch_site(self) -> None:
        """Groups or floods have changed."""
        self._changed.add("site")

    def gateway(self, gateway_id: str) -> Gateway:
        """A gateway, to be changed."""
        self._changed.add(f"gateway/{gateway_id}")
        return self.gateways.setdefault(gateway_id, Gateway())

    def lane(self, gateway_id: str, lane: int) -> LaneValues:
        """A lane, to be changed."""
        self._changed.add(f"lane/{gateway_id}/{lane}")
        found = self.lanes.get((gateway_id, lane))
        if found is None:
            found = self.lanes[gateway_id, lane] = LaneValues(self.table.lanes.get((gateway_id, lane), no_lane()))
        return found

    def feed_windows(self, sample: Sample) -> None:
        """A sample of a tag, before anything is judged by it."""
        for key in self.table.windows.get(sample.tag_id, ()):
            self._changed.add(_window_part(key))
            self.windows[key].add(sample.time_us, sample.known)

    def follow_windows(self) -> None:
        """Have the windows of the table. A new one begins with what is known of its tag; what nobody asks for any more is gone."""
        wanted = {key for keys in self.table.windows.values() for key in keys}
        for key in self.windows.keys() - wanted:
            del self.windows[key]
            self._changed.add(_window_part(key))
        for key in sorted(wanted - self.windows.keys()):
            window = self.windows[key] = HeldWindow(key)
            lane = self.lane_of(key.tag_id)
            if lane is not None and (last := lane.last(key.tag_id)) is not None:
                window.add(last.time_us, last.known)
                self._changed.add(_window_part(key))

    def lane_of(self, tag_id: int) -> LaneValues | None:
        """The lane of a watched tag; None before anything has come of it."""
        return self.lanes.get(self.table.lane_of_tag.get(tag_id, ("", -1)))

    # --- bytes -------------------------------------------------------------------------------------------------------

    def drain_changes(self) -> dict[str, bytes | None]:
        """Parts that have changed since last asked; None for one that is gone."""
        changes: dict[str, bytes | None] = {}
        for name in sorted(self._changed | self.ended.changed):
            data = self._bytes_of(name)
            if data is not None:
                self._stored.add(name)
                changes[name] = data
            elif name in self._stored:
                self._stored.discard(name)
                changes[name] = None
        self._changed.clear()
        self.ended.changed.clear()
        return changes

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Put back what `drain_changes` gave, for the present table; raises StateError."""
        self._stored = set(parts)
        for name, data in parts.items():
            kind, _, rest = name.partition("/")
            if kind == "lane":
                self.lane(*_lane_of(rest)).restore(data)
                continue
            if kind == "ended":
                self.ended.restore(rest, data)
                continue
            if kind == "window":
                key = _window_of(rest)
                self.windows[key] = HeldWindow(key)
                self.windows[key].restore(data)
                continue
            plain = _loaded(name, data)
            if kind == "site":
                self.floods.restore(plain["floods"])
                self.groups = {key: Group(leader=each[0], active=each[1]) for key, each in plain["groups"].items()}
            elif kind == "gateway":
                gateway = self.gateways[rest] = Gateway(**plain)
                self.clock_us, self.lagged_us = (
                    max(self.clock_us, gateway.clock_us),
                    max(self.lagged_us, gateway.lagged_us),
                )
            else:
                self.sources |= {key: from_plain(each) for key, each in plain.items()}
                self._parts[name] = set(plain)
        self._changed.clear()

    def forget(self, key: str) -> None:
        """A source whose rule holds no more: all that remains is what keeps ids from being used twice."""
        self.touch(key)
        self.sources[key] = remains(self.sources[key])

    def drop(self, key: str) -> None:
        """Nothing remains of a source: its ids are too old to be used again."""
        self.touch(key)
        self.sources[key] = Source()

    def _bytes_of(self, name: str) -> bytes | None:
        kind, _, rest = name.partition("/")
        if kind == "lane":
            return self.lanes[_lane_of(rest)].to_bytes()
        if kind == "ended":
            return self.ended.to_bytes(rest)
        if kind == "gateway":
            gateway = self.gateways[rest]
            known = ((name, getattr(gateway, name)) for name in _GATEWAY)
            return _dumped({name: value for name, value in known if value or name != "ticked_us"})
        if kind == "window":
            window = self.windows.get(_window_of(rest))
            return None if window is None else window.to_bytes()
        if kind == "site":
            groups = {key: [each.leader, each.active] for key, each in self.groups.items()}
            return _dumped({"floods": self.floods.to_plain(), "groups": groups})
        plain = {key: each for key in sorted(self._parts.get(name, ())) if (each := to_plain(self.sources[key]))}
        for key in self._parts.get(name, set()) - plain.keys():
            del self.sources[key]
        self._parts[name] = set(plain)
        return _dumped(plain) if plain else None


def _window_part(key: WindowKey) -> str:
    return f"window/{key.tag_id}/{key.length_us}/{key.hold_us}"


def _window_of(rest: str) -> WindowKey:
    """The window of a part, by its name without `window/`."""
    return WindowKey(*map(int, rest.split("/")))


def _lane_of(rest: str) -> tuple[str, int]:
    """The lane of a part, by its name without `lane/`."""
    gateway_id, _, lane = rest.rpartition("/")
    return gateway_id, int(lane)


def _part_of(key: str) -> str:
    return f"sources/{key.rpartition('@')[2]}"


def _dumped(plain: dict[str, Any]) -> bytes:
    return bytes([LAYOUT]) + to_json(plain).encode()


def _loaded(name: str, data: bytes) -> dict[str, Any]:
    if not data or data[0] != LAYOUT:
        msg = f"state part {name} has layout {data[:1].hex() or 'none'}, this version reads {LAYOUT}"
        raise StateError(msg)
    try:
        found: dict[str, Any] = json.loads(data[1:])
    except ValueError as error:
        msg = f"state part {name} is torn: {error}"
        raise StateError(msg) from error
    return found


def clock_of(parts: Mapping[str, bytes]) -> int:
    """Latest clock of a gateway in a stored state."""
    gateways = (_loaded(name, data) for name, data in parts.items() if name.startswith("gateway/"))
    return max((int(each["clock_us"]) for each in gateways), default=0)
