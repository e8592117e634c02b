"""Browsers: sessions, other sites, headers, the page's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from base.errors import ConfigError, PermissionDeniedError
from base.ids import now_us
from serving import sessions
from serving.sessions import Sessions, fixed, keys_of
from tests.unit.http_served import API, Web, tokens, web
from tests.unit.served import LINE

KEY = b"k" * 32
WRITE = {"path": f"{LINE}/press00", "name": "write", "parameters": {"speed_setpoint": 20}}


async def signed_in(face: Web, **body: str) -> dict[str, Any]:
    """Sign the client in."""
    found: dict[str, Any] = await face.post("/session", body, headers={"origin": face.origin})
    return found


@pytest.mark.security("T-SERVING-SESSION", "SR 3.8", "V3.3.2", "V3.3.4", "V7.2.2", "V7.2.4")
async def test_a_token_becomes_a_session(tmp_path: Path) -> None:
    path = tokens(tmp_path / "tokens.toml", ann=["read", "command"])
    async with web(tokens=str(path)) as face:
        await face.get("/tags", 401)
        await face.post("/session", {"token": "wrong"}, 401)
        answer = await face.client.post(f"{API}/session", json={"token": "ann-secret"}, headers={"origin": face.origin})
        assert answer.status_code == 201
        made = answer.json()
        assert made["name"] == "ann"
        assert made["allow"] == ["command", "read"]
        cookie = answer.headers["set-cookie"]
        assert "; HttpOnly" in cookie
        assert "; SameSite=Strict" in cookie
        assert "ann-secret" not in cookie
        assert await face.get("/me") == made
        await face.get("/tags")
        refused = await face.client.post(f"{API}/commands", json=WRITE, headers={"origin": face.origin})
        assert refused.status_code == 403
        assert "x-csrf-token" in refused.json()["detail"]
        right = {"origin": face.origin, "x-csrf-token": made["csrf"]}
        assert (await face.post("/commands", WRITE, headers=right))["submitted_by"] == "ann"
        tokens(path, ben=["read"])
        await face.get("/tags", 401)


@pytest.mark.security("T-SERVING-SESSION", "SR 1.13", "V3.4.2", "V3.5.1", "V3.5.2")
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {},
    ],
)
async def test_other_sites_change_nothing(headers: dict[str, str]) -> None:
    async with web() as face:
        made = await signed_in(face, name="ann")
        answer = await face.client.post(f"{API}/commands", json=WRITE, headers=headers | {"x-csrf-token": made["csrf"]})
        assert answer.status_code == 403
        assert not face.served.requests.records


@pytest.mark.security("V3.5.1")
@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
async def test_without_a_session_too_other_sites_change_nothing(headers: dict[str, str]) -> None:
    """On the loopback interface nobody needs a token, so a page of any site could command the plant."""
    async with web() as face:
        assert (await face.client.post(f"{API}/commands", json=WRITE, headers=headers)).status_code == 403
        assert (await face.client.get(f"{API}/tags", headers=headers)).status_code == 403
        rebound = await face.client.get(f"{API}/tags", headers={"host": "evil.example"})
        assert rebound.status_code == 421
        assert not face.served.requests.records


async def test_on_loopback_a_name_is_enough() -> None:
    async with web() as face:
        made = await signed_in(face, name="ann")
        assert made["name"] == "local:ann"
        assert (await face.get("/me"))["name"] == "local:ann"
        right = {"origin": face.origin, "x-csrf-token": made["csrf"]}
        gone = await face.client.delete(f"{API}/session", headers=right)
        assert gone.status_code == 204
        everything = ["alarm", "approve", "audit", "command", "plan", "read"]
        assert (await face.get("/me")) == {
            "name": "local",
            "shown": "local",
            "allow": everything,
            "grants": everything,
            "csrf": "",
        }
        for body in (
            {"token": "x"},
            {},
            {"name": 1},
            {"name": "a", "token": "b"},
            {"name": "a" * 300},
            {"name": "\x07"},
        ):
            await face.post("/session", body, 400)


@pytest.mark.security("SR 2.5", "SR 2.6", "V7.3.2")
async def test_a_session_ends(tmp_path: Path) -> None:
    path = tokens(tmp_path / "tokens.toml", ann=["read"])
    async with web(tokens=str(path), http={"session_s": 2.0}) as face:
        await signed_in(face, token="ann-secret")
        async with face.client.stream("GET", f"{API}/watch/anomalies") as answer:
            text = "".join([part async for part in answer.aiter_text()])
        assert "event: problem" in text
        assert "session is over" in text
        await face.get("/tags", 401, headers={"cookie": f"{sessions.COOKIE}=x.y"})


def test_a_session_that_no_browser_would_keep_is_refused_with_the_cause() -> None:
    grants = [f"read@acme/site-{number}/area/line" for number in range(200)]
    with pytest.raises(PermissionDeniedError, match=r"ann may do in 200 places does not fit into a cookie"):
        Sessions(fixed(KEY), length_s=60).make(credential="oidc:x", name="ann", allow=grants)


@pytest.mark.security("SR 3.8", "V7.2.1", "V9.1.1")
def test_only_an_unchanged_cookie_of_this_installation_counts() -> None:
    now = now_us()
    made = Sessions(fixed(KEY), length_s=60, clock=lambda: now)
    value = made.make(credential="ab" * 32)
    found = made.read(value)
    assert found is not None
    assert (found.credential, found.until_us) == ("ab" * 32, now + 60_000_000)
    assert made.read(made.make(name="local:Jörg.1")).name == "local:Jörg.1"  # type: ignore[union-attr]
    assert Sessions(fixed(b"o" * 32), length_s=60).read(value) is None
    assert Sessions(fixed(KEY), length_s=60, clock=lambda: now + 60_000_000).read(value) is None
    for index in range(0, len(value), 7):
        changed = value[:index] + ("0" if value[index] != "0" else "1") + value[index + 1 :]
        assert made.read(changed) is None
    for nonsense in ("", ".", "1.2.3.4.5.6", "a" * 5_000, "é", value + ".", "1..." + value):
        assert made.read(nonsense) is None


@pytest.mark.security("V11.5.1")
def test_a_key_is_long_enough(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    with pytest.raises(ConfigError, match="openssl"):
        keys_of(str(tmp_path / "key"))
    with pytest.raises(ConfigError, match="read"):
        keys_of(str(tmp_path / "none"))
    assert keys_of("")() != keys_of("")()
    (tmp_path / "key").write_text("a" * 64 + "\n" + "b" * 14)
    with pytest.raises(ConfigError, match="a line of 14 bytes"):
        keys_of(str(tmp_path / "key"))
    # Random bytes that are no text may look like lines.
    (tmp_path / "key").write_bytes(b"\xaa" * 20 + b"\n" + b"b" * 20)
    assert keys_of(str(tmp_path / "key"))() == (b"\xaa" * 20 + b"\n" + b"b" * 20,)


@pytest.mark.drill("session-key")
@pytest.mark.security("SR 1.5", "V13.3.1")
def test_the_key_of_sessions_is_replaced_while_they_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, first, second = tmp_path / "key", "1" * 64, "2" * 64
    file.write_text(f"{first}\n")
    made = Sessions(keys_of(str(file)), length_s=60)
    cookie = made.make(name="ann")
    proof = made.csrf(cookie)
    # Every process takes the next key before one makes anything with it.
    file.write_text(f"{first}\n{second}\n")
    other = Sessions(fixed(second.encode()), length_s=60)
    assert made.read(other.make(name="bob")) is not None
    assert Sessions(fixed(first.encode()), length_s=60).read(made.make(name="ann")) is not None
    # Then it makes them, and those of before go on, with what their page knows.
    file.write_text(f"{second}\n{first}\n")
    assert made.read(cookie) is not None
    assert made.csrf(cookie) == proof
    newer = made.make(name="ann")
    assert other.read(newer) is not None
    assert other.csrf(newer) == made.csrf(newer)
    # A file that is wrong changes nothing, and is said once.
    file.write_text("short")
    assert [made.read(one) is not None for one in (cookie, newer, newer)] == [True] * 3
    assert [one.message for one in caplog.records] == ["sessions go on with the keys of before"]
    file.unlink()
    assert made.read(newer) is not None
    # When the longest session is over, the key of before goes.
    file.write_text(f"{second}\n")
    assert made.read(cookie) is None
    assert made.read(newer) is not None


def page(folder: Path) -> Path:
    """A page as the web build leaves it."""
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Millrace</title>" + " " * 500)
    (folder / "assets" / "main-1a2b3c.js").write_text("console.log(1);" * 100)
    (folder / "manifest.webmanifest").write_text("{}")
    return folder


@pytest.mark.security("T-SERVING-PAGE", "SR 2.4", "V3.4.3", "V13.4.3")
async def test_the_page_is_served_with_its_headers(tmp_path: Path) -> None:
    folder = page(tmp_path / "dist")
    (tmp_path / "secret.txt").write_text("hidden")
    async with web(http={"page": str(folder)}) as face:
        found = await face.client.get("/")
        assert found.headers["content-type"] == "text/html; charset=utf-8"
        assert found.headers["cache-control"] == "no-cache"
        assert found.headers["content-encoding"] == "gzip"
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "no-referrer"
        again = await face.client.get("/", headers={"if-none-match": found.headers["etag"]})
        assert again.status_code == 304
        script = await face.client.get("/assets/main-1a2b3c.js")
        assert "immutable" in script.headers["cache-control"]
        assert script.headers["content-type"].startswith("text/javascript")
        plain = await face.client.get("/assets/main-1a2b3c.js", headers={"accept-encoding": "identity"})
        assert plain.content == script.content
        assert "content-encoding" not in plain.headers
        # An address inside the application is the application.
        assert (await face.client.get("/line/press-01")).content == found.content
        for path in ("/assets/none.js", "/secret.txt", "/api/none"):
            assert (await face.client.get(path)).status_code == 404, path
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt", "//secret.txt"):
            assert b"hidden" not in (await face.client.get(path)).content, path
        assert (await face.client.post("/", json={})).status_code == 405
        (folder / "index.html").write_text("<!doctype html><title>New</title>")
        assert b"New" in (await face.client.get("/")).content


@pytest.mark.security("V5.3.2")
async def test_a_page_that_was_not_built_is_told(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    with pytest.raises(ConfigError, match="build"):
        async with web(http={"page": str(tmp_path / "dist")}):
            pass


@pytest.mark.security(
    "T-SERVING-PAGE", "SR 2.4", "V3.2.1", "V3.4.1", "V3.4.4", "V3.4.5", "V3.4.6", "V14.2.2", "V14.3.2"
)
async def test_every_answer_has_the_headers_that_browsers_obey() -> None:
    async with web() as face:
        answers: list[httpx.Response] = [
            await face.client.get(path)
            for path in ("/", f"{API}/me", f"{API}/tags/999", "/api/openapi.json", "/healthz")
        ]
        for answer in answers:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "server" not in answer.headers


async def test_a_session_counts_at_every_process_of_the_installation(tmp_path: Path) -> None:
    (tmp_path / "session.key").write_text("k" * 64)
    shared = {"session_key": str(tmp_path / "session.key")}
    async with web(http=shared) as one, web(http=shared) as other, web() as foreign:
        made = await signed_in(one, name="ann")
        cookie = {"cookie": f"{sessions.COOKIE}={one.client.cookies[sessions.COOKIE]}"}
        assert await other.get("/me", headers=cookie) == made
        right = cookie | {"origin": other.origin, "x-csrf-token": made["csrf"]}
        assert (await other.post("/commands", WRITE, headers=right))["submitted_by"] == "local:ann"
        await foreign.get("/me", 401, headers=cookie)
