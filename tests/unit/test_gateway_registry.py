"""The gateway's copy of the registry: whole versions only, on disk for a start without Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.registry_cache import RegistryCache, RegistryView
from schemas.definitions import TagDefinition, encode_tag, encode_version
from tests.integration.gateway_support import tag

pytestmark = pytest.mark.unit


@dataclass
class Record:
    pair: tuple[bytes, bytes | None]

    def key(self) -> bytes:
        return self.pair[0]

    def value(self) -> bytes | None:
        return self.pair[1]


def records(*items: TagDefinition | int | tuple[bytes, bytes | None]) -> Iterable[Record]:
    for item in items:
        if isinstance(item, TagDefinition):
            yield Record(encode_tag(item))
        else:
            yield Record(encode_version(item, tags=0, time_us=0) if isinstance(item, int) else item)


class Cache:
    def __init__(self, path: Path) -> None:
        self.views: list[RegistryView] = []
        self.cache = RegistryCache(path / "r", gateway_id="gw1", site="north", on_view=self.views.append)

    def versions(self) -> list[tuple[int, list[int]]]:
        return [(view.version, list(view.tags)) for view in self.views]


A, B = tag(1, "opcua:a"), tag(2, "opcua:b", device_id=7)
THEIRS = tag(3, "opcua:c", gateway_id="gw2")
ELSEWHERE = tag(4, "opcua:d", site="south")
RETIRED = tag(5, "opcua:e", retired=True)


def test_a_version_counts_when_its_marker_has_come(tmp_path: Path) -> None:
    made = Cache(tmp_path)
    made.cache.on_messages(records(A, THEIRS, ELSEWHERE, RETIRED, 1, B))
    assert made.views == []
    made.cache.caught_up()
    assert made.versions() == [(1, [1])]
    assert made.views[0].foreign == {"opcua:c", "opcua:e"}
    made.cache.on_messages(records(2))
    assert made.versions()[1:] == [(2, [1, 2])]
    assert made.views[1].device(7) == [B]
    made.cache.on_messages(records((b"1", None), 3))
    assert made.versions()[2:] == [(3, [2])]


def test_a_start_without_kafka_uses_the_copy(tmp_path: Path) -> None:
    first = Cache(tmp_path)
    first.cache.on_messages(records(A, THEIRS, 4, B))
    first.cache.caught_up()
    second = Cache(tmp_path)
    second.cache.load()
    assert second.views == first.views
    # The topic says the same again: nothing changes.
    second.cache.on_messages(records(A, THEIRS, 4))
    second.cache.caught_up()
    assert len(second.views) == 1


def test_the_topic_is_the_truth_even_with_a_lower_version(tmp_path: Path) -> None:
    first = Cache(tmp_path)
    first.cache.on_messages(records(A, B, 9))
    first.cache.caught_up()
    second = Cache(tmp_path)
    second.cache.load()
    second.cache.on_messages(records(A, 1))
    second.cache.caught_up()
    assert second.versions() == [(9, [1, 2]), (1, [1])]


def test_moved_tags_and_unreadable_records(tmp_path: Path) -> None:
    made = Cache(tmp_path)
    moved = tag(1, "opcua:a", site="south")
    made.cache.on_messages(records(A, B, 1, (b"6", b"rubbish"), moved, 2))
    made.cache.caught_up()
    assert made.versions() == [(2, [2])]


def test_a_torn_copy_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"\xff\xff\xff\x7f12")
    made = Cache(tmp_path)
    made.cache.load()
    assert made.views == []
