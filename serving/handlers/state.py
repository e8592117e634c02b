"""What callers may ask of the state of the plant: plain async functions over the caches; no gRPC here.

Enters: validated-by-nobody strings and numbers of a request. Leaves: domain objects; streams as async iterators. Raises
the branches of `base.errors` that fit: InvalidRequestError for what is malformed, NotFoundError for paths that match
nothing.
"""

from __future__ import annotations

import binascii
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from base.errors import InvalidRequestError, UnavailableError, shown
from schemas.definitions import TagDefinition
from serving.caches.episodes import Episodes, Step
from serving.caches.plant import Device, Plant
from serving.caches.values import LastValue, LastValues
from serving.caches.wakeup import Streams

MAX_PAGE = 1000
DEFAULT_PAGE = 100
MAX_RATE_HZ = 100.0
DEFAULT_RATE_HZ = 4.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """Some of a list, and the token of the next part, empty on the last."""

    items: list[T]
    next_token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TagState:
    """A tag and its last value, if one was ever seen."""

    tag: TagDefinition
    last: LastValue | None


@dataclass(kw_only=True, slots=True)
class StateHandlers:
    """The caches, and the questions to them."""

    plant: Plant
    values: LastValues
    episodes: Episodes
    streams: Streams
    max_watched_tags: int = 50_000
    ready: bool = False

    async def list_devices(self, prefix: str, page_size: int, page_token: str) -> Page[Device]:
        """Devices at or under a path, by path."""
        self.require_ready()
        size = _page_size(page_size)
        found = self.plant.devices_under(prefix, after=_position(page_token), limit=size + 1)
        return _page(found, size, lambda device: device.path)

    async def list_tags(self, prefix: str, page_size: int, page_token: str) -> Page[TagState]:
        """Tags at or under a path with their last values, by path."""
        self.require_ready()
        size = _page_size(page_size)
        found = self.plant.tags_under(prefix, after=_position(page_token), limit=size + 1)
        return _page([self._state(tag) for tag in found], size, lambda state: state.tag.path)

    async def get_device(self, *, device_id: int = 0, path: str = "") -> tuple[Device, list[TagState]]:
        """One device with the last values of its tags."""
        device = self.find_device(device_id=device_id, path=path)
        return device, [self._state(tag) for tag in device.tags]

    async def get_tag(self, *, tag_id: int = 0, path: str = "") -> TagState:
        """One tag with its last value."""
        self.require_ready()
        if not tag_id and not path:
            msg = "name the tag by tag_id or by path"
            raise InvalidRequestError(msg)
        return self._state(self.plant.tag_at(path) if path else self.plant.tag(tag_id))

    def find_device(self, *, device_id: int = 0, path: str = "") -> Device:
        """Device by id or by path."""
        self.require_ready()
        if not device_id and not path:
            msg = "name the device by device_id or by path"
            raise InvalidRequestError(msg)
        return self.plant.device_at(path) if path else self.plant.device(device_id)

    async def watch_tags(
        self, prefixes: Sequence[str], max_rate_hz: float
    ) -> AsyncGenerator[tuple[int, LastValue], None]:
        """Last values of the tags under the paths, then their changes; tags that the registry gains later join in."""
        self.require_ready()
        period_s = 1 / _rate(max_rate_hz)
        selected = self._select(prefixes)
        with self.streams.opened() as wakeup:
            watch = self.values.open(wakeup, selected, period_s=period_s)
            stop = self.plant.on_version(lambda: watch.select(self._select(prefixes, grown=True)))
            try:
                async with aclosing(watch.updates()) as updates:
                    async for update in updates:
                        yield update
            finally:
                stop()
                self.values.close(watch)

    async def watch_anomalies(self, prefix: str) -> AsyncGenerator[Step, None]:
        """Open episodes of the devices under a path, then every step."""
        self.require_ready()
        if prefix and not self.plant.devices_under(prefix, limit=1):
            self.plant.device_at(prefix)  # raises, and says what there is
        matches = _matcher(prefix)
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
        return TagState(tag=tag, last=self.values.last(tag.tag_id))

    def _select(self, prefixes: Sequence[str], *, grown: bool = False) -> set[int]:
        found: set[int] = set()
        for prefix in prefixes or ("",):
            tags = self.plant.tags_under(prefix)
            if not tags and prefix and not grown:
                self.plant.tag_at(prefix)  # raises, and says what there is
            found.update(tag.tag_id for tag in tags)
        if len(found) > self.max_watched_tags and not grown:
            msg = f"{len(found)} tags are selected, more than {self.max_watched_tags}; name narrower paths, or open several streams"
            raise InvalidRequestError(msg)
        return found


def _rate(max_rate_hz: float) -> float:
    if not math.isfinite(max_rate_hz) or max_rate_hz < 0:
        msg = f"max_rate_hz is {max_rate_hz}, not a number above 0"
        raise InvalidRequestError(msg)
    return min(max_rate_hz, MAX_RATE_HZ) or DEFAULT_RATE_HZ


def _page_size(asked: int) -> int:
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


def _matcher(prefix: str) -> Callable[[str], bool]:
    """The same rule as `plant.under`, for one path."""
    if prefix.endswith("*"):
        return lambda path: path.startswith(prefix[:-1])
    base = prefix.rstrip("/")
    return lambda path: not base or path == base or path.startswith(base + "/")
