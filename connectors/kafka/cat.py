"""Prints any topic for people, or as JSON lines for programs: `python -m connectors.kafka.cat TOPIC`.

Enters: records of one topic, and `registry.tags` for the paths of tags. Leaves: text on standard output (see
`cat_format`). Without options: the last 10 records. Reads without a consumer group, so it disturbs nobody. Records are
ordered by Kafka's timestamp while a bounded part is read and come as they arrive with --follow. What cannot be decoded
is shown as such. Frames show the tag's path, quality and verdict by name.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from confluent_kafka import Message

from base import signals
from base.errors import MillraceError, SchemaError
from base.settings import KafkaSettings, PlatformSettings, load, local_config
from connectors.kafka import client as kafka
from connectors.kafka.cat_format import as_json, as_text, show_all
from schemas import topics
from schemas.definitions import Registry

_RELOAD_S = 5.0


class TagPaths:
    """Paths and units of tags from `registry.tags`: read when the first tag is shown, and again for a tag not known yet."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._registry = Registry()
        self._loaded_s = -_RELOAD_S

    def __call__(self, tag_id: int) -> tuple[str, str]:
        """(path, unit) of a tag; a placeholder and no unit when the registry does not know it."""
        if tag_id not in self._registry.tags and time.monotonic() - self._loaded_s >= _RELOAD_S:
            self._load()
        tag = self._registry.tags.get(tag_id)
        return (tag.path, "" if tag.unit == "1" else tag.unit) if tag else (f"(tag {tag_id})", "")

    def _load(self) -> None:
        self._loaded_s = time.monotonic()
        try:
            for message in kafka.read_to_end(self._settings, topics.TAGS.name):
                if (value := message.value()) is not None:
                    try:
                        self._registry.apply(value)
                    except SchemaError as error:
                        print(f"{topics.TAGS.name}: {error}", file=sys.stderr)
        except kafka.DeliveryError as error:
            print(f"tag paths are missing: {error}", file=sys.stderr)


def read(settings: KafkaSettings, topic: str, *, count: int | None, key: str | None) -> list[Message]:
    """The last `count` records of a topic (all with None), by Kafka's timestamp, only those with `key` when given."""
    try:
        compacted = topics.find(topic).cleanup is topics.Cleanup.COMPACT
    except KeyError as error:
        print(f"cat: {error.args[0]} (`cat topics` lists those that exist)", file=sys.stderr)
        compacted = False
    # Offsets of a compacted topic have holes, and a key's last record can be anywhere.
    tail = None if compacted or key is not None else count
    found = [m for m in kafka.read_to_end(settings, topic, last=tail) if _selected(m, key)]
    found.sort(key=lambda m: (m.timestamp()[1], m.partition(), m.offset()))
    return found if count is None else found[max(0, len(found) - count) :]


def follow(settings: KafkaSettings, topic: str, *, key: str | None, stop: threading.Event) -> Iterator[Message]:
    """Records from now on."""
    return (m for m in kafka.follow(settings, (topic,), beginning=False, stop=stop) if _selected(m, key))


def _selected(message: Message, key: str | None) -> bool:
    return key is None or message.key() == key.encode()


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="millrace cat", description="Print the records of a topic for people.")
    made.add_argument("topic", help="topic name, for example telemetry.frames.north, or `topics` for the list")
    made.add_argument("--follow", "-f", action="store_true", help="go on with new records")
    where = made.add_mutually_exclusive_group()
    where.add_argument("--from-beginning", action="store_true", help="all records")
    where.add_argument(
        "-n", type=int, default=None, metavar="N", help="the last N records (default 10; 0 with --follow)"
    )
    made.add_argument(
        "--key", help="only records with this key: a lane such as gw-north-1/0, a device id, a command id"
    )
    made.add_argument(
        "--samples", type=int, default=10, metavar="N", help="rows shown of a frame or batch; 0 for all (default 10)"
    )
    made.add_argument("--json", action="store_true", help="one JSON object a line, complete")
    made.add_argument("--config", type=Path, default=None, help="platform.toml (default: the local stack's)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    args = parser().parse_args(argv)
    try:
        settings = load(PlatformSettings, args.config or local_config("platform.toml")).kafka
        if args.topic == "topics":
            return _list_topics(settings)
        _print_all(settings, args)
    except MillraceError as error:
        print(f"cat: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` has had enough
    return 0


def _print_all(settings: KafkaSettings, args: argparse.Namespace) -> None:
    stop = signals.stop_event()
    paths = TagPaths(settings)
    count = args.n if args.n is not None else (0 if args.follow else 10)
    past = (
        []
        if count == 0 and not args.from_beginning
        else read(settings, args.topic, count=None if args.from_beginning else count, key=args.key)
    )
    new = follow(settings, args.topic, key=args.key, stop=stop) if args.follow else ()
    for message in itertools.chain(past, new):
        for shown in show_all(message):
            text = json.dumps(as_json(shown)) if args.json else as_text(shown, paths, samples=args.samples)
            print(text, flush=args.follow)
        if stop.is_set():
            break


def _list_topics(settings: KafkaSettings) -> int:
    source = kafka.consumer(settings)
    try:
        for name in kafka.topics_matching(source, (topic.pattern for topic in topics.TOPICS)):
            marks = kafka.watermarks(source, name)
            row = topics.find(name)
            print(
                f"{name:32} {sum(high - low for low, high in marks.values()):>12} records, {len(marks)} partitions, by {row.key}: {row.doc}"
            )
    finally:
        source.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
