"""Somebody signs in at an issuer, in a real browser: the local stack's issuer, the page, and what may be done then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, expect

from issuer import people
from issuer.__main__ import signing_key
from issuer.app import Issuer
from issuer.grants import Client
from serving.oidc.settings import OidcSettings, RoleSettings
from tests.web.pages import screen
from tests.web.plant_server import PlantServer, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class House:
    """A plant and the issuer that it trusts."""

    plant: PlantServer
    passwords: dict[str, str]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house(built: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("issuer")
    (folder / "people.json").write_text(people.seed({"ann": ("operator",), "olga": ("analyst",)}))
    at, port = f"http://127.0.0.1:{free_port()}", free_port()
    issuer = Issuer(
        at,
        audience="millrace-api",
        key=signing_key(folder / "key.json"),
        clients={"page": Client(client_id="page", redirects=(f"http://127.0.0.1:{port}/api/v1/sign-in/done",))},
        people=people.read(folder / "people.json"),
    )
    answers = uvicorn.Server(
        uvicorn.Config(issuer.app, host="127.0.0.1", port=int(at.rpartition(":")[2]), log_config=None, lifespan="off")
    )
    answering = asyncio.create_task(answers.serve())
    roles = (RoleSettings(name="operator", allow=("read", "command")), RoleSettings(name="analyst", allow=("read",)))
    plant = PlantServer(built, "", port, oidc=OidcSettings(issuer=at, client="page", clients=("page",), roles=roles))
    async with asyncio.timeout(30), httpx.AsyncClient() as client:
        while True:
            try:
                await client.get(f"{at}/jwks")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.05)
    await plant.start()
    known = json.loads((folder / "people.json").read_text())
    yield House(plant, {name: entry["password"] for name, entry in known.items()})
    await plant.server.stop()
    answers.should_exit = True
    await answering


@pytest.mark.security("SR 1.1", "V7.2.4", "V7.4.4")
@pytest.mark.parametrize(("name", "may"), [("ann", "command, read"), ("olga", "read")])
async def test_a_person_signs_in_at_the_issuer_and_out_again(
    browser: Browser, house: House, name: str, may: str
) -> None:
    async with screen(browser, house.plant.origin, expected=("401",)) as one:
        await one.go("settings")
        await one.page.get_by_role("link", name="Sign in with your company account").click()
        await expect(one.page).to_have_title("Sign in")
        await one.page.get_by_label("Name").fill(name)
        await one.page.get_by_label("Password", exact=True).fill("wrong")
        await one.page.get_by_role("button", name="Sign in").click()
        await expect(one.page.get_by_role("alert")).to_contain_text("is wrong")
        await one.page.get_by_label("Name").fill(name)
        await one.page.get_by_label("Password", exact=True).fill(house.passwords[name])
        await one.page.get_by_role("button", name="Sign in").click()
        await one.says(f"may: {may}")
        stored = await one.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
        assert "eyJ" not in stored, "a token of the issuer is where scripts can read it"
        await one.page.get_by_role("button", name="Sign out", exact=True).click()
        await one.says("Sign in to see the plant.")


@pytest.mark.security("V7.6.2", "V10.2.1")
async def test_an_answer_that_nobody_asked_for_opens_no_session(browser: Browser, house: House) -> None:
    async with screen(browser, house.plant.origin, expected=("401",)) as one:
        answer = await one.page.goto(f"{house.plant.origin}/api/v1/sign-in/done?code=stolen&state=guessed")
        assert answer is not None
        assert answer.status == 401
        assert not await one.page.context.cookies()
