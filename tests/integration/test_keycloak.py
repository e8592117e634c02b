"""Signing in at a real Keycloak with the realm that we ship: groups become roles and scopes, a second factor is asked for, it ends."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest

from millrace_client import AsyncClient, Connection
from millrace_client.errors import UnauthenticatedError
from serving.oidc.settings import OidcSettings, RoleSettings
from tests.integration import keycloak
from tests.integration.gateway_support import free_port
from tests.integration.keycloak import Keycloak
from tests.unit.http_served import API, Web, web
from tests.unit.served import LINE

# Of the campaign: a Keycloak takes 40 s of processor time to start, and in a fresh clone 30 s more to be built.
pytestmark = [pytest.mark.timeout(3_600), pytest.mark.campaign]
PASSWORD = secrets.token_urlsafe(16)
TOTP = pyotp.random_base32()
STEP_UP = """
@id("clear-needs-a-fresh-one-time-password")
@advice("sign in with a one-time password; it is good for five minutes")
forbid (principal, action == Action::"command", resource)
when { context.name == "clear" }
unless { principal.amr.contains("otp") && principal.signedInS <= 300 };
"""


@dataclass
class Browser:
    """Keeps cookies as a browser does: of the loopback interface it takes those that are for TLS, too."""

    http: httpx.AsyncClient
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    async def ask(self, method: str, url: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        mine = self.cookies.setdefault(urlsplit(url).netloc, {})
        shown = {"cookie": "; ".join(f"{name}={value}" for name, value in mine.items())} if mine else {}
        self.http.cookies.clear()
        answer = await self.http.request(method, url, headers=shown | (headers or {}), **more)
        for line in answer.headers.get_list("set-cookie"):
            for name, cookie in SimpleCookie(line).items():
                if cookie["max-age"] == "0":
                    mine.pop(name, None)
                else:
                    mine[name] = cookie.value
        return answer

    async def passes(self, place: str, name: str, one_time: str = "") -> str:
        """Through Keycloak's forms; the address that it sends back to."""
        answer = await self.ask("GET", place)
        if answer.status_code == httpx.codes.OK:
            answer = await self.ask("POST", action(answer), data={"username": name, "password": PASSWORD})
            if answer.status_code == httpx.codes.OK and 'name="otp"' in answer.text:
                answer = await self.ask("POST", action(answer), data={"otp": one_time})
        assert answer.status_code == httpx.codes.FOUND, answer.text[-2_000:]
        return answer.headers["location"]

    async def signs_in(self, face: Web, name: str, one_time: str = "") -> dict[str, Any]:
        """From the page's link to a session; the caller as the server sees it."""
        begun = await self.ask("GET", f"{face.origin}{API}/sign-in?to=/trends")
        assert begun.status_code == httpx.codes.FOUND, begun.text
        done = await self.ask("GET", await self.passes(begun.headers["location"], name, one_time))
        assert done.status_code == httpx.codes.OK, done.text
        assert "eyJ" not in done.text + str(done.headers), "a token of the issuer went to the browser"
        return await self.me(face)

    async def me(self, face: Web) -> dict[str, Any]:
        found = await self.ask("GET", f"{face.origin}{API}/me")
        said: dict[str, Any] = found.json()
        return {"status": found.status_code} | said

    async def commands(self, face: Web, name: str, csrf: str) -> httpx.Response:
        body: dict[str, Any] = {"path": f"{LINE}/press00", "name": name}
        body |= {"parameters": {"speed_setpoint": 20}} if name == "write" else {}
        headers = {"origin": face.origin, "x-csrf-token": csrf}
        return await self.ask("POST", f"{face.origin}{API}/commands", headers, json=body)


def action(form: httpx.Response) -> str:
    found = re.search(r'<form[^>]*action="([^"]+)"', form.text)
    assert found, form.text[-2_000:]
    return html.unescape(found[1])


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    async with httpx.AsyncClient(timeout=600.0, trust_env=False) as http:
        yield Browser(http)


