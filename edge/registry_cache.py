"""The gateway's copy of the registry: follows `registry.tags`, and keeps what concerns its site on disk.

Enters: definitions and version markers from Kafka. Leaves: a `RegistryView` each time a version is complete: first the one
on disk, so that the gateway starts while Kafka is away, then the newest of the topic, then every later one as it comes.
Views are never made of half a version. The topic is the truth: after a reset of the platform its lower version wins.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from base import files
from base.errors import SchemaError, UnavailableError
from connectors.platform import Following, Platform, follow_through
from schemas import codec, topics
from schemas.definitions import TagDefinition, encode_tag, encode_version, tag_from_record

log = logging.getLogger(__name__)

_LENGTH = struct.Struct("<I")


class _Message(Protocol):
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryView:
    """One complete version, as one gateway sees it."""

    version: int = 0
    tags: dict[int, TagDefinition] = field(default_factory=dict)
    """The gateway's own tags that are not retired, by tag id. Calculated ones are the telemetry job's: no machine has them."""
    foreign: frozenset[str] = frozenset()
    """Addresses of the site that are known and not this gateway's to read."""

    def device(self, device_id: int) -> list[TagDefinition]:
        """The gateway's tags of a device."""
        return [tag for tag in self.tags.values() if tag.device_id == device_id]


class RegistryCache:
    """Follows the registry for one gateway. `on_view` is called in the event loop."""

    def __init__(self, path: Path, *, gateway_id: str, site: str, on_view: Callable[[RegistryView], None]) -> None:
        self.view = RegistryView()
        self.current = asyncio.Event()
        """Set once all that the topic had at the start has been folded in."""
        self._path, self._gateway_id, self._site, self._on_view = path, gateway_id, site, on_view
        self._site_tags: dict[int, TagDefinition] = {}
        # The newest complete version: as this gateway sees it, and all definitions of its site.
        self._newest: tuple[RegistryView, dict[int, TagDefinition]] | None = None
        self._live = False
        self._follower: Following | None = None
        self._failure = ""

    @property
    def failure(self) -> str:
        """Why the topic was not read any more; empty once it is read to its end again."""
        if self._follower is not None and self._follower.caught_up.is_set():
            self._failure = ""
        return self._failure

    def load(self) -> None:
        """Use the copy on disk, if there is one that can be read."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        try:
            self._fold_all(_unpack(data))
        except (ValueError, struct.error) as error:
            log.warning("the copy of the registry cannot be read", extra={"path": str(self._path), "cause": str(error)})
        if self._newest is not None:
            self._publish(*self._newest)
        self._newest, self._site_tags = None, {}

    async def run(self, platform: Platform) -> None:
        """Follow the topic until cancelled; may be run again. What is read from the beginning again counts when it is read to the end."""
        self._live, self._newest, self._site_tags = False, None, {}
        follower = self._follower = platform.follow(topics.TAGS.name, self.on_messages)
        try:
            await follow_through(follower, self.caught_up)
        except UnavailableError as error:
            self._follower, self._failure = None, str(error)
            raise

    def on_messages(self, messages: Iterable[_Message]) -> None:
        """Fold messages of the topic in, in order."""
        self._fold_all((message.key() or b"", message.value() or b"") for message in messages)

    def caught_up(self) -> None:
        """All that was in the topic at the start has been folded in: from now on every version counts at once."""
        self._live = True
        self.current.set()
        if self._newest is not None:
            self._publish(*self._newest)

    def _fold_all(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        for key, value in pairs:
            try:
                self._fold(key, value)
            except SchemaError:
                log.exception(
                    "a definition in the registry cannot be read", extra={"key": key.decode("ascii", "replace")}
                )

    def _fold(self, key: bytes, value: bytes) -> None:
        if not value:
            if key.isdigit():
                self._site_tags.pop(int(key), None)
            return
        name, record = codec.decode(value, "TagDefinition", "RegistryVersion")
        if name == "RegistryVersion":
            self._newest = (self._view(record["version"]), dict(self._site_tags))
            if self._live:
                self._publish(*self._newest)
        elif record["site"] == self._site:
            self._site_tags[record["tag_id"]] = tag_from_record(record)
        else:
            self._site_tags.pop(record["tag_id"], None)

    def _view(self, version: int) -> RegistryView:
        mine = {
            tag_id: tag
            for tag_id, tag in sorted(self._site_tags.items())
            if tag.gateway_id == self._gateway_id and not tag.retired and not tag.calculated
        }
        foreign = frozenset(
            tag.address for tag_id, tag in self._site_tags.items() if tag_id not in mine and not tag.calculated
        )
        return RegistryView(version=version, tags=mine, foreign=foreign)

    def _publish(self, view: RegistryView, site_tags: dict[int, TagDefinition]) -> None:
        if view == self.view:
            return
        log.info("registry version in use", extra={"version": view.version, "tags": len(view.tags)})
        self.view = view
        if self._live:
            self._save(view, site_tags)
        self._on_view(view)

    def _save(self, view: RegistryView, site_tags: dict[int, TagDefinition]) -> None:
        pairs = [encode_tag(tag) for tag in site_tags.values()]
        pairs.append(encode_version(view.version, tags=len(pairs), time_us=0))
        files.replace_durably(self._path, _pack(pairs))


def _pack(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(_LENGTH.pack(len(part)) + part for pair in pairs for part in pair)


def _unpack(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    parts, at = list[bytes](), 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size + length
        if at > len(data):
            msg = f"the file ends {at - len(data)} bytes early"
            raise ValueError(msg)
        parts.append(data[at - length : at])
    return zip(parts[::2], parts[1::2], strict=True)
