"""Last values, and the conflation of their changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.caches.values import LastValue, LastValues
from serving.caches.wakeup import Wakeup
from serving.caches.watch import Watch
from tests.unit.served import batch


def watch_of(values: LastValues, tag_ids: list[int], *, since: int = 0) -> Watch:
    return Watch(values, Wakeup(), tag_ids, since=since)


def take(values: LastValues, watch: Watch, limit: int = 1000) -> dict[int, float]:
    """News that a reader takes."""
    tag_ids, numbers, *_ = values.columns(watch.take(limit).rows)
    return dict(zip(tag_ids, numbers, strict=True))


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
    assert take(values, watch) == {4999: 4999.0}


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
    watch.take(10)
    values.apply(batch({1: float("nan")}, time_us=10))
    assert not watch.take(10).rows.size


def test_a_watch_starts_with_what_is_known_then_has_changes() -> None:
    values = LastValues()
    values.apply(batch({1: 1.0, 2: 2.0, 3: 3.0}, time_us=10))
    watch = watch_of(values, [1, 2, 4])
    assert take(values, watch) == {1: 1.0, 2: 2.0}
    values.apply(batch({2: 2.5, 3: 3.5, 4: 4.5}, time_us=20))
    assert take(values, watch) == {2: 2.5, 4: 4.5}


def test_a_slow_reader_gets_the_newest_value_not_every_value() -> None:
    values = LastValues()
    watch = watch_of(values, [1, 2])
    for i in range(1000):
        values.apply(batch({1: float(i), 2: -float(i)}, time_us=i))
    assert take(values, watch) == {1: 999.0, 2: -999.0}
    assert take(values, watch) == {}


def test_of_more_news_than_fit_those_that_waited_longest_go_first() -> None:
    values = LastValues()
    watch = watch_of(values, [1, 2, 3])
    for time_us, tag in enumerate((3, 1, 2)):
        values.apply(batch({tag: float(tag)}, time_us=time_us))
    assert take(values, watch, 2) == {3: 3.0, 1: 1.0}
    values.apply(batch({3: 3.5}, time_us=10))
    assert take(values, watch, 1) == {2: 2.0}
    assert take(values, watch, 1) == {3: 3.5}


@given(
    changes=st.lists(st.dictionaries(st.integers(1, 8), st.floats(-10, 10), min_size=1), min_size=1, max_size=12),
    limit=st.integers(1, 8),
    broken=st.integers(0, 11),
)
def test_who_resumes_at_any_position_knows_what_one_that_never_broke_knows(
    changes: list[dict[int, float]], limit: int, broken: int
) -> None:
    values = LastValues()
    known: dict[int, float] = {}
    watch = watch_of(values, list(range(1, 9)))
    position = 0
    for time_us, change in enumerate(changes):
        values.apply(batch(change, time_us=time_us))
        if time_us <= broken:
            part = watch.take(limit)
            tag_ids, numbers, *_ = values.columns(part.rows)
            known |= dict(zip(tag_ids, numbers, strict=True))
            position = part.position
    resumed = watch_of(values, list(range(1, 9)), since=position)
    while news := take(values, resumed, limit):
        known |= news
    assert known == {tag: last.value for tag in range(1, 9) if (last := values.last(tag))}


async def test_only_watches_of_what_changed_are_woken() -> None:
    values = LastValues()
    wakeups = {1: Wakeup(), 2: Wakeup()}
    watches = {tag: Watch(values, wakeup, [tag]) for tag, wakeup in wakeups.items()}
    for wakeup in wakeups.values():
        await wakeup.wait()
    for watch in watches.values():
        watch.sleep()
    values.apply(batch({1: 1.0}, time_us=1))
    await wakeups[1].wait()
    assert not wakeups[2].news
    watches[1].take(1)
    for watch in watches.values():
        watch.close()
    assert not values._asleep


def test_a_value_that_becomes_stale_is_news() -> None:
    values = LastValues()
    values.apply(batch({1: 1.0}, time_us=1))
    watch = watch_of(values, [1])
    watch.take(1)
    values.set_stale([1], 0x8031)
    assert values.columns(watch.take(1).rows) == ([1], [1.0], [1], [0x8031], [2])


def test_tags_selected_later_are_news_as_they_stand_and_dropped_ones_no_more() -> None:
    values = LastValues()
    values.apply(batch({1: 1.0, 2: 2.0}, time_us=1))
    watch = watch_of(values, [1])
    assert take(values, watch) == {1: 1.0}
    watch.select([1, 2])
    assert take(values, watch) == {2: 2.0}
    watch.select([2])
    values.apply(batch({1: 1.5}, time_us=2))
    assert take(values, watch) == {}
