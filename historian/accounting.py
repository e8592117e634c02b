"""The product's promise, measured: produced + calculated = stored + rejected + suppressed + held + in flight.

Calculated are samples that the telemetry job made of others: they come with the frame of those, and are stored or suppressed with it.
Checksums are compared without them. What a gateway had to drop from a full buffer is counted apart, and each such loss has a gap event.
Samples that were replayed are the same samples, sent again: what of a REPLAY frame is stored or suppressed is no longer rejected. `stored`
is what was stored once; of it, `superseded` was put right since (ADR 0030). What then stands in `samples` is
stored - superseded + corrected, as far as retention has left it.

Enters: gateways' own counters (produced), the ledger (stored, rejected, suppressed and which frames), the telemetry
job's report of held frames, and the frames that lie in Kafka. Leaves: a plain dictionary for `status --json`, per lane
and in total. Who calls: `stack.status`, tests.

`in_flight` is no residual. Every frame has an identity, so what the gateways appended less what the ledger has is a
set of frames; each is looked for in Kafka's topics and at its gateway, and what is found nowhere is `missing_frames`.
The ledger is read first and the gateways' counters after it, so a frame on its way is found in one place or the other.
Checksums are compared where everything has arrived. What cannot be reached is named in `not_measured`, and then
nothing is claimed about it: `closed` is null.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from base.settings import KafkaSettings
from historian import accounting_sources
from historian.accounting_sources import Books, Counters, Flight, Ranges
from schemas.checksum import to_signed
from schemas.frame import SequenceKey, Stream


def measure(dsn: str, kafka: KafkaSettings) -> dict[str, Any]:
    """Measure an installation, wherever its database and broker are; up to a few seconds, never raises because a part is down."""
    not_measured: list[str] = []
    books = accounting_sources.read_books(dsn, not_measured)
    counters = accounting_sources.read_counters(kafka, books, not_measured)
    missing = {key: found for key, one in counters.items() if (found := books.missing(key, one.next_sequence))}
    flight = accounting_sources.find_frames(kafka, missing, books.sites, not_measured) if missing else {}
    return account(books, counters, missing, flight, not_measured)


@dataclass(kw_only=True, slots=True)
class Account:
    """Samples of some sequences. `checksum_difference` is None while something of them is on its way."""

    produced: int = 0
    calculated: int = 0
    stored: int = 0
    rejected: int = 0
    suppressed: int = 0
    held: int = 0
    in_kafka: int = 0
    in_gateway_buffers: int = 0
    dropped: int = 0
    duplicates: int = 0
    replayed: int = 0
    superseded: int = 0
    corrected: int = 0
    missing_frames: int = 0
    checksums_compared: int = 0
    checksums_differing: int = 0
    open_questions: list[str] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        """Samples on their way."""
        return self.in_kafka + self.in_gateway_buffers

    @property
    def difference(self) -> int:
        """What is produced or calculated and accounted for nowhere; 0 is the promise."""
        accounted = self.stored + self.rejected + self.suppressed + self.held + self.in_flight + self.dropped
        return self.produced + self.calculated - accounted

    def add(self, other: Account) -> None:
        """Count another in."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "produced": self.produced,
            "calculated": self.calculated,
            "stored": self.stored,
            "rejected": self.rejected,
            "suppressed": self.suppressed,
            "held": self.held,
            "in_flight": self.in_flight,
            "in_kafka": self.in_kafka,
            "in_gateway_buffers": self.in_gateway_buffers,
            "dropped": self.dropped,
            "duplicates": self.duplicates,
            "replayed": self.replayed,
            "superseded": self.superseded,
            "corrected": self.corrected,
            "difference": self.difference,
            "missing_frames": self.missing_frames,
            "checksums_compared": self.checksums_compared,
            "checksums_differing": self.checksums_differing,
        }


