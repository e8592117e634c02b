"""Sparkplug topic names, and the STATE message of a host.

Data: `spBv1.0/<group>/<message type>/<edge node>[/<device>]`; host: `spBv1.0/STATE/<host id>`.
Used by the host (gateway) and by edge nodes. Pure functions.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import NamedTuple

from base.errors import UndecodableError

NAMESPACE = "spBv1.0"


class MessageType(StrEnum):
    """Second-but-one level of a topic."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"
    DCMD = "DCMD"


class Topic(NamedTuple):
    """A parsed topic. `device` is empty for messages of the edge node itself."""

    group: str
    type: MessageType
    node: str
    device: str = ""

    def __str__(self) -> str:
        tail = f"/{self.device}" if self.device else ""
        return f"{NAMESPACE}/{self.group}/{self.type.value}/{self.node}{tail}"


def parse(topic: str) -> Topic:
    """Topic of its name; raises UndecodableError for anything that is not Sparkplug B."""
    parts = topic.split("/")
    try:
        if parts[0] != NAMESPACE or not 4 <= len(parts) <= 5 or not all(parts):
            raise ValueError
        kind = MessageType(parts[2])
        if (len(parts) == 5) != kind.value.startswith("D"):
            raise ValueError
    except (ValueError, IndexError):
        msg = f"{topic!r} is not a Sparkplug B topic"
        raise UndecodableError(msg) from None
    return Topic(parts[1], kind, *parts[3:])


def is_plain(name: str) -> bool:
    """Whether a name is one line without control characters and without blanks at its ends."""
    return name.isprintable() and name == name.strip()


def host_id_of(gateway_id: str, host_id: str = "") -> str:
    """What a gateway is called as a host: what its settings say, else a name made of its own."""
    return host_id or f"millrace-{gateway_id}"


def state_topic(host_id: str) -> str:
    """Where a host application says whether it is online."""
    return f"{NAMESPACE}/STATE/{host_id}"


def encode_state(*, online: bool, time_ms: int) -> bytes:
    """Payload of a STATE message (3.0: JSON, retained, QoS 1)."""
    return json.dumps({"online": online, "timestamp": time_ms}, separators=(",", ":")).encode()


def decode_state(payload: bytes) -> tuple[bool, int]:
    """(online, time in ms) of a STATE message; raises UndecodableError."""
    try:
        state = json.loads(payload)
        return bool(state["online"]), int(state["timestamp"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"not a STATE message: {payload[:80]!r}"
        raise UndecodableError(msg) from error


def check_address(text: str) -> None:
    """Raise ValueError unless the text is `<group>/<edge node>/<device>/<metric>`; the device is empty for a metric of the node itself."""
    group, node, device, metric = ([*text.split("/", 3), "", "", "", ""])[:4]
    if not group or not node or not metric or any(set(level) & set("+#") for level in (group, node, device)):
        msg = f"{text[:200]!r} is not <group>/<edge node>/<device>/<metric> (an empty device for a metric of the node itself)"
        raise ValueError(msg)


def machine_of(text: str) -> str:
    """`<group>/<edge node>/<device>` of an address within the protocol."""
    return "/".join(text.split("/", 3)[:3])


def parse_address(address: str) -> tuple[str, str, str, str]:
    """Group, edge node, device and metric of an address; metric names may contain slashes."""
    group, node, device, metric = address.partition(":")[2].split("/", 3)
    return group, node, device, metric
