"""REST over a real server: answers, errors, bounds, validators, health."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from base.errors import ConfigError, UnavailableError
from base.ids import now_us, uuid7
from serving.config import HttpSettings, LimitSettings, TlsSettings
from serving.server import COMMAND_SERVICE
from tests.unit.http_served import API, web
from tests.unit.served import LINE, batch, served

PROBLEM = "application/problem+json"
BODY_MISSING = b"POST /api/v1/commands HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """An answer that has to be a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"].startswith("urn:millrace:problem:")
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.security("V1.2.3", "V15.3.1")
async def test_tags_and_devices_have_the_fields_of_the_contract() -> None:
    async with web() as face:
        face.served.server.values.apply(batch({100: 21.5}, time_us=now_us() - 1_000_000))
        listed = await face.get("/tags", params={"prefix": f"{LINE}/press00", "page_size": 2})
        assert [tag["name"] for tag in listed["tags"]] == ["packml_command", "running"]
        more = await face.get("/tags", params={"prefix": f"{LINE}/press00", "page_token": listed["next_page_token"]})
        assert [tag["name"] for tag in more["tags"]] == ["speed_setpoint", "temperature"]
        tag = await face.get("/tags/100")
        assert tag == await face.get(f"/tags/by-path/{LINE}/press00/temperature") | {"last": tag["last"]}
        assert tag["last"]["value"] == 21.5
        assert tag["last"]["quality"] == "GOOD"
        assert 1_000_000 <= tag["last"]["age_us"] < 60_000_000
        assert isinstance(tag["last"]["time_us"], int)
        device = await face.get("/devices/10")
        assert device["path"] == f"{LINE}/press00"
        assert len(device["tags"]) == 4
        assert (await face.get(f"/devices/by-path/{LINE}/press00"))["device_id"] == 10
        assert [d["device_id"] for d in (await face.get("/devices"))["devices"]] == [10, 11, 12]


@pytest.mark.security("V1.2.3")
async def test_what_is_not_finite_or_absent_is_null() -> None:
    async with web() as face:
        face.served.server.values.apply(batch({100: float("nan")}))
        tag = await face.get("/tags/100")
        assert tag["last"]["value"] is None
        assert (await face.get("/tags/101"))["last"] is None
        assert tag["eu_low"] == 0.0


async def test_a_command_is_submitted_read_and_controlled() -> None:
    async with web() as face:
        command_id = str(uuid7(now_us()))
        body = {
            "command_id": command_id,
            "path": f"{LINE}/press00",
            "name": "write",
            "parameters": {"speed_setpoint": 20},
            "requires_approval": True,
        }
        made = await face.post("/commands", body)
        assert made["command_id"] == command_id
        assert made["state"] == "PENDING_APPROVAL"
        assert made["submitted_by"] == "local"
        assert made["provisional"] is True
        assert await face.post("/commands", body) == made
        assert (await face.get(f"/commands/{command_id}"))["state"] == "PENDING_APPROVAL"
        assert [c["command_id"] for c in (await face.get("/commands"))["commands"]] == [command_id]
        own = await face.client.post(f"{API}/commands/{command_id}/approve", json={})
        problem(own, 403, "PERMISSION_DENIED")
        other = {"millrace-principal": "ben"}
        approved = await face.post(f"/commands/{command_id}/approve", {"reason": "checked"}, 200, headers=other)
        assert approved["command_id"] == command_id
        assert face.served.requests.decoded[-1][1]["by"] == "local:ben"
        different = await face.client.post(f"{API}/commands", json=body | {"parameters": {"speed_setpoint": 30}})
        problem(different, 409, "ALREADY_EXISTS")


async def test_a_submit_waits_for_the_outcome_at_most_as_long_as_asked() -> None:
    async with web() as face:
        body = {"device_id": 10, "name": "write", "parameters": {"speed_setpoint": 20}}
        made = await face.post("/commands?wait_ms=300", body)
        assert made["state"] == "ACCEPTED"
        problem(await face.client.post(f"{API}/commands?wait_ms=0", json=body), 400, "INVALID_ARGUMENT")


