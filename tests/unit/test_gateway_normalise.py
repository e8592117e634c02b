"""Readings to columns to frames: exact values, refusals by name, splits where a frame ends."""

from __future__ import annotations

import math
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.readings import Readings, Seen, Unusable, Value
from edge import framing
from edge.events import Events, unpack
from edge.framing import Collector, FramingSettings
from edge.normalise import TagTable, is_exact, normalise
from edge.seen import LastSeen
from schemas import events, frame, quality
from schemas.events import EventKind
from schemas.frame import ClockStatus, Frame, Stream
from schemas.quality import BAD, BAD_SENSOR_FAILURE, GOOD, UNCERTAIN
from stages.thinning.deadband import Batch
from tests.integration.gateway_support import tag

pytestmark = pytest.mark.unit

TABLE = TagTable(3, [tag(5, "a:5", lane=1), tag(2, "a:2"), tag(9, "a:9", lane=1, deadband=0.5)])
EPOCH = UUID("01890000-0000-7000-8000-000000000001")


def readings(*values: Value, tag_id: int = 5) -> Readings:
    made = Readings()
    for at, value in enumerate(values):
        made.add(tag_id, 1_000_000 + at, value, 0)
    return made


def test_numbers_become_float64() -> None:
    result = normalise(readings(1.5, 2, True, False, -(2**53)), TABLE)
    assert result.batch.value.tolist() == [1.5, 2.0, 1.0, 0.0, -(2.0**53)]
    assert TABLE.tag_id[result.batch.slot].tolist() == [5] * 5
    assert not result.refusals
    assert not result.texts


def test_a_value_that_is_absent_is_bad_whatever_the_machine_calls_it() -> None:
    made = Readings()
    for at, code in enumerate((quality.GOOD, quality.UNCERTAIN_LAST_USABLE, quality.BAD_SENSOR_FAILURE)):
        made.add(5, 1_000_000 + at, None, code)
        made.add(5, 1_000_000 + at, 1.5, code)
    batch = normalise(made, TABLE).batch
    assert batch.quality[::2].tolist() == [quality.BAD, quality.BAD, quality.BAD_SENSOR_FAILURE]
    assert np.isnan(batch.value[::2]).all()
    assert batch.quality[1::2].tolist() == [0, quality.UNCERTAIN_LAST_USABLE, quality.BAD_SENSOR_FAILURE]


def test_what_no_column_can_carry_is_told_by_name() -> None:
    result = normalise(readings(1.0, 2**53 + 1, "on", None, [1.0], 10**400, 2**60), TABLE)  # type: ignore[arg-type]
    assert [(r.value[:20], r.reason) for r in result.refusals] == [
        (str(2**53 + 1), "an integer that float64 cannot hold exactly"),
        ("[1.0]", "a value of type list"),
        ("1" + "0" * 19, "an integer that float64 cannot hold exactly"),
    ]
    assert [text.value for text in result.texts] == ["on"]
    value = result.batch.value.tolist()
    assert (value[0], value[2]) == (1.0, 2.0**60)
    assert math.isnan(value[1])  # no value: carried with its quality


def test_tags_and_times_that_cannot_be_are_refused() -> None:
    made = readings(1.0, tag_id=77)
    made.add(2, -1, 1.0, 0)
    made.add(2, 1 << 70, 1.0, 0)
    made.add(2, 5, 1.0, 0x8000)
    result = normalise(made, TABLE)
    assert [refusal.reason.split(",")[0] for refusal in result.refusals] == [
        "not a tag of this gateway",
        "a source time of -1 µs",
        f"a source time of {1 << 70} µs",
    ]
    assert (result.batch.time_us.tolist(), result.batch.quality.tolist()) == ([5], [0x8000])
    assert normalise(readings(1.0), TagTable(0, ())).refusals[0].reason == "not a tag of this gateway"


@given(st.lists(st.integers() | st.floats(allow_nan=False) | st.booleans(), max_size=30))
def test_every_value_is_exact_or_refused(values: list[Value]) -> None:
    result = normalise(readings(*values), TABLE)
    exact = [v for v in values if not isinstance(v, int) or is_exact(v)]
    assert result.batch.value.tolist() == [float(v) for v in exact]  # type: ignore[arg-type]
    assert len(result.refusals) == len(values) - len(exact)


def test_refusals_of_a_tag_are_one_event_with_a_count() -> None:
    made = Events("gw1", lambda: 1)
    made.refuse(normalise(readings(2**53 + 1, 2**53 + 3), TABLE).refusals)
    ((key, value),) = [unpack(body) for body in made.drain_refused(TABLE.by_id)]
    event = events.decode(value)
    assert (key, event.kind) == (b"1", EventKind.REFUSED)
    assert (event.attributes["count"], event.attributes["tag"]) == ("2", "acme/north/a/l/c/d1/t5")
    assert not list(made.drain_refused(TABLE.by_id))


# --- framing -----------------------------------------------------------------------------------------------------------


def build(draft: framing.Draft, sequence: int = 0) -> Frame:
    return framing.build(
        draft, gateway_id="gw1", epoch=EPOCH, stream=Stream.LIVE, sequence=sequence, closed_time_us=9,
        clock_status=ClockStatus.UNKNOWN,
    )  # fmt: skip


