"""Labels from people: the same again is told later or earlier, within bounds; nothing else changes, and a withdrawal undoes it."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.labels import AnomalyLabel, PatternTag, Verdict, merged, pattern_of, pattern_tag
from stages.detection.episodes import EpisodeConfig, EpisodeTracker, contributors
from stages.detection.labels import CEILING, KEPT, LOWERED, MARGIN, Labels, halvings, lowest, score_of
from stages.detection.protocol import CALM, LEVEL, RELATION, SHIFT, SPREAD, STEP, Score, Subject
from stages.detection.threshold import AdaptiveThreshold, ThresholdConfig

SECOND_US = 1_000_000
TAGS = np.array([11, 12], np.int32)
ABOVE, BELOW = 9.0, -9.0


def subject(device_id: int = 3) -> Subject:
    unknown = np.full(2, np.nan)
    return Subject(device_id=device_id, window_s=1, tag_id=TAGS, normal_low=unknown, normal_high=unknown, seed=3)


def score(value: float, *, tag: int = 0, statistic: int = LEVEL, seen: float = ABOVE, other: float = 0.0) -> Score:
    """A score that one tag makes; `other`: part of the other tag."""
    part = np.array([value, other]) if tag == 0 else np.array([other, value])
    return Score(
        value=max(value, other),
        grace=False,
        part=part,
        statistic=np.full(2, statistic),
        seen=np.full(2, seen),
        expected_low=np.full(2, -1.0),
        expected_high=np.full(2, 1.0),
    )


def label(
    verdict: Verdict = Verdict.NOT_A_FAULT, *, peak: float = 0.8, number: int = 1, time_us: int = 0, **other: Any
) -> AnomalyLabel:
    """Of an episode of tag 11, whose level was above."""
    fields: dict[str, Any] = {
        "label_id": UUID(int=number),
        "episode_id": UUID(int=1000 + number),
        "device_id": 3,
        "verdict": verdict,
        "by": "ann",
        "time_us": time_us,
        "reason": "warm-up",
        "detector": "default",
        "peak_score": peak,
        "pattern": pattern_of(contributors(subject(), score(peak))),
    }
    return AnomalyLabel(**(fields | other))


def of(*labels: AnomalyLabel) -> Labels:
    made = Labels()
    for one in labels:
        made.put(one)
    return made


def tracker(labels: Labels | None = None, device_id: int = 3, detector: str = "default") -> EpisodeTracker:
    threshold = AdaptiveThreshold(ThresholdConfig())
    return EpisodeTracker(device_id, detector, 1, EpisodeConfig(), threshold, labels=labels or Labels())


def play(each: EpisodeTracker, scores: Iterable[Score], start: int = 1) -> list[dict[str, Any]]:
    """Records of windows of a second each; every score counts as news."""
    found = []
    for number, one in enumerate(scores, start):
        begin, end = number * SECOND_US, (number + 1) * SECOND_US
        messages = each.on_score(subject(each.device_id), begin, end, one, one.value)
        found += [codec.decode(message, "Anomaly")[1] for message in messages]
    return found


def opens(each: EpisodeTracker, one: Score) -> bool:
    """Whether three such windows open an episode."""
    return any(record["phase"] == "OPEN" for record in play(each, [one] * 3))


def needed(labels: Labels, one: Score, *, end_us: int = SECOND_US) -> float:
    return tracker(labels).needed(subject(), end_us, one)


# --- what a label does ---------------------------------------------------------------------------------------------------


def test_the_same_again_is_told_no_more_and_what_is_much_stronger_is() -> None:
    labels = of(label(peak=0.8))
    assert opens(tracker(), score(0.8))
    assert not opens(tracker(labels), score(0.8))
    assert not opens(tracker(labels), score(score_of(halvings(0.8) + 0.9 * MARGIN)))
    assert opens(tracker(labels), score(score_of(halvings(0.8) + 1.1 * MARGIN)))


def test_however_strong_it_was_what_is_beyond_the_ceiling_is_told() -> None:
    labels = of(label(peak=1.0))
    assert needed(labels, score(0.99)) == pytest.approx(score_of(CEILING))
    assert opens(tracker(labels), score(score_of(CEILING + 0.1)))


@pytest.mark.parametrize(
    "other",
    [
        score(0.7, tag=1),
        score(0.7, statistic=SPREAD),
        score(0.7, statistic=CALM),
        score(0.7, statistic=RELATION),
        score(0.7, seen=BELOW),
        score(0.7, other=0.6),
    ],
    ids=["another tag", "spread", "calm", "relation", "the other direction", "another tag beside it"],
)
def test_another_pattern_is_untouched(other: Score) -> None:
    assert needed(of(label()), other) == 0.5
    assert opens(tracker(of(label())), other)


def test_a_level_that_becomes_a_shift_is_the_same_pattern() -> None:
    for statistic in (LEVEL, SHIFT, STEP):
        assert not opens(tracker(of(label())), score(0.8, statistic=statistic))


def test_other_devices_and_detectors_are_untouched() -> None:
    labels = of(label())
    assert opens(tracker(labels, device_id=4), score(0.8))
    assert opens(tracker(labels, detector="seasonal"), score(0.8))


def test_coming_back_is_no_other_pattern() -> None:
    """A spike that is not told is not told by its end, a step to the other side; such a step by itself is."""
    back = score(0.8, statistic=STEP, seen=BELOW)
    assert not play(tracker(of(label())), [score(0.8), back, back])
    assert play(tracker(of(label())), [score(0.1), back, back])
    assert play(tracker(of(label())), [score(0.8), *[score(0.1)] * 3, back, back])


def test_a_fault_is_told_earlier_and_what_earlier_episodes_added_does_not_count() -> None:
    weak = score(score_of(0.9 * halvings(0.5)))
    assert not opens(tracker(), weak)
    labels = of(label(Verdict.FAULT))
    assert opens(tracker(labels), weak)
    raised = tracker(labels)
    raised.threshold.opened(0)
    assert raised.threshold.at(SECOND_US) > 0.57
    assert raised.needed(subject(), SECOND_US, weak) == pytest.approx(lowest(0.5))


def test_where_both_were_said_a_fault_is_told_again() -> None:
    harmless, fault = label(peak=0.8, number=1), label(Verdict.FAULT, peak=0.97, number=2)
    assert not opens(tracker(of(harmless, fault)), score(0.8))
    assert opens(tracker(of(harmless, fault)), score(0.97))
    weaker = label(Verdict.FAULT, peak=0.7, number=3)
    assert opens(tracker(of(harmless, fault, weaker)), score(0.7))


def test_a_label_counts_for_windows_that_end_after_it_until_it_is_withdrawn() -> None:
    labels = of(label(time_us=10, withdrawn_us=20))
    found = [needed(labels, score(0.8), end_us=end_us) > 0.5 for end_us in (9, 10, 11, 20, 21)]
    assert found == [False, False, True, True, False]


# --- properties ------------------------------------------------------------------------------------------------------------

VERDICTS = st.sampled_from(Verdict)
LABELS = st.lists(
    st.builds(
        label,
        VERDICTS,
        peak=st.floats(0.0, 1.0),
        number=st.integers(1, 6),
        time_us=st.integers(0, 100),
        withdrawn_us=st.none() | st.integers(0, 100),
    ),
    max_size=12,
)
SCORES = st.builds(
    score,
    st.floats(0.0, 1.0),
    tag=st.integers(0, 1),
    statistic=st.sampled_from([LEVEL, STEP, SPREAD, RELATION]),
    seen=st.sampled_from([ABOVE, BELOW]),
)


@given(LABELS, SCORES, st.integers(0, 120))
def test_what_is_needed_is_bounded(labels: list[AnomalyLabel], one: Score, end_us: int) -> None:
    found = needed(of(*labels), one, end_us=end_us)
    assert score_of(LOWERED * halvings(0.5)) - 1e-12 <= found <= score_of(CEILING) + 1e-12


@given(LABELS, SCORES, st.integers(0, 120), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(labels: list[AnomalyLabel], one: Score, end_us: int, chance: Any) -> None:
    shuffled = [*labels, *labels]
    chance.shuffle(shuffled)
    first, second = of(*labels), of(*shuffled)
    assert list(first.of(3)) == list(second.of(3))
    assert needed(first, one, end_us=end_us) == needed(second, one, end_us=end_us)


@given(LABELS, SCORES)
def test_withdrawing_all_undoes_all(labels: list[AnomalyLabel], one: Score) -> None:
    made = of(*labels)
    for each in list(made.of(3)):
        made.put(dataclasses.replace(each, withdrawn_us=100))
    assert needed(made, one, end_us=101) == 0.5


@given(st.lists(st.tuples(st.floats(0.0, 0.999), st.sampled_from([ABOVE, BELOW])), max_size=60))
def test_labels_that_were_withdrawn_before_leave_no_trace(windows: list[tuple[float, float]]) -> None:
    scores = [score(value, seen=seen) for value, seen in windows]
    assert play(tracker(of(label(withdrawn_us=0))), scores) == play(tracker(), scores)


@given(st.permutations([label(number=number, withdrawn_us=end) for number in (1,) for end in (None, 7, 9)]))
def test_records_of_one_label_merge_to_the_same(records: Sequence[AnomalyLabel]) -> None:
    found = None
    for one in records:
        found = merged(found, one)
    assert found is not None
    assert found.withdrawn_us == 7


def test_only_the_newest_are_kept_whatever_the_order() -> None:
    many = [label(number=number, time_us=number) for number in range(1, KEPT + 20)]
    for order in (many, many[::-1]):
        labels = of(*order)
        assert len(labels) == KEPT
        assert [one.time_us for one in labels.of(3)] == list(range(20, KEPT + 20))


# --- state, and the record -------------------------------------------------------------------------------------------------


def test_a_tracker_goes_on_from_its_state_and_the_topic() -> None:
    labels = of(label())
    scores = [score(0.8), score(0.8), score(0.85, seen=BELOW, statistic=STEP), score(0.1), score(0.95), score(0.95)]
    whole = play(tracker(labels), scores)
    for cut in range(1, len(scores)):
        first = tracker(labels)
        told = play(first, scores[:cut])
        again = Labels()
        again.apply(label().encode())
        second = tracker(again)
        second.threshold, second.open, second.recent = first.threshold, first.open, first.recent
        second.told_us, second.ended_us = first.told_us, first.ended_us
        second.excused_us = {int(size): at for size, at in json.loads(json.dumps(first.excused_us)).items()}
        assert told + play(second, scores[cut:], 1 + cut) == whole


def test_a_pattern_is_of_the_tags_that_the_episode_was_about() -> None:
    parts = [
        {"tag_id": 1, "score": 0.4, "statistic": "step", "value": 0.0, "expected_low": 1.0, "expected_high": 2.0},
        {"tag_id": 2, "score": 0.9, "statistic": "level", "value": 3.0, "expected_low": 1.0, "expected_high": 2.0},
        {"tag_id": 3, "score": 0.5, "statistic": "relation", "value": 3.0, "expected_low": 1.0, "expected_high": 2.0},
        {"tag_id": 4, "score": 0.5, "statistic": "step", "value": 0.0, "expected_low": None, "expected_high": None},
    ]
    assert [(one.tag_id, one.direction) for one in pattern_of(parts)] == [(2, 1), (3, 0), (4, 0)]
    assert pattern_of([]) == ()
    assert pattern_tag({"tag_id": 1, "value": "nan", "expected_low": 1.0, "expected_high": 2.0}).statistic == ""


def test_an_episode_without_statistics_is_remembered_as_nothing_that_comes_again() -> None:
    old = label(pattern=(PatternTag(tag_id=11, statistic="", direction=0),))
    assert opens(tracker(of(old)), score(0.8))


def test_turned_twice_is_the_same() -> None:
    for direction, statistic in itertools.product((-1, 0, 1), ("level", "step")):
        tag = PatternTag(tag_id=1, statistic=statistic, direction=direction)
        assert tag.turned.turned == tag
