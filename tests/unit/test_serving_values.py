"""Last values, and the conflation of their changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.caches.values import LastValue, LastValues, Watch
from serving.caches.wakeup import Wakeup
from tests.unit.served import batch


class Seconds:
    """A clock that tests advance."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def watch_of(values: LastValues, tag_ids: list[int], *, period_s: float = 0.0, clock: Any = None) -> Watch:
    watch = Watch(values, Wakeup(), period_s=period_s, **{"clock_s": clock} if clock else {})
    watch.select(tag_ids)
    values._watches.add(watch)
    return watch


async def take(watch: Watch, count: int) -> list[tuple[int, float]]:
    taken: list[tuple[int, float]] = []
    async for tag_id, last in watch.updates():
        taken.append((tag_id, last.value))
        if len(taken) == count:
            break
    return taken


def test_the_newest_source_time_wins_whatever_the_order() -> None:
    values = LastValues()
    values.apply(batch({1: 10.0}, time_us=200))
    values.apply(batch({1: 9.0}, time_us=100))
    assert values.last(1) == LastValue(10.0, 200, 0)


def test_a_correction_at_the_same_time_replaces() -> None:
    values = LastValues()
    values.apply(batch({1: 10.0}, time_us=200))
    values.apply(batch({1: 10.0}, time_us=200, quality=0x8000))
    assert values.last(1) == LastValue(10.0, 200, 0x8000)


def test_a_tag_never_seen_has_no_value() -> None:
    values = LastValues()
    watch_of(values, [5])
    assert values.last(5) is None
    assert len(values) == 0


def test_room_grows_with_the_plant() -> None:
    values = LastValues()
    watch = watch_of(values, [4999])
    values.apply(batch({tag: float(tag) for tag in range(5000)}, time_us=1))
    assert values.last(4999) == LastValue(4999.0, 1, 0)
    assert len(values) == 5000
    assert watch._news.sum() == 1


def test_lanes_may_share_a_tag_that_moved() -> None:
    values = LastValues()
    values.apply(batch({1: 1.0, 2: 2.0}, time_us=10, lane=1))
    values.apply(batch({1: 1.5}, time_us=20, lane=2))
    values.apply(batch({1: 1.0, 2: 2.5}, time_us=15, lane=1))
    assert values.last(1) == LastValue(1.5, 20, 0)
    assert values.last(2) == LastValue(2.5, 15, 0)


def test_nan_is_not_news_every_time() -> None:
    values = LastValues()
    values.apply(batch({1: float("nan")}, time_us=10))
    watch = watch_of(values, [1])
    watch._news[:] = False
    values.apply(batch({1: float("nan")}, time_us=10))
    assert not watch._news.any()


async def test_a_watch_starts_with_what_is_known_then_sends_changes() -> None:
    values = LastValues()
    values.apply(batch({1: 1.0, 2: 2.0, 3: 3.0}, time_us=10))
    watch = watch_of(values, [1, 2, 4])
    assert await take(watch, 2) == [(1, 1.0), (2, 2.0)]
    values.apply(batch({2: 2.5, 3: 3.5}, time_us=20))
    assert await take(watch, 1) == [(2, 2.5)]


async def test_a_slow_reader_gets_the_newest_value_not_every_value() -> None:
    values = LastValues()
    watch = watch_of(values, [1, 2])
    for i in range(1000):
        values.apply(batch({1: float(i), 2: -float(i)}, time_us=i))
    assert await take(watch, 2) == [(1, 999.0), (2, -999.0)]
    assert not watch._news.any()


async def test_a_change_during_the_send_is_sent_after_it() -> None:
    values = LastValues()
    values.apply(batch({1: 1.0, 2: 2.0}, time_us=1))
    seen: list[tuple[int, float]] = []
    async for tag_id, last in watch_of(values, [1, 2]).updates():
        seen.append((tag_id, last.value))
        if len(seen) == 1:
            values.apply(batch({1: 1.5, 2: 2.5}, time_us=2))
        if len(seen) == 3:
            break
    assert seen == [(1, 1.0), (2, 2.5), (1, 1.5)]


async def test_a_tag_is_sent_at_most_so_often() -> None:
    values, clock = LastValues(), Seconds()
    watch = watch_of(values, [1], period_s=0.25, clock=clock)
    values.apply(batch({1: 0.0}, time_us=0))
    updates = watch.updates()
    assert (await anext(updates))[1].value == 0.0
    values.apply(batch({1: 1.0}, time_us=1))
    rows = np.flatnonzero(watch._news)
    assert watch._not_before_s[rows].tolist() == [0.25]
    clock.now_s = 0.25
    values.apply(batch({1: 2.0}, time_us=2))
    assert (await anext(updates))[1].value == 2.0


async def test_tags_selected_later_are_sent_as_they_stand_and_dropped_ones_no_more() -> None:
    values = LastValues()
    values.apply(batch({1: 1.0, 2: 2.0}, time_us=1))
    watch = watch_of(values, [1])
    assert await take(watch, 1) == [(1, 1.0)]
    watch.select([2])
    values.apply(batch({1: 1.5}, time_us=2))
    assert await take(watch, 1) == [(2, 2.0)]
    assert not watch._news.any()