@pytest.mark.security("V15.3.7")
@pytest.mark.parametrize(
    ("path", "status", "code", "says"),
    [
        ("/tags/999", 404, "NOT_FOUND", "999"),
        ("/tags/abc", 400, "INVALID_ARGUMENT", "abc"),
        ("/tags/99999999999", 400, "INVALID_ARGUMENT", "tag_id"),
        ("/tags?page_size=5000", 400, "INVALID_ARGUMENT", "page_size"),
        ("/tags?page_size=" + "9" * 50, 400, "INVALID_ARGUMENT", "page_size"),
        ("/tags?page_token=A", 400, "INVALID_ARGUMENT", "page_token"),
        ("/tags?quality=SOUR", 400, "INVALID_ARGUMENT", "GOOD"),
        ("/tags?stale=maybe", 400, "INVALID_ARGUMENT", "stale"),
        ("/tags?sale=true", 400, "INVALID_ARGUMENT", "sale"),
        ("/tags?page_size=1&page_size=2", 400, "INVALID_ARGUMENT", "page_size"),
        ("/tags?prefix=%ff", 400, "INVALID_ARGUMENT", "UTF-8"),
        ("/tags?prefix=" + "a/" * 200, 400, "INVALID_ARGUMENT", "prefix"),
        ("/tags?prefix=" + "a" * 20_000, 414, "INVALID_ARGUMENT", "bytes"),
        ("/tags/by-path/" + "a/" * 2_000, 400, "INVALID_ARGUMENT", "path"),
        ("/commands/nonsense", 400, "INVALID_ARGUMENT", "UUID"),
        ("/nothing", 404, "NOT_FOUND", "/api/v1/nothing"),
        ("/samples?tag_id=1&format=xml", 400, "INVALID_ARGUMENT", "parquet"),
    ],
)
async def test_what_is_wrong_with_a_request_is_a_problem(path: str, status: int, code: str, says: str) -> None:
    async with web() as face:
        found = problem(await face.client.get(API + path), status, code)
        assert says in found["detail"]
        assert len(found["detail"]) <= 800


@pytest.mark.security("V2.2.1", "V15.3.3", "V15.3.5")
@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b"{", "application/json", 400, "JSON"),
        (b"[]", "application/json", 400, "object"),
        (b'{"name": NaN}', "application/json", 400, "NaN"),
        (b'{"name": "a", "name": "b"}', "application/json", 400, "twice"),
        (b'{"nom": "a"}', "application/json", 400, "nom"),
        (b'{"name": 7}', "application/json", 400, "name"),
        (b'{"parameters": {"speed_setpoint": "20"}}', "application/json", 400, "speed_setpoint"),
        (b'{"parameters": [1]}', "application/json", 400, "parameters"),
        (b'{"device_id": 10, "path": "a"}', "application/json", 400, "exclude"),
        (b'{"device_id": 1e400}', "application/json", 400, "device_id"),
        (b'{"device_id": 99999999999}', "application/json", 400, "device_id"),
        (b'{"name": "\\ud800"}', "application/json", 400, "name"),
        (b"[" * 50_000, "application/json", 400, "JSON"),
        (b"{}", "text/plain", 415, "Content-Type"),
        (b"", "application/json", 400, "device"),
        (b'{"reason": "' + b"a" * 300_000 + b'"}', "application/json", 413, "bytes"),
        (b'{"reason": "' + b"a" * 3_000 + b'"}', "application/json", 400, "reason"),
    ],
)
async def test_a_body_is_checked_field_by_field(body: bytes, kind: str, status: int, says: str) -> None:
    async with web() as face:
        answer = await face.client.post(f"{API}/commands", content=body, headers={"content-type": kind})
        assert says in problem(answer, status, "INVALID_ARGUMENT")["detail"]
        assert not face.served.requests.records


@pytest.mark.security("V3.5.3", "V13.4.4")
async def test_verbs_and_versions_that_are_not_there_are_problems() -> None:
    async with web() as face:
        answer = await face.client.delete(f"{API}/tags")
        problem(answer, 405, "INVALID_ARGUMENT")
        assert answer.headers["allow"] == "GET, HEAD"
        head = await face.client.head(f"{API}/tags")
        assert head.status_code == 200
        assert head.content == b""
        assert int(head.headers["content-length"]) > 100
        problem(await face.client.request("BREW", f"{API}/tags"), 405, "INVALID_ARGUMENT")


