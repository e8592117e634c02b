"""Values of a dead device are stale in gRPC at once: events to a real server, asked and watched by a client."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import UndecodableError
from base.ids import uuid7
from connectors.readings import Notice
from edge.events import Events, unpack
from schemas import events, quality
from schemas.events import DEAD_DEVICES, DeviceEvent, EventKind
from schemas.proto.millrace.v1 import state_pb2
from tests.unit.served import LINE, Served, batch, presses, served, state_stub

pytestmark = pytest.mark.unit

SECOND_US = 1_000_000
T0 = 1_767_600_000 * SECOND_US


def event(kind: EventKind, device_id: int, at_s: float, *, gateway: str = "gw-north-1", **attributes: str) -> bytes:
    time_us = T0 + round(at_s * SECOND_US)
    return DeviceEvent(
        event_id=uuid7(time_us),
        kind=kind,
        gateway_id=gateway,
        device_id=device_id,
        time_us=time_us,
        attributes=attributes,
    ).encode()


def health(at_s: float, dead: str, **options: str) -> bytes:
    return event(EventKind.GATEWAY_HEALTH, 0, at_s, **{DEAD_DEVICES: dead, **options})


def codes(running: Served) -> list[int]:
    """Quality of press00's temperature and of press01's."""
    found = [running.server.values.last(tag_id) for tag_id in (100, 110)]
    return [one.quality for one in found if one is not None]


STALE = quality.BAD_NO_COMMUNICATION


async def test_values_of_a_dead_device_are_stale_when_asked_and_when_watched() -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.5, 110: 2.5}))
        channel = grpc.aio.insecure_channel(running.address)
        stub = state_stub(channel)
        watch = stub.WatchTags(state_pb2.WatchTagsRequest(prefixes=[f"{LINE}/press00/temperature"], max_rate_hz=100))
        first = await watch.read()
        assert (first.value.value, first.value.quality) == (1.5, state_pb2.QUALITY_GOOD)
        running.server.liveness.apply(event(EventKind.DEATH, 10, 1, quality="0x8031"))
        told = await asyncio.wait_for(watch.read(), 5)
        assert (told.value.value, told.value.quality, told.value.quality_code) == (1.5, state_pb2.QUALITY_BAD, STALE)
        tag = await stub.GetTag(state_pb2.GetTagRequest(path=f"{LINE}/press00/temperature"))
        assert (tag.last.quality, tag.last.time_us) == (state_pb2.QUALITY_BAD, first.value.time_us)
        other = await stub.GetTag(state_pb2.GetTagRequest(path=f"{LINE}/press01/temperature"))
        assert other.last.quality == state_pb2.QUALITY_GOOD
        # What was on its way when the device died does not make it live.
        running.server.values.apply(batch({100: 1.6}))
        late = await asyncio.wait_for(watch.read(), 5)
        assert (late.value.value, late.value.quality) == (1.6, state_pb2.QUALITY_BAD)
        running.server.liveness.apply(event(EventKind.BIRTH, 10, 2))
        born = await asyncio.wait_for(watch.read(), 5)
        assert (born.value.value, born.value.quality) == (1.6, state_pb2.QUALITY_GOOD)
        watch.cancel()
        await channel.close(None)


async def test_a_server_that_starts_later_learns_from_health() -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.5, 110: 2.5}))
        running.server.liveness.apply(health(5, "10-11"))
        assert codes(running) == [STALE, STALE]
        running.server.liveness.apply(health(6, "11"))
        assert codes(running) == [0, STALE]
        running.server.liveness.apply(health(7, ""))
        assert codes(running) == [0, 0]


@pytest.mark.security("SR 2.11")
async def test_events_out_of_order_count_by_when_they_were_made() -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.5, 110: 2.5}))
        apply = running.server.liveness.apply
        apply(event(EventKind.BIRTH, 10, 9))
        apply(event(EventKind.DEATH, 10, 8))  # of an outage, behind the live ones
        assert codes(running) == [0, 0]
        apply(event(EventKind.DEATH, 10, 10))
        apply(health(9.5, ""))  # made before the death
        assert codes(running) == [STALE, 0]
        apply(health(11, "10"))
        apply(event(EventKind.BIRTH, 10, 10.5))
        apply(health(10.7, ""))
        assert codes(running) == [STALE, 0]
        apply(event(EventKind.BIRTH, 10, 12))
        assert codes(running) == [0, 0]


async def test_other_gateways_and_old_ones_change_nothing() -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.5, 110: 2.5}))
        apply = running.server.liveness.apply
        apply(health(1, "10"))
        apply(health(2, "", gateway="gw-other"))
        apply(event(EventKind.GATEWAY_HEALTH, 0, 3))  # of a version that does not name dead devices
        assert codes(running) == [STALE, 0]
        assert running.server.liveness.dead == {10}


async def test_a_device_that_the_registry_gets_later_is_stale_too() -> None:
    async with served() as running:
        running.server.liveness.apply(event(EventKind.DEATH, 13, 1))
        running.know(presses(4), version=9)
        running.server.values.apply(batch({130: 7.0}))
        last = running.server.values.last(130)
        assert last is not None
        assert last.quality == STALE


def test_a_gateway_names_its_dead_devices() -> None:
    made = Events("gw1", lambda: T0)

    def tell(kind: EventKind, device_id: int) -> None:
        body = made.of_notice(Notice(kind=kind, device_id=device_id, time_us=T0, text=""))
        assert events.decode(unpack(body)[1]).kind is kind

    for device_id in (3, 4, 5, 9):
        tell(EventKind.DEATH, device_id)
    tell(EventKind.BIRTH, 9)
    assert events.device_ranges(made.dead) == "3-5"


@given(st.frozensets(st.integers(0, 300)))
def test_ranges_of_devices_are_read_back(ids: frozenset[int]) -> None:
    assert events.device_ids(events.device_ranges(ids)) == ids


@pytest.mark.parametrize("text", ["1-", "a", "1,,2", "-3", "1-999999999", "9" * 30])
def test_other_texts_are_no_devices(text: str) -> None:
    with pytest.raises(UndecodableError):
        events.device_ids(text)
