"""Where the time of a command goes: its hops, from the clocks of those who touch it.

Enters: trips (`command_load`), and the acknowledgements and records of their commands from Kafka. Leaves: milliseconds by hop. All clocks
are the machine's own, so hops can be taken from one another. `table` is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from base.settings import KafkaSettings
from benchmarks.command_load import Trip
from connectors.kafka.consume import read_to_end
from schemas import codec, topics
from schemas.commands import OUTCOMES, CommandAck, CommandState, CommandStateRecord

HOPS = {
    "submit_to_durable": ("due", "durable"),
    "submit_to_delivered": ("due", "delivered"),
    "delivered_to_executing": ("delivered", "executing"),
    "executing_to_acked": ("executing", "acked"),
    "acked_to_recorded": ("acked", "recorded"),
    "recorded_to_seen": ("recorded", "seen"),
    "acked_to_provisional": ("acked", "provisional"),
}
"""Hop: from which time to which. `due`, `durable` and `seen` are the caller's, `recorded` the job's, the others the gateway's."""
QUANTILES = (50.0, 95.0, 99.0, 99.9)


@dataclass(kw_only=True, slots=True)
class Times:
    """When a command came how far; microseconds since 1970, by name of the step."""

    of: dict[str, int]


def read(kafka: KafkaSettings, trips: Sequence[Trip]) -> dict[UUID, Times]:
    """Times of the commands' steps: the caller's and those in Kafka."""
    found = {
        trip.command_id: Times(
            of={
                "due": trip.due_us,
                "durable": trip.durable_us,
                "provisional": trip.provisional_us,
                "seen": trip.seen_us,
            }
        )
        for trip in trips
    }
    for site in sorted({trip.site for trip in trips if trip.site}):
        for message in read_to_end(kafka, topics.ACKS.for_site(site)):
            ack = CommandAck.from_record(codec.decode(message.value() or b"", "CommandAck")[1])
            _first(found, ack.command_id, _step(ack.state), ack.time_us)
    for message in read_to_end(kafka, topics.STATES.name):
        if (value := message.value()) is not None:
            record = CommandStateRecord.from_record(codec.decode(value, "CommandState")[1])
            if record.state in OUTCOMES:
                _first(found, record.command_id, "recorded", record.updated_us)
    return found


def _step(state: CommandState) -> str:
    return "acked" if state in OUTCOMES else state.value.lower()


def _first(found: dict[UUID, Times], command_id: UUID, step: str, at_us: int) -> None:
    if command_id in found:
        found[command_id].of.setdefault(step, at_us)


def table(times: Iterable[Times]) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of each hop, of the commands that have both of its ends."""
    known = list(times)
    return {
        hop: np.array(
            [(one.of[end] - one.of[start]) / 1000 for one in known if one.of.get(start) and one.of.get(end)],
            dtype=np.float64,
        )
        for hop, (start, end) in HOPS.items()
    }


def quantiles(values_ms: NDArray[np.float64], prefix: str = "") -> dict[str, float]:
    """`p50_ms` to `p99_9_ms` and `max_ms`; nothing for no values."""
    if not len(values_ms):
        return {}
    found = {f"{prefix}p{q:g}_ms".replace(".", "_"): round(float(np.percentile(values_ms, q)), 1) for q in QUANTILES}
    return found | {f"{prefix}max_ms": round(float(values_ms.max()), 1)}


def longest_silence_s(trips: Sequence[Trip], from_us: int) -> float:
    """Longest time without a recorded outcome that the callers saw, beginning with the last one before `from_us`."""
    seen = sorted(trip.seen_us for trip in trips if trip.seen_us)
    begin = max((at for at in seen if at <= from_us), default=from_us)
    after = [begin, *(at for at in seen if at > begin)]
    return max((later - sooner for sooner, later in pairwise(after)), default=0) / 1e6
