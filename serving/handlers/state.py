"""What callers may ask of the state of the plant: plain async functions over the caches; no gRPC here.

Enters: validated-by-nobody strings and numbers of a request. Leaves: domain objects; streams as async iterators. Raises
the branches of `base.errors` that fit: InvalidRequestError for what is malformed, NotFoundError for paths that match
nothing.
"""

from __future__ import annotations

import asyncio
import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from base.errors import InvalidRequestError, UnavailableError, shown
from schemas import quality
from schemas.definitions import TagDefinition
from serving.caches.broadcast import Broadcast
from serving.caches.closed_windows import ClosedWindows, Wanted
from serving.caches.device_states import DeviceState, DeviceStates
from serving.caches.episodes import Episodes, Step
from serving.caches.plant import Device, Lookups, Plant
from serving.caches.plant_tree import LEVELS, Node, PlantTree
from serving.caches.values import LastValue, LastValues
from serving.caches.wakeup import Streams
from serving.handlers.descriptions import CommandDescription, commands_of
from serving.seen import seen

MAX_PAGE = 1000
DEFAULT_PAGE = 100
MAX_BATCH = 1000
_SCAN = 2000
"""Entries that a filter looks at before others get their turn."""

T = TypeVar("T")
E = TypeVar("E", Device, TagDefinition)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """Some of a list, and the token of the next part, empty on the last."""

    items: list[T]
    next_token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TagState:
    """A tag and its last value, if one was ever seen. `stale`: the device is dead or its gateway silent."""

    tag: TagDefinition
    last: LastValue | None
    stale: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceView:
    """A device as it is now. Tags and commands are those of `get_device`, none in a list."""

    device: Device
    state: DeviceState
    packml_state: str
    """PackML name, empty for a device without one."""
    open_anomalies: int
    tags: tuple[TagState, ...] = ()
    commands: tuple[CommandDescription, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceFilter:
    """Which devices to list; what is empty or None takes all. `text` is looked for in path, class and gateway, in any case."""

    device_class: str = ""
    text: str = ""
    state: DeviceState | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TagFilter:
    """Which tags to list; what is empty or None takes all.

    `quality`: good, uncertain or bad; `text` is looked for in path and description, in any case.
    """

    quality: str = ""
    stale: bool | None = None
    writable: bool | None = None
    text: str = ""
    device_class: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TagBatch:
    """Tags that exist in the order of the request, ids before paths, and what does not."""

    tags: tuple[TagState, ...]
    unknown_tag_ids: tuple[int, ...]
    unknown_paths: tuple[str, ...]


@dataclass(kw_only=True, slots=True)
class StateHandlers:
    """The caches, and the questions to them."""

    plant: Plant
    values: LastValues
    episodes: Episodes
    streams: Streams
    states: DeviceStates
    tree: PlantTree
    windows: Broadcast[ClosedWindows]
    max_watched_tags: int = 50_000
    ready: bool = False

    async def list_devices(
        self, prefix: str, page_size: int, page_token: str, wanted: DeviceFilter | None = None
    ) -> Page[DeviceView]:
        """Devices at or under a path, by path, without their tags."""
        self.require_ready()
        plant, size, after = seen(self.plant), size_of(page_size), _position(page_token)
        wanted = wanted or DeviceFilter()
        text, anomalies = wanted.text.casefold(), self._open_anomalies()

        def pick(device: Device) -> DeviceView | None:
            if wanted.device_class not in {"", device.device_class} or not _has(
                text, device.path, device.device_class, device.gateway_id
            ):
                return None
            view = self._view(device, anomalies)
            return view if wanted.state in {None, view.state} else None

        found = await _scan(
            lambda behind, limit: plant.devices_under(prefix, after=behind, limit=limit),
            pick, after=after, count=size + 1,
        )  # fmt: skip
        return _page(found, size, lambda view: view.device.path)

    async def list_tags(
        self, prefix: str, page_size: int, page_token: str, wanted: TagFilter | None = None
    ) -> Page[TagState]:
        """Tags at or under a path with their last values, by path."""
        self.require_ready()
        plant, size, after = seen(self.plant), size_of(page_size), _position(page_token)
        wanted = wanted or TagFilter()
        text = wanted.text.casefold()

        def pick(tag: TagDefinition) -> TagState | None:
            if (
                wanted.device_class not in {"", tag.device_class}
                or wanted.writable not in {None, tag.writable}
                or not _has(text, tag.path, tag.description)
            ):
                return None
            state = self._state(tag)
            if wanted.quality and (state.last is None or quality.name(state.last.quality) != wanted.quality):
                return None
            return state if wanted.stale in {None, state.stale} else None

        found = await _scan(
            lambda behind, limit: plant.tags_under(prefix, after=behind, limit=limit),
            pick, after=after, count=size + 1,
        )  # fmt: skip
        return _page(found, size, lambda state: state.tag.path)

    async def get_device(self, *, device_id: int = 0, path: str = "") -> DeviceView:
        """One device with the last values of its tags, and the commands that it takes."""
        device = self.find_device(device_id=device_id, path=path)
        view = self._view(device, self._open_anomalies())
        tags = tuple(self._state(tag) for tag in device.tags)
        return replace(view, tags=tags, commands=commands_of(device.tags))

    async def batch_get_tags(self, tag_ids: Sequence[int], paths: Sequence[str]) -> TagBatch:
        """Several tags with their last values; what does not exist is named."""
        self.require_ready()
        if len(tag_ids) + len(paths) > MAX_BATCH:
            msg = f"{len(tag_ids) + len(paths)} tags are asked for, more than {MAX_BATCH}; ask several times"
            raise InvalidRequestError(msg)
        plant = seen(self.plant)
        by_id = {tag_id: plant.find_tag(tag_id) for tag_id in tag_ids}
        by_path = {path: plant.find_tag_at(path) for path in paths}
        found = [tag for tag in (*(by_id[one] for one in tag_ids), *(by_path[one] for one in paths)) if tag is not None]
        return TagBatch(
            tags=tuple(self._state(tag) for tag in found),
            unknown_tag_ids=tuple(tag_id for tag_id, tag in by_id.items() if tag is None),
            unknown_paths=tuple(path for path, tag in by_path.items() if tag is None),
        )

    async def plant_nodes(self, path: str = "", depth: int = 0) -> list[Node]:
        """The node at a path and `depth` levels below it (1 for 0), with what is wrong there; the first levels for an empty path."""
        self.require_ready()
        if not 0 <= depth <= len(LEVELS):
            msg = f"depth is {depth}, not between 1 and {len(LEVELS)}, or 0 for 1"
            raise InvalidRequestError(msg)
        return self.tree.nodes(path.rstrip("/"), depth or 1, seen(self.plant))

    async def watch_aggregates(self, prefixes: Sequence[str], window_s: int) -> AsyncGenerator[ClosedWindows, None]:
        """Windows of the tags under the paths as they close; tags that the registry gains later join in."""
        self.require_ready()
        if window_s < 0:
            msg = f"window_s is {window_s}, not 0 or above"
            raise InvalidRequestError(msg)
        plant = seen(self.plant)
        wanted = Wanted(self.select(plant, prefixes), window_s)
        stop = self.plant.on_version(lambda: wanted.select(self.select(plant, prefixes, grown=True)))
        try:
            with self.streams.opened() as wakeup, self.windows.opened(wakeup, wanted) as reader:
                async with aclosing(reader.items()) as items:
                    async for item in items:
                        yield item
        finally:
            stop()

    async def get_tag(self, *, tag_id: int = 0, path: str = "") -> TagState:
        """One tag with its last value."""
        self.require_ready()
        if not tag_id and not path:
            msg = "name the tag by tag_id or by path"
            raise InvalidRequestError(msg)
        plant = seen(self.plant)
        return self._state(plant.tag_at(path) if path else plant.tag(tag_id))

    def find_device(self, *, device_id: int = 0, path: str = "") -> Device:
        """Device by id or by path."""
        self.require_ready()
        if not device_id and not path:
            msg = "name the device by device_id or by path"
            raise InvalidRequestError(msg)
        plant = seen(self.plant)
        return plant.device_at(path) if path else plant.device(device_id)

    async def watch_anomalies(self, prefix: str) -> AsyncGenerator[Step, None]:
        """Open episodes of the devices under a path, then every step."""
        self.require_ready()
        plant = seen(self.plant)
        if prefix and not plant.devices_under(prefix, limit=1):
            plant.device_at(prefix)  # raises, and says what there is
        matches = _matcher(prefix)
        if not plant.whole:
            matches = _both(matches, plant.covers)
        with self.streams.opened() as wakeup:
            reader = self.episodes.open(wakeup, lambda step: matches(self.plant.device_path(step["device_id"])))
            try:
                async with aclosing(reader.steps()) as steps:
                    async for step in steps:
                        yield step
            finally:
                self.episodes.close(reader)

    def require_ready(self) -> None:
        """Raise UnavailableError while the caches are still being read."""
        if not self.ready:
            msg = "the server is still reading the plant's state; try again in a moment"
            raise UnavailableError(msg)

    def _state(self, tag: TagDefinition) -> TagState:
        return TagState(tag=tag, last=self.values.last(tag.tag_id), stale=self.states.is_stale(tag))

    def _view(self, device: Device, anomalies: Counter[int]) -> DeviceView:
        return DeviceView(
            device=device,
            state=self.states.of(device),
            packml_state=self.states.packml(device),
            open_anomalies=anomalies[device.device_id],
        )

    def _open_anomalies(self) -> Counter[int]:
        return Counter(step["device_id"] for step in self.episodes.open_now())

    def select(self, plant: Lookups, prefixes: Sequence[str], *, grown: bool = False) -> set[int]:
        """Ids of the tags at or under the paths, all for none; raises NotFoundError unless the registry has `grown`."""
        found: set[int] = set()
        for prefix in prefixes or ("",):
            tags = plant.tags_under(prefix)
            if not tags and prefix and not grown:
                plant.tag_at(prefix)  # raises, and says what there is
            found.update(tag.tag_id for tag in tags)
        if len(found) > self.max_watched_tags and not grown:
            msg = f"{len(found)} tags are selected, more than {self.max_watched_tags}; name narrower paths, or open several streams"
            raise InvalidRequestError(msg)
        return found


async def _scan(
    entries: Callable[[str, int], list[E]], pick: Callable[[E], T | None], *, after: str, count: int
) -> list[T]:
    """The first `count` of what `pick` makes of the entries behind a path. Others get their turn while many are looked at."""
    found: list[T] = []
    while len(found) < count:
        # Without a filter every entry is taken: no more is looked at than what is needed.
        some = entries(after, min(_SCAN, 2 * (count - len(found))) if not found else _SCAN)
        if not some:
            break
        for entry in some:
            if (picked := pick(entry)) is not None:
                found.append(picked)
                if len(found) == count:
                    return found
        after = some[-1].path
        await asyncio.sleep(0)
    return found


def _has(text: str, *fields: str) -> bool:
    """Whether one of the fields contains a text that is casefolded already."""
    return not text or any(text in field.casefold() for field in fields)


def size_of(asked: int) -> int:
    """Entries of a page, the default for 0; raises InvalidRequestError."""
    if not 0 <= asked <= MAX_PAGE:
        msg = f"page_size is {asked}, not between 0 and {MAX_PAGE}"
        raise InvalidRequestError(msg)
    return asked or DEFAULT_PAGE


def _page(found: list[T], size: int, path_of: Callable[[T], str]) -> Page[T]:
    """`found` holds one more than the page when there is a next one.

    The token is the last path, so paging survives changes between pages.
    """
    if len(found) <= size:
        return Page(items=found, next_token="")
    items = found[:size]
    return Page(items=items, next_token=urlsafe_b64encode(path_of(items[-1]).encode()).decode())


def _position(page_token: str) -> str:
    try:
        return urlsafe_b64decode(page_token.encode()).decode()
    except (binascii.Error, ValueError) as error:
        msg = f"page_token {shown(page_token)} is not one that this server gave"
        raise InvalidRequestError(msg) from error


def _both(first: Callable[[str], bool], second: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda path: first(path) and second(path)


def _matcher(prefix: str) -> Callable[[str], bool]:
    """The same rule as `plant.under`, for one path."""
    if prefix.endswith("*"):
        return lambda path: path.startswith(prefix[:-1])
    base = prefix.rstrip("/")
    return lambda path: not base or path == base or path.startswith(base + "/")
