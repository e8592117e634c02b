"""What a connector says of its devices besides values: births, deaths, gaps, refused tags and proposals, each once.

Used by all machine connectors (`connectors.sparkplug.notices` adds to it). Every notice carries the connector's name and endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from base.ids import Clock
from connectors.readings import Notice, Sink
from schemas import quality
from schemas.definitions import TagDefinition
from schemas.events import EventKind, Gap

LONGEST_ADDRESS = 1024
"""Characters of an address; nothing longer is proposed."""
_LONGEST = 200
_IDENTITIES = frozenset({"address", "name", "condition_id"})
"""Cut shorter, an address would be another one."""


class DeviceNotices:
    """Notices of one connection. A device's birth and death are told when they change only."""

    def __init__(self, sink: Sink, clock: Clock, *, connector: str, endpoint: str, born: Mapping[str, str]) -> None:
        """`born` are attributes of each birth."""
        self._sink, self._clock = sink, clock
        self._known = {"connector": connector, "endpoint": endpoint}
        self._born = dict(born)
        self._alive: dict[int, bool] = {}
        self._refused: dict[int, str] = {}

    def born(self, tags: Iterable[TagDefinition]) -> None:
        """The devices of these tags are reached."""
        for device_id, tag in _devices(tags):
            self.birth(device_id, f"{tag.device_path} is connected")

    def died(self, tags: Iterable[TagDefinition], problem: str) -> None:
        """The devices of these tags are not reached: their last values are stale."""
        for device_id, tag in _devices(tags):
            self.death(device_id, f"{tag.device_path} cannot be reached: {problem}")

    def birth(self, device_id: int, text: str) -> None:
        """The device is there, and its values are current; told once until it dies."""
        if not self._alive.get(device_id):
            self._alive[device_id] = True
            self.tell(EventKind.BIRTH, device_id, text, self._born)

    def death(self, device_id: int, text: str, time_us: int | None = None) -> None:
        """The device's values are stale; told once until it is born. Without a time it is now."""
        if self._alive.get(device_id, True):
            self._alive[device_id] = False
            bad = {"quality": f"0x{quality.BAD_NO_COMMUNICATION:04x}"}
            self.tell(EventKind.DEATH, device_id, text, bad, time_us=time_us)

    def refused(self, tag: TagDefinition, problem: str) -> None:
        """The tag cannot be read; told again when the problem is another one or was gone meanwhile."""
        if self._refused.get(tag.tag_id) != problem:
            self._refused[tag.tag_id] = problem
            attributes = {"tag": tag.path, "tag_id": str(tag.tag_id), "address": tag.address, "reason": problem}
            self.tell(EventKind.REFUSED, tag.device_id, f"{tag.path} cannot be read: {problem}", attributes)

    def accepted(self, tag_id: int) -> None:
        """The tag is read again."""
        self._refused.pop(tag_id, None)

    def gap(self, device_id: int, gap: Gap) -> None:
        """Samples are missing; for `connectors.gap_tracker`."""
        self.tell(EventKind.GAP, device_id, f"samples may be missing: {gap.cause}", gap=gap)

    def tell(
        self,
        kind: EventKind,
        device_id: int,
        text: str,
        attributes: Mapping[str, str] | None = None,
        *,
        gap: Gap | None = None,
        time_us: int | None = None,
    ) -> None:
        """Hand a notice over; 0 is the gateway itself."""
        shown = {
            key: value[: LONGEST_ADDRESS if key in _IDENTITIES else _LONGEST]
            for key, value in (attributes or {}).items()
        }
        notice = Notice(
            kind=kind,
            device_id=device_id,
            time_us=self._clock() if time_us is None else time_us,
            text=text,
            attributes={**shown, **self._known},  # a property may be called anything
            gap=gap,
        )
        self._sink.notice(notice)


def _devices(tags: Iterable[TagDefinition]) -> Iterable[tuple[int, TagDefinition]]:
    return {tag.device_id: tag for tag in tags}.items()
