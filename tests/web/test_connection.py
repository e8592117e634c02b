"""The server goes and comes back: the page says so, shows what was known, forbids commands, and recovers by itself."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.web.demo_plant import PRESS
from tests.web.pages import screen, without_server
from tests.web.plant_server import PlantServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
_SOON_MS = 20_000


async def test_a_lost_connection_is_told_and_comes_back(browser: Browser, plant: PlantServer) -> None:
    async with screen(browser, plant.origin, expected=without_server()) as one:
        await one.go(f"device/{PRESS}")
        value = one.page.get_by_role("row", name="bearing temperature").get_by_role("cell").first
        await one.says("Live", within="header.top")
        await plant.server.stop()
        banner = one.page.locator(".banner")
        await expect(banner).to_contain_text("No connection for", timeout=_SOON_MS)
        await expect(value).not_to_have_text("–")
        grey = await value.evaluate("element => getComputedStyle(element).color")
        await expect(one.page.get_by_role("button", name="Command")).to_be_disabled()
        await one.picture("degraded")
        await plant.start()
        await expect(banner).to_have_count(0, timeout=_SOON_MS)
        await expect(one.page.get_by_role("button", name="Command")).to_be_enabled()
        tag = plant.tag(f"{PRESS}/bearing_temperature")
        plant.overrides[tag.tag_id] = 61.5
        plant.apply([tag])
        await expect(value).to_have_text("61.5")
        plant.overrides.clear()
        assert await value.evaluate("element => getComputedStyle(element).color") != grey


async def test_opened_without_a_server_it_shows_what_this_device_remembers(
    browser: Browser, plant: PlantServer
) -> None:
    async with screen(browser, plant.origin, worker=True, expected=without_server()) as one:
        await one.go("")
        await one.page.evaluate("navigator.serviceWorker.ready")
        await expect(one.page.get_by_role("row", name="forming")).to_be_visible()
        # Once more, under the worker: it keeps the answers.
        await one.page.reload()
        await expect(one.page.get_by_role("row", name="forming")).to_be_visible()
        await one.page.wait_for_function("caches.open('millrace-answers').then(c => c.keys()).then(k => k.length > 2)")
        await plant.server.stop()
        await one.page.reload()
        await expect(one.page.locator(".banner")).to_contain_text("commands are off", timeout=_SOON_MS)
        await expect(one.page.get_by_role("row", name="forming")).to_be_visible(timeout=_SOON_MS)
        await plant.start()
        await expect(one.page.locator(".banner")).to_have_count(0, timeout=_SOON_MS)


async def test_signing_out_forgets_what_was_remembered(browser: Browser, plant: PlantServer) -> None:
    async with screen(browser, plant.origin, worker=True, name="anna") as one:
        await one.go("settings")
        await one.page.evaluate("navigator.serviceWorker.ready")
        await one.says("Signed in as local:anna")
        await one.go("")
        await one.page.reload()
        await one.page.wait_for_function("caches.open('millrace-answers').then(c => c.keys()).then(k => k.length > 2)")
        await one.go("settings")
        await one.page.get_by_role("button", name="Sign out", exact=True).click()
        await one.says("Signed in as local", within="main")
        stored = await one.page.evaluate("JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")
        assert stored == "{}"


async def test_signing_out_everywhere_ends_the_other_browser_too(browser: Browser, plant: PlantServer) -> None:
    async with (
        screen(browser, plant.origin, expected=("401",), name="anna") as lost,
        screen(browser, plant.origin, expected=("401",), name="anna") as one,
    ):
        for each in (lost, one):
            await each.go("settings")
            await each.says("Signed in as local:anna")
        await one.page.get_by_role("button", name="Sign out everywhere").click()
        await lost.page.reload()
        await lost.says("Sign in to see the plant.")
