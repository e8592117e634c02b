"""The issuer of the local stack: a sign-in from the form to a principal of serving, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from joserfc.jwk import ECKey

from base.errors import ConfigError
from issuer import people
from issuer.__main__ import signing_key
from issuer.app import Issuer
from issuer.grants import DEVICE_GRANT, Client, fits
from serving.oidc.keys import read_jwks
from serving.oidc.settings import OidcSettings, RoleSettings
from serving.oidc.verifier import Verifier
from serving.principals import Permission, UnauthenticatedError

AT = "http://127.0.0.1:29081"
BACK = "http://127.0.0.1:29080/api/v1/sign-in/done"
CLIENTS = {
    "millrace-page": Client(client_id="millrace-page", redirects=(BACK,)),
    "millrace-cli": Client(client_id="millrace-cli", redirects=("http://127.0.0.1:*/done",), device=True),
}
SETTINGS = OidcSettings(
    issuer=AT,
    client="millrace-page",
    clients=("millrace-page", "millrace-cli"),
    roles=(
        RoleSettings(name="operator", allow=("read", "command")),
        RoleSettings(name="supervisor", allow=("approve",)),
    ),
)
VERIFIER = "v" * 64


class Signed:
    """An issuer with two people, a browser's view of it, and a server that trusts it."""

    def __init__(self, folder: Path) -> None:
        file = folder / "people.json"
        file.write_text(people.seed({"alice": ("operator",), "bob": ("supervisor", "operator")}))
        self.people = json.loads(file.read_text())
        key, known = signing_key(folder / "key"), people.read(file)
        self.issuer = Issuer(AT, audience="millrace-api", key=key, clients=CLIENTS, people=known)
        self.browser = httpx.AsyncClient(transport=httpx.ASGITransport(self.issuer.app), base_url=AT)
        self.verifier = Verifier(SETTINGS)

    async def trusted(self) -> Verifier:
        self.verifier.set_keys(read_jwks((await self.browser.get("/jwks")).content))
        return self.verifier

    def query(self, **changed: str | None) -> dict[str, str]:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
        made = {
            "response_type": "code",
            "client_id": "millrace-page",
            "redirect_uri": BACK,
            "scope": "openid",
            "state": "s1",
            "nonce": "n1",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (made | changed).items() if value is not None}

    async def submit(
        self, name: str, *, one_time: str = "", password: str = "", **changed: str | None
    ) -> httpx.Response:
        query = self.query(**changed)
        page = await self.browser.get("/authorize", params=query)
        form = {
            "form": re.search(r'name="form" value="([^"]+)"', page.text)[1],  # type: ignore[index]
            "name": name,
            "password": password or self.people[name]["password"],
            "one_time": one_time,
        }
        return await self.browser.post("/authorize", params=query, data=form)

    async def code(self, name: str, *, one_time: str = "") -> str:
        answer = await self.submit(name, one_time=one_time)
        assert answer.status_code == 303, answer.text
        found = parse_qs(urlsplit(answer.headers["location"]).query)
        assert (found["state"], found["iss"]) == (["s1"], [AT])
        return found["code"][0]

    async def redeem(self, code: str, **changed: str | None) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "client_id": "millrace-page",
            "code_verifier": VERIFIER,
        }
        return await self.browser.post("/token", data={k: v for k, v in (form | changed).items() if v is not None})


@pytest.fixture
async def signed(tmp_path: Path) -> AsyncIterator[Signed]:
    made = Signed(tmp_path)
    async with made.browser:
        yield made


async def test_a_sign_in_ends_in_a_principal_of_serving(signed: Signed) -> None:
    tokens = (await signed.redeem(await signed.code("alice"))).json()
    verifier = await signed.trusted()
    found = verifier.principal(tokens["access_token"])
    assert found.name == signed.people["alice"]["subject"]
    assert found.allow == {Permission.READ, Permission.COMMAND}
    identity = verifier.claims(tokens["id_token"], audience="millrace-page")
    assert (identity["nonce"], identity["preferred_username"], identity["amr"]) == ("n1", "alice", ["pwd"])
    with pytest.raises(UnauthenticatedError, match="not for"):
        verifier.principal(tokens["id_token"])
    assert "refresh_token" not in tokens


@pytest.mark.security("T-ISSUER-GUESS", "V6.3.3", "V6.5.1")
async def test_a_one_time_password_is_told_and_is_good_once(signed: Signed) -> None:
    one_time = pyotp.TOTP(signed.people["bob"]["totp"]).now()
    tokens = (await signed.redeem(await signed.code("bob", one_time=one_time))).json()
    assert "otp" in (await signed.trusted()).claims(tokens["access_token"])["amr"]
    assert (await signed.submit("bob", one_time=one_time)).status_code == 401
    assert (await signed.submit("bob", one_time="000000")).status_code == 401


