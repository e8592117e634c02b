"""What the server tells of the plant, the line and history, from caches fed by hand and without a database."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any
from uuid import uuid4

import grpc
import numpy as np
import pytest

from base.errors import InvalidRequestError, OverloadedError
from base.ids import now_us
from base.settings import PostgresSettings
from schemas.events import DEAD_DEVICES, DeviceEvent, EventKind
from schemas.proto.millrace.v1 import commands_pb2, history_pb2, history_pb2_grpc, line_pb2, line_pb2_grpc, state_pb2
from serving.caches.broadcast import MAX_PENDING, Broadcast
from serving.caches.closed_windows import ClosedWindows
from serving.caches.gateways import Gateways, GatewayState
from serving.caches.plant import Plant
from serving.caches.wakeup import Wakeup
from serving.handlers import records
from serving.handlers.health import Health
from serving.handlers.line import LineHandlers
from serving.principals import EVERYTHING, Principal, current
from tests.unit.served import LINE, batch, command_stub, definition, eventually, presses, served, state_stub

NOWHERE = PostgresSettings(dsn="host=127.0.0.1 port=1 dbname=none user=none")
_AT_ONCE_S = 20.0
"""Well below what a caller waits for by itself, and no measure of speed."""


def report(gateway_id: str = "gw-north-1", *, time_us: int | None = None, **attributes: str) -> DeviceEvent:
    return DeviceEvent(
        kind=EventKind.GATEWAY_HEALTH,
        gateway_id=gateway_id,
        device_id=0,
        time_us=now_us() if time_us is None else time_us,
        attributes={DEAD_DEVICES: "", **{key.replace("__", "."): value for key, value in attributes.items()}},
    )


def history_stub(channel: grpc.aio.Channel) -> Any:
    return history_pb2_grpc.HistoryServiceStub(channel)  # type: ignore[no-untyped-call]


def line_stub(channel: grpc.aio.Channel) -> Any:
    return line_pb2_grpc.LineServiceStub(channel)  # type: ignore[no-untyped-call]


@pytest.mark.security("V16.5.2")
async def test_without_its_database_history_is_unavailable_at_once_and_the_rest_goes_on() -> None:
    async with served(postgres=NOWHERE) as running, grpc.aio.insecure_channel(running.address) as channel:
        selection = history_pb2.Selection(tag_ids=[100], start_us=1)
        history = history_stub(channel)
        for call in (
            history.ReadChart(history_pb2.ReadChartRequest(selection=selection)),
            history.ListEvents(history_pb2.ListEventsRequest()),
            anext(aiter(history.ReadSamples(history_pb2.ReadSamplesRequest(selection=selection)))),
            anext(aiter(history.ReadAggregates(history_pb2.ReadAggregatesRequest(selection=selection)))),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asyncio.wait_for(call, _AT_ONCE_S)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "PostgreSQL is not available" in str(caught.value.details())
            assert "refused" in str(caught.value.details())
        running.server.values.apply(batch({100: 5.0}))
        tag = await state_stub(channel).GetTag(state_pb2.GetTagRequest(tag_id=100))
        assert tag.last.value == 5.0
        asked = commands_pb2.SubmitCommandRequest(device_id=10, name="start")
        command = await command_stub(channel).SubmitCommand(asked)
        assert command.state == commands_pb2.COMMAND_STATE_ACCEPTED or command.provisional
        health = await line_stub(channel).GetLineHealth(line_pb2.GetLineHealthRequest())
        stages = {one.name: one.health for one in health.stages}
        assert stages["database"] == line_pb2.HEALTH_DOWN
        assert stages["historian"] == line_pb2.HEALTH_UNKNOWN
        assert health.health == line_pb2.HEALTH_DOWN


async def test_an_alarms_job_that_stands_still_is_a_stage_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        job = running.server.alarms.job

        async def stage() -> line_pb2.StageHealth:
            monkeypatch.setattr(running.server.line.assessment, "_kept", None)
            health: line_pb2.LineHealth = await line_stub(channel).GetLineHealth(line_pb2.GetLineHealthRequest())
            return next(one for one in health.stages if one.name == "alarms")

        job.saw({}, {})
        never = await stage()
        assert (never.health, "not switched on" in never.detail) == (line_pb2.HEALTH_OK, True)
        job.saw({("telemetry.latest", 0): 5}, {("telemetry.latest", 0): 9})
        assert (await stage()).health == line_pb2.HEALTH_UNKNOWN
        monkeypatch.setattr(job, "_clock", lambda: now_us() + 31_000_000)
        stalled = await stage()
        assert (stalled.health, "has not advanced" in stalled.detail) == (line_pb2.HEALTH_DOWN, True)


@pytest.mark.security("V2.2.3")
@pytest.mark.parametrize(
    ("selection", "cause"),
    [
        (history_pb2.Selection(start_us=1), "name the tags"),
        (history_pb2.Selection(tag_ids=[100], start_us=5, end_us=5), "start_us must be before end_us"),
        (history_pb2.Selection(tag_ids=[100], start_us=-1), "start_us must be before end_us"),
    ],
)
async def test_a_selection_that_cannot_be_right_is_refused(selection: history_pb2.Selection, cause: str) -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await history_stub(channel).ReadChart(history_pb2.ReadChartRequest(selection=selection))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert cause in str(caught.value.details())


async def test_tags_and_devices_are_filtered() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        stub, server = state_stub(channel), running.server
        server.values.apply(batch({100: 1.0, 110: 2.0}))
        server.values.apply(batch({120: 3.0}, quality=0x8000, lane=2))
        server.news.gateways.apply(report())
        server.liveness.fold(DeviceEvent(kind=EventKind.DEATH, gateway_id="gw-north-1", device_id=11, time_us=now_us()))

        async def tags(**wanted: Any) -> list[int]:
            found, token = [], ""
            while True:
                page = await stub.ListTags(state_pb2.ListTagsRequest(page_size=2, page_token=token, **wanted))
                found += [one.tag_id for one in page.tags]
                if not (token := page.next_page_token):
                    return found

        assert await tags(quality=state_pb2.QUALITY_GOOD) == [100]
        assert await tags(quality=state_pb2.QUALITY_BAD) == [110, 120]
        assert await tags(stale=True) == sorted(range(110, 114), key=server.plant.tag_path)
        assert await tags(writable=False) == [100, 110, 120]
        assert await tags(text="PRESS01/TEMP") == [110]
        assert await tags(device_class="no such class") == []

        async def devices(**wanted: Any) -> list[int]:
            return [one.device_id for one in (await stub.ListDevices(state_pb2.ListDevicesRequest(**wanted))).devices]

        assert await devices(state=state_pb2.DEVICE_STATE_ONLINE) == [10, 12]
        assert await devices(state=state_pb2.DEVICE_STATE_OFFLINE) == [11]
        assert await devices(text="press02") == [12]
        many = await stub.BatchGetTags(
            state_pb2.BatchGetTagsRequest(tag_ids=[110, 7, 100], paths=[f"{LINE}/press02/temperature", "a/b"])
        )
        assert [one.tag_id for one in many.tags] == [110, 100, 120]
        assert (list(many.unknown_tag_ids), list(many.unknown_paths)) == ([7], ["a/b"])


async def test_a_device_says_what_it_takes_with_limits() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        device = await state_stub(channel).GetDevice(state_pb2.GetDeviceRequest(device_id=10))
        assert device.state == state_pb2.DEVICE_STATE_UNKNOWN
        commands = {one.name: one for one in device.commands}
        assert {"write", "start", "abort"} <= set(commands)
        setpoint = {one.name: one for one in commands["write"].parameters}["speed_setpoint"]
        tag = running.server.plant.tag(101)
        bounds = [one for one in (tag.eu_low, tag.limit_low) if one is not None]
        assert (setpoint.unit, setpoint.low) == (tag.unit, max(bounds))
        assert not commands["start"].parameters


async def test_the_plants_tree_counts_what_is_wrong_below_each_node() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        server, stub = running.server, state_stub(channel)
        state = [
            definition(tag_id=900 + d, device_id=10 + d, path=f"{LINE}/press{d:02}/packml_state", name="packml_state")
            for d in range(3)
        ]
        running.know([*presses(), *state], version=9)
        server.values.apply(batch({900: 6.0, 901: 6.0, 902: 11.0, 100: 1.0}))
        server.values.apply(batch({110: 1.0}, quality=0x8000, lane=2))
        server.liveness.fold(DeviceEvent(kind=EventKind.DEATH, gateway_id="gw-north-1", device_id=12, time_us=now_us()))
        found = await stub.ListPlantNodes(state_pb2.ListPlantNodesRequest(path=LINE))
        cell, *below = found.nodes
        assert (cell.path, cell.level, cell.devices, cell.devices_offline, cell.tags) == (LINE, "cell", 3, 1, 15)
        assert cell.tags_bad == 2  # a bad value of press01, and what press02 last said
        assert dict(cell.packml_states) == {"EXECUTE": 2, "HELD": 1}
        assert [(one.name, one.device_id, one.devices_offline) for one in below] == [
            ("press00", 10, 0), ("press01", 11, 0), ("press02", 12, 1),
        ]  # fmt: skip
        everything = await stub.ListPlantNodes(state_pb2.ListPlantNodesRequest(depth=6))
        assert [one.level for one in everything.nodes[:5]] == ["enterprise", "site", "area", "line", "cell"]
        assert all(one.tags == 15 for one in everything.nodes[:5])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListPlantNodes(state_pb2.ListPlantNodesRequest(path="acme/nowhere"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_tree_of_a_hundred_thousand_tags_is_quick() -> None:
    current.set(Principal("local", EVERYTHING))
    async with served() as running:
        base, server = definition(), running.server
        tags = [
            dataclasses.replace(
                base,
                tag_id=1000 + t, device_id=1000 + t // 20, name=f"t{t % 20}",
                path=f"acme/s{t // 20_000}/a/l{t // 2000}/c/d{t // 20}/t{t % 20}",
            )
            for t in range(100_000)
        ]  # fmt: skip
        server.plant._registry.tags.update({tag.tag_id: tag for tag in (base, *tags)})
        running.know([base], version=99)
        server.values.apply(batch({tag.tag_id: 1.0 for tag in tags}))
        took_s = []
        for _ in range(6):
            began_s = time.process_time()
            nodes = await server.state.plant_nodes("", 3)
            took_s.append(time.process_time() - began_s)
        assert max(one.tags for one in nodes) >= 100_000
        builds_s, *again_s = took_s
        assert min(again_s) * 5 < builds_s, took_s


async def test_windows_are_pushed_as_they_close() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        asked = state_pb2.WatchAggregatesRequest(prefixes=[f"{LINE}/press00"], window_s=1)
        stream = state_stub(channel).WatchAggregates(asked)
        windows = running.server.news.windows
        await eventually(lambda: len(windows) == 1)
        number = np.array([1.0, 2.0, np.nan])
        for window_s in (60, 1):
            windows.send(
                ClosedWindows(
                    window_s=window_s,
                    tag_id=np.array([100, 110, 101], np.int32),
                    start_us=np.array([5, 5, 5]),
                    count=np.array([10, 10, 3], np.int32),
                    good=np.array([10, 10, 0], np.int32),
                    m2=np.array([36.0, 0.0, 0.0]),
                    **dict.fromkeys(("mean", "min", "max", "first", "last"), number),
                )
            )
        got = await stream.read()
        first, second = got.aggregates
        assert (first.tag_id, first.window_s, first.count, first.mean, first.stddev) == (100, 1, 10, 1.0, 2.0)
        assert (second.tag_id, second.good, second.HasField("mean")) == (101, 0, False)
        stream.cancel()
        await eventually(lambda: len(windows) == 0)


def test_a_gateway_is_silent_after_ten_seconds_and_old_reports_make_none_heard() -> None:
    now = [1_000_000_000_000_000]
    gateways = Gateways(Plant(), clock=lambda: now[0], clock_s=lambda: now[0] / 1e6)

    def state() -> GatewayState:
        return gateways.all()[0].state

    hour_us = 3_600_000_000
    for second in range(3):  # what the topic still has, read at once
        gateways.apply(report(time_us=now[0] - hour_us + second * 1_000_000))
    assert state() is GatewayState.SILENT
    # It is there, and its clock is an hour behind.
    now[0] += 1_000_000
    gateways.apply(report(time_us=now[0] - hour_us + 9_000_000, connected__opcua="true", buffer_bytes="17"))
    assert state() is GatewayState.ONLINE
    now[0] += 1_000_000
    gateways.apply(report(time_us=now[0] - hour_us + 9_000_000, connected__opcua="false", connected__spb="true"))
    found = gateways.all()[0]
    assert found.state is GatewayState.DEGRADED
    assert [(one.name, one.connected) for one in found.connections] == [("opcua", False), ("spb", True)]
    now[0] += 10_000_000
    assert state() is GatewayState.SILENT


async def test_gateways_and_events_are_watched() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        news, line = running.server.news, line_stub(channel)
        news.gateways.apply(report(connected__opcua="true"))
        gateways = line.WatchGateways(line_pb2.WatchGatewaysRequest())
        assert (await gateways.read()).state == line_pb2.GATEWAY_STATE_ONLINE
        news.gateways.apply(report(connected__opcua="false"))
        changed = await gateways.read()
        assert (changed.state, changed.connections[0].connected) == (line_pb2.GATEWAY_STATE_DEGRADED, False)
        gateways.cancel()

        asked = line_pb2.WatchEventsRequest(prefix=f"{LINE}/press01", kinds=["STATE", "GAP"])
        events = line.WatchEvents(asked)
        await eventually(lambda: len(news.events) == 1)
        for device_id, kind in (
            (10, EventKind.STATE),
            (11, EventKind.BIRTH),
            (11, EventKind.STATE),
            (0, EventKind.GAP),
        ):
            news.events.send(DeviceEvent(kind=kind, gateway_id="gw-north-1", device_id=device_id, time_us=1))
        first, second = await events.read(), await events.read()
        assert (first.kind, first.device_path) == ("STATE", f"{LINE}/press01")
        assert (second.kind, second.device_id) == ("GAP", 0)
        events.cancel()


async def test_a_reader_of_events_that_takes_nothing_is_ended() -> None:
    events, wakeup = Broadcast[int]("events"), Wakeup()
    with events.opened(wakeup, lambda item: item) as reader:
        for number in range(MAX_PENDING + 1):
            events.send(number)
        with pytest.raises(OverloadedError, match="read too slowly"):
            await anext(reader.items())


async def test_the_accounting_is_measured_once_for_all_that_ask() -> None:
    measured: list[int] = []

    def measure() -> dict[str, Any]:
        measured.append(1)
        lane = dict.fromkeys(("calculated", "stored", "rejected", "suppressed", "held", "in_flight"), 0) | {
            "dropped": 2
        }
        lanes = [{"gateway_id": "gw-north-1", "lane": 0, "produced": 9, "difference": 7, **lane}]
        return {"lanes": lanes, "closed": False, "not_measured": []}

    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        line: LineHandlers = running.server.line
        line.measure = measure
        ask = line_stub(channel).GetAccounting
        found = await asyncio.gather(*(ask(line_pb2.GetAccountingRequest()) for _ in range(5)))
        assert len(measured) == 1
        assert all(
            (one.lanes[0].produced, one.lanes[0].dropped, one.lanes[0].missing, one.exact) == (9, 2, 7, False)
            for one in found
        )
        assert not (await ask(line_pb2.GetAccountingRequest(site="elsewhere"))).lanes


async def test_a_command_without_a_record_shows_in_the_health_of_the_line() -> None:
    async with served(postgres=NOWHERE) as running:
        command_id = uuid4()
        running.server.news.progress.requested(command_id, now_us() - 60_000_000)
        stages = {one.name: one for one in (await running.server.line.line_health()).stages}
        assert stages["commands"].health is Health.DOWN
        running.server.news.progress.recorded(command_id, now_us())
        running.server.line.assessment._kept = None
        stages = {one.name: one for one in (await running.server.line.line_health()).stages}
        assert stages["commands"].health is Health.OK


def test_page_tokens_of_other_lists_are_refused() -> None:
    for token in ("x", "eyJhIjoxfQ==", "WzEsMl0="):
        with pytest.raises(InvalidRequestError, match="page_token"):
            records._place(token, 2)
