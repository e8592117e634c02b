"""Forecasts: a trend that reaches a limit is told with an interval, what is no trend is not; one event, said again when it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas import codec, topics
from schemas.definitions import TagDefinition
from stages import packing
from stages.config import DetectionConfig, ForecastConfig, TelemetryConfig
from stages.forecast.lane import LaneForecasts
from stages.forecast.levels import MOST_DOUBLINGS, SLOTS, TagLevels
from stages.forecast.life import Life
from stages.forecast.resets import Resets
from stages.forecast.tags import TagForecasts
from stages.forecast.trend import Forecast, forecast
from stages.outputs import Output
from tests.golden.support import Driver, make_frame, tag, us

HOUR_S, DAY_S = 3600.0, 86_400.0
CONFIG = ForecastConfig(enabled=True)
Values = NDArray[np.float64]


def noise(seed: int, length: int, size: float = 1.0) -> Values:
    return np.random.default_rng(seed).normal(0.0, size, length)


# --- is there a trend, and when does it reach the limit ---------------------------------------------------------------


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_straight_trend_is_forecast_to_the_limit_in_its_direction(sign: float) -> None:
    days = (np.arange(48) + 0.5) / 6
    found = forecast(sign * (50.0 + 3.75 * days + noise(1, 48)), 4 * HOUR_S, -100.0, 100.0, CONFIG)
    assert found is not None
    assert found.limit == sign * 100.0
    assert found.level == pytest.approx(sign * 80.0, abs=1.0)
    assert found.near_s < 16.0 / 3.0 * DAY_S < found.far_s
    assert found.near_s < found.likely_s < found.far_s
    assert found.likely_s == pytest.approx(16.0 / 3.0 * DAY_S, rel=0.25)


def test_growth_that_doubles_is_forecast_sooner_than_a_straight_line_would() -> None:
    days = (np.arange(48) + 0.5) / 6
    levels = 50.0 + 0.5 * 2.0 ** (days / 1.5)  # 70 now, 100 in 2 days
    found = forecast(levels + noise(2, 48, 0.3), 4 * HOUR_S, np.nan, 100.0, CONFIG)
    assert found is not None
    straight_s = (100.0 - levels[-1]) / (levels[-1] - levels[-7]) * DAY_S
    assert found.near_s < 2.0 * DAY_S < found.far_s
    assert found.likely_s < straight_s


def test_the_unit_of_a_tag_is_no_matter() -> None:
    levels = 50.0 + np.arange(48) * 0.7 + noise(3, 48)
    one = forecast(levels, 4 * HOUR_S, 0.0, 100.0, CONFIG)
    other = forecast(levels * 1e6 - 3e8, 4 * HOUR_S, -3e8, 1e8 - 3e8, CONFIG)
    assert one is not None
    assert other is not None
    assert other.likely_s == pytest.approx(one.likely_s, rel=1e-6)


UNWORN = {
    "noise": 50.0 + noise(4, 48, 3.0),
    "constant": np.full(48, 50.0),
    "day": 50.0 + 20.0 * np.sin(np.arange(48) * 2 * np.pi / 24) + noise(5, 48),
    "half a day more": 50.0 + 20.0 * np.sin(np.arange(60) * 2 * np.pi / 24)[:48] + noise(6, 48),
    "step": 40.0 + 30.0 * (np.arange(48) >= 30) + noise(7, 48),
    "small step": 40.0 + 3.0 * (np.arange(48) >= 20) + noise(8, 48),
    "ramp that stopped": 40.0 + np.minimum(np.arange(48), 24) + noise(9, 48, 0.5),
    "wild": np.where(np.arange(48) % 13 == 5, 95.0, 50.0) + noise(10, 48),
    "nothing": np.full(48, np.nan),
    "few": np.where(np.arange(48) % 5 == 0, np.arange(48.0), np.nan),
}


@pytest.mark.parametrize("kind", UNWORN)
def test_what_is_no_trend_is_not_forecast(kind: str) -> None:
    assert forecast(UNWORN[kind], HOUR_S, 0.0, 100.0, CONFIG) is None


def test_a_trend_too_slow_for_the_horizon_or_without_a_limit_is_not_forecast() -> None:
    levels = 50.0 + np.arange(48) / 48 + noise(11, 48, 0.05)
    assert forecast(levels, 4 * HOUR_S, 0.0, 100.0, CONFIG) is None
    assert forecast(levels, 4 * HOUR_S, 0.0, np.nan, CONFIG) is None
    assert forecast(levels, 4 * HOUR_S, 0.0, 51.5, CONFIG) is not None


def test_a_history_shorter_than_two_days_says_nothing() -> None:
    levels = 50.0 + np.arange(30) + noise(12, 30, 0.1)
    assert forecast(levels, HOUR_S, 0.0, 100.0, CONFIG) is None
    assert forecast(levels, HOUR_S, 0.0, 100.0, replace(CONFIG, rhythm_s=0.0)) is not None


# --- the levels of a tag ----------------------------------------------------------------------------------------------


def levels_of(values: Values, *, step_us: int = 3_600_000_000) -> TagLevels:
    levels = TagLevels(1, step_us, np.zeros(1, dtype=np.int64), 86_400_000_000)
    for at, value in enumerate(values.tolist()):
        if value == value:  # noqa: PLR0124  # NaN: no window
            levels.put(np.array([0]), at * step_us, np.array([value]))
    return levels


def test_slots_grow_with_the_history_and_their_means_stay() -> None:
    hours = np.arange(1_000.0)
    levels = levels_of(hours)
    slot_h = 1 << MOST_DOUBLINGS
    assert levels.slot_s(0) == slot_h * HOUR_S
    known = levels.of(0)
    assert len(known) < SLOTS
    assert known[-1] == hours[-2 * slot_h : -slot_h].mean()  # the last slot has not ended
    np.testing.assert_allclose(np.diff(known), slot_h)


def test_gaps_are_levels_that_are_not_there_and_a_long_absence_is_a_new_beginning() -> None:
    hours = np.arange(40.0)
    hours[10:20] = np.nan
    known = levels_of(hours).of(0)
    assert np.isnan(known[10:20]).all()
    assert not np.isnan(np.delete(known, np.arange(10, 20))).any()
    levels = levels_of(np.array([1.0, 2.0, 3.0]))
    levels.put(np.array([0]), 200 * 86_400_000_000, np.array([4.0]))
    assert len(levels.of(0)) == 0


def test_windows_that_come_late_or_in_one_call_with_others_change_nothing_else() -> None:
    levels = TagLevels(3, 3_600_000_000, np.array([0, 900_000_000, 0]), 0)
    both = np.array([0, 1])
    assert levels.put(both, 0, np.array([1.0, 2.0])).tolist() == []
    assert levels.put(np.array([1]), 900_000_000, np.array([4.0])).tolist() == [1]
    assert levels.put(both, 3_600_000_000, np.array([3.0, 6.0])).tolist() == [0]
    assert levels.put(np.array([0]), 0, np.array([99.0])).tolist() == []
    assert (levels.of(0).tolist(), levels.of(1).tolist(), levels.of(2).tolist()) == ([1.0], [2.0], [])


def test_a_level_that_changed_for_good_is_where_the_history_begins_anew() -> None:
    before, after = 80.0 + np.arange(60) / 10 + noise(13, 60, 0.2), 40.0 + np.arange(30) / 10 + noise(14, 30, 0.2)
    known = levels_of(np.concatenate([before, after])).of(0)
    assert known.max() < 50.0
    assert 10 <= len(known) <= 30


def test_idle_nights_are_no_new_beginning() -> None:
    hours = np.arange(24 * 10)
    known = levels_of(np.where(hours % 24 < 8, 10.0, 50.0) + noise(15, len(hours), 0.5))
    assert known.slot_s(0) == 8 * HOUR_S
    assert len(known.of(0)) == 29  # the last one is not full


# --- the life of a forecast -------------------------------------------------------------------------------------------


def found(days: float, level: float = 60.0) -> Forecast:
    return Forecast(
        near_s=0.8 * days * DAY_S, likely_s=days * DAY_S, far_s=1.3 * days * DAY_S, level=level, limit=100.0, t=9.0
    )


def told(life: Life, day: float, forecast_: Forecast | None, level: float = 60.0) -> list[dict[str, Any]]:
    records = life.follow(us(day * DAY_S), level, forecast_, CONFIG)
    return [codec.decode(each, "Anomaly")[1] for each in records]


def life_with_a_forecast() -> Life:
    life = Life(device_id=7, tag_id=3, low=0.0, high=100.0)
    assert [told(life, day, found(10.0 - day)) for day in (0.0, 0.2)] == [[], []]
    (opened,) = told(life, 0.4, found(9.6))
    assert (opened["phase"], opened["revision"], opened["detector"], opened["device_id"]) == ("OPEN", 1, "forecast", 7)
    one = opened["contributors"][0]
    assert (one["statistic"], one["limit"], one["expected_high"], one["value"]) == ("forecast", 100.0, 100.0, 60.0)
    assert one["earliest_us"] < one["limit_us"] == us(10.0 * DAY_S) < one["latest_us"]
    assert one["as_of_us"] == opened["start_us"] == us(0.4 * DAY_S)
    assert opened["score"] == pytest.approx(1.0 - 0.5 * (9.6 / 30.0) ** 0.5)
    return life


def test_one_event_is_said_again_only_when_it_changes() -> None:
    life = life_with_a_forecast()
    assert told(life, 1.0, found(9.1)) == []
    (sooner,) = told(life, 2.0, found(4.0))
    assert (sooner["phase"], sooner["revision"]) == ("UPDATE", 2)
    assert sooner["contributors"][0]["limit_us"] == us(6.0 * DAY_S)
    (half,) = told(life, 4.1, found(1.9))
    assert half["phase"] == "UPDATE"
    (reached,) = told(life, 6.0, None, level=100.5)
    assert (reached["phase"], reached["score"], reached["end_us"]) == ("CLOSE", 1.0, us(6.0 * DAY_S))
    assert life.plain


def test_a_trend_that_is_gone_ends_the_event_and_one_level_without_it_does_not() -> None:
    life = life_with_a_forecast()
    assert [
        told(life, day, each) for day, each in ((1.0, None), (1.2, None), (1.4, found(8.6)), (1.6, None), (1.8, None))
    ] == [[]] * 5
    (gone,) = told(life, 2.0, None)
    assert (gone["phase"], gone["score"]) == ("CLOSE", 0.0)
    assert gone["peak_score"] > 0.7


# --- what is emptied and filled again ---------------------------------------------------------------------------------


def episodes_of(hourly: Values, low: float = 0.0, high: float = 100.0) -> list[dict[str, Any]]:
    """Forecasts that begin in a series of hourly means, in order."""
    tags = TagForecasts(CONFIG, [Life(device_id=7, tag_id=3, low=low, high=high)], round(HOUR_S * 1e6))
    at = np.zeros(1, dtype=np.intp)
    said = [
        codec.decode(each, "Anomaly")[1]
        for hour, mean in enumerate(hourly.tolist())
        for _, records in tags.put(at, us(hour * HOUR_S), np.array([mean]))
        for each in records
    ]
    return [each for each in said if each["phase"] == "OPEN"]


def rounds(tops: list[float], days: float = 7.0) -> Values:
    """A filter whose pressure rises from 20 to each of these tops, and is cleaned within an hour."""
    hours = int(days * 24)
    return np.concatenate([20.0 + (top - 20.0) * np.arange(hours) / hours for top in tops])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_tank_that_is_emptied_every_week_is_forecast_once_and_again_when_nobody_comes(sign: float) -> None:
    usual = rounds([70.0, 62.0, 75.0, 66.0, 71.0, 58.0])
    usual += noise(20, len(usual), 0.5)
    low, high = (0.0, 100.0) if sign > 0 else (-100.0, 0.0)
    assert [each["start_us"] < us(7.0 * DAY_S) for each in episodes_of(sign * usual, low, high)] == [True]
    forgotten = 20.0 + 80.0 * np.arange(11 * 24) / (11 * 24)
    _, again = episodes_of(sign * np.concatenate([usual, forgotten + noise(21, len(forgotten), 0.5)]), low, high)
    level = abs(again["contributors"][0]["value"])
    assert 78.0 < level < 92.0


def test_a_limit_that_was_reached_is_no_usual_turn_and_the_next_wear_is_forecast_as_early() -> None:
    twice = rounds([101.0, 101.0], days=12.0)
    first, second = episodes_of(twice + noise(22, len(twice), 0.5))
    assert abs(second["start_us"] - first["start_us"] - 12.0 * DAY_S * 1e6) < 3.0 * DAY_S * 1e6


def test_nights_and_weekends_are_no_resets() -> None:
    hours = np.arange(40 * 24)
    idle = (hours // 24 % 7 >= 5) | (hours % 24 < 6)
    worn = 40.0 + 55.0 * hours / len(hours) - np.where(idle, 12.0, 0.0) + noise(23, len(hours), 0.5)
    resets = Resets(1)
    for hour in range(48, len(worn)):
        resets.see(0, worn[hour - 48 : hour], 24, 0.0, 100.0)
    assert not resets.came_back(0, found(5.0, level=45.0), 0.0)


# --- on the lane ------------------------------------------------------------------------------------------------------

LINE = TelemetryConfig(
    detection=DetectionConfig(enabled=False), forecast=replace(CONFIG, step_s=60.0, rhythm_s=1_200.0)
)


def wearing(tag_id: int = 1, **changes: Any) -> TagDefinition:
    return tag(tag_id, eu_low=0.0, eu_high=100.0, windows_s=(10,), **changes)


def wear(driver: Driver, from_s: int, to_s: int) -> None:
    for second in range(from_s, to_s, 10):
        value = 50.0 + second / 100.0 + float(noise(second, 1, 0.3)[0])
        driver.frame(make_frame([(1, second, value)], second // 10))


def anomalies(outputs: list[Output]) -> list[dict[str, Any]]:
    return [codec.decode(each.value, "Anomaly")[1] for each in outputs if each.topic == topics.ANOMALIES.name]


@pytest.mark.parametrize("crashing", [False, True])
def test_a_worn_machine_is_forecast_on_the_line_also_through_restarts(crashing: bool) -> None:
    driver = Driver([wearing()], LINE, crashing=crashing)
    wear(driver, 0, 5_200)
    records = anomalies(driver.outputs)
    assert records[0]["phase"] == "OPEN"
    assert records[-1]["phase"] == "CLOSE"
    assert records[-1]["score"] == 1.0
    assert len({each["episode_id"] for each in records}) == 1
    assert [each["revision"] for each in records] == list(range(1, len(records) + 1))
    assert records[0]["start_us"] < us(4_000.0)
    first = records[0]["contributors"][0]
    assert first["earliest_us"] <= us(5_000.0) <= (first["latest_us"] or us(9e9))


def silence(driver: Driver, from_s: int, to_s: int, *, others_speak: bool) -> list[dict[str, Any]]:
    """What is said while tag 1 says nothing."""
    driver.outputs.clear()
    for second in range(from_s, to_s, 10):
        if others_speak:
            driver.frame(make_frame([(2, second, 1.0)], second // 10), now_s=second)
        driver.timer(second)
    return anomalies(driver.outputs)


@pytest.mark.parametrize("others_speak", [True, False])
def test_the_forecast_of_a_tag_that_falls_silent_ends_also_after_a_restart(*, others_speak: bool) -> None:
    config = replace(LINE, forecast=replace(LINE.forecast, silent_s=900.0))
    driver = Driver([wearing(), tag(2, windows_s=(10,))], config)
    wear(driver, 0, 4_000)
    assert anomalies(driver.outputs)[-1]["phase"] != "CLOSE"
    before = driver.checkpoint()
    assert silence(driver, 4_000, 4_860, others_speak=others_speak) == []  # a weekend is shorter than that
    (ended,) = silence(driver, 4_860, 5_400, others_speak=others_speak)
    assert (ended["phase"], ended["score"]) == ("CLOSE", 0.0)
    assert us(3_900.0) <= ended["end_us"] <= us(4_000.0)
    driver.crash()
    assert silence(driver, 5_400, 6_000, others_speak=others_speak) == []
    # After a restart nobody knows how long a silent lane has been silent.
    again = Driver([wearing(), tag(2, windows_s=(10,))], config, now_s=4_430)
    again.crash(before)
    (ended_again,) = silence(again, 4_430, 6_000, others_speak=others_speak)
    assert (ended_again["phase"], ended_again["end_us"]) == ("CLOSE", ended["end_us"])


def test_a_machine_whose_clock_is_behind_the_others_of_its_lane_is_not_silent() -> None:
    config = replace(LINE, forecast=replace(LINE.forecast, silent_s=900.0))
    driver = Driver([wearing(), tag(2, device_id=2, windows_s=(10,))], config)
    ahead_s = 4_000
    for second in range(0, 4_000, 10):
        value = 50.0 + second / 100.0 + float(noise(second, 1, 0.3)[0])
        driver.frame(make_frame([(2, second + ahead_s, 1.0)], second // 5), now_s=second)
        driver.frame(make_frame([(1, second, value)], second // 5 + 1), now_s=second)
        driver.timer(second)
        if second == 3_900:  # how far behind it is goes with the state
            driver.checkpoint()
            driver.crash()
    assert [each["phase"] for each in anomalies(driver.outputs) if each["phase"] != "UPDATE"] == ["OPEN"]
    driver.outputs.clear()
    for second in range(4_000, 5_400, 10):
        driver.frame(make_frame([(2, second + ahead_s, 1.0)], second // 5), now_s=second)
        driver.timer(second)
        if second < 4_860:
            assert anomalies(driver.outputs) == []
    assert [each["phase"] for each in anomalies(driver.outputs)] == ["CLOSE"]


@pytest.mark.parametrize(
    "changes",
    [
        {"eu_low": None, "eu_high": None},
        {"detector": ""},
        {"writable": True},
        {"windows_s": ()},
        {"data_type": "INTEGER"},
    ],
)
def test_a_lane_without_a_tag_to_forecast_keeps_nothing(changes: dict[str, Any]) -> None:
    driver = Driver([changed(changes)], LINE)
    wear(driver, 0, 400)
    assert not any("forecast" in parts for parts in driver.state.values())


def changed(changes: dict[str, Any]) -> TagDefinition:
    return tag(1, **{"eu_low": 0.0, "eu_high": 100.0, "windows_s": (10,), **changes})


def test_a_changed_range_ends_the_forecast_and_what_was_learned_stays() -> None:
    driver = Driver([wearing()], LINE)
    wear(driver, 0, 4_000)
    (open_id,) = {each["episode_id"] for each in anomalies(driver.outputs)}
    before = driver.logic._lanes[next(iter(driver.state))].forecasts._tags.levels.of(0)
    driver.outputs.clear()
    driver.publish([replace(wearing(), eu_high=95.0, registry_version=2)], 2)
    wear(driver, 4_000, 4_500)
    records = anomalies(driver.outputs)
    assert (records[0]["phase"], records[0]["episode_id"]) == ("CLOSE", open_id)
    assert records[1]["phase"] == "OPEN"
    assert records[1]["contributors"][0]["limit"] == 95.0
    after = driver.logic._lanes[next(iter(driver.state))].forecasts._tags.levels.of(0)
    np.testing.assert_array_equal(after[: len(before)], before)


def test_a_range_that_changed_while_the_job_was_away_ends_the_forecast_too() -> None:
    driver = Driver([wearing()], LINE)
    wear(driver, 0, 4_000)
    assert anomalies(driver.outputs)[-1]["phase"] != "CLOSE"
    driver.registry = [([replace(wearing(), eu_high=None, eu_low=None)], 1)]
    driver.outputs.clear()
    driver.crash()
    wear(driver, 4_000, 4_050)
    assert [each["phase"] for each in anomalies(driver.outputs)] == ["CLOSE"]


def test_state_from_before_there_were_forecasts_and_state_of_another_layout() -> None:
    driver = Driver([wearing()], LINE)
    wear(driver, 0, 600)
    (lane,) = driver.state
    assert "forecast" in driver.state[lane]
    size = len(driver.state[lane].pop("forecast"))
    assert size < 400
    driver.crash()
    wear(driver, 600, 1_200)
    assert "forecast" in driver.state[lane]
    forecasts = LaneForecasts(CONFIG, driver.logic._lanes[lane].table)
    with pytest.raises(packing.StateError, match="forecast has layout 9"):
        forecasts.restore({"forecast": packing.pack(9)})


def test_state_from_before_it_said_how_far_a_tag_is_behind_is_read() -> None:
    driver = Driver([wearing()], LINE)
    wear(driver, 0, 4_000)
    (open_id,) = {each["episode_id"] for each in anomalies(driver.outputs)}
    (lane,) = driver.state
    fields, arrays = packing.unpack(driver.state[lane]["forecast"], 1, "forecast")
    driver.state[lane]["forecast"] = packing.pack(1, fields, *arrays[:-1])
    driver.outputs.clear()
    driver.crash()
    wear(driver, 4_000, 5_200)
    records = anomalies(driver.outputs)
    assert {each["episode_id"] for each in records} == {open_id}
    assert (records[-1]["phase"], records[-1]["score"]) == ("CLOSE", 1.0)


def test_forecasts_of_two_tags_of_a_device_are_two() -> None:
    one, other = Life(device_id=1, tag_id=1, low=0.0, high=1.0), Life(device_id=1, tag_id=2, low=0.0, high=1.0)
    for day in (0.0, 0.2):
        assert told(one, day, found(5.0)) == told(other, day, found(5.0)) == []
    assert told(one, 0.4, found(5.0))[0]["episode_id"] != told(other, 0.4, found(5.0))[0]["episode_id"]
