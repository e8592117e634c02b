"""Grants for a part of the plant: what lies outside is neither shown nor named nor moved, over any face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from base.errors import UnavailableError
from schemas import definitions
from schemas.commands import CommandState
from schemas.proto.millrace.v1 import commands_pb2, state_pb2
from serving.access import Access
from serving.caches.plant import Plant, covered
from serving.handlers.records import RecordHandlers
from serving.principals import EVERYTHING, Grant, Permission, Principal, current, grants_of
from serving.seen import seen
from serving.sessions import COOKIE, Sessions, fixed
from tests.contract import examples
from tests.unit.http_served import Web, tokens, web
from tests.unit.served import LINE, batch, command_stub, presses, state_stub

MINE, THEIRS, THIRD = (f"{LINE}/press{number:02}" for number in range(3))
GRANTS = {
    "boss": ["read", "command", "approve"],
    "north": [f"read@{MINE}", f"command@{MINE}", f"approve@{MINE}"],
    "reader": ["read", f"command@{THEIRS}"],
    "nowhere": ["read@acme/other"],
}


@asynccontextmanager
async def plant(folder: Path) -> AsyncIterator[Web]:
    """Three presses with values and an episode each, and four callers."""
    async with web(tokens=str(tokens(folder / "tokens.toml", **GRANTS))) as face:
        server = face.served.server
        server.values.apply(batch({tag.tag_id: 1.0 for tag in presses()}))
        for number in range(3):
            record = examples.records()["Anomaly"] | {
                "episode_id": f"episode-{number}",
                "device_id": 10 + number,
                "phase": "OPEN",
                "end_us": None,
                "contributors": [],
            }
            server.episodes.apply(record)
        yield face


def as_(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}-secret"}


def metadata(name: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {name}-secret"),)


# --- grants ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "scope", "inside"),
    [
        ("acme/north/line-1", "acme/north", True),
        ("acme/north", "acme/north", True),
        ("acme/northern", "acme/north", False),
        ("acme/north/line-10/x", "acme/north/line-1", False),
        ("acme", "acme/north", False),
        ("", "acme", False),
        ("anything", "", True),
    ],
)
def test_a_scope_covers_whole_parts_of_a_path(path: str, scope: str, inside: bool) -> None:
    assert covered(path, [scope]) is inside
    assert not covered(path, [])


@pytest.mark.parametrize("text", ["write", "read@", "read@/", "read@acme/*", "", "@acme", "read@a\nb"])
def test_what_is_no_grant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"grant|Permission"):
        Grant.parse(text)


def test_a_grant_is_written_as_it_is_read() -> None:
    assert str(Grant.parse("command@acme/north/")) == "command@acme/north"
    assert grants_of(["read", "command", "approve", "plan", "alarm", "audit"]) == EVERYTHING


def test_a_session_carries_grants_with_their_scopes() -> None:
    made = Sessions(fixed(b"k" * 32), length_s=60.0)
    grants = ["read@acme/nördlich.a+b", "command@acme/north"]
    found = made.read(made.make(credential="oidc:1", name="x", allow=grants))
    assert found is not None
    assert sorted(found.allow) == sorted(grants)
    assert Access(None, made).authenticate([("cookie", f"{COOKIE}={made.make(name='ann')}")]).grants == EVERYTHING


@pytest.mark.security("SR 4.1")
def test_nobody_sees_anything_without_a_principal() -> None:
    with pytest.raises(LookupError):
        seen(Plant())


def test_what_is_seen_follows_the_registry() -> None:
    whole = Plant()
    part = whole.part((MINE,))
    assert part.devices_under("") == []
    for tag in presses():
        whole.apply(definitions.encode_tag(tag)[1])
    assert [device.path for device in part.devices_under("")] == [MINE]
    assert part.find_tag(110) is None
    assert part.tag_path(110) == ""
    assert part.device_path(11) == ""
    assert part.site_of_gateway(presses()[0].gateway_id)
    assert whole.part(("acme/other",)).site_of_gateway(presses()[0].gateway_id) == ""
    assert whole.part(("", MINE)) is whole
    assert whole.part(()).tags_under("") == []


# --- reading --------------------------------------------------------------------------------------------------------------

READS = (
    "/plant?depth=6",
    "/devices",
    "/devices?prefix=acme",
    "/tags",
    "/tags?prefix=acme*",
    "/gateways",
    "/commands",
    f"/devices/by-path/{THEIRS}",
    f"/tags/by-path/{THEIRS}/temperature",
    "/devices/11",
    "/tags/110",
    f"/devices?prefix={THEIRS}",
    f"/plant?path={THEIRS}",
    "/samples?tag_id=110",
    f"/chart?prefix={THEIRS}",
    f"/anomalies?prefix={THEIRS}",
    f"/events?prefix={THEIRS}",
    f"/rejects?prefix={THEIRS}",
)


@pytest.mark.security("T-SERVING-SEE", "SR 3.7", "SR 4.1", "V8.2.2", "V8.4.1")
@pytest.mark.parametrize("path", READS)
async def test_no_answer_names_what_the_caller_does_not_see(tmp_path: Path, path: str) -> None:
    async with plant(tmp_path) as face:
        await submitted(face, "boss", THEIRS)
        for name in ("north", "nowhere"):
            answer = await face.client.get(f"/api/v1{path}", headers=as_(name))
            assert answer.status_code in {200, 404}, answer.text
            told = answer.text.replace(THEIRS, "") if answer.status_code == 404 else answer.text
            assert "press01" not in told
            assert "press02" not in told
            assert name == "north" or "press00" not in told


async def test_a_caller_sees_its_own_part_whole(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        for name, count in (("boss", 3), ("reader", 3), ("north", 1), ("nowhere", 0)):
            devices = (await face.client.get("/api/v1/devices", headers=as_(name))).json().get("devices", [])
            nodes = (await face.client.get("/api/v1/plant?depth=6", headers=as_(name))).json().get("nodes", [])
            assert len(devices) == count
            assert max((node["devices"] for node in nodes), default=0) == count
            assert max((node["open_anomalies"] for node in nodes), default=0) == count
        found = await face.client.post(
            "/api/v1/tags/batch-get", json={"tag_ids": [100, 110], "paths": [f"{THIRD}/running"]}, headers=as_("north")
        )
        assert [tag["tag_id"] for tag in found.json()["tags"]] == [100]
        objects = (await face.client.get("/i3x/v1/objects", headers=as_("north"))).text
        assert "press00" in objects
        assert "press01" not in objects


@pytest.mark.security("T-SERVING-SEE", "V8.2.2")
async def test_streams_hold_what_the_caller_sees(tmp_path: Path) -> None:
    async with plant(tmp_path) as face, grpc.aio.insecure_channel(face.served.address) as channel:
        for name, expected in (("north", {100, 101, 102, 103}), ("boss", {tag.tag_id for tag in presses()})):
            watch = state_stub(channel).WatchTagBatches(state_pb2.WatchTagBatchesRequest(), metadata=metadata(name))
            first = await watch.read()
            assert {one.tag_id for one in first.updates} == expected
            watch.cancel()
        theirs = state_stub(channel).WatchTagBatches(
            state_pb2.WatchTagBatchesRequest(prefixes=[THEIRS]), metadata=metadata("north")
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await theirs.read()
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        anomalies = state_stub(channel).WatchAnomalies(state_pb2.WatchAnomaliesRequest(), metadata=metadata("north"))
        assert (await anomalies.read()).device_id == 10
        late = {"episode_id": "late", "device_id": 10, "phase": "OPEN", "end_us": None, "contributors": []}
        face.served.server.episodes.apply(examples.records()["Anomaly"] | late)
        assert (await anomalies.read()).episode_id == "late"  # and not those of the other presses
        anomalies.cancel()


async def test_a_device_that_comes_later_joins_only_whose_it_is(tmp_path: Path) -> None:
    async with plant(tmp_path) as face, grpc.aio.insecure_channel(face.served.address) as channel:
        watch = state_stub(channel).WatchTagBatches(state_pb2.WatchTagBatchesRequest(), metadata=metadata("north"))
        await watch.read()
        face.served.know(presses(5), version=9)
        face.served.server.values.apply(batch({tag.tag_id: 2.0 for tag in presses(5)}))
        assert {one.tag_id for one in (await watch.read()).updates} == {100, 101, 102, 103}
        watch.cancel()


class Asked:
    """Stands for the database: what it is asked."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}

    async def fetch(self, _: str, parameters: dict[str, Any]) -> list[Any]:
        self.parameters = parameters
        return []


