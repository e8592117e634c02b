"""Servers of other makers: `browse` at one of them, and the short form of `bench foreign`."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from benchmarks.foreign import campaign, plan
from benchmarks.foreign.meeting import CONNECTION, Meeting, Setting
from benchmarks.foreign.plan import METHODS, Limits
from benchmarks.foreign.process import ASYNCUA, KINDS, NODE_OPCUA
from browse import skeleton
from connectors.opcua import discovery
from connectors.opcua.certificates import CertificateStore
from connectors.opcua.settings import OpcUaSettings
from connectors.opcua.walk import Bounds
from connectors.readings import Write, WriteStatus
from registry.plant_file import parse_plant
from schemas.definitions import DataType, TagDefinition
from schemas.events import EventKind
from tests.integration.gateway_support import tag

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


@pytest.mark.parametrize("kind", KINDS)
async def test_values_beyond_a_servers_queue_are_a_gap(kind: str, tmp_path: Path) -> None:
    setting = Setting(kind=kind, items=ITEMS[:10], limits=Limits(queue_size=20))
    async with Meeting(setting, tmp_path) as meeting:
        await meeting.heard(time.monotonic(), 60)
        await meeting.order("burst", item=ITEMS[0].key, count=100)
        await meeting.heard(time.monotonic(), 60)
        found = await meeting.judge()
    assert found.lost > 0, "the server keeps no more than its queue holds"
    assert (found.good, found.exact, found.needless) == (True, 1, 0), found


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_server_revised_is_told(kind: str, tmp_path: Path) -> None:
    """A queue of one loses values without an overflow bit, and slow sampling without any sign: each is said once."""
    # As many changes a second as publications.
    setting = Setting(kind=kind, items=ITEMS[:10], limits=Limits(queue_size=1, sampling_ms=2000), period_ms=100)
    short = dataclasses.replace(setting, limits=Limits(queue_size=1))
    for number, (one, told) in enumerate(((setting, {"slow_sampling": "10"}), (short, {"short_queue": "10"}))):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with Meeting(one, folder) as meeting:
            await meeting.heard(time.monotonic(), 60)
            states = [notice.attributes for notice in meeting.recorder.notices if notice.kind is EventKind.STATE]
            assert meeting.connector is not None
            assert meeting.connector.status()["limited"].startswith(
                "the server grants less than the tags need: 10 of 10"
            )
        (state,) = [attributes for attributes in states if "short_queue" in attributes]
        assert told.items() <= state.items(), state


async def test_a_lost_line_costs_nothing_where_the_server_hands_its_subscriptions_over(tmp_path: Path) -> None:
    # To anonymous users without security it hands nothing over: they could be anybody.
    setting = Setting(kind=NODE_OPCUA, items=ITEMS, secured=True, request_timeout_s=5.0)
    async with Meeting(setting, tmp_path) as meeting:
        await meeting.heard(time.monotonic(), 60)
        for lose in (meeting.cut, meeting.freeze):
            await lose(60)
        found = await meeting.judge()
        assert meeting.connector is not None
        status = meeting.connector.status()
    assert meeting.crashes == []
    assert (found.good, found.lost, found.needless) == (True, 0, 0), found
    assert (status["transferred"], status["connects"]) == (2, 3)


async def test_a_server_that_hands_over_and_says_nothing_more_is_subscribed_anew(tmp_path: Path) -> None:
    """Asyncua's goes on asking the old connection for publish requests."""
    setting = Setting(kind=ASYNCUA, items=ITEMS, limits=Limits(items_per_subscription=25))
    async with Meeting(setting, tmp_path) as meeting:
        await meeting.heard(time.monotonic(), 60)
        assert meeting.connector is not None
        # It is tried once.
        for _ in range(2):
            await meeting.cut(60)
        found = await meeting.judge()
        status = meeting.connector.status()
    assert meeting.crashes == []
    # One subscription is made anew after the other: the items of those whose turn comes are not refused.
    assert meeting.recorder.of(EventKind.REFUSED) == 0
    assert found.good, found
    assert found.lost == 0 or found.exact > 0
    assert status["connects"] == 3
    assert status["transferred"] == 0, "what was made anew in the third session was not handed over"


