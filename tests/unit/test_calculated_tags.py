"""Calculated tags in a lane: values against an oracle in plain Python, quality, streams, restarts, state of older versions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import ConfigError
from schemas import frame, quality, topics
from schemas.definitions import DataType, TagDefinition
from schemas.frame import Frame, Stream
from schemas.verdicts import LATE_FLAG, VERDICT_MASK, Verdict
from stages.calculation.calculated_tag import MOST_TRIED, CalculatedTag
from stages.calculation.calculated_tag import Sample as Known
from stages.calculation.expression import bind
from stages.expressions import native
from stages.expressions.program import Formula
from tests.golden import calculation
from tests.golden.support import (
    Driver,
    Sample,
    final_windows,
    make_frame,
    records,
    seconds,
    tag,
    validated_frames,
    verdicts,
)

RATIO = tag(9, expression="tag.tag1 / tag.tag2", unit="kW/kN")
TAGS = [tag(1), tag(2), tag(3, data_type=DataType.BOOLEAN), RATIO]
CHOICE = "tag.tag2 + tag.tag3 + tag.tag4 + tag.tag5 + tag.tag6 > 0 ? tag.tag1 + tag.tag7 : tag.tag1 + tag.tag8"

Row = tuple[int, float, float, int]


def calculated(frames: Sequence[Frame]) -> list[Row]:
    """Tag, second, value and quality of what the job made."""
    found = list[Row]()
    for each in frames:
        assert each.verdict is not None
        at = np.flatnonzero((each.verdict & VERDICT_MASK) == Verdict.CALCULATED)
        columns = (
            each.tag_id[at].tolist(),
            each.time_us[at].tolist(),
            each.value[at].tolist(),
            each.quality[at].tolist(),
        )
        found += [
            (tag_id, seconds(time_us), value, code) for tag_id, time_us, value, code in zip(*columns, strict=True)
        ]
    return found


def made_of(*frames: Frame, tags: Sequence[TagDefinition] = TAGS, crashing: bool = False) -> list[Row]:
    driver = Driver(tags, crashing=crashing)
    for each in frames:
        driver.frame(each)
    return calculated(validated_frames(driver.outputs))


# --- what an expression may be --------------------------------------------------------------------------------------------

MEASURED = {"power": DataType.DOUBLE, "count": DataType.INTEGER, "open": DataType.BOOLEAN, "ram-force": DataType.DOUBLE}


@pytest.mark.parametrize(
    ("text", "data_type", "problem"),
    [
        ("", "DOUBLE", "it is empty"),
        ("tag.power / tag.speed", "DOUBLE", "the device has no tag speed; it has count, open, power"),
        ("tag.power + tag.ratio", "DOUBLE", "ratio is a calculated tag"),
        ("tag.power > 1", "DOUBLE", "it is a boolean, no number"),
        ("tag.power", "BOOLEAN", "it is a number, no boolean"),
        ("tag.count", "INTEGER", "DOUBLE or a BOOLEAN"),
        ("tag.power + tag.open", "DOUBLE", r"column 11: \+ cannot be applied to \(number, boolean\)"),
        ("mean_5m.power", "DOUBLE", "a calculated tag has no mean_5m.power"),
        ("tag.power + deadband", "DOUBLE", "a calculated tag has no deadband"),
        ("tag.ram-force", "DOUBLE", "there is no force"),
        ("1 + 1", "DOUBLE", "names no tag"),
        ("[tag.power]", "DOUBLE", "no number"),
    ],
)
def test_what_cannot_be_an_expression_says_why(text: str, data_type: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        bind(text, DataType(data_type), MEASURED, frozenset({"ratio"}))


# --- values ---------------------------------------------------------------------------------------------------------------


def test_a_sample_of_any_input_makes_one_at_its_time() -> None:
    found = made_of(
        make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0), (1, 0.1, 8.0), (2, 0.2, 4.0)]), make_frame([(1, 0.3, 2.0)], 1)
    )
    assert found == [(9, 0.0, 3.0, 0), (9, 0.1, 4.0, 0), (9, 0.2, 2.0, 0), (9, 0.3, 0.5, 0)]


def test_nothing_is_made_before_every_input_that_it_depends_on_was_heard() -> None:
    assert made_of(make_frame([(1, 0.0, 6.0)]), make_frame([(2, 0.1, 2.0)], 1)) == [(9, 0.1, 3.0, 0)]
    either = [*TAGS[:3], tag(9, expression="tag.tag3 ? tag.tag1 : tag.tag2")]
    assert made_of(make_frame([(3, 0.0, 1.0), (1, 0.0, 5.0)]), tags=either) == [(9, 0.0, 5.0, 0)]


@pytest.mark.parametrize(
    ("expression", "values", "expected", "code"),
    [
        ("tag.tag1 / tag.tag2", (1.0, 0.0), math.nan, quality.BAD_OUT_OF_RANGE),
        ("tag.tag1 / tag.tag2", (0.0, 0.0), math.nan, quality.BAD_OUT_OF_RANGE),
        ("math.sqrt(tag.tag1 - tag.tag2)", (1.0, 2.0), math.nan, quality.BAD_OUT_OF_RANGE),
        ("tag.tag1 * tag.tag2", (1e200, 1e200), math.nan, quality.BAD_OUT_OF_RANGE),
        ("tag.tag2 == 0 ? 0 : tag.tag1 / tag.tag2", (1.0, 0.0), 0.0, quality.GOOD),
    ],
)
def test_what_has_no_value_is_a_bad_sample_with_a_reason(
    expression: str, values: tuple[float, float], expected: float, code: int
) -> None:
    tags = [tag(1), tag(2), tag(9, expression=expression)]
    ((_, _, value, found),) = made_of(make_frame([(1, 0.0, values[0]), (2, 0.0, values[1])]), tags=tags)
    assert found == code
    assert value == pytest.approx(expected, nan_ok=True)


def test_a_bad_input_makes_it_bad_and_an_uncertain_one_uncertain() -> None:
    found = made_of(
        make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0), (2, 0.1, 3.0, quality.UNCERTAIN_LAST_USABLE)]),
        make_frame([(2, 0.2, math.nan, quality.BAD_SENSOR_FAILURE), (1, 0.3, 9.0)], 1),
        make_frame([(2, 0.4, 3.0)], 2),
    )
    assert [code for *_, code in found] == [0, quality.UNCERTAIN_LAST_USABLE, *[quality.BAD_INVALID_INPUTS] * 2, 0]
    assert [value for _, _, value, _ in found] == pytest.approx([3.0, 2.0, math.nan, math.nan, 3.0], nan_ok=True)


def test_a_bad_input_is_seen_though_an_optional_one_was_never_heard() -> None:
    tags = [tag(1), tag(2), tag(9, expression="known.tag2 ? tag.tag1 + tag.tag2 : tag.tag1")]
    found = made_of(make_frame([(1, 0.0, 6.0), (1, 0.1, math.nan, quality.BAD_SENSOR_FAILURE)]), tags=tags)
    assert [code for *_, code in found] == [0, quality.BAD_INVALID_INPUTS]


@pytest.mark.parametrize("expression", ["tag.tag1 / tag.tag2", "tag.tag2 / tag.tag1", "tag.tag4 - tag.tag2 * tag.tag1"])
def test_what_depends_on_a_bad_input_is_bad_whatever_else_was_not_heard(expression: str) -> None:
    tags = [tag(1), tag(2), tag(4), tag(9, expression=expression)]
    ((_, _, _, code),) = made_of(make_frame([(1, 0.0, math.nan, quality.BAD_SENSOR_FAILURE)]), tags=tags)
    assert code == quality.BAD_INVALID_INPUTS


def test_a_bad_input_that_does_not_count_hides_nothing() -> None:
    tags = [tag(1), tag(2), tag(3, data_type=DataType.BOOLEAN), tag(9, expression="tag.tag3 ? tag.tag1 : tag.tag2")]
    assert made_of(make_frame([(3, 0.0, 1.0), (2, 0.0, math.nan, quality.BAD_SENSOR_FAILURE)]), tags=tags) == []


@pytest.mark.parametrize(
    ("expression", "bad", "made"),
    [
        ("tag.tag3 ? tag.tag1 : tag.tag2", (1,), 0),
        ("tag.tag3 ? tag.tag1 : tag.tag2", (2,), 0),
        ("tag.tag3 ? tag.tag1 : tag.tag2", (1, 2), 1),
        ("tag.tag3 && !tag.tag5 ? tag.tag1 : tag.tag2", (2,), 0),
        ("tag.tag1 > 1 || tag.tag3 ? 1 : 2", (1,), 0),
        ("tag.tag4 > 5 ? tag.tag1 : tag.tag2", (2,), 0),
        ("tag.tag4 < -5 ? tag.tag1 : tag.tag2", (2,), 0),
        ("tag.tag4 > tag.tag6 ? tag.tag1 : tag.tag2", (2,), 0),
        ("tag.tag6 > tag.tag4 ? tag.tag1 : tag.tag2", (2,), 0),
        ("tag.tag4 > 5 ? tag.tag1 : tag.tag2", (1, 2), 1),
        ("known.tag3 ? tag.tag1 : tag.tag2", (2,), 1),
    ],
)
def test_a_bad_input_counts_only_where_it_does_so_whatever_an_input_not_heard_is(
    expression: str, bad: tuple[int, ...], made: int
) -> None:
    booleans = [tag(number, data_type=DataType.BOOLEAN) for number in (3, 5)]
    tags = [tag(1), tag(2), *booleans, tag(4), tag(6), tag(9, expression=expression)]
    found = made_of(make_frame([(one, 0.0, math.nan, quality.BAD_SENSOR_FAILURE) for one in bad]), tags=tags)
    assert [code for *_, code in found] == [quality.BAD_INVALID_INPUTS] * made


def test_where_more_booleans_were_not_heard_than_are_tried_nothing_is_made() -> None:
    for count in (MOST_TRIED, MOST_TRIED + 1):
        booleans = [tag(10 + place, data_type=DataType.BOOLEAN) for place in range(count)]
        anyone = " || ".join(f"tag.tag{one.tag_id}" for one in booleans)
        tags = [tag(1), *booleans, tag(9, expression=f"{anyone} ? tag.tag1 : -tag.tag1")]
        found = made_of(make_frame([(1, 0.0, math.nan, quality.BAD_SENSOR_FAILURE)]), tags=tags)
        assert len(found) == (count == MOST_TRIED)


@pytest.mark.parametrize(
    ("expression", "most"), [(" + ".join(f"tag.tag{one}" for one in range(2, 9)) + " + tag.tag1", 1), (CHOICE, 2)]
)
def test_bad_and_unheard_inputs_cost_no_call_of_the_library_for_each_time(
    expression: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Callable[..., object]]()
    call = native.call

    def counted(function: Callable[..., object], *arguments: object) -> object:
        asked.append(function)
        return call(function, *arguments)

    driver = Driver([*(tag(number) for number in range(1, 9)), tag(9, expression=expression)])
    driver.frame(make_frame([(1, 0.0, 1.0)]))
    monkeypatch.setattr(native, "call", counted)
    rows = [Sample(1, 1 + number / 1000, math.nan, quality.BAD_SENSOR_FAILURE) for number in range(40)]
    driver.frame(make_frame(rows, 1))
    assert len(calculated(validated_frames(driver.outputs))) == 40
    assert len(asked) <= most


def test_known_and_age_say_what_an_input_is_worth() -> None:
    tags = [tag(1), tag(2), tag(9, expression="known.tag2 && age_s.tag2 < 1 ? tag.tag2 : tag.tag1")]
    found = made_of(
        make_frame([(1, 0.0, 1.0), (2, 0.0, 7.0), (1, 0.9, 1.5), (1, 1.0, 2.0)]),
        make_frame([(2, 1.1, 8.0, quality.BAD)], 1),
        tags=tags,
    )
    assert [value for _, _, value, _ in found] == [7.0, 7.0, 2.0, 2.0]


def test_a_boolean_is_calculated_as_zero_and_one() -> None:
    tags = [
        tag(1),
        tag(3, data_type=DataType.BOOLEAN),
        tag(9, data_type=DataType.BOOLEAN, expression="tag.tag3 && tag.tag1 > 1"),
    ]
    assert [row[2] for row in made_of(make_frame([(3, 0.0, 1.0), (1, 0.0, 2.0), (1, 0.1, 1.0)]), tags=tags)] == [
        1.0,
        0.0,
    ]


def test_a_refused_sample_is_no_input_and_a_gateway_sends_no_calculated_tag() -> None:
    tags = [tag(1, limit_high=10.0), tag(2), RATIO]
    driver = Driver(tags)
    driver.frame(make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0), (1, 0.1, 99.0), (9, 0.1, 5.0)]))
    (found,) = validated_frames(driver.outputs)
    assert calculated([found]) == [(9, 0.0, 3.0, 0)]
    assert verdicts(driver.outputs) == ["GOOD", "GOOD", "OUT_OF_RANGE", "GATEWAY_NOT_AUTHORISED", "CALCULATED"]
    details = [each["detail"] for each in records(driver.outputs, topics.REJECTED)]
    assert "no gateway sends it" in details[1]
    assert [each["detail"].partition(";")[0] for each in records(driver.outputs, topics.REJECTED)] == [
        "1 of 4 samples"
    ] * 2


def test_calculated_samples_are_behind_those_of_the_gateway_whose_checksum_stays() -> None:
    given_frame = make_frame([(2, 0.0, 2.0), (1, 0.0, 6.0)], 7)
    driver = Driver(TAGS)
    driver.frame(given_frame)
    driver.frame(given_frame)
    (found,) = validated_frames(driver.outputs)
    assert (found.key, found.sequence, found.checksum) == (given_frame.key, 7, given_frame.checksum)
    assert (found.tag_id.tolist(), found.value.tolist()) == ([2, 1, 9], [2.0, 6.0, 3.0])
    driver.timer(60.0)
    assert [each["samples"] for each in records(driver.outputs, topics.LANES)][-1:] == [2]


def test_they_go_the_way_of_all_samples_to_windows_and_last_values() -> None:
    driver = Driver(TAGS)
    for number in range(30):
        driver.frame(make_frame([(1, number / 10, float(number)), (2, number / 10, 2.0)], number))
    driver.flush()
    # Both inputs have the same time: one result.
    first = final_windows(driver.outputs)[9, 1, 0.0]
    assert (first.count, first.min, first.max) == (10, 0.0, 4.5)
    assert first.mean == pytest.approx(2.25)
    latest = records(driver.outputs, topics.LATEST)[-1]
    assert latest["value"][latest["tag_id"].tolist().index(9)] == 14.5


def test_late_ones_are_flagged_as_their_inputs_are() -> None:
    driver = Driver(TAGS)
    driver.frame(make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0)]))
    driver.frame(make_frame([(3, 60.0, 1.0)], 1))
    driver.frame(make_frame([(1, 1.0, 8.0)], 2, closed_s=60.1))
    found = validated_frames(driver.outputs)[-1]
    assert found.verdict is not None
    assert found.verdict.tolist() == [Verdict.GOOD | LATE_FLAG, Verdict.CALCULATED | LATE_FLAG]


def test_a_time_of_which_an_input_is_not_known_any_more_makes_nothing() -> None:
    frames = [make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0), (2, 5.0, 4.0)]), make_frame([(1, 3.0, 8.0)], 1)]
    assert made_of(*frames) == [(9, 0.0, 3.0, 0), (9, 5.0, 1.5, 0)]


def test_a_backlog_is_calculated_with_what_was_then() -> None:
    found = made_of(
        make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0)]),
        make_frame([(1, 9.0, 90.0), (2, 9.0, 3.0)], 1),
        make_frame([(1, 1.0, 8.0)], 0, stream=Stream.BACKFILL, closed_s=9.5),
        make_frame([(2, 2.0, 4.0)], 1, stream=Stream.BACKFILL, closed_s=9.6),
        make_frame([(1, 3.0, 2.0)], 2, stream=Stream.BACKFILL, closed_s=9.7),
        make_frame([(1, 10.0, 9.0)], 2),
    )
    # At 1 s and at 2 s the other input is not known: the lane's last value of it is of 9 s.
    assert found == [(9, 0.0, 3.0, 0), (9, 9.0, 30.0, 0), (9, 2.0, 2.0, 0), (9, 3.0, 0.5, 0), (9, 10.0, 3.0, 0)]


def test_nothing_is_made_of_a_replay() -> None:
    assert made_of(make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0)], stream=Stream.REPLAY)) == []


def test_a_frame_that_is_full_leaves_out_the_oldest_of_all_tags_alike_says_so_once_and_counts_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = [Sample(1, number / 1000, 1.0) for number in range(40_000)]
    doubled, tripled = tag(9, expression="tag.tag1 * 2"), tag(10, expression="tag.tag1 * 3")
    driver = Driver([tag(1), doubled, tripled])
    driver.frame(make_frame([*rows]))
    driver.frame(make_frame([row._replace(time_s=row.time_s + 100) for row in rows], 1))
    first, second = validated_frames(driver.outputs)
    assert first.samples == second.samples == frame.MAX_SAMPLES
    counters = driver.logic.counters
    assert (counters["calculated"], counters["calculated_left_out"]) == (2 * 25_536, 2 * (80_000 - 25_536))
    made = calculated([first])
    for one in (9, 10):
        times = [time_s for tag_id, time_s, *_ in made if tag_id == one]
        assert (len(times), times[0], times[-1]) == (12_768, 27.232, 39.999)
    assert [one.message for one in caplog.records if "left out" in one.message] == [
        "calculated samples are left out: frames are full; said once, and counted in calculated_left_out"
    ]


def test_what_is_left_out_is_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()
    values = Formula.values

    def counted(self: Formula, rows: Sequence[Mapping[str, float | bool]]) -> list[float | None]:
        asked.append(len(rows))
        return values(self, rows)

    monkeypatch.setattr(Formula, "values", counted)
    driver = Driver([tag(1), tag(9, expression="tag.tag1 * 2")])
    driver.frame(make_frame([Sample(1, number / 1000, 1.0) for number in range(60_000)]))
    assert asked == [5_536]


@pytest.mark.parametrize("heard", [False, True])
def test_what_waits_for_an_input_takes_no_room_from_what_can_be_made(heard: bool) -> None:
    driver = Driver(
        [tag(1), tag(2), tag(4), tag(8, expression="tag.tag1 / tag.tag4"), tag(9, expression="tag.tag2 * 2")]
    )
    rows = [Sample(2, number / 1000, 1.0) for number in range(30_000)]
    rows += [Sample(1, 30 + number / 1000, 1.0) for number in range(30_000)]
    # It is heard with the last time of all; the bad sample needs nothing else.
    rows += [Sample(4, 59.999, 1.0)] if heard else []
    rows[30_000] = rows[30_000]._replace(value=math.nan, quality=quality.BAD_SENSOR_FAILURE)
    driver.frame(make_frame(rows))
    (found,) = validated_frames(driver.outputs)
    assert found.samples == frame.MAX_SAMPLES
    room = frame.MAX_SAMPLES - len(rows)
    can, made = 30_001 + heard, calculated([found])
    assert [row[0] for row in made].count(8) == 1 + heard
    counters = driver.logic.counters
    assert counters["calculated"] == len(made) == room
    assert counters["calculated_left_out"] == can - room
    assert counters["calculated_not_heard"] == 60_000 - can


def test_of_one_time_that_has_room_for_some_tags_only_they_take_turns() -> None:
    tags = [tag(1), *(tag(number, expression="tag.tag1 * 2") for number in (7, 8, 9))]
    driver = Driver(tags)
    for number in range(3):
        times = [number * 100 + place / 1000 for place in range(frame.MAX_SAMPLES - 1)]
        driver.frame(make_frame([Sample(1, time_s, 1.0) for time_s in times], number))
    assert [row[0] for row in calculated(validated_frames(driver.outputs))] == [7, 8, 9]


def test_it_is_counted_what_is_not_calculated_and_why() -> None:
    driver = Driver([*TAGS, tag(10, expression="tag.gone * 2")])
    driver.frame(make_frame([(1, 0.0, 6.0), (1, 0.1, 7.0), (1, 0.2, 7.0), (2, 0.2, 1.0)]))
    counters = driver.logic.counters
    assert (counters["calculated"], counters["calculated_not_heard"]) == (1, 2)
    assert driver.logic.tags_not_calculated == 1
    driver.publish([tag(10, expression="tag.tag1 * 2", registry_version=2)], 2)
    driver.timer(1.0)
    assert driver.logic.tags_not_calculated == 0


def test_tags_that_wait_for_an_input_are_those_that_have_never_heard_it() -> None:
    driver = Driver(
        [*TAGS, tag(4), tag(10, expression="tag.tag1 + tag.tag4"), tag(11, expression="tag.tag3 ? tag.tag1 : tag.tag4")]
    )
    driver.frame(make_frame([(1, 0.0, 6.0), (1, 0.1, 7.0)]))
    assert driver.logic.tags_waiting == 3
    driver.frame(make_frame([(2, 0.2, 1.0), (3, 0.2, 1.0)], 1))
    assert driver.logic.tags_waiting == 1
    driver.frame(make_frame([(4, 0.3, 1.0)], 2))
    assert driver.logic.tags_waiting == 0
    # What comes behind a later sample of another input has no sample of its time; its tag waits for nothing.
    before = driver.logic.counters["calculated_not_heard"]
    driver.frame(make_frame([(2, 0.9, 2.0)], 3))
    driver.frame(make_frame([(1, 0.5, 2.0)], 4))
    assert driver.logic.counters["calculated_not_heard"] == before + 1
    assert driver.logic.tags_waiting == 0


def test_a_tag_that_is_not_calculated_any_more_waits_for_nothing() -> None:
    driver = Driver(TAGS)
    driver.frame(make_frame([(1, 0.0, 6.0)]))
    assert driver.logic.tags_waiting == 1
    driver.publish([dataclasses.replace(RATIO, retired=True, registry_version=2)], 2)
    driver.timer(1.0)
    assert driver.logic.tags_waiting == 0


def test_a_tag_waits_too_where_full_frames_have_no_room_for_it() -> None:
    driver = Driver([tag(1), tag(2), tag(9, expression="tag.tag1 / tag.tag2")])
    driver.frame(make_frame([Sample(1, number / 1000, 1.0) for number in range(frame.MAX_SAMPLES)]))
    assert driver.logic.tags_waiting == 1


# --- restarts, other tables -----------------------------------------------------------------------------------------------


def test_a_state_that_knew_no_calculated_tags_goes_on_with_the_last_values_it_has() -> None:
    driver = Driver(TAGS[:3])
    driver.frame(make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0)]))
    assert not any(name.startswith("inputs") for parts in driver.state.values() for name in parts)
    driver.publish([dataclasses.replace(RATIO, registry_version=2)], 2)
    driver.crash()
    driver.frame(make_frame([(1, 1.0, 8.0)], 1))
    assert calculated(validated_frames(driver.outputs)) == [(9, 1.0, 4.0, 0)]


def test_an_expression_that_changes_holds_from_the_version_on_and_a_retired_one_is_not_made() -> None:
    driver = Driver(TAGS)
    driver.frame(make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0)]))
    driver.publish([dataclasses.replace(RATIO, registry_version=2, expression="tag.tag1 - tag.tag2")], 2)
    driver.frame(make_frame([(1, 1.0, 8.0)], 1))
    driver.publish([dataclasses.replace(RATIO, registry_version=3, retired=True)], 3)
    driver.frame(make_frame([(1, 2.0, 9.0)], 2))
    assert calculated(validated_frames(driver.outputs)) == [(9, 0.0, 3.0, 0), (9, 1.0, 6.0, 0)]


def test_an_expression_that_cannot_be_costs_the_other_tags_nothing() -> None:
    tags = [*TAGS, tag(10, expression="tag.gone * 2")]
    assert made_of(make_frame([(1, 0.0, 6.0), (2, 0.0, 2.0)]), tags=tags) == [(9, 0.0, 3.0, 0)]


def test_a_later_backlog_is_not_calculated_with_what_an_earlier_one_left() -> None:
    late = 10_000.0
    made = made_of(
        make_frame([(1, 1.0, 8.0), (2, 1.0, 2.0)], 0, stream=Stream.BACKFILL, closed_s=late),
        make_frame([(1, 5.0, 6.0)], 1, stream=Stream.BACKFILL, closed_s=late),
        make_frame([(1, 9_000.0, 6.0), (2, 9_000.0, 60.0)], 0, closed_s=late),
        make_frame([(1, 3_601.0, 6.0)], 2, stream=Stream.BACKFILL, closed_s=late),
        make_frame([(2, 3_602.0, 60.0)], 3, stream=Stream.BACKFILL, closed_s=late),
    )
    # At 3,601 nobody knows what the other input was: nothing is better than a value of an hour ago.
    assert [row[1:3] for row in made] == [(1.0, 4.0), (5.0, 3.0), (9_000.0, 0.1), (3_602.0, 0.1)]


def test_the_checksum_of_a_validated_frame_is_of_what_its_gateway_sent() -> None:
    driver = Driver(TAGS)
    driver.frame(make_frame([(1, 1.0, 8.0), (2, 1.0, 2.0)], 0))
    (found,) = validated_frames(driver.outputs)
    assert (found.samples, int(found.sent.sum())) == (3, 2)
    assert found.computed_checksum() == found.checksum


def test_the_backlog_s_last_values_are_restored_and_forgotten_when_not_needed() -> None:
    driver = Driver(TAGS)
    driver.frame(make_frame([(1, 9.0, 6.0), (2, 9.0, 2.0)]))
    driver.frame(make_frame([(2, 1.0, 4.0)], stream=Stream.BACKFILL, closed_s=9.5))
    assert "inputs/BACKFILL" in driver.state["gw-north/0"]
    driver.crash()
    driver.frame(make_frame([(1, 2.0, 8.0)], 1, stream=Stream.BACKFILL, closed_s=9.6))
    assert calculated(validated_frames(driver.outputs))[-1] == (9, 2.0, 2.0, 0)
    driver.publish([dataclasses.replace(RATIO, registry_version=2, retired=True)], 2)
    driver.frame(make_frame([(1, 10.0, 8.0)], 1))
    assert "inputs/BACKFILL" not in driver.state["gw-north/0"]


# --- against an oracle ----------------------------------------------------------------------------------------------------

FORMULAS: dict[str, calculation.Formula] = {
    "tag.tag1 / tag.tag2": lambda of: _divided(of[1], of[2]),
    "tag.tag1 - 2 * tag.tag2": lambda of: of[1] - 2 * of[2],
    "math.greatest(tag.tag1, tag.tag2)": lambda of: max(of[1], of[2]),
}
samples = st.builds(
    Sample,
    tag_id=st.sampled_from([1, 2, 2, 4]),
    time_s=st.integers(0, 60).map(lambda at: at / 8),
    value=st.sampled_from([0.0, 0.5, 1.0, 3.0, 9.0]),
    quality=st.sampled_from([0, 0, 0, quality.UNCERTAIN, quality.BAD]),
)


def _divided(one: float, other: float) -> float:
    return one / other if other else math.nan


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(samples, min_size=1, max_size=50),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    streams=st.lists(st.sampled_from([Stream.LIVE, Stream.LIVE, Stream.BACKFILL]), min_size=1, max_size=5),
    expression=st.sampled_from(sorted(FORMULAS)),
    crashing=st.booleans(),
)
def test_values_are_those_of_the_oracle(
    rows: list[Sample], sizes: list[int], streams: list[Stream], expression: str, crashing: bool
) -> None:
    tags = [tag(1, limit_high=8.0), tag(2), tag(4), tag(9, expression=expression)]
    driver = Driver(tags, crashing=crashing)
    number = 0
    while rows:
        size = sizes[number % len(sizes)]
        part, rows = rows[:size], rows[size:]
        driver.frame(make_frame(part, number, stream=streams[number % len(streams)], closed_s=8.0))
        number += 1
    frames = validated_frames(driver.outputs)
    assert repr(calculation.calculated(frames, 9)) == repr(calculation.oracle(frames, (1, 2), FORMULAS[expression]))


histories = st.lists(
    st.builds(Known, st.integers(0, 9), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([0, 0, quality.BAD])),
    max_size=3,
).map(sorted)


@settings(max_examples=100, deadline=None)
@given(
    text=st.sampled_from(["tag.tag1 / tag.tag2", "tag.tag1 + age_s.tag2", "math.greatest(tag.tag1, age_s.tag2)"]),
    known=st.fixed_dictionaries({"tag1": histories, "tag2": histories}),
)
def test_the_times_that_are_possible_are_those_at_which_a_sample_is_made(
    text: str, known: dict[str, list[Known]]
) -> None:
    inputs = {"tag1": tag(1), "tag2": tag(2)}
    expression = bind(text, DataType.DOUBLE, dict.fromkeys(inputs, DataType.DOUBLE), frozenset())
    one = CalculatedTag(tag(9, expression=text), expression, inputs)
    assert one.possible(range(10), known) == [sample.time_us for sample in one.at(range(10), known)]
