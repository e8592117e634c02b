"""After a restore or a takeover: from where the historian has to read Kafka again, whether Kafka still has it, and setting it there.

Enters: the positions of the database (`historian.positions`) and what Kafka holds of each partition. Leaves: the committed offsets of the
historian's group, the registry above what was published, and a `Report`. Who calls: `historian.recover` and `stack.recover`, while the
historian job does not run; then the job begins without its old state, which belongs to another life of the database.

Reading again is harmless: the ledger knows every frame, and every other record has a key (docs/adr/0035-recovery-from-positions.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaException, TopicPartition

from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from connectors.kafka.client import DeliveryError
from connectors.postgres.database import connect
from historian import positions, timeline
from historian.positions import Partition, Position
from registry import recovery as registry
from registry.recovery import Behind

Bounds = tuple[int, int]
"""First offset that Kafka has of a partition, and its end (exclusive)."""
_TIMEOUT_S = 10.0
_LEADERS_S = 30.0
_SHOWN_PATHS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """What is read again of one partition: `start` to `end`. What is lost, if anything: `lost_from` to `start`, and when."""

    topic: str
    partition: int
    start: int
    end: int
    lost_from: int | None = None
    lost_since: str = ""
    lost_until: str = ""
    note: str = ""

    @property
    def lost(self) -> int:
        """Records that Kafka no longer has and the database never got."""
        return 0 if self.lost_from is None else self.start - self.lost_from


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a recovery comes to.

    `gone`: partitions that were read and are not in Kafka any more. `written_at`: when the newest position was written, so how old the
    restored point is; None without any.
    """

    stretches: tuple[Stretch, ...]
    gone: tuple[Partition, ...] = ()
    written_at: datetime | None
    was_known: bool
    behind: Behind

    @property
    def records(self) -> int:
        """Records that are read again."""
        return sum(one.end - one.start for one in self.stretches)

    @property
    def lost(self) -> tuple[Stretch, ...]:
        """Partitions of which Kafka no longer has everything."""
        return tuple(one for one in self.stretches if one.lost)

    def as_json(self) -> dict[str, object]:
        """Plain values, for the database and for programs."""
        return {
            "records": self.records,
            "written_at": self.written_at.isoformat(timespec="seconds") if self.written_at else "",
            "lost": [asdict(one) for one in self.lost],
            "unknown_tags": [tag.path for tag in self.behind.unknown],
            "older_tags": [tag.path for tag in self.behind.older],
        }

    def lines(self) -> list[str]:
        """The same for people."""
        point = f"{self.written_at:%Y-%m-%d %H:%M:%S} UTC" if self.written_at else "before it kept positions"
        found = [
            f"the database has read Kafka up to {point}; {self.records:,} records of {len(self.stretches)} partitions are read again"
        ]
        found += [
            f"LOST: {one.topic}[{one.partition}] offsets {one.lost_from} to {one.start - 1} ({one.lost:,} records, from {one.lost_since}"
            f" to {one.lost_until or 'an unknown time'}): Kafka's retention has deleted them"
            for one in self.lost
        ]
        found += [f"{one.topic}[{one.partition}]: {one.note}" for one in self.stretches if one.note]
        found += [f"{topic}[{partition}]: Kafka has no such partition any more" for topic, partition in self.gone]
        if not self.lost and not self.gone and not any(one.note for one in self.stretches):
            found.append("Kafka has all of it: nothing is lost")
        if self.behind.unknown:
            found.append(
                f"{_paths(tag.path for tag in self.behind.unknown)} registered after the restored point:"
                " load the plant's file again (`plant load`), they keep their numbers"
            )
        if self.behind.older:
            found.append(
                f"{_paths(tag.path for tag in self.behind.older)} changed after the restored point: published again as the database has it,"
                " look at the changes and make them again"
            )
        return found


