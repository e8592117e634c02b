"""The plant as callers see it: devices and tags by id and by path, from the registry's topic.

Enters: messages of `registry.tags`, in order. Leaves: lookups and ordered ranges under a path; callbacks when a version
is complete. Called by the handlers in the event loop. Indexes are rebuilt when somebody looks after a change, not per
message: loading 100,000 definitions builds them once. Retired tags are found by id and path, and are not listed or
watched.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from base.errors import NotFoundError, shown
from schemas.definitions import Registry, TagDefinition


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device and its tags in use, by path."""

    device_id: int
    path: str
    device_class: str
    site: str
    gateway_id: str
    tags: tuple[TagDefinition, ...]

    def tag(self, name: str) -> TagDefinition | None:
        """Tag of that name."""
        return next((tag for tag in self.tags if tag.name == name), None)


@dataclass(slots=True)
class _Index:
    tag_paths: list[str] = field(default_factory=list)
    tags: dict[str, TagDefinition] = field(default_factory=dict)
    retired: dict[str, TagDefinition] = field(default_factory=dict)
    device_paths: list[str] = field(default_factory=list)
    devices: dict[str, Device] = field(default_factory=dict)
    device_of_id: dict[int, Device] = field(default_factory=dict)
    site_of_gateway: dict[str, str] = field(default_factory=dict)