@pytest.mark.parametrize("kind", KINDS)
async def test_methods_are_commands(kind: str, tmp_path: Path) -> None:
    def argument(number: int, method: str, name: str = "", data_type: DataType = DataType.DOUBLE) -> TagDefinition:
        address = f"{CONNECTION}:call({METHODS},{METHODS}.{method})" + (f"#.{name}" if name else "")
        return tag(number, address, name=name or method, data_type=data_type, writable=True)

    tags = {
        one.name: one
        for one in (
            argument(1001, "Dose", "Amount"), argument(1002, "Dose", "Valve", DataType.INTEGER), argument(1003, "Reset"),
            argument(1004, "Jam"), argument(1005, "Locked"), argument(1006, "Hang"), argument(1007, "Missing"),
            argument(1008, "Dose", "Colour"),
        )
    }  # fmt: skip
    item = dataclasses.replace(tags["Reset"], name="other", address=f"{CONNECTION}:{ITEMS[0].tag_address}")

    async with Meeting(Setting(kind=kind, items=ITEMS[:10], methods=True), tmp_path) as meeting:
        await meeting.heard(time.monotonic(), 60)
        connector = meeting.connector
        assert connector is not None
        connector.update({one.address: one for one in tags.values()}, frozenset())

        async def outcome(*given: tuple[TagDefinition, float], timeout_s: float = 5.0) -> tuple[WriteStatus, str]:
            found = await connector.write([Write(one, value) for one, value in given], timeout_s)
            return found.status, found.detail

        # In another order than the method has them, in its own types.
        done = await outcome((tags["Valve"], 3.0), (tags["Amount"], 1.5))
        assert done == (WriteStatus.DONE, "called; it returned Total=15.0")
        assert await outcome((tags["Reset"], 1.0)) == (WriteStatus.DONE, "called")
        # What is not sent.
        for given, cause in (
            ([(tags["Amount"], 1.0)], "the method takes Amount, Valve: Valve must be written in the same command"),
            ([(tags["Amount"], 1.0), (tags["Valve"], 300.0)], "Valve: 300 is no Byte, a whole number from 0 to 255"),
            ([(tags["Amount"], 1.0), (tags["Valve"], 1.0), (tags["Colour"], 1.0)], "an address names Colour"),
            ([(tags["Reset"], 0.0)], "Reset: 1 calls the method, 0 does nothing"),
            ([(tags["Reset"], 1.0), (tags["Jam"], 1.0)], "Jam is an argument of another method"),
            ([(tags["Reset"], 1.0), (item, 1.0)], "other is no argument of it"),
        ):
            status, detail = await outcome(*given)
            assert status is WriteStatus.NOT_SENT, detail
            assert cause in detail
        # What the server refuses, and what nobody knows.
        assert await outcome((tags["Locked"], 1.0)) == (WriteStatus.REFUSED, "the method was refused: BadInvalidState")
        assert (await outcome((tags["Missing"], 1.0)))[0] in {WriteStatus.REFUSED, WriteStatus.NOT_SENT}
        status, detail = await outcome((tags["Jam"], 1.0))
        assert (status, "the method answered BadDeviceFailure" in detail) == (WriteStatus.UNKNOWN, True)
        status, detail = await outcome((tags["Hang"], 1.0), timeout_s=1.0)
        assert (status, "its answer is lost" in detail) == (WriteStatus.UNKNOWN, True)
    with meeting.journal.open() as lines:
        assert plan.called(lines) == [("Dose", [1.5, 3]), ("Reset", []), ("Jam", []), ("Hang", [])]
