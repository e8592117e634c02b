"""Servers of other makers: `browse` at one of them, and the short form of `bench foreign`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.foreign import campaign, plan
from benchmarks.foreign.meeting import Meeting, Setting
from benchmarks.foreign.plan import Limits
from benchmarks.foreign.process import ASYNCUA, NODE_OPCUA
from browse import skeleton
from connectors.opcua import discovery
from connectors.opcua.certificates import CertificateStore
from connectors.opcua.settings import OpcUaSettings
from connectors.opcua.walk import Bounds
from registry.plant_file import parse_plant

ITEMS = plan.items(100, seed=7)


async def test_a_foreign_server_is_browsed_within_its_limits(tmp_path: Path) -> None:
    limits = Limits(nodes_per_read=15, nodes_per_browse=4)
    async with Meeting(Setting(kind=NODE_OPCUA, items=ITEMS, limits=limits), tmp_path) as meeting:
        access = OpcUaSettings(endpoint=meeting.url)
        store = CertificateStore(tmp_path / "pki", "gw1")
        space = await discovery.walk(access, store, "i=85", Bounds(references=3), lambda *_: None)
    found = {node.id: node for node in space.nodes}
    assert (space.cut, space.problems) == ("", [])
    for item in ITEMS:
        node = found[item.address]
        assert (node.name, node.array, node.writable) == (item.name, item.array, item.writable)
        assert node.data_type == item.type
        assert node.eu_range == item.range
    made = skeleton.build(
        skeleton.of_space(space), skeleton.Place(settings={"protocol": "opcua", "endpoint": meeting.url})
    )
    tags = {address for device in parse_plant(made.file).devices for address in device.addresses.values()}
    numbers = {item.address for item in ITEMS if item.type in skeleton.DATA_TYPES and not item.array}
    assert tags == numbers


# asyncua's server needs seconds to start.
@pytest.mark.parametrize(
    ("kind", "secured", "times"),
    [
        pytest.param(NODE_OPCUA, False, 2, id=NODE_OPCUA),
        pytest.param(ASYNCUA, True, 1, id=ASYNCUA, marks=pytest.mark.campaign),
    ],
)
async def test_servers_that_restart_and_lose_the_line_cost_no_value_without_a_name(
    kind: str, secured: bool, times: int, tmp_path: Path
) -> None:
    """Under every limit at once: nothing wrong or doubled by the server's journal, each loss named with its exact bounds."""
    setting = Setting(kind=kind, items=ITEMS, secured=secured, limits=campaign.ALL_LIMITS, request_timeout_s=5.0)
    steps = campaign.Steps(restarts=times, cuts=times, half_open=1, spacing_s=0.5)
    said: list[str] = []
    found = await campaign.trial(kind, setting, steps, seed=7, folder=tmp_path, say=said.append)
    assert found.failure == "", said
    assert found.crashes == []
    names = ("wrong", "doubled", "inexact", "unnamed", "silent")
    assert {name: found.verdict[name] for name in names} == dict.fromkeys(names, 0), found.verdict
    # Both servers describe their structures.
    assert found.verdict["refused"] == 0
    # Restarts and cut links do cost values: a verdict of none would have looked at nothing.
    assert found.verdict["lost"] > 0
    assert found.verdict["stored"] > len(ITEMS)