@pytest.fixture(scope="module")
def page_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def issuer(page_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    with keycloak.running(free_port(), tmp_path_factory.mktemp("keycloak")) as one:
        one.make_realm(
            f"http://127.0.0.1:{page_port}{API}/sign-in/done",
            [
                keycloak.person("ann", "/north/operators", PASSWORD, TOTP),
                keycloak.person("olga", "/north/operators", PASSWORD),
                keycloak.person("sam", "/south/supervisors", PASSWORD),
            ],
        )
        yield one


@asynccontextmanager
async def serving(issuer: Keycloak, port: int, folder: Path) -> AsyncIterator[Web]:
    """Serving that trusts the realm, and knows its keys."""
    (folder / "step-up.cedar").write_text(STEP_UP)
    oidc = OidcSettings(
        issuer=issuer.issuer,
        client="millrace-page",
        clients=("millrace-page", "millrace-cli"),
        roles=(
            RoleSettings(name="operator", allow=("read", "command")),
            RoleSettings(name="supervisor", allow=("read", "command", "approve")),
        ),
    )
    async with web(oidc=oidc, policies=str(folder), http={"listen": f"127.0.0.1:{port}"}) as face:
        async with asyncio.timeout(60.0):  # until the issuer's documents are read, which nothing signals
            while (await face.client.get(f"{API}/sign-in", timeout=60.0)).status_code != httpx.codes.FOUND:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield face


@pytest.mark.security("SR 1.1", "SR 2.1", "V6.3.3", "V6.8.4", "V7.4.1", "V10.1.1", "V10.3.2", "V10.4.6")
async def test_people_of_keycloak_have_the_roles_of_their_groups_step_up_and_sign_out(
    issuer: Keycloak, page_port: int, tmp_path: Path
) -> None:
    async with serving(issuer, page_port, tmp_path) as face, browser() as anns, browser() as olgas, browser() as sams:
        # The role and the scope of the group.
        ann = await anns.signs_in(face, "ann", pyotp.TOTP(TOTP).now())
        olga = await olgas.signs_in(face, "olga")
        sam = await sams.signs_in(face, "sam")
        for one in (ann, olga):
            assert one["grants"] == ["command@acme/north", "read@acme/north"]
        assert sam["grants"] == ["approve@acme/south", "command@acme/south", "read@acme/south"]
        seen = [(await each.ask("GET", f"{face.origin}{API}/devices")).json()["devices"] for each in (olgas, sams)]
        assert [len(devices) for devices in seen] == [3, 0]
        # Whoever has shown a one-time password clears; a password alone writes.
        assert (await anns.commands(face, "clear", ann["csrf"])).status_code == httpx.codes.CREATED
        refused = await olgas.commands(face, "clear", olga["csrf"])
        assert (refused.status_code, "one-time password" in refused.text) == (httpx.codes.FORBIDDEN, True)
        assert (await olgas.commands(face, "write", olga["csrf"])).status_code == httpx.codes.CREATED
        assert (await sams.commands(face, "write", sam["csrf"])).status_code in {
            httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND,
        }  # fmt: skip
        # Keycloak knows the browser and lets it through; who is asked to sign in again meets the form.
        begun = [await anns.ask("GET", f"{face.origin}{API}/sign-in?to=/{more}") for more in ("", "&again=1")]
        met = [(await anns.ask("GET", one.headers["location"])).status_code for one in begun]
        assert met == [httpx.codes.FOUND, httpx.codes.OK]
        # Over gRPC, with a token of the same sign-in.
        token = await bearer(anns, issuer, page_port)
        connection = Connection(face.served.address, token=token)
        async with AsyncClient(connection, deadline_s=30.0) as client:
            assert len([tag async for tag in client.tags()]) == 12
            # Signed out: the session's cookie is gone; signed out everywhere: the token is refused as well.
            gone = await leaves(anns, face, "session", ann["csrf"])
            assert (gone, (await anns.me(face))["status"]) == (httpx.codes.NO_CONTENT, httpx.codes.UNAUTHORIZED)
            again = await anns.signs_in(face, "ann")  # Keycloak still knows who that is
            assert await leaves(anns, face, "sessions", again["csrf"]) == httpx.codes.NO_CONTENT
            assert (await anns.me(face))["status"] == httpx.codes.UNAUTHORIZED
            with pytest.raises(UnauthenticatedError, match="signed out everywhere"):
                _ = [tag async for tag in client.tags()]
        assert (await olgas.me(face))["name"] == olga["name"]


@pytest.mark.security("V10.4.4", "V10.4.6")
async def test_the_realm_gives_no_code_without_a_proof_key_and_none_to_other_addresses(
    issuer: Keycloak, page_port: int
) -> None:
    query, _ = asked(page_port)
    async with browser() as one:
        place = f"{issuer.issuer}/protocol/openid-connect/auth"
        for wrong in ({"code_challenge": ""}, {"code_challenge_method": "plain"}, {"response_type": "token"}):
            answer = await one.ask("GET", place, params={k: v for k, v in (query | wrong).items() if v})
            assert "error=" in answer.headers.get("location", ""), (wrong, answer.text[-500:])
        other = await one.ask("GET", place, params=query | {"redirect_uri": "http://127.0.0.1:1/api/v1/sign-in/done"})
        assert other.status_code == httpx.codes.BAD_REQUEST
        form = {"grant_type": "password", "client_id": "millrace-page", "username": "olga", "password": PASSWORD}
        direct = await one.ask("POST", f"{issuer.issuer}/protocol/openid-connect/token", data=form)
        assert direct.json()["error"] == "unauthorized_client"


def asked(page_port: int) -> tuple[dict[str, str], str]:
    """The question of a code with PKCE, and the proof key."""
    key = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()).decode().rstrip("=")
    return {
        "response_type": "code",
        "client_id": "millrace-page",
        "redirect_uri": f"http://127.0.0.1:{page_port}{API}/sign-in/done",
        "scope": "openid",
        "state": "s",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }, key


async def bearer(who: Browser, issuer: Keycloak, page_port: int) -> str:
    """An access token for a browser that Keycloak knows."""
    query, key = asked(page_port)
    place = str(httpx.URL(f"{issuer.issuer}/protocol/openid-connect/auth", params=query))
    code = parse_qs(urlsplit(await who.passes(place, "")).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": key}
    form |= {name: query[name] for name in ("redirect_uri", "client_id")}
    answer = await who.ask("POST", f"{issuer.issuer}/protocol/openid-connect/token", data=form)
    found: str = answer.json()["access_token"]
    return found


async def leaves(who: Browser, face: Web, what: str, csrf: str) -> int:
    """Sign out; the answer's status."""
    headers = {"origin": face.origin, "x-csrf-token": csrf}
    answer = await who.ask("DELETE", f"{face.origin}{API}/{what}", headers)
    return answer.status_code
