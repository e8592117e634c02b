"""i3X 1.0 over a real server: what the specification requires of every endpoint, read from its implementation guide."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema import validate

from base.ids import now_us
from schemas import quality
from schemas.proto.millrace.v1 import history_pb2
from serving.http.i3x.subscriptions import MAX_UPDATES, TTL_S, Subscriptions
from tests.unit.http_served import Web, tokens, web
from tests.unit.served import LINE, batch

ROOT = "/i3x/v1"
PRESS, TAG = f"{LINE}/press00", f"{LINE}/press00/temperature"
NOBODY = "no/such/element"
CLIENT = "client-1234"


class Samples:
    """Stands for the service of history: samples a second apart."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def ReadSamples(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
        self.asked.append(request)
        for tag_id in request.selection.tag_ids:
            n = min(5, request.limit)
            times = request.selection.start_us + 1_000_000 * np.arange(n, dtype="<i8")
            yield history_pb2.ReadSamplesResponse(
                tag_id=tag_id,
                time_us=times.tobytes(),
                value=np.arange(n, dtype="<f8").tobytes(),
                quality=np.zeros(n, "<u2").tobytes(),
                tag_complete=True,
            )


@asynccontextmanager
async def i3x(**settings: Any) -> AsyncIterator[Web]:
    """A server whose devices have some values."""
    async with web(**settings) as face:
        assert face.served.server.http is not None
        face.served.server.http._face.services._servicers["HistoryService"] = Samples()  # type: ignore[index]
        face.served.server.values.apply(batch({100: 21.5, 101: 20.0, 103: 1.0}, time_us=now_us() - 1_000_000))
        yield face