@pytest.mark.security("T-ISSUER-CODE", "V6.6.2", "V10.4.2", "V10.4.3", "V10.4.6")
async def test_a_code_is_good_once_and_for_who_asked_for_it(signed: Signed) -> None:
    code = await signed.code("alice")
    assert (await signed.redeem(code)).status_code == 200
    assert (await signed.redeem(code)).json()["error"] == "invalid_grant"
    for wrong in (
        {"code_verifier": "w" * 64},
        {"code_verifier": None},
        {"redirect_uri": BACK + "/"},
        {"redirect_uri": None},
        {"client_id": "millrace-cli"},
        {"client_id": "somebody"},
        {"grant_type": "password"},
        {"grant_type": "client_credentials"},
    ):
        answer = await signed.redeem(await signed.code("alice"), **wrong)
        assert answer.status_code in {400, 401}, wrong
        assert "access_token" not in answer.text


@pytest.mark.security("T-ISSUER-CODE", "SR 1.10", "V10.4.1", "V10.4.4", "V10.4.6", "V10.4.11", "V10.6.1")
@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"redirect_uri": "http://127.0.0.1:29080/elsewhere"},
        {"redirect_uri": "https://evil.example.com/done"},
        {"redirect_uri": None},
        {"client_id": "somebody"},
        {"client_id": None},
        {"response_type": "token"},
        {"response_type": "code token"},
        {"scope": "openid admin"},
    ],
)
async def test_a_request_that_is_weaker_gets_no_form(signed: Signed, changed: dict[str, str | None]) -> None:
    answer = await signed.browser.get("/authorize", params=signed.query(**changed))
    assert "password" not in answer.text
    location = answer.headers.get("location", "")
    assert answer.status_code == 400 or (location.startswith(BACK) and "error=" in location)


@pytest.mark.security("SR 1.10", "V6.2.8")
async def test_wrong_passwords_and_forms_of_others_get_no_code(signed: Signed) -> None:
    assert (await signed.submit("alice", password="wrong")).status_code == 401
    forged = {"form": "1800000000.00", "name": "alice", "password": signed.people["alice"]["password"]}
    assert (await signed.browser.post("/authorize", params=signed.query(), data=forged)).status_code == 401


@pytest.mark.security("T-ISSUER-GUESS", "SR 1.11", "V6.3.1", "V6.6.3")
def test_after_five_wrong_tries_a_person_waits() -> None:
    digest = people.digest_of("right", "00" * 16)
    check = people.People(
        [people.Person(name="a", subject="s", roles=(), salt="00" * 16, digest=digest, totp="A" * 32)]
    )
    for _ in range(5):
        assert check.check("a", "wrong", "", now_s=100.0) is None
    assert check.check("a", "right", "", now_s=110.0) is None
    assert check.check("a", "right", "", now_s=131.0) is not None
    assert check.check("nobody", "right", "", now_s=131.0) is None


@pytest.mark.security("V6.5.4", "V6.5.5", "V10.7.1", "V10.7.2")
async def test_a_terminal_is_confirmed_in_a_browser(signed: Signed) -> None:
    asked = (
        await signed.browser.post("/device_authorization", data={"client_id": "millrace-cli", "scope": "openid"})
    ).json()
    form = {"grant_type": DEVICE_GRANT, "device_code": asked["device_code"], "client_id": "millrace-cli"}
    assert (await signed.browser.post("/token", data=form)).json()["error"] == "authorization_pending"
    assert (await signed.browser.post("/token", data=form)).json()["error"] == "slow_down"
    place = {"user_code": asked["user_code"]}
    page = await signed.browser.get("/device", params=place)
    token = re.search(r'name="form" value="([^"]+)"', page.text)[1]  # type: ignore[index]
    shown = {"form": token, "name": "alice", "password": signed.people["alice"]["password"], "one_time": ""}
    assert "Confirmed" in (await signed.browser.post("/device", params=place, data=shown)).text
    signed.issuer.waiting()[0].asked_s -= 60.0  # a minute later
    waited = (await signed.browser.post("/token", data=form)).json()
    assert (await signed.trusted()).principal(waited["access_token"]).name == signed.people["alice"]["subject"]
    assert (await signed.browser.post("/token", data=form)).json()["error"] == "expired_token"
    assert (await signed.browser.post("/device_authorization", data={"client_id": "millrace-page"})).status_code == 400


@pytest.mark.security("V10.4.1")
def test_any_port_of_the_loopback_interface_stands_for_a_program() -> None:
    redirects = ("http://127.0.0.1:*/done",)
    assert fits(redirects, "http://127.0.0.1:51234/done")
    for wrong in (
        "http://127.0.0.1:51234/else",
        "http://127.0.0.1:/done",
        "http://127.0.0.1:1@evil/done",
        "http://127.0.0.2:1/done",
    ):
        assert not fits(redirects, wrong)


@pytest.mark.security("V13.2.3")
def test_the_signing_key_is_made_once_and_private(tmp_path: Path) -> None:
    first = signing_key(tmp_path / "key")
    assert signing_key(tmp_path / "key").kid == first.kid
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert isinstance(first, ECKey)
    (tmp_path / "key").write_text("{")
    with pytest.raises(ConfigError, match="delete it"):
        signing_key(tmp_path / "key")
