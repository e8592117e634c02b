"""`browse` at a server of another maker."""

from __future__ import annotations

from pathlib import Path

from benchmarks.foreign import plan
from benchmarks.foreign.meeting import Meeting, Setting
from benchmarks.foreign.plan import Limits
from benchmarks.foreign.process import NODE_OPCUA
from browse import skeleton
from connectors.opcua import discovery
from connectors.opcua.walk import Bounds
from registry.plant_file import parse_plant

ITEMS = plan.items(100, seed=7)


async def test_a_foreign_server_is_browsed_within_its_limits(tmp_path: Path) -> None:
    limits = Limits(nodes_per_read=15, nodes_per_browse=4)
    async with Meeting(Setting(kind=NODE_OPCUA, items=ITEMS, limits=limits), tmp_path) as meeting:
        access = discovery.Access(url=meeting.url)
        space = await discovery.walk(access, "i=85", Bounds(references=3), lambda *_: None)
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