class Lookups:
    """Questions to the plant, or to the part of it that somebody may see. They raise NotFoundError naming what was asked for."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def version(self) -> int:
        """Newest complete registry version."""
        return self._registry.version

    @property
    def scopes(self) -> tuple[str, ...]:
        """Paths of the nodes whose parts these are; one that is empty for everything."""
        raise NotImplementedError

    @property
    def whole(self) -> bool:
        """Whether this is all of the plant."""
        return "" in self.scopes

    def covers(self, path: str) -> bool:
        """Whether a path lies in this part."""
        raise NotImplementedError

    @property
    def _index(self) -> _Index:
        raise NotImplementedError

    def tag(self, tag_id: int) -> TagDefinition:
        """Tag of an id, also a retired one."""
        found = self.find_tag(tag_id)
        if found is None:
            msg = f"no tag {tag_id} in registry version {self.version}"
            raise NotFoundError(msg)
        return found

    def tag_at(self, path: str) -> TagDefinition:
        """Tag at a path, also a retired one."""
        path, index = path.rstrip("/"), self._index
        found = index.tags.get(path) or index.retired.get(path)
        if found is None:
            raise NotFoundError(self._unknown("tag", path))
        return found

    def find_tag(self, tag_id: int) -> TagDefinition | None:
        """Tag of an id, also a retired one; None for none."""
        found = self._registry.tags.get(tag_id)
        return found if found is not None and self.covers(found.path) else None

    def find_tag_at(self, path: str) -> TagDefinition | None:
        """Tag in use at a path; None for none."""
        return self._index.tags.get(path)

    def site_of_gateway(self, gateway_id: str) -> str:
        """Site of a gateway's devices; empty when the registry knows none."""
        return self._index.site_of_gateway.get(gateway_id, "")

    def device(self, device_id: int) -> Device:
        """Device of an id."""
        try:
            return self._index.device_of_id[device_id]
        except KeyError:
            msg = f"no device {device_id} in registry version {self.version}"
            raise NotFoundError(msg) from None

    def device_at(self, path: str) -> Device:
        """Device at a path."""
        path = path.rstrip("/")
        try:
            return self._index.devices[path]
        except KeyError:
            raise NotFoundError(self._unknown("device", path)) from None

    def device_path(self, device_id: int) -> str:
        """Path of a device, empty when the registry does not know it."""
        device = self._index.device_of_id.get(device_id)
        return device.path if device else ""

    def tag_path(self, tag_id: int) -> str:
        """Path of a tag, empty when the registry does not know it."""
        tag = self.find_tag(tag_id)
        return tag.path if tag else ""

    def tags_under(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[TagDefinition]:
        """Tags at or under a path (see `under`), by path, behind `after`."""
        index = self._index
        return [index.tags[path] for path in under(index.tag_paths, prefix, after=after, limit=limit)]

    def devices_under(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Device]:
        """Devices at or under a path, by path, behind `after`."""
        index = self._index
        return [index.devices[path] for path in under(index.device_paths, prefix, after=after, limit=limit)]

    def _unknown(self, kind: str, path: str) -> str:
        """For people: how far the path is known, and what comes next there. Costs a search for each of at most 16 parts."""
        index, known = self._index, ""
        for depth in range(1, len(parts := path.split("/", _MAX_PARTS)[:_MAX_PARTS])):
            parent = "/".join(parts[:depth])
            if not under(index.tag_paths, parent, limit=1):
                break
            known = parent
        if known:
            depth = known.count("/") + 1
            found = under(index.tag_paths, known, limit=200)
            names = sorted({p.split("/")[depth] for p in found if p != known})
            listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            return f"no {kind} {shown(path)}; under {known!r} there are: {listed}"
        roots = sorted({p.partition("/")[0] for p in index.tag_paths[:1] + index.tag_paths[-1:]})
        hint = f"paths start with {', '.join(roots)}" if roots else "the registry is empty"
        return f"no {kind} {shown(path)}; {hint}"


class Plant(Lookups):
    """All of the plant. Follows the registry."""

    def __init__(self) -> None:
        super().__init__(Registry())
        self._built: _Index | None = _Index()
        self._parts: dict[tuple[str, ...], _Part] = {}
        self._listeners: list[Callable[[], None]] = []

    @property
    def scopes(self) -> tuple[str, ...]:
        """Everything."""
        return ("",)

    def covers(self, path: str) -> bool:  # noqa: ARG002
        """Every path."""
        return True

    def apply(self, message: bytes) -> None:
        """Fold one message of the topic in. Raises SchemaError."""
        completed = self._registry.apply(message)
        self._built = None
        if completed:
            for listener in tuple(self._listeners):
                listener()

    def on_version(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` whenever a version is complete; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def definitions(self) -> Iterable[TagDefinition]:
        """Every definition, those of retired tags first."""
        return sorted(self._registry.tags.values(), key=lambda tag: not tag.retired)

    def part(self, scopes: tuple[str, ...]) -> Lookups:
        """What lies at or under the scopes, paths of nodes; all of it for a scope that is empty, and nothing without any."""
        if "" in scopes:
            return self
        found = self._parts.get(scopes)
        if found is None:
            while len(self._parts) >= _MAX_SCOPES:
                self._parts.pop(next(iter(self._parts)))
            found = self._parts[scopes] = _Part(self, self._registry, scopes)
        return found

    @property
    def _index(self) -> _Index:
        if self._built is None:
            self._built = _build(self._registry.tags.values())
        return self._built


class _Part(Lookups):
    """What somebody sees who may not see everything. Its index is made again when that of the plant is."""

    def __init__(self, plant: Plant, registry: Registry, scopes: tuple[str, ...]) -> None:
        super().__init__(registry)
        self._plant, self._scopes = plant, scopes
        self._of: _Index | None = None
        self._built = _Index()

    @property
    def scopes(self) -> tuple[str, ...]:
        """Those it was made for."""
        return self._scopes

    def covers(self, path: str) -> bool:
        """Whether a path is one of the scopes, or lies under one."""
        return covered(path, self._scopes)

    @property
    def _index(self) -> _Index:
        whole = self._plant._index  # noqa: SLF001  # the other half of this module
        if self._of is not whole:
            seen = [tag for tags in (whole.tags, whole.retired) for path, tag in tags.items() if self.covers(path)]
            self._of, self._built = whole, _build(seen)
        return self._built


def covered(path: str, scopes: Iterable[str]) -> bool:
    """Whether a path is one of the scopes, or lies under one. Parts of a path count as a whole: `line-1` does not cover `line-10`."""
    return any(not scope or path == scope or path.startswith(f"{scope}/") for scope in scopes)


_MAX_PARTS = 16
_MAX_SCOPES = 1_000


def under(paths: Sequence[str], prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
    """Those of the sorted `paths` that are `prefix` or lie under it, and sort behind `after`, at most `limit`.

    A trailing `*` stands for the rest of the path; the empty prefix for everything.
    """
    exact: list[str] = []
    if prefix.endswith("*"):
        low, high = prefix[:-1], prefix[:-1] + "\U0010ffff"
    elif base := prefix.rstrip("/"):
        at = bisect_left(paths, base)
        exact = [base] if at < len(paths) and paths[at] == base and base > after else []
        low, high = base + "/", base + "0"  # "0" is the character behind "/"
    else:
        low, high = "", "\U0010ffff"
    start = max(bisect_left(paths, low), bisect_right(paths, after) if after else 0)
    end = bisect_left(paths, high)
    found = [*exact, *paths[start : end if limit is None else min(end, start + limit)]]
    return found if limit is None else found[:limit]


def _build(definitions: Iterable[TagDefinition]) -> _Index:
    tags: dict[str, TagDefinition] = {}
    retired: dict[str, TagDefinition] = {}
    for tag in definitions:
        (retired if tag.retired else tags)[tag.path] = tag
    tag_paths = sorted(tags)
    grouped: dict[int, list[TagDefinition]] = {}
    for path in tag_paths:
        grouped.setdefault(tags[path].device_id, []).append(tags[path])
    devices = {found[0].device_path: _device(found) for found in grouped.values()}
    return _Index(
        tag_paths=tag_paths,
        tags=tags,
        retired=retired,
        device_paths=sorted(devices),
        devices=devices,
        device_of_id={device.device_id: device for device in devices.values()},
        site_of_gateway={device.gateway_id: device.site for device in devices.values()},
    )


def _device(tags: list[TagDefinition]) -> Device:
    first = tags[0]
    return Device(
        device_id=first.device_id,
        path=first.device_path,
        device_class=first.device_class,
        site=first.site,
        gateway_id=first.gateway_id,
        tags=tuple(tags),
    )
