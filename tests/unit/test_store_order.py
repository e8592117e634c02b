"""Samples of a batch, tag by tag."""

from __future__ import annotations

import numpy as np
import pytest

from historian.samples import by_tag

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("spread", [1, 300, 65_536, 2**31 - 10])
def test_the_samples_of_a_tag_come_together_in_the_order_they_came(spread: int) -> None:
    tag_id = np.random.default_rng(spread).integers(5, 5 + spread, 10_000).astype(np.int32)
    assert by_tag(tag_id).tolist() == np.argsort(tag_id, kind="stable").tolist()
