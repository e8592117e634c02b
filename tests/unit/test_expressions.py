"""Expressions over tags: what can be one and what not, said with its place; windows against a direct computation."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import ConfigError
from stages.expressions import native
from stages.expressions.bounds import MAX_LENGTH
from stages.expressions.program import check_syntax, condition
from stages.expressions.reading import read
from stages.expressions.windows import STEPS, Figures, HeldWindow, WindowKey
from stages.packing import StateError

BOOLEANS = frozenset({"on", "open"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("  ", "empty"),
        ("tag.a > 1 " + "|| tag.a > 1 " * 100, f"more than {MAX_LENGTH}"),
        ("tag.a == 'x'", "has no meaning here"),
        ("tag.a > 1 // a comment", "'//' has no meaning"),
        ("{1: tag.a}", "'{' has no meaning"),
        ("tag.a % 2 == 0", "'%' has no meaning"),
        ("speed > 1", "there is no speed; there are tag.NAME"),
        ("tag > 1", "there is no tag;"),
        ("tag.a.b > 1", "there is no tag.a.b"),
        ("sum_5m.a > 1", "there is no sum_5m.a"),
        ("mean_5d.a > 1", "there is no mean_5d.a"),
        ("mean_25h.a > 1", "not from 1 s to 24 h"),
        ("mean_0s.a > 1", "not from 1 s to 24 h"),
        ("[1, 2].exists(x, x > tag.a)", "there is no function|there is no exists"),
        ("size([tag.a]) > 1", "there is no function size"),
        ("1 > 2", "names no tag"),
        ("||".join(f"tag.t{number} > 1" for number in range(17)), "17 tags, more than 16"),
        ("||".join(f"mean_{number}s.a > 1" for number in range(1, 10)), "9 windows, more than 8"),
        ("tag.a > ", "column 9: Syntax error"),
        ("(tag.a > 1", "column 11: Syntax error"),
        ("tag.a", "a number, no condition"),
        ("tag.a + 1", "a number, no condition"),
        ("[tag.on]", "no condition"),
        ("tag.on > 1", r"column 8: > cannot be applied to \(boolean, number\)"),
        ("tag.a > 10 && tag.a + tag.on > 1", r"column 21: \+ cannot be applied to \(number, boolean\)"),
        ("tag.a > 1\n&& tag.on > 1", "line 2, column 11"),
        ("tag.on == 1", "cannot be applied"),
        ("!tag.a", "cannot be applied"),
        ("1 < tag.a < 2", "cannot be applied"),
        ("known.a > 1", "cannot be applied"),
        ("mean_1m.on", "a number, no condition"),
        ("math.abs(tag.on) > 1", "math.abs"),
        ("(" * 200 + "tag.on" + ")" * 200, "nested too deep"),
        ("+".join(["tag.a"] * 60) + " > 1", "nested too deep"),
        ("tag.in > 1", "Syntax error"),
    ],
)
def test_what_cannot_be_a_condition_says_why(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        condition(text, BOOLEANS)


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("tag.a > 2", {"tag.a": 2.5}, True),
        ("tag.a > 2", {"tag.a": 2.0}, False),
        ("tag.a > 2", {}, None),
        ("tag.a * 2 + 1 == 6", {"tag.a": 2.5}, True),
        ("tag.a > 1e3 || tag.a < -.5", {"tag.a": 1000.5}, True),
        ("tag.on && tag.a in [2, 8, 9]", {"tag.on": True, "tag.a": 8.0}, True),
        ("tag.on || tag.a > 1", {"tag.on": True}, True),
        ("tag.a > 1 || tag.on", {"tag.on": True}, True),
        ("tag.a > 1 && tag.on", {"tag.on": False}, False),
        ("tag.a > 1 && tag.on", {"tag.on": True}, None),
        ("tag.on ? tag.a > 1 : tag.b > 1", {"tag.on": True, "tag.a": 2.0}, True),
        ("!known.a || tag.a > 1", {"known.a": False}, True),
        ("math.abs(tag.a - mean_5m.a) > 3", {"tag.a": 1.0, "mean_5m.a": 5.0}, True),
        ("math.greatest(tag.a, tag.b) > 3", {"tag.a": 1.0, "tag.b": 5.0}, True),
        ("math.least(tag.a, tag.b) > 3", {"tag.a": 1.0, "tag.b": 5.0}, False),
        ("math.sqrt(tag.a) == 3", {"tag.a": 9.0}, True),
        ("math.isNaN(tag.a / tag.b)", {"tag.a": 0.0, "tag.b": 0.0}, True),
        ("tag.a / tag.b > 1", {"tag.a": 1.0, "tag.b": 0.0}, True),
        ("tag.a > 60 - deadband", {"tag.a": 59.0, "deadband": 2.0}, True),
        ("age_s.a > 30 && mean_1m.on > 0.5", {"age_s.a": 31.0, "mean_1m.on": 0.75}, True),
    ],
)
def test_conditions_over_what_is_known(text: str, values: dict[str, float | bool], holds: bool | None) -> None:
    assert condition(text, BOOLEANS).holds(values) is holds


def test_one_program_serves_all_places_of_the_same_types() -> None:
    one = condition("tag.a > 1 && tag.on", frozenset({"on"}))
    assert condition("tag.a > 1 && tag.on", frozenset({"on", "elsewhere"})) is one
    with pytest.raises(ConfigError):
        condition("tag.a > 1 && tag.on", frozenset({"a", "on"}))


def test_what_is_read_is_named_once_and_in_order() -> None:
    reading = read("tag.b > mean_5m.a && tag.b < 3 && known.a && deadband > 0")
    assert [one.name for one in reading.variables] == ["tag.b", "mean_5m.a", "known.a", "deadband"]
    assert reading.tags == ("b", "a")
    assert reading.variables[1].length_us == 300_000_000


def test_grammar_is_checked_where_no_types_are_known() -> None:
    check_syntax("tag.whatever > 1 && tag.other")
    with pytest.raises(ConfigError, match="column 14: Syntax error"):
        check_syntax("tag.other && ")


def test_calls_in_another_thread_give_and_raise_the_same() -> None:
    worker = native._Worker()
    assert worker.call(condition, "tag.a > 2", BOOLEANS).holds({"tag.a": 3.0}) is True
    assert worker.call(condition("tag.a > 2", BOOLEANS)._holds, {}) is None
    with pytest.raises(ConfigError, match="a number, no condition"):
        worker.call(condition, "tag.a", BOOLEANS)


# --- windows -------------------------------------------------------------------------------------------------------------

LENGTH_US = 10_000_000
STEP_US = LENGTH_US // STEPS


def by_hand(samples: list[tuple[int, float]], hold_us: int, at_us: int) -> Figures | None:
    """The window from all samples there ever were."""
    begin_us = (at_us // STEP_US - STEPS + 1) * STEP_US
    good_us, area, seen = 0, 0.0, list[float]()
    for number, (time_us, value) in enumerate(samples):
        last = number + 1 == len(samples)
        until_us = at_us if last else samples[number + 1][0]
        if hold_us:
            until_us = min(until_us, time_us + hold_us)
        lasted_us = until_us - max(time_us, begin_us)
        if math.isnan(value) or lasted_us < 0 or (lasted_us == 0 and not last):
            continue
        good_us, area = good_us + lasted_us, area + value * lasted_us
        seen.append(value)
    if 2 * good_us < LENGTH_US:
        return None
    return Figures(area / good_us, min(seen), max(seen))


VALUES = st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.integers(0, 1).map(float))


@given(
    st.lists(st.tuples(st.integers(1, 4_000_000), VALUES), min_size=1, max_size=60),
    st.sampled_from([0, 500_000, 3_000_000]),
    st.lists(st.integers(0, 15_000_000), max_size=3),
    st.integers(0, 60),
)
def test_a_window_is_what_a_direct_computation_says(
    steps: list[tuple[int, float]], hold_us: int, later_us: list[int], cut: int
) -> None:
    window, samples, now_us = (
        HeldWindow(WindowKey(1, LENGTH_US, hold_us)),
        list[tuple[int, float]](),
        1_700_000_000_000_000,
    )
    for number, (after_us, value) in enumerate(steps):
        now_us += after_us
        samples.append((now_us, value))
        window.add(now_us, value)
        if number == cut:
            data = window.to_bytes()
            window = HeldWindow(WindowKey(1, LENGTH_US, hold_us))
            window.restore(data)
            assert window.to_bytes() == data
        for at_us in (now_us, *(now_us + each for each in later_us)):
            found, wanted = window.at(at_us), by_hand(samples, hold_us, at_us)
            assert (found is None) == (wanted is None)
            if found is not None and wanted is not None:
                assert found == pytest.approx(wanted, rel=1e-9, abs=1e-6)
                assert found[1:] == wanted[1:]
                assert found.min <= found.mean <= found.max


def test_a_window_is_of_bounded_size_and_names_what_it_cannot_read() -> None:
    window = HeldWindow(WindowKey(1, 86_400_000_000, 0))
    for number in range(5_000):
        window.add(number * 60_000_000, float(number))
    assert len(window.to_bytes()) < 2_200
    with pytest.raises(StateError, match="window"):
        window.restore(window.to_bytes()[:40])