def account(
    books: Books,
    counters: Mapping[SequenceKey, Counters],
    missing: Mapping[SequenceKey, Ranges],
    flight: Mapping[SequenceKey, dict[int, Flight]],
    not_measured: Iterable[str],
) -> dict[str, Any]:
    """The arithmetic: pure."""
    total, lanes = Account(), defaultdict[tuple[str, int], Account](Account)
    for key in sorted({*counters, *books.ledger}, key=str):
        one = _sequence(key, books, counters.get(key), missing.get(key, ()), flight.get(key, {}))
        lanes[key.gateway_id, key.lane].add(one)
        total.add(one)
    for lane, samples in books.duplicates.items():
        lanes[lane].duplicates += samples
        total.duplicates += samples
    for lane, (superseded, corrected) in books.corrections.items():
        for one in (lanes[lane], total):
            one.superseded += superseded
            one.corrected += corrected
    problems = [*not_measured, *total.open_questions]
    closed = None if problems else total.difference == 0 and not total.missing_frames and not total.checksums_differing
    return {
        "closed": closed,
        **total.as_dict(),
        "duplicate_frames": books.duplicate_frames,
        "identity_conflicts": books.identity_conflicts,
        "undecodable": books.undecodable,
        "newest_sample": books.newest_sample,
        "newest_sample_age_s": books.newest_sample_age_s,
        "dirty_ranges": books.dirty_ranges,
        "partitions_waiting": books.partitions_waiting[0],
        "partitions_waiting_s": round(books.partitions_waiting[1], 1),
        "commands": books.commands,
        "not_measured": problems,
        "lanes": [
            {"gateway_id": gateway_id, "lane": lane, **one.as_dict()}
            for (gateway_id, lane), one in sorted(lanes.items())
        ],
    }


def _sequence(
    key: SequenceKey, books: Books, one: Counters | None, missing: Ranges, flight: Mapping[int, Flight]
) -> Account:
    entry = books.ledger.get(key)
    result = Account()
    if entry is not None:
        result.stored, result.rejected, result.suppressed = entry.stored, entry.rejected, entry.suppressed
        result.calculated = entry.calculated
    if key.stream is Stream.REPLAY:
        # Produced and rejected once already, in the refused frames: what was refused again is not rejected twice, and
        # what was accepted this time is rejected no longer. Corrected samples have another checksum than produced ones.
        result.replayed = result.stored + result.suppressed
        result.rejected = -result.replayed
        return result
    if one is None:
        result.open_questions.append(f"{_name(key)}: in the ledger, but its gateway has reported no counters")
        return result
    result.produced, result.dropped = one.produced, one.dropped
    if entry is not None and entry.end > one.next_sequence:
        result.open_questions.append(f"{_name(key)}: the ledger is ahead of the newest counters of the gateway")
        return result
    held, gaps = books.held.get(key, {}), books.gaps.get(key, ())
    in_kafka = {
        sequence: found for sequence, found in flight.items() if sequence < one.next_sequence and sequence not in held
    }
    result.held = sum(held[sequence] for sequence in held if _within(missing, sequence))
    result.in_kafka = sum(found.samples for found in in_kafka.values())
    undelivered = held_elsewhere = buffered = 0
    for low, high in missing:
        for sequence in range(low, high):
            if _within(gaps, sequence):
                continue
            if sequence >= one.delivered_sequence:
                undelivered += 1
                if sequence in in_kafka or sequence in held:
                    held_elsewhere += in_kafka[sequence].samples if sequence in in_kafka else held[sequence]
                else:
                    buffered += 1
            elif sequence not in in_kafka and sequence not in held:
                result.missing_frames += 1
    if buffered:
        # Frames the gateway still waits to hear of, less those that were found further on meanwhile.
        result.in_gateway_buffers = one.buffered - held_elsewhere
        if one.next_sequence - one.delivered_sequence > undelivered:
            result.open_questions.append(f"{_name(key)}: frames were confirmed while they were counted")
    _compare(result, entry, one, in_kafka)
    return result


def _compare(
    result: Account, entry: accounting_sources.LedgerEntry | None, one: Counters, in_kafka: Mapping[int, Flight]
) -> None:
    """Compare checksums when every frame's is known: frames in Kafka carry theirs, those held, buffered or dropped do not show it."""
    if result.held or result.in_gateway_buffers or result.dropped or result.missing_frames:
        return
    known = (entry.checksum if entry else 0) + sum(found.checksum for found in in_kafka.values())
    result.checksums_compared = 1
    result.checksums_differing = int(to_signed(known) != to_signed(one.checksum))


def _within(ranges: Ranges, sequence: int) -> bool:
    return any(low <= sequence < high for low, high in ranges)


def _name(key: SequenceKey) -> str:
    return f"{key.gateway_id}/{key.lane} {key.stream.name} of epoch {key.epoch}"