async def test_metadata_is_sent_again_only_when_it_has_changed() -> None:
    async with web() as face:
        first = await face.client.get(f"{API}/tags?values=false")
        assert first.headers["cache-control"] == "private, no-cache"
        assert "last" not in first.json()["tags"][0]
        face.served.server.values.apply(batch({100: 21.5}))
        again = await face.client.get(f"{API}/tags?values=false", headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == first.headers["etag"]
        live = await face.client.get(f"{API}/commands")
        assert live.headers["cache-control"] == "no-store"


async def test_health_and_readiness() -> None:
    async with web(ready=False) as face:
        assert (await face.client.get("/healthz")).json() == {"status": "ok"}
        problem(await face.client.get("/readyz"), 503, "UNAVAILABLE")
        problem(await face.client.get(f"{API}/tags"), 503, "UNAVAILABLE")
        await face.served.server.set_ready("millrace.v1.StateService")
        await face.served.server.set_ready(COMMAND_SERVICE)
        # An orchestrator calls a pod by its address.
        assert (await face.client.get("/readyz", headers={"host": "10.0.0.7:8080"})).status_code == 200


async def test_what_cannot_be_written_is_503_and_says_when_to_try_again() -> None:
    async with web() as face:
        face.served.requests.failure = UnavailableError("the broker does not answer")
        body = {"device_id": 10, "name": "write", "parameters": {"speed_setpoint": 20}}
        found = problem(await face.client.post(f"{API}/commands", json=body), 503, "UNAVAILABLE")
        assert "broker" in found["detail"]


@pytest.mark.security("V2.4.1")
async def test_too_many_calls_are_429_with_a_time() -> None:
    async with web(limits=LimitSettings(requests_per_s=1.0, burst=1)) as face:
        await face.get("/me")
        answer = await face.client.get(f"{API}/me")
        found = problem(answer, 429, "RESOURCE_EXHAUSTED")
        assert found["retry_after_ms"] > 0
        assert answer.headers["retry-after"] == "1"


@pytest.mark.security("V1.1.1")
async def test_bytes_that_are_no_request_are_a_problem_too() -> None:
    async with web() as face:
        for sent in (b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000 + b"\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            writer.write(sent)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            assert PROBLEM.encode() in head
            assert json.loads(body)["code"] == "INVALID_ARGUMENT"
            writer.close()


@pytest.mark.security("V4.2.1")
async def test_a_request_that_does_not_end_is_cut_off() -> None:
    async with web(http={"request_s": 0.2}) as face:
        for sent in (b"", b"GET / HTTP/1.1\r\nHost: ", BODY_MISSING):
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            writer.write(sent.replace(b"%d", str(face.port).encode()))
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.close()


@pytest.mark.security("V12.2.1")
async def test_the_listen_address_follows_the_rule_of_grpc(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs"):
        async with web(http={"listen": "0.0.0.0:0"}):
            pass
    with pytest.raises(ValueError, match="origin"):
        HttpSettings(listen="127.0.0.1:0", origins=("example.org",))
    async with web() as face:
        with pytest.raises(ConfigError, match="cannot be had"):
            async with web(http={"listen": f"127.0.0.1:{face.port}"}):
                pass


@pytest.mark.security("SR 7.7")
async def test_without_a_listen_address_there_is_no_http() -> None:
    async with served() as running:
        assert running.server.http is None


@pytest.mark.security("SR 3.8", "V3.3.1", "V3.3.3")
@pytest.mark.i3x("CORE-05")
async def test_over_tls_the_cookie_is_secure_and_of_this_host_alone(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (tmp_path / "key.pem").write_bytes(issued.private_key_pem.bytes())
    files = {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    async with (
        web(tls=TlsSettings(**files), ca=str(tmp_path / "ca.pem")) as face,
        httpx.AsyncClient(base_url=f"https://localhost:{face.port}", verify=trust, trust_env=False) as client,
    ):
        answer = await client.post(f"{API}/session", json={"name": "ann"})
        assert answer.status_code == 201
        name, _, rest = answer.headers["set-cookie"].partition("=")
        value, *attributes = rest.split("; ")
        assert name == "__Host-millrace_session"
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= set(attributes)
        # A page of a neighbouring name can give the browser a cookie of the plain name: it counts for nothing.
        client.cookies.clear()
        for shown, called in (("__Host-millrace_session", "ann"), ("millrace_session", "")):
            found = await client.get(f"{API}/me", headers={"cookie": f"{shown}={value}"})
            assert found.json()["name"].removeprefix("local").removeprefix(":") == called
        assert answer.headers["strict-transport-security"]


async def test_without_the_database_history_is_503_and_the_rest_goes_on() -> None:
    async with web() as face:
        when = "tag_id=100&start_us=1&end_us=2"
        for path in (f"/samples?{when}", f"/samples?{when}&format=arrow", f"/aggregates?{when}", f"/chart?{when}"):
            problem(await face.client.get(API + path), 503, "UNAVAILABLE")
        for path in ("/anomalies", "/events", "/rejects", "/rejects/counts"):
            problem(await face.client.get(API + path), 503, "UNAVAILABLE")
        for path in ("/tags", "/devices", "/plant", "/gateways", "/line", "/commands"):
            await face.get(path)


async def test_the_plant_is_a_tree_of_nodes() -> None:
    async with web() as face:
        (root,) = (await face.get("/plant"))["nodes"][:1]
        assert (root["path"], root["level"], root["devices"]) == ("acme", "enterprise", 3)
        below = await face.get("/plant", params={"path": "acme", "depth": 2})
        assert {node["level"] for node in below["nodes"]} >= {"site", "area"}
