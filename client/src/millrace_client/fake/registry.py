"""Devices, tags and last values of the fake plant. No locks, no streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from millrace_client.calls import TagRef
from millrace_client.errors import InvalidRequestError, NotFoundError
from millrace_client.fake import hierarchy
from millrace_client.results import Device, Tag, TagUpdate, Value


class Registry:
    """What is defined, and what was last seen."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._tags: dict[str, Tag] = {}
        self._devices: dict[str, Device] = {}
        self._last: dict[int, Value] = {}

    @property
    def tag_paths(self) -> list[str]:
        """Paths of the tags."""
        return list(self._tags)

    @property
    def device_paths(self) -> list[str]:
        """Paths of the devices."""
        return list(self._devices)

    def define(self, tag: Tag, device: Device) -> None:
        """Add a tag and its device, or replace them."""
        self._tags[tag.path] = tag
        self._devices[device.path] = device

    def set(self, tag_id: int, value: Value) -> bool:
        """Keep a value, unless a newer one is known or it is the same; returns whether it was kept."""
        known = self._last.get(tag_id)
        if known is not None and (value.time_us < known.time_us or value == known):
            return False
        self._last[tag_id] = value
        return True

    def find_tag(self, tag: TagRef) -> Tag:
        """Tag with its last value, by id, by path, or as it was. Raises NotFoundError, or InvalidRequestError for none."""
        if isinstance(tag, Tag):
            return self.find_tag(tag.path)
        if not tag:
            msg = "name the tag by tag_id or by path"
            raise InvalidRequestError(msg)
        if isinstance(tag, str):
            if tag not in self._tags:
                raise NotFoundError(hierarchy.unknown("tag", tag, self._tags))
            return self._with_last(self._tags[tag])
        for known in self._tags.values():
            if known.tag_id == tag:
                return self._with_last(known)
        msg = f"no tag {tag} in the registry"
        raise NotFoundError(msg)

    def find_device(self, device: int | str) -> Device:
        """Device with its tags and their last values, by id or by path. Raises NotFoundError, or InvalidRequestError for none."""
        if not device:
            msg = "name the device by device_id or by path"
            raise InvalidRequestError(msg)
        if isinstance(device, str):
            if device not in self._devices:
                raise NotFoundError(hierarchy.unknown("device", device, self._tags))
            return self._with_tags(self._devices[device])
        for known in self._devices.values():
            if known.device_id == device:
                return self._with_tags(known)
        msg = f"no device {device} in the registry"
        raise NotFoundError(msg)

    def known_device(self, path: str) -> Device | None:
        """Device of a path without its tags, if there is one."""
        return self._devices.get(path)

    def known_tag(self, path: str) -> Tag | None:
        """Tag of a path without its last value, if there is one."""
        return self._tags.get(path)

    def next_tag_id(self) -> int:
        """An id that no tag has."""
        return max((tag.tag_id for tag in self._tags.values()), default=0) + 1

    def next_device_id(self) -> int:
        """An id that no device has."""
        return max((device.device_id for device in self._devices.values()), default=0) + 1

    def update(self, tag_id: int) -> TagUpdate:
        """Last value of a tag that has one."""
        path = next(tag.path for tag in self._tags.values() if tag.tag_id == tag_id)
        return TagUpdate(tag_id=tag_id, path=path, value=self._aged(self._last[tag_id]))

    def with_values(self) -> Iterator[tuple[int, str]]:
        """Ids and paths of the tags that have a value, in the order in which they came."""
        paths = {tag.tag_id: tag.path for tag in self._tags.values()}
        return ((tag_id, paths[tag_id]) for tag_id in self._last if tag_id in paths)

    def _with_tags(self, device: Device) -> Device:
        tags = (self._tags[path] for path in sorted(self._tags))
        mine = tuple(self._with_last(tag) for tag in tags if tag.device_id == device.device_id)
        return replace(device, tags=mine)

    def _with_last(self, tag: Tag) -> Tag:
        last = self._last.get(tag.tag_id)
        return tag if last is None else replace(tag, last=self._aged(last))

    def _aged(self, value: Value) -> Value:
        return replace(value, age_us=max(0, self._clock() - value.time_us))
