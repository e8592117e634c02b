"""Verdicts of samples: each reason at its edges, order inside a frame, and the vectorised checks against a plain validator."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import quality, topics
from schemas.definitions import TagDefinition
from schemas.frame import MAX_SAMPLES, Frame
from stages.config import ValidationConfig
from tests.golden.support import (
    QUIET,
    Driver,
    Sample,
    logic_of,
    make_frame,
    records,
    seconds,
    tag,
    validated_frames,
    verdicts,
)

DAY_S = 86_400.0


def verdicts_of(samples: Sequence[tuple[float, ...]], *tags: TagDefinition, **frame: object) -> list[str]:
    driver = Driver(tags or [tag(1)])
    driver.frame(make_frame(samples, **frame))  # type: ignore[arg-type]
    return verdicts(driver.outputs)


# --- single samples -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite(value: float) -> None:
    assert verdicts_of([(1, 0.0, value), (1, 0.1, 1.0)]) == ["NOT_FINITE", "GOOD"]


@pytest.mark.security("SR 3.5", "V1.4.2")
@pytest.mark.parametrize(
    ("data_type", "value", "verdict"),
    [
        ("INTEGER", 7.0, "GOOD"),
        ("INTEGER", -(2.0**53), "GOOD"),
        ("INTEGER", 2.0**53 + 2, "NOT_REPRESENTABLE"),
        ("INTEGER", 0.5, "NOT_REPRESENTABLE"),
        ("BOOLEAN", 0.0, "GOOD"),
        ("BOOLEAN", 1.0, "GOOD"),
        ("BOOLEAN", 2.0, "NOT_REPRESENTABLE"),
        ("BOOLEAN", 0.5, "NOT_REPRESENTABLE"),
        ("DOUBLE", 1e300, "GOOD"),
    ],
)
def test_representable(data_type: str, value: float, verdict: str) -> None:
    assert verdicts_of([(1, 0.0, value)], tag(1, data_type=data_type)) == [verdict]


@pytest.mark.security("T-PLANT-VALUES", "SR 3.5")
@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (-1.0, "OUT_OF_RANGE"),
        (0.0, "DEGRADED_RANGE"),
        (10.0, "GOOD"),
        (90.0, "GOOD"),
        (100.0, "DEGRADED_RANGE"),
        (100.1, "OUT_OF_RANGE"),
    ],
)
def test_limits_and_normal_range_are_inclusive(value: float, verdict: str) -> None:
    assert verdicts_of([(1, 0.0, value)], tag(1, limit_low=0.0, limit_high=100.0, eu_low=10.0, eu_high=90.0)) == [
        verdict
    ]


def test_a_limit_on_one_side() -> None:
    assert verdicts_of([(1, 0.0, -5.0), (1, 0.1, 1e9)], tag(1, limit_low=0.0)) == ["OUT_OF_RANGE", "GOOD"]


@pytest.mark.security("T-PLANT-VALUES")
def test_future_is_validated_against_the_gateways_close_time() -> None:
    assert verdicts_of([(1, 0.0, 1.0), (1, 15.0, 1.0), (1, 15.001, 1.0)], closed_s=10.0) == ["GOOD", "GOOD", "FUTURE"]


def test_too_old_is_validated_against_the_gateways_close_time() -> None:
    assert verdicts_of([(1, 0.0, 1.0), (1, 1.0, 1.0)], closed_s=30 * DAY_S + 0.5) == ["TOO_OLD", "GOOD"]


def test_bounds_can_be_configured() -> None:
    config = ValidationConfig(future_skew_s=1.0, too_old_days=1.0)
    driver = Driver([tag(1)], type(QUIET)(detection=QUIET.detection, validation=config))
    driver.frame(make_frame([(1, 0.0, 1.0), (1, 2.1, 1.0)], closed_s=1.0))
    driver.frame(make_frame([(1, 0.0, 1.0)], 1, closed_s=DAY_S + 1))
    assert verdicts(driver.outputs) == ["GOOD", "FUTURE", "TOO_OLD"]


@pytest.mark.security("SR 2.11")
@pytest.mark.parametrize(
    ("clock", "verdict"), [("SYNCHRONISED", "GOOD"), ("UNKNOWN", "GOOD"), ("UNSYNCHRONISED", "DEGRADED_CLOCK")]
)
def test_clock(clock: str, verdict: str) -> None:
    assert verdicts_of([(1, 0.0, 1.0)], clock=clock) == [verdict]


@pytest.mark.security("T-JOBS-POISON")
@pytest.mark.parametrize("closed_s", [-1e18 / 1e6, 9e18 / 1e6 - 2e9, -3e9])
def test_an_absurd_gateway_clock_is_survived(closed_s: float) -> None:
    assert len(verdicts_of([(1, 0.0, 1.0)], closed_s=closed_s)) == 1


@pytest.mark.security("T-KAFKA-FORGE")
def test_ownership() -> None:
    tags = (tag(1), tag(2, gateway_id="gw-other"), tag(3, site="south"), tag(4, retired=True))
    found = verdicts_of([(1, 0, 1), (2, 0, 1), (3, 0, 1), (4, 0, 1), (5, 0, 1)], *tags)
    other, unknown = "GATEWAY_NOT_AUTHORISED", "UNKNOWN_TAG"
    assert found == ["GOOD", other, other, unknown, unknown]


@pytest.mark.parametrize("code", [quality.UNCERTAIN, quality.BAD, quality.BAD_SENSOR_FAILURE])
def test_what_is_not_good_is_carried_whatever_its_value(code: int) -> None:
    strict = tag(1, limit_low=0.0, limit_high=1.0, max_rate=0.1, stuck_after_s=1.0)
    found = verdicts_of(
        [(1, 0, 0.5), (1, 1, 9e9, code), (1, 2, math.nan, code), (1, 3, math.inf, code), (1, 4, 0.5)], strict
    )
    assert found == ["GOOD", "DEGRADED_QUALITY", "DEGRADED_QUALITY", "NOT_FINITE", "GOOD"]


def test_the_first_reason_counts() -> None:
    assert verdicts_of([(1, 9.0, math.nan), (1, 9.0, 500.0)], tag(1, limit_high=1.0), closed_s=1.0) == [
        "NOT_FINITE",
        "FUTURE",
    ]


# --- order ----------------------------------------------------------------------------------------------------------------


def test_samples_of_a_tag_are_validated_in_order_of_time_whatever_their_position() -> None:
    ramp = [(1, at / 10, float(at)) for at in range(10)]
    random.Random(4).shuffle(ramp)
    assert verdicts_of(ramp, tag(1, max_rate=10.0)) == ["GOOD"] * 10


def test_ties_are_validated_in_order_of_position() -> None:
    found = verdicts_of([(1, 0.0, 0.0), (1, 1.0, 5.0), (1, 1.0, 1.0)], tag(1, max_rate=5.0))
    assert found == ["GOOD", "GOOD", "RATE_OF_CHANGE"]


def test_a_dictionary_that_names_a_tag_twice_is_one_tag() -> None:
    plain = make_frame([(1, 0.0, 0.0), (1, 0.1, 50.0)])
    twice = dataclasses.replace(plain, tag_ids=np.array([1, 1], np.int32), tag_index=np.array([0, 1], np.uint16))
    driver = Driver([tag(1, max_rate=1.0)])
    driver.frame(twice)
    driver.flush()
    assert verdicts(driver.outputs) == ["GOOD", "RATE_OF_CHANGE"]


def test_rate_allows_exactly_the_limit() -> None:
    assert (
        verdicts_of([(1, 0.0, 0.0), (1, 0.1, 0.1), (1, 0.2, 0.2), (1, 0.3, 0.3)], tag(1, max_rate=1.0)) == ["GOOD"] * 4
    )


def test_a_clock_that_is_set_back_is_validated_by_the_size_of_the_step() -> None:
    driver = Driver([tag(1, max_rate=1.0)])
    driver.frame(make_frame([(1, 100.0, 50.0)], 0))
    driver.frame(make_frame([(1, 40.0, 0.0), (1, 41.0, 0.5)], 1, closed_s=101.0))
    assert verdicts(driver.outputs) == ["GOOD", "GOOD+LATE", "GOOD+LATE"]


def test_streams_have_memories_of_their_own() -> None:
    driver = Driver([tag(1, max_rate=1.0)])
    driver.frame(make_frame([(1, 100.0, 50.0)], 0))
    driver.frame(make_frame([(1, 99.0, 5.0)], 0, stream="BACKFILL", closed_s=100.2))
    driver.frame(make_frame([(1, 101.0, 51.0)], 1))
    assert verdicts(driver.outputs) == ["GOOD"] * 3


# --- against a plain validator ------------------------------------------------------------------------------------------------


@dataclass
class PlainValidator:
    """One tag's rate and stuck checks, sample by sample."""

    definition: TagDefinition
    accepted: tuple[float, float] | None = None
    run: tuple[float, float, float] | None = None
    found: list[str] = field(default_factory=list)

    def verdicts_of(self, time_s: float, value: float) -> str:
        limit_s, rate = self.definition.stuck_after_s, self.definition.max_rate
        low, high = self.definition.limit_low, self.definition.limit_high
        if not math.isfinite(value):
            return "NOT_FINITE"
        if (low is not None and value < low) or (high is not None and value > high):
            return "OUT_OF_RANGE"
        stuck = False
        if limit_s is not None:
            last = self.run
            if last is None or last[0] != value or not 0 <= time_s - last[1] <= limit_s:
                last = (value, time_s, time_s)
            self.run = (value, time_s, last[2])
            stuck = time_s - last[2] > limit_s
        if rate is not None and self.accepted is not None:
            before_s, before = self.accepted
            if abs(value - before) > rate * abs(time_s - before_s) * (1 + 1e-9):
                return "RATE_OF_CHANGE"
        if stuck:
            return "STUCK"
        self.accepted = (time_s, value)
        return "GOOD"


