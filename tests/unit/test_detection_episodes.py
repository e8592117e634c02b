"""Episodes and thresholds: one fault is one anomaly, and a restless device does not make a storm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import repeat
from typing import Any

import numpy as np
import pytest

from schemas import codec
from stages.detection.episodes import EpisodeConfig, EpisodeTracker
from stages.detection.news import News
from stages.detection.protocol import LEVEL, RELATION, Score, Subject
from stages.detection.threshold import DAY_US, AdaptiveThreshold, ThresholdConfig

SECOND_US = 1_000_000


def subject(window_s: int = 1) -> Subject:
    return Subject(
        device_id=3,
        window_s=window_s,
        tag_id=np.array([11, 12], np.int32),
        normal_low=np.zeros(2),
        normal_high=np.ones(2),
        seed=3,
    )


def score(value: float, *, grace: bool = False) -> Score:
    return Score(
        value=value,
        grace=grace,
        part=np.array([value, 0.3]),
        statistic=np.array([LEVEL, RELATION]),
        seen=np.array([5.0, 6.0]),
        expected_low=np.array([1.0, np.nan]),
        expected_high=np.array([2.0, np.nan]),
    )


def tracker(**config: Any) -> EpisodeTracker:
    return EpisodeTracker(3, "default", 1, EpisodeConfig(**config), AdaptiveThreshold(ThresholdConfig()))


def play(each: EpisodeTracker, scores: Iterable[float], window_s: int = 1, start: int = 0) -> list[dict[str, Any]]:
    found, news = [], News(subject(window_s))
    for number, value in enumerate(scores, start):
        begin = number * window_s * SECOND_US
        end = begin + window_s * SECOND_US
        said = news.of(score(value), end)
        for message in each.on_score(subject(window_s), begin, end, score(value), said):
            found.append(codec.decode(message, "Anomaly")[1])
    return found


def phases(records: list[dict[str, Any]]) -> list[str]:
    return [record["phase"] for record in records]


def test_quiet_scores_open_nothing() -> None:
    assert not play(tracker(), [0.1, 0.45, 0.2, 0.49] * 1000)


def test_one_moderate_window_is_not_enough_two_of_three_are() -> None:
    assert not play(tracker(), [0.1, 0.6, 0.1, 0.1, 0.1, 0.6, 0.1])
    (record,) = play(tracker(), [0.1, 0.6, 0.1, 0.6])
    assert record["phase"] == "OPEN"
    assert record["start_us"] == 1 * SECOND_US
    assert (record["threshold"], record["score"], record["revision"]) == (0.5, 0.6, 1)


def test_one_violent_window_is_enough() -> None:
    (record,) = play(tracker(), [0.1, 0.8])
    assert record["phase"] == "OPEN"


def test_a_flickering_fault_is_one_episode_with_an_end() -> None:
    scores = [0.1, *[0.9, 0.2, 0.1, 0.8, 0.4] * 20, *[0.1] * 100]
    found = play(tracker(), scores)
    assert phases(found)[0] == "OPEN"
    assert phases(found)[-1] == "CLOSE"
    assert set(phases(found)[1:-1]) <= {"UPDATE"}
    assert len({record["episode_id"] for record in found}) == 1
    assert [record["revision"] for record in found] == list(range(1, len(found) + 1))
    close = found[-1]
    assert close["end_us"] == (1 + 5 * 20) * SECOND_US, "0.4 keeps it open: hysteresis"
    assert close["peak_score"] == 0.9


def test_updates_are_rare_and_only_for_a_higher_peak() -> None:
    rising = [0.5 + 0.004 * at for at in range(100)]
    found = play(tracker(), rising)
    assert phases(found).count("UPDATE") <= 9
    assert phases(play(tracker(), [0.8] * 200)) == ["OPEN"]


def test_a_new_fault_after_the_hold_off_is_a_new_episode() -> None:
    found = play(tracker(), [0.9] * 5 + [0.1] * 70 + [0.95] * 5 + [0.1] * 70)
    assert phases(found) == ["OPEN", "CLOSE", "OPEN", "CLOSE"]
    assert found[0]["episode_id"] != found[2]["episode_id"]


def test_long_windows_hold_longer() -> None:
    found = play(tracker(), [0.9, 0.1, 0.1, 0.1, 0.9], window_s=60)
    assert phases(found) == ["OPEN"]
    assert phases(play(tracker(), [0.9, 0.1, 0.1, 0.1, 0.1, 0.1], window_s=60)) == ["OPEN", "CLOSE"]


def test_windows_of_several_lengths_make_one_episode() -> None:
    each = tracker()
    assert phases(play(each, [0.9], window_s=1)) == ["OPEN"]
    assert not play(each, [0.95], window_s=60)
    assert each.open is not None
    assert each.open.active_us == 60 * SECOND_US


def test_ids_follow_from_device_detector_and_start() -> None:
    one, two = play(tracker(), [0.1, 0.9]), play(tracker(), [0.1, 0.9, 0.9])
    assert one[0]["episode_id"] == two[0]["episode_id"]
    other = EpisodeTracker(4, "default", 1, EpisodeConfig(), AdaptiveThreshold(ThresholdConfig()))
    assert play(other, [0.1, 0.9])[0]["episode_id"] != one[0]["episode_id"]


def test_contributors_are_named_with_what_was_expected() -> None:
    (record,) = play(tracker(), [0.9])
    no_forecast = dict.fromkeys(("limit", "limit_us", "earliest_us", "latest_us", "as_of_us"))
    assert record["contributors"] == [
        no_forecast
        | {"tag_id": 11, "score": 0.9, "value": 5.0, "expected_low": 1.0, "expected_high": 2.0, "statistic": "level"},
        no_forecast
        | {
            "tag_id": 12,
            "score": 0.3,
            "value": 6.0,
            "expected_low": None,
            "expected_high": None,
            "statistic": "relation",
        },
    ]


def test_grace_opens_nothing() -> None:
    each = tracker()
    assert not each.on_score(subject(), 0, SECOND_US, score(0.99, grace=True), 0.0)


def test_the_threshold_rises_with_every_episode_and_falls_back() -> None:
    threshold = AdaptiveThreshold(ThresholdConfig())
    assert threshold.at(0) == 0.5
    for _ in range(50):
        threshold.opened(1000)
    assert 0.9 < threshold.at(1000) <= 0.95
    assert threshold.at(1000) > threshold.at(1000 + DAY_US) > 0.5
    assert threshold.at(1000 + 30 * DAY_US) == 0.5


@pytest.mark.parametrize("value", [0.55, 0.65, 0.75])
def test_a_device_that_is_restless_by_nature_makes_few_episodes(value: float) -> None:
    found = play(tracker(), ([value] * 3 + [0.1] * 80) * 400)
    assert phases(found).count("OPEN") <= 8


# --- what is news -----------------------------------------------------------------------------------------------------------


def said(values: Iterable[float], parts: Iterable[tuple[float, float]] | None = None) -> list[float]:
    """What of these scores is news, window by window."""
    news, found = News(subject()), []
    for number, (value, part) in enumerate(zip(values, parts or repeat((1.0, 0.0)), strict=False)):
        each = replace(score(value), part=np.array(part) * value)
        found.append(news.of(each, (number + 1) * SECOND_US))
    return found


def test_a_fault_that_stays_is_news_once_and_again_when_it_is_clearly_worse() -> None:
    assert said([0.1, 0.6, 0.6, 0.62, 0.8, 0.8]) == [0.0, 0.6, 0.0, 0.0, 0.8, 0.0]


def test_what_was_said_is_forgotten() -> None:
    assert said([0.6, *[0.0] * 1_000, 0.6])[-1] == 0.6
    assert said([0.6, *[0.0] * 20, 0.6])[-1] == 0.0


def test_a_fault_of_one_tag_hides_none_of_another() -> None:
    assert said([0.99, 0.6, 0.6], [(1.0, 0.0), (1.0, 0.0), (0.0, 1.0)]) == [0.99, 0.0, 0.6]


def test_the_tail_of_a_fault_is_no_second_episode() -> None:
    fading = [0.95 * 0.985**at for at in range(40)]
    found = play(tracker(hold_off_s=5.0), [*fading[:10], *[0.1] * 10, *fading[10:], *[0.1] * 10])
    assert phases(found).count("OPEN") == 1


def test_what_was_said_is_in_the_state() -> None:
    one, two = News(subject()), News(subject())
    one.of(score(0.9), 5 * SECOND_US)
    two.set_fields(json.loads(json.dumps(one.fields())))
    assert two.of(score(0.9), 6 * SECOND_US) == one.of(score(0.9), 6 * SECOND_US) == 0.0


def test_what_was_said_stays_with_its_tag_when_others_come_and_go() -> None:
    whom = subject()
    first, second = (int(tag_id) for tag_id in whom.tag_id)
    one = News(whom)
    one.of(replace(score(0.9), part=np.array([0.9, 0.0])), 5 * SECOND_US)
    kept = json.loads(json.dumps(one.fields()))
    two = News(replace(whom, tag_id=np.array([second, first], np.int32)))
    two.set_fields(kept)
    assert two.of(replace(score(0.9), part=np.array([0.0, 0.9])), 6 * SECOND_US) == 0.0, "the same tag, elsewhere"
    assert two.of(replace(score(0.9), part=np.array([0.9, 0.0])), 6 * SECOND_US) == 0.9, "another tag, in its place"
