"""Makes the topics of `schemas.topics` for the sites of an installation: `python -m connectors.kafka.admin --config platform.toml`.

Enters: `platform.toml` (`[kafka]`, `sites`). Leaves: topics with the table's partitions and clean-up, and a report of
every difference. Idempotent: existing topics get missing partitions and settings that differ; partitions are never
taken away. Raising the partitions of a keyed topic moves keys, so it happens only when asked for (`--add-partitions`):
consumers tell duplicates by identity, but order is per partition.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from base import logs
from base.errors import MillraceError
from base.settings import KafkaSettings, PlatformSettings, load, local_config
from connectors.kafka.client import MAX_MESSAGE_BYTES, DeliveryError
from connectors.kafka.connection import wait_all
from schemas.topics import TOPICS, Cleanup, Topic

log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One difference between the table and the broker, and whether it was put right."""

    topic: str
    what: str
    applied: bool


def settings_of(topic: Topic) -> dict[str, str]:
    """Topic settings of one row of the table."""
    common = {"cleanup.policy": topic.cleanup.value, "max.message.bytes": str(MAX_MESSAGE_BYTES)}
    if topic.cleanup is Cleanup.COMPACT:
        # The broker never compacts the segment it writes to, and its default segment is 1 GB or a week: readers of the
        # latest values would start with gigabytes. Small segments keep what is read at start near what is live.
        return common | {
            "segment.bytes": str(32 << 20),
            "segment.ms": "600000",
            "min.cleanable.dirty.ratio": "0.2",
            "min.compaction.lag.ms": str(topic.compact_after_ms),
            "max.compaction.lag.ms": str(topic.compact_after_ms + 3_600_000),
        }
    # Segments of an hour, so that retention by time is exact to the hour.
    return common | {"retention.ms": str(topic.retention_ms), "segment.ms": "3600000"}


def wanted(sites: Iterable[str], topics: Sequence[Topic] = TOPICS) -> dict[str, Topic]:
    """Topic name to row, per-site topics for every site."""
    sites = tuple(sites)
    return {topic.for_site(site): topic for topic in topics for site in (sites if topic.per_site else ("",))}


def apply(
    kafka: KafkaSettings, sites: Iterable[str], *, add_partitions: bool = False, replication: int = -1
) -> list[Change]:
    """Make and adjust topics; returns the differences found. Raises DeliveryError.

    `replication` -1 is the broker's default.
    """
    admin = AdminClient({**kafka.client_config(), "log_level": 3})
    rows = wanted(sites)
    try:
        existing = admin.list_topics(timeout=_TIMEOUT_S).topics
        created = _create(admin, {name: row for name, row in rows.items() if name not in existing}, replication)
        partitions = _partitions(admin, rows)
        present = {name: row for name, row in rows.items() if name not in created}
        changes = [
            Change(topic=name, what=f"created with {rows[name].partitions} partitions", applied=True)
            for name in created
        ]
        for name, row in present.items():
            have = partitions[name]
            if have != row.partitions:
                grow = add_partitions and have < row.partitions
                if grow:
                    wait_all(admin.create_partitions([NewPartitions(name, row.partitions)]), timeout_s=_TIMEOUT_S)
                changes.append(Change(topic=name, what=f"partitions {have}, table says {row.partitions}", applied=grow))
        changes += _adjust(admin, present)
    except KafkaException as error:
        raise DeliveryError(error.args[0], "topics cannot be made") from error
    return changes


def _create(admin: AdminClient, rows: dict[str, Topic], replication: int) -> list[str]:
    """Make topics; returns those that were not there, for somebody else may be making them too."""
    if not rows:
        return []
    fresh = [NewTopic(name, row.partitions, replication, config=settings_of(row)) for name, row in rows.items()]
    created = []
    for name, future in admin.create_topics(fresh, operation_timeout=_TIMEOUT_S).items():
        try:
            future.result(_TIMEOUT_S)
            created.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    return created


def _partitions(admin: AdminClient, rows: dict[str, Topic]) -> dict[str, int]:
    """Partitions of the topics, once the broker shows all of them: it does so a moment after the controller made them."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        topics = admin.list_topics(timeout=_TIMEOUT_S).topics
        if missing := sorted(set(rows) - set(topics)):
            if time.monotonic() > deadline:
                timed_out = KafkaError(KafkaError._TIMED_OUT)
                raise DeliveryError(timed_out, f"{missing[0]} was made but is not there after {_TIMEOUT_S:g} s")
            time.sleep(0.05)
        else:
            return {name: len(topics[name].partitions) for name in rows}


def _adjust(admin: AdminClient, rows: dict[str, Topic]) -> list[Change]:
    if not rows:
        return []
    changes, updates = [], []
    asked = {ConfigResource(ResourceType.TOPIC, name): name for name in rows}
    found = admin.describe_configs(list(asked))
    for resource, future in found.items():
        name, current = resource.name, future.result(_TIMEOUT_S)
        entries = []
        for key, value in settings_of(rows[name]).items():
            if current[key].value != value:
                entries.append(ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET))
                changes.append(Change(topic=name, what=f"{key} was {current[key].value}, now {value}", applied=True))
        if entries:
            updates.append(ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries))
    if updates:
        wait_all(admin.incremental_alter_configs(updates), timeout_s=_TIMEOUT_S)
    return changes


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="millrace topics", description="Make Millrace's Kafka topics.")
    made.add_argument("--config", type=Path, default=None, help="platform.toml (default: the local stack's)")
    made.add_argument(
        "--add-partitions",
        action="store_true",
        help="raise partitions where the table has more (moves keys between partitions)",
    )
    made.add_argument(
        "--replication", type=int, default=-1, help="replication factor of new topics (default: the broker's)"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    args = parser().parse_args(argv)
    logs.configure("kafka_admin")
    try:
        platform = load(PlatformSettings, args.config or local_config("platform.toml"))
        changes = apply(
            platform.kafka, platform.sites, add_partitions=args.add_partitions, replication=args.replication
        )
    except MillraceError as error:
        log.error("topics were not made", extra={"cause": str(error)})
        return 1
    for change in changes:
        level = logging.INFO if change.applied else logging.WARNING
        log.log(level, change.what, extra={"topic": change.topic, "applied": change.applied})
    left = sum(not change.applied for change in changes)
    noted = f", {left} differences left as they are" if left else ""
    sys.stdout.write(f"{len(wanted(platform.sites))} topics, {len(changes) - left} changes made{noted}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
