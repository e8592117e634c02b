"""What passes between a machine connector and the gateway: readings and notices up, writes down.

Connectors (`connectors.opcua.connector`, `connectors.sparkplug`) call a `Sink`; the gateway implements it. A connector knows which
addresses are tags (`update`), keeps the protocol's session alive (`run`) and writes values (`write`); it converts no
types and drops nothing. Ordering: readings of one tag are handed over in the order the protocol delivered them.
Delivery: `on_appended` is called once all readings of the call are in the durable buffer, so that a protocol which has
acknowledgements (OPC UA) acknowledges nothing that a crash could still lose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, runtime_checkable

from schemas import quality
from schemas.commands import Effect

if TYPE_CHECKING:
    from schemas.definitions import TagDefinition
    from schemas.events import EventKind, Gap


@dataclass(frozen=True, slots=True)
class Unusable:
    """A value that no tag can carry: why, and how it looked, shortly."""

    reason: str
    shown: str = ""


Value = float | int | bool | str | bytes | Unusable | None


class Seen(NamedTuple):
    """The last sample of a tag that was handed over, with its value and quality as a frame carries them.

    `time_us` is 0 when there is none. `value` None: only its time is known.
    """

    time_us: int
    value: Value = None
    quality: int = 0

    @classmethod
    def of(cls, time_us: int, value: Value, code: int) -> Self:
        """Of a sample as it came."""
        return cls(time_us, *carried(value, code))

    def repeats(self, value: Value, code: int) -> bool:
        """Whether a sample of the same time is this one again. Where only the time is known it is taken for it."""
        if self.value is None:
            return True
        found, code = carried(value, code)
        both_nan = found != found and self.value != self.value  # noqa: PLR0124
        return code == self.quality and (found == self.value or both_nan)


def carried(value: Value, code: int) -> tuple[Value, int]:
    """Value and quality as frames carry them: no value is a NaN, whose quality is bad. Numbers stay as they are: `True == 1.0`."""
    if value is not None:
        return value, code
    return math.nan, code if code & quality.SEVERITY_MASK == quality.BAD else quality.BAD


@dataclass(slots=True)
class Readings:
    """Parallel lists of the same length: tag, source time in microseconds UTC, value as the machine sent it, quality.

    `historical` values were stored at the machine and sent late.
    """

    tag_id: list[int] = field(default_factory=list)
    time_us: list[int] = field(default_factory=list)
    value: list[Value] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    historical: bool = False

    def __len__(self) -> int:
        return len(self.tag_id)

    def add(self, tag_id: int, time_us: int, value: Value, quality: int) -> None:
        """Append one reading."""
        self.tag_id.append(tag_id)
        self.time_us.append(time_us)
        self.value.append(value)
        self.quality.append(quality)

    def extend(self, other: Readings) -> None:
        """Append all readings of `other`."""
        self.tag_id += other.tag_id
        self.time_us += other.time_us
        self.value += other.value
        self.quality += other.quality


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What a connector has to say besides values; becomes a DeviceEvent."""

    kind: EventKind
    device_id: int
    time_us: int
    text: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    gap: Gap | None = None


class Sink(Protocol):
    """The gateway's side."""

    def readings(self, readings: Readings, on_appended: Callable[[], None] | None = None) -> None:
        """Take readings over; the caller does not touch them afterwards."""

    def notice(self, notice: Notice) -> None:
        """Take a notice over."""

    def last_seen(self, tag_id: int) -> Seen:
        """The last sample of the tag that was appended, also before a restart; its time is 0 when there is none."""


class WriteStatus(Enum):
    """How a write ended."""

    DONE = "done"
    """The machine confirmed it, and the values read back are what was written."""
    REFUSED = "refused"
    """The machine refused: nothing was changed."""
    NOT_SENT = "not sent"
    """Nothing left the gateway."""
    PARTLY = "partly"
    """Some tags have their value, the others were refused or not sent; `tags` tells which."""
    UNKNOWN = "unknown"
    """Of some tag nobody can say whether it was written."""


PARTLY_CARRIED_OUT = "partly carried out: "
"""How the detail of a write begins when some of its tags were written and others were not, or perhaps not."""
_EFFECT = {
    WriteStatus.DONE: Effect.APPLIED,
    WriteStatus.REFUSED: Effect.REFUSED,
    WriteStatus.NOT_SENT: Effect.NOT_SENT,
    WriteStatus.UNKNOWN: Effect.UNKNOWN,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TagOutcome:
    """What became of the value of one tag. `readback` is None when nothing was read back."""

    effect: Effect
    detail: str = ""
    readback: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteResult:
    """Outcome of a write. `tags` by name; a tag that is not there shares the outcome of the whole. Several outcomes: `WriteResult.of`."""

    status: WriteStatus
    detail: str = ""
    tags: Mapping[str, TagOutcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status is WriteStatus.PARTLY and not self.tags:
            msg = "a write that was carried out in part has an outcome of each tag"
            raise ValueError(msg)

    @classmethod
    def of(cls, tags: Mapping[str, TagOutcome]) -> Self:
        """Result of a write whose tags have outcomes of their own: the whole never hides an effect."""
        effects = {one.effect for one in tags.values()}
        texts = {one.detail for one in tags.values()}
        detail = "; ".join(f"{name}: {one.detail}" for name, one in tags.items())
        if effects == {Effect.APPLIED}:
            return cls(status=WriteStatus.DONE, detail=texts.pop() if len(texts) == 1 else detail, tags=tags)
        if Effect.APPLIED in effects:
            detail = f"{PARTLY_CARRIED_OUT}{detail}"
        if Effect.UNKNOWN in effects:
            status = WriteStatus.UNKNOWN
        elif Effect.APPLIED in effects:
            status = WriteStatus.PARTLY
        else:
            status = WriteStatus.REFUSED if Effect.REFUSED in effects else WriteStatus.NOT_SENT
        return cls(status=status, detail=detail, tags=tags)

    @property
    def readback(self) -> dict[str, float]:
        """Values read back by tag name."""
        return {name: one.readback for name, one in self.tags.items() if one.readback is not None}

    def outcome(self, name: str) -> TagOutcome:
        """Outcome of a tag of the write."""
        return self.tags.get(name) or TagOutcome(effect=_EFFECT[self.status], detail=self.detail)


class Write(NamedTuple):
    """One value for one tag."""

    tag: TagDefinition
    value: float


def is_same(found: float, written: float) -> bool:
    """Whether a value read back or reported is the one that was written, within what a 32-bit float keeps."""
    return math.isclose(found, written, rel_tol=1e-6, abs_tol=1e-12)


class Connector(Protocol):
    """One connection to machines."""

    name: str

    def serves(self, address: str) -> bool:
        """Whether an address of the registry belongs to this connection."""

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:
        """Take over the tags by address, now and whenever the registry changes.

        `foreign` are addresses the registry gives to other gateways: known, but not this connection's to read.
        """

    async def run(self) -> None:
        """Keep the connection until cancelled."""

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Write to one device and read back; never raises for what machine or connection do."""

    def status(self) -> dict[str, Any]:
        """Numbers and states for people."""


@runtime_checkable
class Acknowledges(Protocol):
    """A connector of machines that have conditions, which somebody has to acknowledge."""

    async def acknowledge(self, condition: str, seen_us: int, comment: str, timeout_s: float) -> WriteResult:
        """Acknowledge a condition as it stood at a time of the gateway's clock; never raises for what machine or connection do."""