def batch(times: list[int], slots: list[int] | None = None) -> Batch:
    slot = np.array(slots if slots is not None else [0] * len(times), dtype=np.intp)
    n = len(times)
    return Batch(slot, np.array(times, dtype=np.int64), np.arange(n, dtype=np.float64), np.zeros(n, dtype=np.uint16))


def test_lanes_are_framed_apart() -> None:
    made = list(framing.drafts(batch([1, 2, 3], [0, 1, 2]), TABLE, historical=False, max_samples=100))
    assert [(draft.lane, draft.tag_id.tolist()) for draft in made] == [(0, [2]), (1, [5, 9])]
    assert {draft.registry_version for draft in made} == {3}


@given(st.lists(st.integers(0, 1 << 45), min_size=1, max_size=60), st.integers(1, 20))
def test_every_part_fits_a_frame_and_nothing_is_lost(times: list[int], max_samples: int) -> None:
    made = list(framing.drafts(batch(times), TABLE, historical=False, max_samples=max_samples))
    rows = []
    for draft in made:
        built = frame.decode(frame.encode(build(draft)))
        assert built.samples <= max_samples
        rows += list(zip(built.time_us.tolist(), built.value.tolist(), strict=True))
    assert sorted(rows) == sorted(zip(times, map(float, range(len(times))), strict=True))


def test_samples_of_one_span_stay_in_order_of_arrival() -> None:
    hour = 3_600_000_000
    made = list(framing.drafts(batch([5 * hour, 1, 5 * hour - 1, 0]), TABLE, historical=False, max_samples=10))
    assert [draft.batch.value.tolist() for draft in made] == [[1.0, 3.0], [0.0, 2.0]]


def test_frames_close_by_age_or_size() -> None:
    collector = Collector(FramingSettings(max_age_ms=200, max_samples=3))
    assert (collector.due_s, len(collector.drain())) == (None, 0)
    assert collector.add(readings(1.0), None, 10.0)
    assert collector.due_s == 10.2
    assert not collector.add(readings(1.0), None, 10.1)
    assert collector.due_s == 10.2
    assert collector.add(readings(1.0), None, 10.15)
    assert collector.due_s == 10.0
    historical = readings(7.0)
    historical.historical = True
    collector.add(historical, None, 10.2)
    taken = collector.drain()
    assert (len(taken.live), len(taken.historical)) == (3, 1)
    assert not collector.drain()


def test_last_seen_survives_as_note_and_frames() -> None:
    seen = LastSeen()
    first, second = (
        build(next(framing.drafts(batch(t), TABLE, historical=False, max_samples=9))) for t in ([5, 9, 7], [8])
    )
    seen.add(first)
    assert (seen.of(2), seen.of(5)) == (Seen(7, first.value[-1], GOOD), Seen(0))
    again = LastSeen()
    again.recover(seen.note())
    assert again.of(2) == seen.of(2)
    again.add(second)
    assert again.of(2).time_us == 8


def test_last_seen_of_an_older_gateway_has_times_only() -> None:
    seen = LastSeen()
    seen.recover(np.array([(2, 7), (3, 9)], dtype=[("tag_id", "<i4"), ("time_us", "<i8")]).tobytes())
    assert (seen.of(2), seen.of(3)) == (Seen(7), Seen(9))
    again = LastSeen()
    again.recover(seen.note())
    assert (again.of(2), again.of(3)) == (Seen(7), Seen(9))
    assert again.of(2).repeats(5.0, GOOD), "its value is not known: it is not doubled"


@pytest.mark.parametrize(
    ("sent", "repeated", "same"),
    [
        ((1.5, GOOD), (1.5, GOOD), True),
        ((1.5, GOOD), (2.5, GOOD), False),
        ((1.5, GOOD), (1.5, UNCERTAIN), False),
        ((True, GOOD), (1, GOOD), True),
        ((None, GOOD), (None, GOOD), True),
        ((None, GOOD), (1.5, GOOD), False),
        ((math.nan, BAD_SENSOR_FAILURE), (None, BAD_SENSOR_FAILURE), True),
    ],
)
def test_a_repeat_is_known_after_a_restart(sent: tuple[Value, int], repeated: tuple[Value, int], *, same: bool) -> None:
    found = readings(sent[0])
    found.quality = [sent[1]]
    seen = LastSeen()
    seen.add(build(next(framing.drafts(normalise(found, TABLE).batch, TABLE, historical=False, max_samples=9))))
    again = LastSeen()
    again.recover(seen.note())
    assert again.of(found.tag_id[0]).repeats(*repeated) is same


def test_no_value_is_never_good_whatever_the_machine_says() -> None:
    found = readings(1.0, None, None, None)
    found.quality = [GOOD, GOOD, UNCERTAIN, BAD_SENSOR_FAILURE]
    batch = normalise(found, TABLE).batch
    assert batch.quality.tolist() == [GOOD, BAD, BAD, BAD_SENSOR_FAILURE]
    assert np.isnan(batch.value[1:]).all()


def test_what_a_connector_cannot_use_is_refused_in_its_words() -> None:
    (refusal,) = normalise(readings(Unusable("an array of 8: name an element", "[1, 2")), TABLE).refusals
    assert (refusal.reason, refusal.value) == ("an array of 8: name an element", "[1, 2")
