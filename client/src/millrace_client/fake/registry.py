"""Devices, tags and last values of the fake plant. No locks, no streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from millrace_client.calls import TagRef
from millrace_client.errors import InvalidRequestError, NotFoundError
from millrace_client.fake import hierarchy
from millrace_client.ids import uuid7
from millrace_client.results import Device, DeviceState, Quality, Tag, TagUpdate, Value

_NO_COMMUNICATION = 0x8031


class Registry:
    """What is defined, and what was last seen."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._tags: dict[str, Tag] = {}
        self._devices: dict[str, Device] = {}
        self._last: dict[int, Value] = {}
        self._revisions: dict[int, int] = {}
        self._revision = 0
        self._name = uuid7().hex

    @property
    def devices(self) -> list[Device]:
        """Devices without their tags."""
        return list(self._devices.values())

    @property
    def position(self) -> str:
        """Where the plant is, for somebody who goes on from here."""
        return f"{self._name}.{self._revision}"

    def revision_of(self, position: str) -> int | None:
        """What `position` was; None when it is not one of this plant."""
        name, _, revision = position.partition(".")
        return int(revision) if name == self._name and revision.isdecimal() else None

    def changed_since(self, revision: int) -> list[tuple[int, str]]:
        """Ids and paths of the tags that got a value after a revision, in the order in which they did."""
        paths = {tag.tag_id: tag.path for tag in self._tags.values()}
        changed = sorted((at, tag_id) for tag_id, at in self._revisions.items() if at > revision and tag_id in paths)
        return [(tag_id, paths[tag_id]) for _, tag_id in changed]

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
        self._changed(tag_id)
        return True

    def set_state(self, device: Device, state: DeviceState, packml_state: str) -> list[tuple[int, str]]:
        """A device is heard or not. Tags of one that is not are stale, and of bad quality; returns ids and paths of those that changed."""
        self._devices[device.path] = replace(device, state=state, packml_state=packml_state, tags=())
        tags = [tag for tag in device.tags if tag.last is not None]
        for tag in tags:
            self._changed(tag.tag_id)
        return [(tag.tag_id, tag.path) for tag in tags]

    def _changed(self, tag_id: int) -> None:
        self._revision += 1
        self._revisions[tag_id] = self._revision

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
        tag = self._with_last(next(tag for tag in self._tags.values() if tag.tag_id == tag_id))
        assert tag.last is not None
        return TagUpdate(tag_id=tag_id, path=tag.path, value=tag.last)

    def _with_tags(self, device: Device) -> Device:
        tags = (self._tags[path] for path in sorted(self._tags))
        mine = tuple(self._with_last(tag) for tag in tags if tag.device_id == device.device_id)
        return replace(device, tags=mine)

    def _with_last(self, tag: Tag) -> Tag:
        last = self._last.get(tag.tag_id)
        if last is None:
            return tag
        stale = self._devices[tag.device_path].state is DeviceState.OFFLINE
        if stale:
            last = replace(last, quality=Quality.BAD, quality_code=_NO_COMMUNICATION)
        return replace(tag, last=replace(last, age_us=max(0, self._clock() - last.time_us)), stale=stale)
