"""Views of a lane's table: any dictionary of tags, against the registry asked tag by tag."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.definitions import Registry, TagDefinition
from schemas.verdicts import Verdict
from stages.intake.lane_table import LARGEST_WHOLE, NEVER_US, TagView, compile_table
from tests.golden.support import GATEWAY, tag

SITE = "north"
TAGS = (
    tag(1, 10, site=SITE),
    tag(2, 11, site=SITE, limit_low=-1.0, limit_high=9.0, eu_low=0.0, eu_high=8.0, max_rate=5.0, stuck_after_s=30.0),
    tag(3, 10, site=SITE, data_type="INTEGER", limit_low=None, limit_high=None, windows_s=(60,)),
    tag(5, 11, site=SITE, data_type="BOOLEAN"),
    tag(7, 12, site="south"),
    tag(8, 10, site=SITE, retired=True),
    tag(9, 12, site=SITE, gateway_id="gw-other"),
    tag(12, 12, site=SITE, lane=1),
)
REGISTRY = Registry(version=1, tags={each.tag_id: each for each in TAGS})
FOREIGN = REGISTRY.tags[12]


def bound(limit: float | None, otherwise: float) -> float:
    return otherwise if limit is None else limit


def check_entry(view: TagView, at: int, tag_id: int, expected: TagDefinition | None) -> None:
    known = REGISTRY.tags.get(tag_id)
    if known is None or known.retired:
        assert view.static[at] == Verdict.UNKNOWN_TAG
    elif known.site != SITE or known.gateway_id != GATEWAY:
        assert view.static[at] == Verdict.GATEWAY_NOT_AUTHORISED
    elif expected is None:
        assert view.static[at] == Verdict.UNKNOWN_TAG
    else:
        assert view.static[at] == 0
    if expected is None:
        assert not view.foreign[at]
        assert not any(mask[at] for mask in view.windowed.values())
        return
    whole = expected.data_type != "DOUBLE"
    low, high = (0.0, 1.0) if expected.data_type == "BOOLEAN" else (-LARGEST_WHOLE, LARGEST_WHOLE)
    huge = float(np.finfo(np.float64).max)
    assert view.low[at] == bound(expected.limit_low, -huge)
    assert view.high[at] == bound(expected.limit_high, huge)
    assert view.eu_low[at] == bound(expected.eu_low, -huge)
    assert view.eu_high[at] == bound(expected.eu_high, huge)
    assert view.whole[at] == whole
    assert (view.whole_low[at], view.whole_high[at]) == ((low, high) if whole else (-huge, huge))
    assert view.tight_low[at] == max(view.low[at], view.eu_low[at], view.whole_low[at])
    assert view.tight_high[at] == min(view.high[at], view.eu_high[at], view.whole_high[at])
    assert view.rate_per_us[at] == (math.inf if expected.max_rate is None else expected.max_rate / 1e6)
    assert view.stuck_us[at] == (NEVER_US if expected.stuck_after_s is None else expected.stuck_after_s * 1e6)
    assert view.foreign[at] == (expected is FOREIGN)
    for size_s, mask in view.windowed.items():
        assert mask[at] == (size_s in expected.windows_s and expected is not FOREIGN)


@given(
    dictionary=st.lists(st.integers(min_value=0, max_value=14), max_size=20),
    with_foreign=st.booleans(),
    again=st.booleans(),
)
def test_a_view_is_what_the_registry_says_of_each_entry(
    dictionary: list[int], *, with_foreign: bool, again: bool
) -> None:
    table = compile_table(REGISTRY, GATEWAY, 0, [FOREIGN] if with_foreign else [])
    tag_ids = np.array(dictionary, dtype=np.int32)
    view = table.view(tag_ids, SITE, REGISTRY)
    if again:
        assert table.view(tag_ids.copy(), SITE, REGISTRY) is view
    slots = {each.tag_id: slot for slot, each in enumerate(table.tags)}
    for at, tag_id in enumerate(dictionary):
        slot = slots.get(tag_id)
        assert view.slots[at] == (len(table.tags) if slot is None else slot)
        if slot is not None:
            assert table.devices[view.device[at]] == table.tags[slot].device_id
        check_entry(view, at, tag_id, None if slot is None else table.tags[slot])
    assert np.arange(len(table.tags) + 1)[view.index].tolist() == view.slots.tolist()
    firsts = [dictionary.index(tag_id) for tag_id in dictionary]
    assert firsts == (list(range(len(dictionary))) if view.remap is None else view.remap.tolist())
    assert view.any_static == bool(view.static.any())
    assert view.any_foreign == bool(view.foreign.any())
    assert view.windowed_all == {size_s: bool(mask.all()) for size_s, mask in view.windowed.items()}


def test_a_tag_of_another_site_is_refused_there_only() -> None:
    table = compile_table(REGISTRY, GATEWAY, 0)
    ids = np.array([1, 7], dtype=np.int32)
    assert table.view(ids, SITE, REGISTRY).static.tolist() == [0, Verdict.GATEWAY_NOT_AUTHORISED]
    assert table.view(ids, "south", REGISTRY).static.tolist() == [Verdict.GATEWAY_NOT_AUTHORISED, 0]


@pytest.mark.parametrize("lane", [0, 5])
def test_a_lane_forgets_the_dictionaries_it_has_not_seen_for_longest(lane: int) -> None:
    table = compile_table(REGISTRY, GATEWAY, lane)  # lane 5 has no tags at all
    often = np.array([1, 2], dtype=np.int32)
    first = table.view(often, SITE, REGISTRY)
    for number in range(40):
        other = np.array([1, 100 + number], dtype=np.int32)
        assert table.view(other, SITE, REGISTRY).static[1] == Verdict.UNKNOWN_TAG
        assert table.view(often, SITE, REGISTRY) is first
