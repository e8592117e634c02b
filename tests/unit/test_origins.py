"""Which record may speak of what: the one rule of telemetry job, historian, accounting and serving."""

from __future__ import annotations

import pytest

from historian import accounting_sources
from schemas import frame
from schemas.frame import Frame
from schemas.origins import Sites
from tests.golden.support import make_frame

SITES = Sites(gateways={"gw-north": "north", "gw-south": "south"}, devices={1: "north", 2: "south"})


@pytest.mark.parametrize(
    ("site", "gateway_id", "device_ids", "foreign"),
    [
        ("north", "gw-north", (1,), ""),
        ("north", "gw-new", (0, 77), ""),
        ("south", "gw-north", (), "gateway gw-north is of site north"),
        ("south", "gw-north", (1,), "gateway gw-north is of site north"),
        ("south", "gw-south", (77, 1), "device 1 is of site north"),
        ("south", "gw-new", (1,), "device 1 is of site north"),
    ],
)
def test_what_another_site_has_is_foreign_and_what_nobody_knows_is_not(
    site: str, gateway_id: str, device_ids: tuple[int, ...], foreign: str
) -> None:
    found = SITES.foreign(site, gateway_id, device_ids)
    assert found == (foreign and f"{foreign}, and the record came on a topic of site {site}")


@pytest.mark.parametrize(
    ("site", "found"), [("north", [5]), ("south", []), (None, [5])], ids=["own topic", "another's", "validated"]
)
def test_a_frame_on_another_sites_topic_is_not_on_its_way(site: str | None, found: list[int]) -> None:
    given: Frame = make_frame([(1, 0.0, 1.0)], 5)
    frames = accounting_sources.frames_of(frame.encode(given), site, SITES)
    assert [one.sequence for one in frames] == found
