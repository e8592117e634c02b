"""Server-sent events and WebSocket over a real server: values, ends, slow readers, withdrawn tokens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from serving.http.events import BEAT, beating
from tests.unit.http_served import API, said, tokens, web
from tests.unit.served import LINE, batch, eventually


async def events(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Events of a stream as their fields."""
    found: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif found:
            yield found
            found = {}


async def ended(link: ClientConnection) -> None:
    """Read until the other side closes."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in link:
            pass


async def test_values_come_as_events() -> None:
    async with web() as face:
        face.served.server.values.apply(batch({100: 1.0, 110: 5.0}))
        query = {"prefix": f"{LINE}/press00", "min_interval_ms": "10"}
        async with face.client.stream("GET", f"{API}/watch/tags", params=query) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            assert answer.headers["cache-control"] == "no-store"
            stream = events(answer)
            assert "retry" in await anext(stream)
            values: list[float] = []
            async for event in stream:
                if "data" not in event:
                    continue
                assert event["event"] == "tags"
                assert "id" in event
                values += [update["value"]["value"] for update in json.loads(event["data"])["updates"]]
                if values == [1.0]:
                    face.served.server.values.apply(batch({100: 2.0}))
                elif values == [1.0, 2.0]:
                    break
        await eventually(lambda: len(face.served.server.streams) == 0)


async def test_events_go_on_behind_the_last_id() -> None:
    async with web() as face:
        face.served.server.values.apply(batch({100: 1.0, 110: 5.0}))
        query = {"min_interval_ms": "10"}
        async with face.client.stream("GET", f"{API}/watch/tags", params=query) as answer:
            first = [event async for event in first_data(answer)]
        assert first[-1]["snapshot_complete"] is True
        face.served.server.values.apply(batch({100: 2.0}))
        last = {"last-event-id": first[-1]["position"]}
        async with face.client.stream("GET", f"{API}/watch/tags", params=query, headers=last) as answer:
            second = [event async for event in first_data(answer)]
        assert [update["tag_id"] for one in second for update in one["updates"]] == [100]


async def first_data(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Messages of a stream of tags until the snapshot is complete."""
    async for event in events(answer):
        if "data" in event:
            message = json.loads(event["data"])
            yield message
            if message["snapshot_complete"]:
                return


async def test_a_request_that_is_wrong_has_a_status_and_no_stream() -> None:
    async with web() as face:
        for path, status in (("/watch/tags?prefix=acme/nowhere", 404), ("/watch/tags?min_interval_ms=x", 400)):
            answer = await face.client.get(API + path)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
        assert (await face.client.get(f"{API}/watch/nothing")).status_code == 404


async def test_silence_means_something() -> None:
    async def nothing() -> AsyncIterator[int]:
        await asyncio.sleep(60)
        yield 1

    beats = beating(nothing(), 0.01, first_s=0.01)  # type: ignore[arg-type]
    assert [await anext(beats) for _ in range(3)] == [BEAT] * 3
    await beats.aclose()


async def test_a_stream_says_why_it_ends(tmp_path: Path) -> None:
    path = tokens(tmp_path / "tokens.toml", ann=["read"], ben=["read"])
    async with web(tokens=str(path)) as face:
        headers = {"authorization": "Bearer ann-secret"}
        async with face.client.stream("GET", f"{API}/watch/anomalies", headers=headers) as answer:
            assert answer.status_code == 200
            tokens(path, ben=["read"])
            os.utime(path, ns=(1, 1))
            *_, last = [event async for event in events(answer)]
            assert last["event"] == "problem"
            assert json.loads(last["data"])["code"] == "UNAUTHENTICATED"


