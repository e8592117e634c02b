"""Virtual shards: the Flink keys of the telemetry and historian jobs.

A fixed number of keys stands between lanes or partitions and Flink, because hashing a handful of them straight onto subtasks
can put all of them on one. Each shard's name is chosen so that Flink's own hash spreads the shards evenly for every
supported parallelism (`tests/flink/test_shards.py` asks Flink). The names and `shard_of` are part of every
savepoint: they can never change.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import Any

from jobs.flink.types import KEY, PARTITION, TOPIC, VALUE
from schemas import frame

SHARDS = 24
SUPPORTED_PARALLELISM = (1, 2, 3, 4, 6, 8, 12, 24)

# Found by trying: with these suffixes shard i falls into the i-th of 24 equal parts of the key groups.
_SUFFIXES = (5, 54, 21, 38, 19, 51, 35, 24, 97, 72, 22, 76, 84, 45, 0, 44, 56, 37, 39, 87, 114, 16, 38, 0)
SHARD_NAMES = tuple(f"shard-{index:02d}.{suffix}" for index, suffix in enumerate(_SUFFIXES))

_DIGITS = re.compile(rb"\d+")


@lru_cache(maxsize=65_536)
def shard_of(key: bytes) -> str:
    """Shard of a Kafka key: a lane, a device id, a command id.

    Names that differ in a number only (gateway-1/0, gateway-2/0, ...) go round robin over halves, thirds and quarters of the shards; a
    plain hash would leave 20 lanes on 2 subtasks as 13 and 7 one time in four.
    """
    text = _DIGITS.sub(b"#", key)
    number = zlib.crc32(text) + sum(int(digits) for digits in _DIGITS.findall(key[:200]))
    half, rest = number % 2, number // 2 % (SHARDS // 2)
    third, quarter = rest % 3, rest // 3
    return SHARD_NAMES[half * 12 + third * 4 + quarter]


def lane_of(row: Any) -> str:
    """Lane of an input row: what the frame itself says, so that its state is in one place whatever key it came with; else the Kafka key."""
    return frame.peek_lane_key(row[VALUE] or b"") or (row[KEY] or b"").decode(errors="backslashreplace")


def shard_of_lane(row: Any) -> str:
    """Key selector of the telemetry job."""
    return shard_of(lane_of(row).encode())


def shard_of_partition(row: Any) -> str:
    """Key selector of the historian job: one subtask reads a partition, so what is written of it has no holes (`historian.positions`)."""
    return _shard_of_place(row[TOPIC], row[PARTITION])


@lru_cache(maxsize=65_536)
def _shard_of_place(topic: str, partition: int) -> str:
    return shard_of(f"{topic}/{partition}".encode())
