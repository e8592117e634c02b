"""STATE events of an OPC UA connection: what the server grants, where times come from, what it says of a variable."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.device_notices import DeviceNotices
from connectors.opcua.items import Item
from schemas.events import EventKind


def limits(notices: DeviceNotices, text: str, counts: Mapping[str, str]) -> None:
    """What the server grants less than the tags need, of the connection as a whole."""
    notices.tell(EventKind.STATE, 0, text, counts)


def note(notices: DeviceNotices, text: str) -> None:
    """Whether a restart of the gateway can be told from a loss."""
    notices.tell(EventKind.STATE, 0, text)


def time_source(notices: DeviceNotices, item: Item) -> None:
    """The item's values have no source time."""
    text = f"{item.tag.path} has no source time: its times are the {item.time_source}'s"
    _of_item(notices, item, text, {"time_source": item.time_source})


def semantics(notices: DeviceNotices, item: Item, found: Mapping[str, str]) -> None:
    """Range or unit of a variable have changed; `found` is what the server has now."""
    told = ", ".join(f"{key} {value}" for key, value in found.items()) or "none is left"
    text = f"{item.tag.path}: range or unit has changed at the server: {told}"
    _of_item(notices, item, text, {"semantics_changed": "true", **found})


def filled(notices: DeviceNotices, item: Item, count: int, from_us: int, to_us: int) -> None:
    """Samples of a gap came from the server's history."""
    text = f"{item.tag.path}: {count} samples of a gap are filled from the server's history"
    _of_item(notices, item, text, {"samples": str(count), "from_us": str(from_us), "to_us": str(to_us)})


def _of_item(notices: DeviceNotices, item: Item, text: str, attributes: Mapping[str, str]) -> None:
    known = {"tag": item.tag.path, "tag_id": str(item.tag.tag_id)}
    notices.tell(EventKind.STATE, item.tag.device_id, text, {**known, **attributes})
