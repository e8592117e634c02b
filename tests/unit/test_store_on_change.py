"""Suppressing repeats loses nothing that a reader of "the value holds until the next one" could see."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from historian.on_change import KEEP_EVERY_US, read_state, repeats

sample = st.tuples(
    st.integers(1, 3),
    st.sampled_from([0.0, -0.0, 1.0, 2.5]),
    st.sampled_from([0, 0x4000]),
    st.integers(1, KEEP_EVERY_US // 3),
)


def run(samples: list[tuple[int, int, float, int]], cuts: list[int], *, may_repeat: bool = True) -> list[bool]:
    """Mask over (tag, time, value, quality), fed in pieces."""
    state, found = read_state(None), []
    for low, high in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        tag, time, value, quality = (
            (list(column) for column in zip(*samples[low:high], strict=True)) if high > low else ([], [], [], [])
        )
        mask, state = repeats(
            np.array(tag, dtype=np.int32), np.array(time, dtype=np.int64), np.array(value, dtype=np.float64),
            np.array(quality, dtype=np.uint16), np.full(high - low, may_repeat), read_state(state.tobytes()),
        )  # fmt: skip
        found += mask.tolist()
    return found


@given(st.lists(sample, max_size=60), st.data())
def test_the_step_function_is_the_same_without_the_repeats(
    given_samples: list[tuple[int, float, int, int]], data: st.DataObject
) -> None:
    time, samples = 0, []
    for tag, value, quality, step in given_samples:
        time += step
        samples.append((tag, time, value, quality))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=4)))
    mask = run(samples, cuts)
    assert mask == run(samples, [])  # however it was cut into batches
    shown: dict[int, tuple[int, bytes, int]] = {}
    for (tag, at, value, quality), repeat in zip(samples, mask, strict=True):
        bits = np.float64(value).tobytes()
        if repeat:
            since, *held = shown[tag]
            assert held == [bits, quality]
            assert at - since < KEEP_EVERY_US
        else:
            shown[tag] = (at, bits, quality)


def test_out_of_order_and_the_one_after_it_are_kept() -> None:
    assert run([(1, 100, 1.0, 0), (1, 50, 2.0, 0), (1, 101, 1.0, 0), (1, 102, 1.0, 0)], []) == [
        False,
        False,
        False,
        True,
    ]


def test_nothing_is_suppressed_that_may_not_be() -> None:
    assert run([(1, 1, 1.0, 0), (1, 2, 1.0, 0)], [], may_repeat=False) == [False, False]


def test_signed_zeros_are_different_values() -> None:
    assert run([(1, 1, 0.0, 0), (1, 2, -0.0, 0), (1, 3, -0.0, 0)], []) == [False, False, True]