def plan(known: Mapping[Partition, Position], bounds: Mapping[Partition, Bounds]) -> list[Stretch]:
    """What to read of each partition that Kafka has. Pure."""
    found = []
    for (topic, partition), (first, end) in sorted(bounds.items()):
        position = known.get((topic, partition))
        if position is None:
            note = f"no position is known; what lay before offset {first} may be missing" if first else ""
            found.append(Stretch(topic=topic, partition=partition, start=first, end=end, note=note))
        elif position.next_offset > end:
            note = (
                f"Kafka ends at offset {end} and the database has read up to {position.next_offset}: the topic was made anew or has lost"
                " records; it is read from its beginning"
            )
            found.append(Stretch(topic=topic, partition=partition, start=first, end=end, note=note))
        elif position.next_offset < first:
            since = position.updated_at.isoformat(timespec="seconds")
            found.append(
                Stretch(
                    topic=topic,
                    partition=partition,
                    start=first,
                    end=end,
                    lost_from=position.next_offset,
                    lost_since=since,
                )
            )
        else:
            found.append(Stretch(topic=topic, partition=partition, start=position.next_offset, end=end))
    return found


def recover(
    dsn: str, settings: KafkaSettings, *, dry_run: bool = False, forget_state: Callable[[], None] = lambda: None
) -> Report:
    """Set the historian's place in Kafka to the positions of the database; with `dry_run` only say what that would come to.

    The historian job must not run. `forget_state` takes away what it could go on from instead; it is called when the place is set, and
    before the database is declared known, so a recovery that is interrupted anywhere can be done again. Raises DeliveryError and
    StoreUnavailable.
    """
    with (
        connect(dsn, application="recover", autocommit=True) as connection,
        closing(kafka.consumer(settings, group=positions.GROUP)) as member,
    ):
        known, bounds = positions.read(connection), bounds_of(member)
        stretches = tuple(_dated(member, one) for one in plan(known, bounds))
        report = Report(
            stretches=stretches,
            gone=tuple(sorted(known.keys() - bounds.keys())),
            written_at=max((one.updated_at.astimezone(UTC) for one in known.values()), default=None),
            was_known=timeline.known(connection),
            behind=registry.compare(connection, settings) if dry_run else registry.mend(dsn, settings),
        )
        if not dry_run:
            _commit(member, stretches)
            forget_state()
            timeline.mark_known(connection, report.as_json())
    return report


def bounds_of(member: Consumer) -> dict[Partition, Bounds]:
    """What Kafka holds of each partition; a broker that has just started, or moves leaders, is waited for."""
    deadline = time.monotonic() + _LEADERS_S
    while True:
        try:
            return _bounds(member)
        except DeliveryError as error:
            if not kafka.passing(error.error) or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _bounds(member: Consumer) -> dict[Partition, Bounds]:
    names = kafka.topics_matching(member, [topic.pattern for topic in positions.INPUTS], timeout_s=_TIMEOUT_S)
    return {
        (name, partition): marks
        for name in names
        for partition, marks in kafka.watermarks(member, name, timeout_s=_TIMEOUT_S).items()
    }


def _dated(member: Consumer, one: Stretch) -> Stretch:
    """With the time of the first record that is left, where something is lost."""
    if not one.lost or one.start == one.end:
        return one
    member.assign([TopicPartition(one.topic, one.partition, one.start)])
    message = member.poll(_TIMEOUT_S)
    member.unassign()
    if message is None or message.error() is not None:
        return one
    until = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC).isoformat(timespec="seconds")
    return Stretch(**{**asdict(one), "lost_until": until})


def _commit(member: Consumer, stretches: Iterable[Stretch]) -> None:
    """The group has no members: Flink's source assigns partitions itself."""
    places = [TopicPartition(one.topic, one.partition, one.start) for one in stretches]
    try:
        for place in member.commit(offsets=places, asynchronous=False) or () if places else ():
            if place.error is not None:
                raise DeliveryError(place.error, f"the historian's place in {place.topic} cannot be set")
    except KafkaException as error:
        raise DeliveryError(
            error.args[0], "the historian's place in Kafka cannot be set; does the job still run?"
        ) from error


def _paths(paths: Iterable[str]) -> str:
    names = list(paths)
    more = f" and {len(names) - _SHOWN_PATHS:,} more" if len(names) > _SHOWN_PATHS else ""
    return f"{', '.join(names[:_SHOWN_PATHS])}{more} {'was' if len(names) == 1 else 'were'}"
