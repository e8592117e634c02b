"""A certificate of one site says nothing about another: what a topic of a site may tell serving, through the table of feeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from base.ids import now_us, uuid7
from schemas import definitions
from schemas.commands import CommandAck, CommandRequest, CommandState
from schemas.events import DEAD_DEVICES, DeviceEvent, EventKind
from serving.caches.origins import ForeignRecordError
from serving.server import Server
from tests.contract import examples
from tests.unit.served import definition, served

pytestmark = pytest.mark.unit

T0_US = 1_767_600_000_000_000


@dataclass
class Fed:
    server: Server

    def feed(self, topic: str, message: bytes, site: str) -> None:
        server = self.server
        table = server.feeds()
        next(one for one in table if one.topic.name == topic).apply(message, site)

    def event(self, site: str, kind: EventKind, gateway: str, device_id: int = 0, dead: str = "") -> None:
        made = DeviceEvent(
            event_id=uuid7(T0_US),
            kind=kind,
            gateway_id=gateway,
            device_id=device_id,
            time_us=T0_US,
            attributes={DEAD_DEVICES: dead},
        )
        self.feed("device.events", made.encode(), site)

    def ack(self, site: str, state: CommandState, gateway: str) -> CommandState:
        made = CommandAck.from_record(examples.records()["CommandAck"] | {"state": state, "gateway_id": gateway})
        try:
            self.feed("command.acks", made.encode(), site)
        finally:
            view = self.server.book.get(made.command_id)
            assert view is not None
        return view.state


@pytest.fixture
async def fed() -> Any:
    async with served() as running:
        other = definition(
            tag_id=900, path="acme/south/x/l/c/oven/heat", device_id=90, site="south", gateway_id="gw-south-1"
        )
        running.server.plant.apply(definitions.encode_tag(other)[1])
        running.server.plant.apply(definitions.encode_version(99, tags=1, time_us=T0_US)[1])
        yield Fed(running.server)


@pytest.mark.security("T-KAFKA-SPOOF")
async def test_a_gateway_of_another_site_kills_no_device_and_reports_for_nobody(fed: Fed) -> None:
    with pytest.raises(ForeignRecordError, match=r"gateway gw-north-1 is of site north, .* topic of site south"):
        fed.event("south", EventKind.DEATH, "gw-north-1", 10)
    with pytest.raises(ForeignRecordError, match="device 10 is of site north"):
        fed.event("south", EventKind.DEATH, "gw-south-1", 10)
    with pytest.raises(ForeignRecordError, match="device 10 is of site north"):
        fed.event("south", EventKind.GATEWAY_HEALTH, "gw-south-1", dead="10-11,90")
    with pytest.raises(ForeignRecordError):
        fed.event("south", EventKind.GATEWAY_HEALTH, "gw-north-1")
    assert not fed.server.liveness.dead
    assert fed.server.news.gateways.all() == []
    assert fed.server.news.origins.refused == 4


async def test_a_gateway_tells_of_its_own_site_and_a_new_one_of_itself(fed: Fed) -> None:
    fed.event("south", EventKind.GATEWAY_HEALTH, "gw-south-1", dead="90")
    fed.event("north", EventKind.DEATH, "gw-north-1", 10)
    fed.event("south", EventKind.GATEWAY_HEALTH, "gw-south-new")
    assert fed.server.liveness.dead == {10, 90}
    assert [one.gateway_id for one in fed.server.news.gateways.all()] == ["gw-south-1", "gw-south-new"]


@pytest.mark.security("T-KAFKA-FORGE")
async def test_an_ack_counts_from_the_commands_own_gateway_alone(fed: Fed) -> None:
    fields = {"gateway_id": "gw-north-1", "expires_us": now_us() + 3_600_000_000}
    request = CommandRequest.from_record(examples.records()["CommandRequest"] | fields)
    fed.server.book.apply_request(request)
    for site, gateway in (("south", "gw-north-1"), ("south", "gw-south-new")):
        with pytest.raises(ForeignRecordError):
            fed.ack(site, CommandState.SUCCEEDED, gateway)
    assert fed.ack("south", CommandState.SUCCEEDED, "gw-south-1") is CommandState.ACCEPTED
    assert fed.ack("north", CommandState.EXECUTING, "gw-north-1") is CommandState.EXECUTING