@pytest.mark.security("SR 4.1", "V8.2.3")
async def test_records_without_a_path_are_of_what_the_caller_sees(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        asked = Asked()
        handlers = RecordHandlers(plant=face.served.server.plant, database=asked, ready=lambda: None)  # type: ignore[arg-type]
        for name, devices in (("boss", None), ("north", [10]), ("nowhere", [])):
            current.set(Principal(name, grants_of(GRANTS[name])))
            await handlers.list_anomalies()
            assert asked.parameters["devices"] == devices
            await handlers.list_events()
            assert asked.parameters["devices"] == devices
            await handlers.list_rejects()
            expected = None if devices is None else {100, 101, 102, 103} if devices else set()
            tags = asked.parameters["tags"]
            assert (tags if tags is None else set(tags)) == expected


# --- commands -------------------------------------------------------------------------------------------------------------


async def submitted(face: Web, name: str, path: str, *, approval: bool = False, status: int = 201) -> dict[str, Any]:
    body = {"path": path, "name": "write", "parameters": {"speed_setpoint": 5.0}, "requires_approval": approval}
    answer = await face.client.post("/api/v1/commands", json=body, headers=as_(name))
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.security("T-SERVING-RIGHT", "SR 2.1")
async def test_commands_go_where_the_grant_says(tmp_path: Path) -> None:
    async with plant(tmp_path) as face:
        await submitted(face, "north", MINE)
        await submitted(face, "reader", THEIRS)
        written = len(face.served.requests.records)
        assert "may not command at" in (await submitted(face, "reader", MINE, status=403))["detail"]
        await submitted(face, "north", THEIRS, status=404)
        await submitted(face, "nowhere", MINE, status=403)
        assert len(face.served.requests.records) == written


@pytest.mark.security("V8.2.2")
async def test_commands_of_others_can_be_neither_seen_nor_touched(tmp_path: Path) -> None:
    async with plant(tmp_path) as face, grpc.aio.insecure_channel(face.served.address) as channel:
        theirs = (await submitted(face, "boss", THEIRS, approval=True))["command_id"]
        mine = (await submitted(face, "boss", MINE, approval=True))["command_id"]
        for verb, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/approve")):
            answer = await face.client.request(
                verb, f"/api/v1/commands/{theirs}{path}", json={} if path else None, headers=as_("north")
            )
            assert answer.status_code == 404, answer.text
        watched = command_stub(channel).WatchCommand(
            commands_pb2.WatchCommandRequest(command_id=theirs), metadata=metadata("north")
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watched.read()
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        refused = await face.client.post(f"/api/v1/commands/{mine}/cancel", json={}, headers=as_("reader"))
        assert refused.status_code == 403
        released = await face.client.post(f"/api/v1/commands/{mine}/approve", json={}, headers=as_("north"))
        assert released.status_code == 200, released.text
        listed = (await face.client.get("/api/v1/commands", headers=as_("north"))).json()["commands"]
        assert [one["command_id"] for one in listed] == [mine]
        watch = command_stub(channel).WatchCommands(commands_pb2.WatchCommandsRequest(), metadata=metadata("north"))
        assert (await watch.read()).command_id == mine
        face.served.record(face.served.request(0), CommandState.ACCEPTED, 2)  # of theirs
        await submitted(face, "north", MINE)
        assert (await watch.read()).device_path == MINE
        watch.cancel()
        await asyncio.sleep(0)


def test_a_stream_ends_when_its_caller_may_something_else(tmp_path: Path) -> None:
    path = tokens(tmp_path / "tokens.toml", ann=["read", "command"])
    access = Access(path)
    ann = access.authenticate([("authorization", "Bearer ann-secret")])
    access.recheck(ann, Permission.READ)
    before = access.refresh()
    tokens(path, ann=["read@acme/north", "command"])
    assert access.refresh() != before
    with pytest.raises(UnavailableError, match="connect again"):
        access.recheck(ann, Permission.READ)