async def test_one_connection_carries_several_subscriptions() -> None:
    async with web() as face, face.socket() as link:
        face.served.server.values.apply(batch({100: 1.0, 110: 5.0}))
        for name, device in (("a", "press00"), (7, "press01")):
            await link.send(
                json.dumps({"subscribe": name, "what": "tags", "prefixes": [f"{LINE}/{device}"], "min_interval_ms": 10})
            )
        await link.send(json.dumps({"subscribe": "c", "what": "commands"}))
        seen: dict[Any, Any] = {}
        while len(seen) < 2:
            message = await said(link)
            assert message["what"] == "tags"
            for update in message["batch"]["updates"]:
                seen[message["id"]] = update["value"]["value"]
        assert seen == {"a": 1.0, 7: 5.0}
        await link.send(json.dumps({"unsubscribe": 7}))
        await eventually(lambda: len(face.served.server.streams) == 2)
        body = {"path": f"{LINE}/press00", "name": "write", "parameters": {"speed_setpoint": 20}}
        made = await face.post("/commands", body)
        while (message := await said(link))["id"] != "c":
            pass
        assert message["command"]["command_id"] == made["command_id"]
        assert message["command"]["state"] == "ACCEPTED"


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ("{}", "id"),
        ('{"subscribe": "a"}', "what"),
        ('{"subscribe": "a", "what": "gossip"}', "anomalies"),
        ('{"subscribe": "a", "what": ["tags"]}', "what"),
        ('{"subscribe": "a", "what": "tags", "prefix": "x"}', "prefix"),
        ('{"subscribe": "a", "what": "tags", "nonsense": 1}', "nonsense"),
        ('{"subscribe": "a", "what": "tags", "prefixes": ["acme/nowhere"]}', "acme/nowhere"),
        ('{"subscribe": {}, "what": "tags"}', "id"),
        ('{"subscribe": "' + "a" * 200 + '", "what": "tags"}', "id"),
    ],
)
async def test_what_is_wrong_with_a_message_is_answered_and_the_connection_goes_on(message: str, says: str) -> None:
    async with web() as face, face.socket() as link:
        await link.send(message)
        answer = await said(link)
        assert says in answer["error"]["detail"]
        assert answer["error"]["code"] in {"INVALID_ARGUMENT", "NOT_FOUND"}
        await link.send(json.dumps({"subscribe": 1, "what": "tags"}))
        assert (await said(link))["what"] == "tags"


@pytest.mark.security("V5.2.1")
async def test_a_long_message_ends_the_connection() -> None:
    async with web() as face, face.socket() as link:
        await link.send("a" * 100_000)
        with pytest.raises(ConnectionClosed):
            await link.recv()
        await face.get("/me")


@pytest.mark.security("T-SERVING-SESSION", "V4.4.2", "V4.4.4")
async def test_other_sites_open_no_websocket() -> None:
    async with web() as face:
        with pytest.raises(InvalidStatus) as caught:
            async with face.socket(origin="http://evil.example"):
                pass
        assert caught.value.response.status_code == 403
        async with face.socket(origin=None):
            pass  # a program, which sends no Origin and no cookie


@pytest.mark.security("V4.4.3")
async def test_a_withdrawn_token_closes_the_websocket(tmp_path: Path) -> None:
    path = tokens(tmp_path / "tokens.toml", ann=["read"])
    async with web(tokens=str(path)) as face:
        with pytest.raises(InvalidStatus) as caught:
            async with face.socket():
                pass
        assert caught.value.response.status_code == 401
        async with face.socket(additional_headers={"authorization": "Bearer ann-secret"}) as link:
            await link.send(json.dumps({"subscribe": 1, "what": "tags"}))
            await said(link)
            tokens(path, ben=["read"])
            os.utime(path, ns=(1, 1))
            await ended(link)
            assert link.close_code == 1008
            assert "withdrawn" in (link.close_reason or "")


async def test_a_reader_that_does_not_read_is_cut_off_and_holds_little() -> None:
    async with web(http={"stuck_s": 0.3}) as face:
        reader, writer = await asyncio.open_connection("127.0.0.1", face.port, limit=1024)
        path = f"{API}/watch/tags?min_interval_ms=10"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{face.port}\r\n\r\n".encode())
        await reader.readexactly(20)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        value = 0.0

        def gone() -> bool:
            nonlocal value
            value += 1
            face.served.server.values.apply(batch({100 + 10 * d + t: value for d in range(3) for t in range(4)}))
            return len(face.served.server.streams) == 0

        await eventually(lambda: len(face.served.server.streams) == 1)
        await eventually(gone, timeout_s=60)
        writer.close()


async def test_streams_end_with_the_server() -> None:
    async with web() as face, face.socket() as link:
        await link.send(json.dumps({"subscribe": 1, "what": "tags"}))
        await said(link)
        async with face.client.stream("GET", f"{API}/watch/tags") as answer:
            stream = events(answer)
            await anext(stream)
            stop = asyncio.create_task(face.served.server.stop())
            found = [event async for event in stream]
            assert found[-1]["event"] == "problem"
            assert json.loads(found[-1]["data"])["code"] == "UNAVAILABLE"
        await ended(link)
        await stop
