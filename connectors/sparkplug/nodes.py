"""What a host knows of edge nodes and their devices, as their births declared them."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.sparkplug.payload import DataType
from schemas.definitions import TagDefinition


@dataclass(slots=True)
class KnownMetric:
    """A metric as its birth declared it. `tag` is None when the registry does not give it to this gateway."""

    address: str
    name: str
    data_type: DataType
    tag: TagDefinition | None = None


@dataclass(slots=True)
class Device:
    """A device of a node (or the node itself, under the empty name)."""

    online: bool = False
    metrics: dict[int | str, KnownMetric] = field(default_factory=dict)
    types: dict[int | str, DataType] = field(default_factory=dict)


@dataclass(slots=True)
class Node:
    """An edge node. `asks`: requests for a birth since it was last born."""

    online: bool = False
    bdseq: int | None = None
    seq: int | None = None
    born_us: int = 0
    asked_us: int = 0
    asks: int = 0
    devices: dict[str, Device] = field(default_factory=dict)
