"""Shards are spread evenly, asked of Flink's own key-group hashing."""

from __future__ import annotations

from collections import Counter

import pytest

from jobs.flink.environment import MAX_PARALLELISM
from jobs.flink.shards import SHARD_NAMES, SUPPORTED_PARALLELISM, shard_of
from tests.flink.conftest import MiniCluster


def subtask(minicluster: MiniCluster, shard: str, parallelism: int) -> int:
    """Where Flink sends a shard: PyFlink's key is a row of the key."""
    row = minicluster.jvm.org.apache.flink.types.Row(1)
    row.setField(0, shard)
    groups = minicluster.jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment
    return int(groups.assignKeyToParallelOperator(row, MAX_PARALLELISM, parallelism))


@pytest.mark.parametrize("parallelism", SUPPORTED_PARALLELISM)
def test_every_subtask_has_as_many_shards(minicluster: MiniCluster, parallelism: int) -> None:
    counts = Counter(subtask(minicluster, shard, parallelism) for shard in SHARD_NAMES)
    assert counts == dict.fromkeys(range(parallelism), len(SHARD_NAMES) // parallelism)


@pytest.mark.parametrize("parallelism", [2, 3, 4, 6])
@pytest.mark.parametrize("pattern", ["gw-{}/0", "north-gw-{:03d}/0", "gw-1/{}", "{}"])
def test_numbered_lanes_and_devices_are_spread_evenly(minicluster: MiniCluster, pattern: str, parallelism: int) -> None:
    keys = [pattern.format(number).encode() for number in range(1, 49)]
    counts = Counter(subtask(minicluster, shard_of(key), parallelism) for key in keys)
    assert len(counts) == parallelism
    assert max(counts.values()) - min(counts.values()) <= 2


def test_the_names_have_not_changed_since_the_first_savepoint() -> None:
    assert len(set(SHARD_NAMES)) == 24
    assert [shard_of(key) for key in (b"gw-1/0", b"gw-2/0", b"17", b"")] == PINNED


PINNED = ["shard-07.24", "shard-19.87", "shard-10.22", "shard-00.5"]
