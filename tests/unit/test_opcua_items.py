"""The life of an item: nodes that come, go and come again, namespaces that move, lost notifications; gaps with each item's bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.event_objects import AlarmCondition

from base.ids import now_us
from schemas.events import CONDITIONS_SINCE, EventKind
from tests.integration.gateway_support import MemorySink, free_port, until
from tests.unit.opcua_servers import T0, T0_US, URI, Machine, connected, tags_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLOW_MACHINE_S = 60


async def wait(condition: Any) -> Any:
    return await until(condition, timeout_s=SLOW_MACHINE_S)


def items(sink: MemorySink) -> list[tuple[int, int, int]]:
    """Tag, beginning and end of every gap told."""
    gaps = [notice.gap for notice in sink.of(EventKind.GAP)]
    return [(one.tag_id, one.from_us, one.to_us) for gap in gaps if gap is not None for one in gap.items]


async def test_a_node_that_is_deleted_and_made_again_is_read_again(machine: Machine) -> None:
    tags = tags_of(await machine.add(["gone.a", "gone.b"]))
    await machine.set("gone.a", 1.0)
    await machine.set("gone.b", 1.0)
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await wait(lambda: len(sink.rows) == 2)
        await machine.delete("gone.a")
        await wait(lambda: connector.status()["refused"] == {tags[0].address: "BadNodeIdUnknown"})
        await machine.set("gone.b", 2.0)
        await wait(lambda: 2.0 in sink.values(2))
        await machine.add(["gone.a"])
        back_us = await machine.set("gone.a", 7.0, at_ms=60_000)
        await wait(lambda: 7.0 in sink.values(1))
        assert connector.status()["refused"] == {}
        assert connector.status()["connects"] == 1
    # The server's word that the node is gone is the last that was heard of it.
    (told_us,) = [time_us for tag_id, time_us, _, code in sink.rows if (tag_id, code) == (1, 0x8034)]
    mine = [gap for gap in items(sink) if gap[0] == 1]
    assert mine[0][1] == told_us
    assert mine[-1][2] == back_us
    assert [gap for gap in items(sink) if gap[0] == 2] == []
    assert sink.of(EventKind.DEATH) == []


async def test_a_node_that_is_made_anew_without_a_word_is_noticed(machine: Machine) -> None:
    tags = tags_of(await machine.add(["mute.a", "mute.b"]))
    last_us = await machine.set("mute.a", 1.0)
    sink = MemorySink()
    async with connected(machine, tags, sink, silence_check_s=0.2) as connector:
        await wait(lambda: len(sink.rows) == 2)
        await machine.delete("mute.a", told=False)
        await machine.add(["mute.a"])
        back_us = await machine.set("mute.a", 7.0, at_ms=60_000)
        await wait(lambda: 7.0 in sink.values(1))
        assert connector.status()["changes_not_told"] == 1
        await machine.delete("mute.b", told=False)
        await wait(lambda: connector.status()["refused"] == {tags[1].address: "BadNodeIdUnknown"})
    assert items(sink) == [(1, last_us, back_us)]


async def test_a_node_that_appears_after_the_connect_misses_what_came_before(machine: Machine) -> None:
    known = await machine.add(["late.a"])
    tags = tags_of([*known, f"nsu={URI};s=late.b", f"nsu={URI};s=late.c"])
    seen_us = now_us() - 3600_000_000
    sink = MemorySink(seen={3: seen_us})
    before_us = now_us()
    async with connected(machine, tags, sink) as connector:
        await wait(lambda: len(connector.status()["refused"]) == 2)
        after_us = now_us()
        assert connector.status()["open_gaps"] == 2
        await machine.add(["late.b", "late.c"])
        at_ms = (now_us() - T0_US) // 1000 + 5000
        first_us = [await machine.set(name, 1.0, at_ms=at_ms) for name in ("late.b", "late.c")]
        await wait(lambda: 1.0 in sink.values(2) and 1.0 in sink.values(3))
    gaps = items(sink)
    (mine,) = [gap for gap in gaps if gap[0] == 2 and gap[2] == first_us[0]]
    assert before_us <= min(start for tag_id, start, _ in gaps if tag_id == 2) <= after_us
    assert mine[2] == first_us[0]
    assert min(start for tag_id, start, _ in gaps if tag_id == 3) == seen_us
    assert 1 not in {tag_id for tag_id, _, _ in gaps}


async def test_a_notification_that_did_not_arrive_is_asked_for(machine: Machine) -> None:
    tags = tags_of(await machine.add(["again.a"]))
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await wait(lambda: len(sink.rows) == 1)
        machine.limited.swallow = 1
        await machine.set("again.a", 1.0)
        await wait(lambda: machine.limited.swallow == 0)
        await machine.set("again.a", 2.0)
        await wait(lambda: 2.0 in sink.values(1))
        assert connector.status()["republished"] == 1
    assert sink.values(1) == [0.0, 1.0, 2.0]
    assert sink.of(EventKind.GAP) == []


async def test_a_notification_that_is_lost_is_a_gap_and_the_value_is_had_again(machine: Machine) -> None:
    tags = tags_of(await machine.add(["lost.a", "lost.b"]))
    before_us = [await machine.set("lost.a", 1.0), await machine.set("lost.b", 1.0)]
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await wait(lambda: len(sink.rows) == 2)
        machine.limited.swallow, machine.limited.forget = 1, True
        lost_us = await machine.set("lost.a", 2.0)
        await wait(lambda: machine.limited.swallow == 0)
        next_us = await machine.set("lost.b", 3.0)
        # The value of a that nobody delivered is the current one.
        await wait(lambda: 2.0 in sink.values(1))
        assert connector.status()["lost_notifications"] == 1
        assert connector.status()["connects"] == 1
    # Shorter than a period of 100 ms: it is proven all the same.
    assert sorted(items(sink)) == [(1, before_us[0], lost_us), (2, before_us[1], next_us)]
    assert len(set(sink.rows)) == len(sink.rows)


async def test_a_subscription_that_the_server_ends_is_made_again(machine: Machine) -> None:
    tags = tags_of(await machine.add(["ended.a"]))
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await wait(lambda: len(sink.rows) == 1)
        (subscription,) = machine.subscriptions()
        await subscription.enqueue_statuschange(ua.StatusCode(ua.StatusCodes.BadTimeout))
        await machine.set("ended.a", 1.0)
        await wait(lambda: 1.0 in sink.values(1))
        await wait(lambda: connector.status()["subscribed"] == 1)
        await wait(lambda: subscription not in machine.subscriptions())
        await machine.set("ended.a", 2.0)
        await wait(lambda: 2.0 in sink.values(1))
        assert connector.status()["connects"] == 1
    assert sink.values(1) == [0.0, 1.0, 2.0]


async def test_one_address_that_cannot_be_resolved_is_refused_alone_and_found_later(machine: Machine) -> None:
    known = await machine.add(["space.a"])
    tags = tags_of([*known, "nsu=urn:test:other;s=space.b", "nsu=urn:test:never;s=space.c", "rubbish"])
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await wait(lambda: sink.values(1))
        refused = await wait(lambda: len(found := connector.status()["refused"]) == 3 and found)
        assert "no namespace urn:test:other" in refused[tags[1].address]
        assert "is no node id" in refused[tags[3].address]
        index = await machine.server.register_namespace("urn:test:other")
        await machine.add(["space.b"], 5.0, index=index)
        await wait(lambda: sink.values(2) == [5.0])
        assert len(connector.status()["refused"]) == 2


async def test_namespaces_that_change_places_at_a_restart_are_followed() -> None:
    port = free_port()
    first, sink = Machine(port), MemorySink()
    await first.start((URI, "urn:test:twin"))
    tags = tags_of(await first.add(["x"], 1.0))
    await first.add(["x"], -1.0, index=await first.server.get_namespace_index("urn:test:twin"))
    try:
        async with connected(first, tags, sink):
            await wait(lambda: sink.values(1) == [1.0])
            await first.stop()
            await wait(lambda: sink.of(EventKind.DEATH))
            second = Machine(port)
            first = second
            await second.start(("urn:test:twin", URI))
            await second.add(["x"], 2.0)
            await second.add(["x"], -2.0, index=await second.server.get_namespace_index("urn:test:twin"))
            await wait(lambda: 2.0 in sink.values(1))
    finally:
        await first.stop()
    assert set(sink.values(1)) == {1.0, 2.0}


async def test_a_value_without_a_source_time_has_the_servers_and_says_so(machine: Machine) -> None:
    tags = tags_of(await machine.add(["time.a", "time.b"]))
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await wait(lambda: len(sink.rows) == 2)
        await machine.nodes["time.a"].write_value(ua.DataValue(ua.Variant(1.0)))
        await wait(lambda: 1.0 in sink.values(1))
        served = (await machine.nodes["time.a"].read_data_value()).ServerTimestamp
        await wait(lambda: connector.status()["without_source_time"] == {tags[0].address: "server"})
    assert [row[1] for row in sink.rows if row[2] == 1.0] == [(served - T0) // timedelta(microseconds=1) + T0_US]
    (event,) = sink.of(EventKind.STATE)
    assert (event.device_id, event.attributes["time_source"], event.attributes["tag_id"]) == (1, "server", "1")


async def test_elements_of_an_array_are_tags_and_a_whole_array_is_refused_by_name(machine: Machine) -> None:
    (whole,) = await machine.add(["array.a"], [1.0, 2.0, 3.0])
    tags = tags_of([f"{whole}#[2]", f"{whole}#[0]", whole, f"{whole}#[9]"])
    sink = MemorySink()
    async with connected(machine, tags, sink):
        await wait(lambda: len(sink.rows) == 4)
        await machine.set("array.a", [4.0, 5.0, 6.0])
        await wait(lambda: len(sink.rows) == 8)
    assert (sink.values(1), sink.values(2)) == ([3.0, 6.0], [1.0, 4.0])
    assert "name an element" in sink.values(3)[0].reason
    assert sink.values(4)[0].reason == "#[9] of an array of 3"


async def test_a_gap_is_filled_from_the_servers_history_once(machine: Machine) -> None:
    tags = tags_of(await machine.add(["kept.a", "kept.b"]))
    await machine.server.historize_node_data_change(machine.nodes["kept.a"])
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await wait(lambda: len(sink.rows) == 2)
        await machine.set("kept.a", 1.0)
        await wait(lambda: 1.0 in sink.values(1))
        machine.limited.swallow, machine.limited.forget = 1, True
        lost_us = await machine.set("kept.a", 2.0)
        await wait(lambda: machine.limited.swallow == 0)
        await machine.set("kept.a", 3.0)
        await wait(lambda: connector.status()["filled_from_history"] == 1)
        await wait(lambda: connector.status()["subscribed"] == 2)
    assert sink.historical == [(1, lost_us, 2.0, 0)]
    assert [gap[0] for gap in items(sink)] == [1]
    (event,) = [notice for notice in sink.of(EventKind.STATE) if "samples" in notice.attributes]
    assert (event.attributes["tag_id"], event.attributes["samples"]) == ("1", "1")


async def test_range_and_unit_are_read_again_when_the_server_says_so(machine: Machine) -> None:
    tags = tags_of(await machine.add(["sense.a", "sense.b"]))
    node = machine.nodes["sense.a"]
    celsius = ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", 4408652, ua.LocalizedText("°C"))
    await node.add_property(ua.NodeId("sense.a.range", 2), ua.QualifiedName("EURange", 0), ua.Range(-10.0, 60.0))
    await node.add_property(ua.NodeId("sense.a.unit", 2), ua.QualifiedName("EngineeringUnits", 0), celsius)
    sink = MemorySink()
    async with connected(machine, tags, sink):
        await wait(lambda: len(sink.rows) == 2)
        for name in ("sense.a", "sense.b"):
            await machine.set(name, 5.0, status=0x4000)
        await wait(lambda: len(sink.of(EventKind.STATE)) == 2)
    told = {event.attributes["tag_id"]: event.attributes for event in sink.of(EventKind.STATE)}
    assert (told["1"]["eu_low"], told["1"]["eu_high"], told["1"]["unit"]) == ("-10", "60", "Cel")
    assert "eu_low" not in told["2"]
    assert sink.values(1)[-1] == 5.0


async def test_conditions_are_events_of_the_device_and_a_refresh_repeats_none(machine: Machine) -> None:
    tags = tags_of(await machine.add(["alarm.level"]), device_id=9)
    generator = await machine.server.get_event_generator(AlarmCondition())
    event = generator.event
    event.SourceNode, event.SourceName = ua.NodeId("alarm", machine.nodes["alarm.level"].nodeid.NamespaceIndex), "tank"
    event.ConditionName, event.Severity, event.Retain = "LevelHigh", 700, True
    event.add_property("ActiveState/Id", True, ua.VariantType.Boolean)
    event.add_property("AckedState/Id", False, ua.VariantType.Boolean)
    event.add_property("NodeId", ua.NodeId("alarm.level.high", 2), ua.VariantType.NodeId)
    sink = MemorySink()
    async with connected(machine, tags, sink, alarms=True) as connector:
        await wait(lambda: sink.rows)
        await generator.trigger(message="above 90 %")
        await wait(lambda: sink.of(EventKind.STATE))
        await machine.subscriptions()[0].enqueue_statuschange(ua.StatusCode(ua.StatusCodes.BadTimeout))
        await wait(lambda: connector.status()["subscribed"] == 1)
    (told,) = sink.of(EventKind.STATE)
    assert told.device_id == 9
    assert {key: told.attributes[key] for key in ("condition", "severity", "active", "acked", "message")} == {
        "condition": "LevelHigh", "severity": "700", "active": "true", "acked": "false", "message": "above 90 %",
    }  # fmt: skip
    assert not {"branch", "comment", "by"} & told.attributes.keys()


async def test_a_condition_is_its_node_and_its_branch_whatever_its_name(machine: Machine) -> None:
    tags = tags_of(await machine.add(["tank.level"]), device_id=9)
    generator = await machine.server.get_event_generator(AlarmCondition())
    event = generator.event
    event.SourceNode, event.SourceName = machine.nodes["tank.level"].nodeid, "tank"
    event.ConditionName, event.Severity, event.Retain = "Level", 700, True
    event.ClientUserId = "ann"
    event.add_property("ActiveState/Id", True, ua.VariantType.Boolean)
    event.add_property("AckedState/Id", False, ua.VariantType.Boolean)
    event.add_property("ConfirmedState/Id", False, ua.VariantType.Boolean)
    high, low, earlier = ua.NodeId("level.high", 2), ua.NodeId("level.low", 2), ua.NodeId("level.high.1", 2)
    sink = MemorySink()
    async with connected(machine, tags, sink, alarms=True):
        await wait(lambda: sink.rows)
        for number, (condition, branch) in enumerate(
            ((high, ua.NodeId()), (low, ua.NodeId()), (high, earlier), (high, ua.NodeId())), 1
        ):
            event.add_property("NodeId", condition, ua.VariantType.NodeId)
            event.BranchId, event.Comment = branch, ua.LocalizedText("seen")
            await generator.trigger(message="beyond")
            # The fourth says what the first said.
            await wait(lambda number=number: len(sink.of(EventKind.STATE)) == min(number, 3))
        event.add_property("ConfirmedState/Id", True, ua.VariantType.Boolean)
        await generator.trigger(message="beyond")
        await wait(lambda: len(sink.of(EventKind.STATE)) == 4)
    told = [one.attributes for one in sink.of(EventKind.STATE)]
    assert [(one["condition_id"], one.get("branch", ""), one["confirmed"]) for one in told] == [
        (high.to_string(), "", "false"),
        (low.to_string(), "", "false"),
        (high.to_string(), earlier.to_string(), "false"),
        (high.to_string(), "", "true"),
    ]
    assert {(one["by"], one["comment"]) for one in told} == {("ann", "seen")}


async def test_conditions_are_asked_for_again_after_events_were_lost(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.opcua.watch._AGAIN_MIN_S", 0.1)
    refreshes: list[int] = []
    start, end, overflow = [
        await machine.server.get_event_generator(ua.NodeId(number))
        for number in (
            ua.ObjectIds.RefreshStartEventType, ua.ObjectIds.RefreshEndEventType, ua.ObjectIds.EventQueueOverflowEventType
        )
    ]  # fmt: skip

    async def refresh(_parent: Any, _subscription: Any) -> list[Any]:
        refreshes.append(len(refreshes))
        # Something of the first one is lost.
        for generator in [start, *([] if refreshes[1:] else [overflow]), end]:
            await generator.trigger()
        return []

    method = machine.server.get_node(ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh))
    machine.server.link_method(method, refresh)
    sink = MemorySink()
    async with connected(machine, tags_of(await machine.add(["flood.level"]), device_id=9), sink, alarms=True):
        await wait(lambda: any(CONDITIONS_SINCE in one.attributes for one in sink.of(EventKind.STATE)))
        assert len(refreshes) == 2