PLAIN_TAGS = [
    tag(1, max_rate=2.0, stuck_after_s=2.0, limit_high=8.0),
    tag(2, 2, max_rate=1.0),
    tag(3, 2, stuck_after_s=1.0),
    tag(4, 2),
]
plain_samples = st.builds(
    Sample,
    tag_id=st.sampled_from([1, 2, 3, 4]),
    time_s=st.integers(0, 80).map(lambda at: at / 8),
    value=st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 9.0, math.nan]),
    quality=st.just(quality.GOOD),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(plain_samples, min_size=1, max_size=70), st.randoms(use_true_random=False), st.booleans())
def test_checks_are_those_of_a_plain_validator(rows: list[Sample], chance: random.Random, crashing: bool) -> None:
    driver = Driver(PLAIN_TAGS, crashing=crashing and len(rows) < 20)
    validators = {each.tag_id: PlainValidator(each) for each in PLAIN_TAGS}
    sequence = 0
    while rows:
        size = chance.randint(1, 15)
        part, rows = rows[:size], rows[size:]
        given_frame = make_frame(part, sequence, closed_s=20.0)
        sequence += 1
        driver.frame(given_frame)
        expected = [""] * len(part)
        for at in sorted(range(len(part)), key=lambda at: (part[at].tag_id, part[at].time_s, at)):
            expected[at] = validators[part[at].tag_id].verdicts_of(part[at].time_s, part[at].value)
        found = verdicts([output for output in driver.outputs if output.topic == topics.VALIDATED.name][-1:])
        assert [name.removesuffix("+LATE") for name in found] == expected