async def get(face: Web, path: str, **query: str) -> Any:
    """Result of a GET."""
    answer = await face.client.get(ROOT + path, params=query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["success"] is True
    return body["result"]


async def post(face: Web, path: str, status: int = 200, **body: Any) -> Any:
    """Body of a POST."""
    answer = await face.client.post(ROOT + path, json=body)
    assert answer.status_code == status, answer.text
    found = answer.json()
    if status >= 400:
        assert found["success"] is False
        assert found["responseDetail"]["status"] == status
        assert found["responseDetail"]["title"]
        assert found["responseDetail"]["detail"]
    return found


async def bulk(face: Web, path: str, ids: list[str], key: str = "elementId", **more: Any) -> list[Any]:
    """Results of a bulk request: as many as asked for, in their order, each a success or a failure with its cause."""
    more["subscriptionIds" if key == "subscriptionId" else "elementIds"] = ids
    body = await post(face, path, **more)
    assert [item[key] for item in body["results"]] == ids
    assert body["success"] == all(item["success"] for item in body["results"])
    for item in body["results"]:
        assert ("result" in item) == item["success"]
        if not item["success"]:
            assert item["responseDetail"]["status"] == 404
            assert item["responseDetail"]["detail"]
    return list(body["results"])


def check_vqt(found: dict[str, Any]) -> None:
    """A value, its quality and its time belong together."""
    assert found["quality"] in {"Good", "GoodNoData", "Bad", "Uncertain"}
    assert found["timestamp"].endswith("Z")
    assert datetime.fromisoformat(found["timestamp"]).tzinfo is not None
    assert (found["value"] is None) == (found["quality"] in {"Bad", "GoodNoData"})


@pytest.mark.i3x("CORE-01", "CORE-02", "CORE-03", "CORE-06")
async def test_info_needs_no_token_and_declares_every_capability(tmp_path: Any) -> None:
    path = tokens(tmp_path / "tokens.toml", ann=["read"])
    async with i3x(tokens=str(path)) as face:
        info = (await face.client.get(f"{ROOT}/info")).json()
        assert info["specVersion"] == "1.0"
        capabilities = info["capabilities"]
        assert capabilities == {
            "query": {"history": True},
            "update": {"current": False, "history": False},
            "subscribe": {"stream": True},
        }
        refused = await face.client.get(f"{ROOT}/namespaces")
        assert refused.status_code == 401
        assert refused.json()["success"] is False
        assert refused.json()["responseDetail"]["status"] == 401
        allowed = await face.client.get(f"{ROOT}/namespaces", headers={"authorization": "Bearer ann-secret"})
        assert allowed.status_code == 200


@pytest.mark.i3x("CORE-04")
async def test_answers_are_compressed_when_the_client_takes_it() -> None:
    async with i3x() as face:
        for headers, expected in (({"accept-encoding": "gzip"}, "gzip"), ({"accept-encoding": "identity"}, None)):
            answer = await face.client.get(f"{ROOT}/namespaces", headers=headers)
            assert answer.headers.get("content-encoding") == expected
            assert answer.json()["success"] is True


@pytest.mark.i3x(
    "EXP-01", "EXP-02", "EXP-03", "EXP-04", "EXP-05", "EXP-06", "EXP-07", "EXP-08", "EXP-09", "EXP-10", "EXP-11"
)
async def test_namespaces_types_and_relationships_hold_together() -> None:
    async with i3x() as face:
        namespaces = await get(face, "/namespaces")
        uris = [one["uri"] for one in namespaces]
        assert len(set(uris)) == len(uris) >= 1
        assert all(one["displayName"] for one in namespaces)
        for path, extra in (("/objecttypes", ("sourceTypeId", "schema")), ("/relationshiptypes", ("relationshipId",))):
            known = await get(face, path)
            assert known
            for one in known:
                assert isinstance(one.get("schema", {}), dict)
                assert one["elementId"]
                assert one["displayName"]
                assert one["namespaceUri"] in uris
                assert all(one[name] for name in extra)
            of_one = await get(face, path, namespaceUri=known[0]["namespaceUri"])
            assert of_one == [one for one in known if one["namespaceUri"] == known[0]["namespaceUri"]]
            ids = [one["elementId"] for one in known][::-1]
            results = await bulk(face, f"{path}/query", [*ids, NOBODY])
            assert [item["result"] for item in results[:-1]] == known[::-1]
            assert results[-1]["success"] is False
        reverse = {one["elementId"]: one["reverseOf"] for one in await get(face, "/relationshiptypes")}
        assert set(reverse.values()) == set(reverse)
        assert all(reverse[reverse[name]] == name for name in reverse)


@pytest.mark.i3x("EXP-12", "EXP-13", "EXP-14", "EXP-15", "EXP-16", "EXP-17", "EXP-18")
async def test_objects_are_records_of_known_types_with_unique_ids() -> None:
    async with i3x() as face:
        objects = await get(face, "/objects")
        kinds = {one["elementId"] for one in await get(face, "/objecttypes")}
        relations = {one["elementId"] for one in await get(face, "/relationshiptypes")}
        ids = [one["elementId"] for one in objects]
        everything = [*ids, *kinds, *relations]
        assert len(set(everything)) == len(everything)
        assert all(one.strip() == one and one.isprintable() for one in everything)
        for one in objects:
            assert one["typeElementId"] in kinds
            assert one["displayName"]
            assert isinstance(one["isComposition"], bool)
            assert one["isExtended"] is False
            assert one["parentId"] is None or one["parentId"] in ids
        roots = await get(face, "/objects", root="true")
        assert [one["elementId"] for one in roots] == ["acme"]
        assert roots[0]["parentId"] is None
        presses = await get(face, "/objects", typeElementId=objects[ids.index(PRESS)]["typeElementId"])
        assert [one["displayName"] for one in presses] == ["press00", "press01", "press02"]
        assert all(one["isComposition"] for one in presses)
        with_metadata = await get(face, "/objects", includeMetadata="true")
        for one in with_metadata:
            assert one["metadata"]["typeNamespaceUri"]
            assert one["metadata"]["sourceTypeId"]
            assert set(one["metadata"]["relationships"]) <= relations
        results = await bulk(face, "/objects/list", [TAG, "acme", NOBODY])
        assert [item["success"] for item in results] == [True, True, False]
        assert results[0]["result"] == objects[ids.index(TAG)]


@pytest.mark.i3x("EXP-19", "EXP-20", "EXP-21", "EXP-22")
async def test_every_relationship_leads_back() -> None:
    async with i3x() as face:
        ids = [one["elementId"] for one in await get(face, "/objects")]
        reverse = {one["elementId"]: one["reverseOf"] for one in await get(face, "/relationshiptypes")}
        results = await bulk(face, "/objects/related", ids)
        edges = {
            (item["elementId"], edge["sourceRelationship"], edge["object"]["elementId"])
            for item in results
            for edge in item["result"]
        }
        assert {(other, reverse[name], one) for one, name, other in edges} == edges
        parents = {item["elementId"]: item["result"]["parentId"] for item in await bulk(face, "/objects/list", ids)}
        assert {(one, other) for one, name, other in edges if name == "HasParent"} == {
            (one, parent) for one, parent in parents.items() if parent
        }
        assert {other for one, name, other in edges if (one, name) == (PRESS, "HasComponent")} == {
            one for one in ids if one.startswith(f"{PRESS}/")
        }
        only = await bulk(face, "/objects/related", [PRESS, NOBODY], relationshipType="HasParent")
        assert [edge["sourceRelationship"] for edge in only[0]["result"]] == ["HasParent"]
        assert only[1]["success"] is False


@pytest.mark.i3x("QRY-01", "QRY-02", "QRY-03", "QRY-04")
async def test_values_conform_to_their_types_and_pair_with_their_quality() -> None:
    async with i3x() as face:
        objects = await get(face, "/objects")
        kinds = {one["elementId"]: one["schema"] for one in await get(face, "/objecttypes")}
        ids = [one["elementId"] for one in objects]
        results = await bulk(face, "/objects/value", [*ids, NOBODY])
        assert results.pop()["success"] is False
        for one, item in zip(objects, results, strict=True):
            check_vqt(item["result"])
            assert "components" not in item["result"]
            assert item["result"]["isComposition"] == one["isComposition"]
            if item["result"]["value"] is not None:
                validate(item["result"]["value"], kinds[one["typeElementId"]])
        found = {item["elementId"]: item["result"] for item in results}
        assert found[TAG]["value"] == 21.5
        assert found[TAG]["quality"] == "Good"
        assert found[f"{PRESS}/running"]["value"] is True
        assert found[PRESS]["value"] == {"temperature": 21.5, "speed_setpoint": 20.0, "running": True}
        assert found["acme"]["quality"] == "GoodNoData"
        assert found[f"{LINE}/press01/temperature"]["quality"] == "GoodNoData"


@pytest.mark.i3x("QRY-05", "QRY-06")
async def test_depth_decides_about_components() -> None:
    async with i3x() as face:
        for depth in (0, 2, 5):
            (whole,) = await bulk(face, "/objects/value", [PRESS], maxDepth=depth)
            parts = whole["result"]["components"]
            assert set(parts) == {
                f"{PRESS}/{name}" for name in ("temperature", "speed_setpoint", "packml_command", "running")
            }
            for part in parts.values():
                check_vqt(part)
        (alone,) = await bulk(face, "/objects/value", [PRESS], maxDepth=1)
        assert "components" not in alone["result"]
        await post(face, "/objects/value", 400, elementIds=[PRESS], maxDepth=-1)
        await post(face, "/objects/value", 400, elementIds=PRESS)
        await post(face, "/objects/value", 400)
        await post(face, "/objects/value", 400, elementIds=[PRESS] * 1_001)


async def test_a_bad_value_is_left_out_and_its_time_stays() -> None:
    async with i3x() as face:
        at_us = now_us()
        face.served.server.values.apply(batch({100: 30.0}, time_us=at_us, quality=quality.BAD_NO_COMMUNICATION))
        tag, press = await bulk(face, "/objects/value", [TAG, PRESS])
        check_vqt(tag["result"])
        assert tag["result"]["quality"] == "Bad"
        assert tag["result"]["value"] is None
        assert press["result"]["value"]["temperature"] is None
        assert press["result"]["quality"] == "Uncertain"
        face.served.server.values.apply(batch({100: float("nan")}, time_us=at_us + 1))
        (tag,) = await bulk(face, "/objects/value", [TAG])
        assert tag["result"]["quality"] == "Bad"


@pytest.mark.i3x("QRY-07", "QRY-08", "QRY-09")
async def test_history_is_of_the_range_and_says_when_it_is_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    times: dict[str, Any] = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00.5Z"}
    async with i3x() as face:
        tag, press, nobody = await bulk(face, "/objects/history", [TAG, PRESS, NOBODY], **times)
        assert [one["value"] for one in tag["result"]["values"]] == [0.0, 1.0, 2.0, 3.0, 4.0]
        for one in tag["result"]["values"]:
            check_vqt(one)
            assert times["startTime"] <= one["timestamp"] < times["endTime"]
        assert press["result"] == {"isComposition": True, "values": []}
        assert nobody["success"] is False
        (press,) = await bulk(face, "/objects/history", [PRESS], **times, maxDepth=0)
        assert len(press["result"]["components"][TAG]["values"]) == 5
        assert (await bulk(face, "/objects/history", ["acme"], **times))[0]["result"]["values"] == []
        wrongs: tuple[dict[str, Any], ...] = (
            {},
            {"startTime": "yesterday", "endTime": times["endTime"]},
            {"startTime": "2026-01-01T00:00:00", "endTime": times["endTime"]},
            {"startTime": times["endTime"], "endTime": times["startTime"]},
        )
        for wrong in wrongs:
            await post(face, "/objects/history", 400, elementIds=[TAG], **wrong)
        monkeypatch.setattr("serving.http.i3x.history.MAX_EACH", 3)
        body = await post(face, "/objects/history", 206, elementIds=[TAG], **times)
        assert [one["value"] for one in body["results"][0]["result"]["values"]] == [1.0, 2.0, 3.0]
        assert body["responseDetail"]["status"] == 206


@pytest.mark.i3x("UPD-05")
async def test_writing_is_not_offered() -> None:
    async with i3x() as face:
        for path in ("/objects/value", "/objects/history"):
            answer = await face.client.put(ROOT + path, json={"updates": []})
            assert answer.status_code == 501
            assert answer.json()["responseDetail"]["status"] == 501


async def subscribed(face: Web, *ids: str) -> str:
    """A subscription to these objects."""
    made = (await post(face, "/subscriptions", clientId=CLIENT, displayName="mine"))["result"]
    assert made["clientId"] == CLIENT
    assert made["displayName"] == "mine"
    found: str = made["subscriptionId"]
    if ids:
        await bulk(face, "/subscriptions/register", list(ids), clientId=CLIENT, subscriptionId=found)
    return found


@pytest.mark.i3x("SUB-01", "SUB-02", "SUB-10", "SUB-11", "SUB-15", "SUB-16")
async def test_a_subscription_is_of_its_client() -> None:
    async with i3x() as face:
        mine = await subscribed(face, TAG)
        (listed,) = await bulk(face, "/subscriptions/list", [mine], "subscriptionId", clientId=CLIENT)
        assert listed["result"]["monitoredObjects"] == [{"elementId": TAG, "maxDepth": 1}]
        assert listed["result"]["displayName"] == "mine"
        (other,) = await bulk(face, "/subscriptions/list", [mine], "subscriptionId", clientId="other")
        assert other["success"] is False
        for path in ("/subscriptions/sync", "/subscriptions/stream"):
            await post(face, path, 404, clientId="other", subscriptionId=mine)
            await post(face, path, 404, clientId=CLIENT, subscriptionId="none")
            await post(face, path, 400, subscriptionId=mine)
        for path in ("/subscriptions", "/subscriptions/list", "/subscriptions/delete"):
            await post(face, path, 400, subscriptionIds=[mine])
        named = await face.client.post(
            f"{ROOT}/subscriptions/sync",
            json={"clientId": CLIENT, "subscriptionId": mine},
            headers={"millrace-principal": "somebody-else"},
        )
        assert named.status_code == 404
        (gone,) = await bulk(face, "/subscriptions/delete", [mine], "subscriptionId", clientId=CLIENT)
        assert gone["success"] is True
        assert gone["result"] is None
        await post(face, "/subscriptions/sync", 404, clientId=CLIENT, subscriptionId=mine)
        (again,) = await bulk(face, "/subscriptions/delete", [mine], "subscriptionId", clientId=CLIENT)
        assert again["success"] is False


@pytest.mark.i3x("SUB-03", "SUB-04", "SUB-05", "SUB-08")
async def test_objects_are_registered_once_and_partly() -> None:
    async with i3x() as face:
        mine = await subscribed(face, TAG, PRESS)
        at: dict[str, Any] = {"clientId": CLIENT, "subscriptionId": mine}
        again = await bulk(face, "/subscriptions/register", [TAG, NOBODY], **at)
        assert [item["success"] for item in again] == [True, False]
        gone = await bulk(face, "/subscriptions/unregister", [TAG, NOBODY], **at)
        assert [item["success"] for item in gone] == [True, False]
        (listed,) = await bulk(face, "/subscriptions/list", [mine], "subscriptionId", clientId=CLIENT)
        assert [one["elementId"] for one in listed["result"]["monitoredObjects"]] == [PRESS]


@pytest.mark.i3x("SUB-06", "SUB-07", "SUB-13")
async def test_sync_gives_what_is_not_acknowledged() -> None:
    async with i3x() as face:
        mine = await subscribed(face, TAG, f"{LINE}/press01/temperature")
        at: dict[str, Any] = {"clientId": CLIENT, "subscriptionId": mine}

        async def sync(**more: Any) -> list[Any]:
            return list((await post(face, "/subscriptions/sync", **at, **more))["result"])

        (first,) = await sync()
        assert first["sequenceNumber"] == 1
        for update in first["updates"]:
            check_vqt(update)
        assert first["updates"][0]["elementId"] == TAG
        assert await sync() == [first]
        face.served.server.values.apply(batch({100: 22.0}))
        assert [one["sequenceNumber"] for one in await sync()] == [1, 2]
        assert await sync(lastSequenceNumber=2) == []
        face.served.server.values.apply(batch({100: 23.0}))
        (third,) = await sync(lastSequenceNumber=2)
        assert third["sequenceNumber"] == 3
        assert [update["value"] for update in third["updates"]] == [23.0]
        assert await sync(lastSequenceNumber=-1) == []
        assert await sync() == []
        await post(face, "/subscriptions/sync", 400, **at, lastSequenceNumber="x")


@pytest.mark.i3x("SUB-09", "SUB-14")
async def test_a_stream_sends_changes_and_gives_way_to_another() -> None:
    async with i3x() as face:
        mine = await subscribed(face, TAG)
        at: dict[str, Any] = {"clientId": CLIENT, "subscriptionId": mine}

        async def updates(answer: httpx.Response) -> AsyncGenerator[Any, None]:
            assert answer.headers["content-type"] == "text/event-stream"
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

        async with face.client.stream("POST", f"{ROOT}/subscriptions/stream", json=at) as answer:
            stream = updates(answer)
            (first,) = await anext(stream)
            assert (first["elementId"], first["value"]) == (TAG, 21.5)
            check_vqt(first)
            await post(face, "/subscriptions/sync", 409, **at)
            face.served.server.values.apply(batch({100: 22.0}))
            (second,) = await anext(stream)
            assert second["value"] == 22.0
            async with face.client.stream("POST", f"{ROOT}/subscriptions/stream", json=at) as other:
                assert other.status_code == 200
                assert [update async for update in stream] == []  # closed, without an error
                face.served.server.values.apply(batch({100: 23.0}))
                (third,) = await anext(updates(other))
                assert third["value"] == 23.0
        async with asyncio.timeout(5):
            while (await face.client.post(f"{ROOT}/subscriptions/sync", json=at)).status_code == 409:
                pass


def test_what_nobody_uses_ends_and_what_nobody_takes_is_dropped() -> None:
    now = 0.0
    known = Subscriptions(lambda: now)
    made = known.create("ann", CLIENT, "")
    known.register(made, [f"tag{index}" for index in range(1_000)], 1)
    value = 0

    def capture(element_id: str, depth: int) -> dict[str, Any]:
        return {"isComposition": False, "value": value, "quality": "Good", "timestamp": "2026-01-01T00:00:00Z"}

    for value in range(MAX_UPDATES // 1_000 + 3):  # noqa: B007 - read by capture
        made.capture(capture)
    batches, dropped = made.sync(capture, None)
    assert dropped
    assert sum(len(one["updates"]) for one in batches) <= MAX_UPDATES
    assert batches[0]["sequenceNumber"] > 1
    now = TTL_S + 1
    with pytest.raises(Exception, match="no such subscription"):
        known.get("ann", CLIENT, made.subscription_id)


@pytest.mark.security("V1.4.2", "V15.3.5")
async def test_integers_are_integers() -> None:
    async with i3x() as face:
        face.served.server.values.apply(batch({102: 3.0}))
        (found,) = await bulk(face, "/objects/value", [f"{PRESS}/packml_command"])
        assert found["result"]["value"] == 3
        assert isinstance(found["result"]["value"], int)