# --- rejects --------------------------------------------------------------------------------------------------------------


def test_rejects_carry_the_samples_bit_for_bit_and_say_why() -> None:
    driver = Driver([tag(1, limit_low=0.0, limit_high=100.0, unit="Cel")])
    driver.frame(make_frame([(1, 0.1, 50.0), (1, 0.2, 500.25), (1, 0.3, -0.5)], 3, stream="REPLAY"))
    (record,) = records(driver.outputs, topics.REJECTED)
    assert record["reason"] == "OUT_OF_RANGE"
    assert record["samples"] == 2
    assert record["position"].tolist() == [1, 2]
    assert record["value"].tolist() == [500.25, -0.5]
    assert [seconds(time_us) for time_us in record["time_us"].tolist()] == [0.2, 0.3]
    assert (record["gateway_id"], record["lane"], record["stream"], record["sequence"]) == ("gw-north", 0, "REPLAY", 3)
    assert (record["source_topic"], record["source_partition"], record["source_offset"]) == (
        "telemetry.frames.north",
        0,
        0,
    )
    assert record["detail"].startswith("2 of 3 samples; first: acme/north/")
    assert "500.25 Cel is outside 0.0 to 100.0" in record["detail"]


@pytest.mark.security("T-JOBS-POISON")
def test_a_bad_sample_never_costs_its_frame() -> None:
    driver = Driver([tag(1, limit_high=10.0), tag(2)])
    for sequence in range(300):
        driver.frame(make_frame([(1, sequence * 0.1, 99.0), (2, sequence * 0.1, 1.0)], sequence))
    frames: list[Frame] = validated_frames(driver.outputs)
    assert len(frames) == 300
    assert verdicts(driver.outputs) == ["OUT_OF_RANGE", "GOOD"] * 300
    assert len(records(driver.outputs, topics.REJECTED)) == 300


@pytest.mark.security("T-KAFKA-FLOOD")
def test_the_largest_frame_is_validated() -> None:
    logic = logic_of([tag(1)])
    driver = Driver([tag(1)])
    driver.logic = logic
    driver.frame(make_frame([(1, at * 1e-3, float(at % 7)) for at in range(MAX_SAMPLES)]))
    assert verdicts(driver.outputs) == ["GOOD"] * MAX_SAMPLES
