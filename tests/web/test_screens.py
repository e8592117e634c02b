"""Every page on every kind of screen: nothing serious for axe-core, nothing too wide, no console error; pictures for the docs."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.web.demo_plant import LINE, PRESS
from tests.web.pages import DESKTOP, PHONE, TABLET, WALL, screen
from tests.web.plant_server import PlantServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADDRESSES = {
    "overview": f"?open={LINE}",
    "line": f"plant/{LINE}",
    "machine": f"device/{PRESS}",
    "trends": f"trends?tag={PRESS}/oil_temperature&tag={PRESS}/bearing_temperature&tag={PRESS}/power",
    "anomalies": "anomalies",
    "no-alarms": "alarms",
    "commands": "commands",
    "events": "events",
    "quality": "quality",
    "health": "health",
    "settings": "settings",
}
SCREENS = {
    "desktop": (DESKTOP, False),
    "dark": (DESKTOP, True),
    "phone": (PHONE, False),
    "tablet": (TABLET, True),
}


@pytest.mark.parametrize("kind", SCREENS)
async def test_pages_fit_and_are_accessible(browser: Browser, history_plant: PlantServer, kind: str) -> None:
    size, dark = SCREENS[kind]
    async with screen(browser, history_plant.origin, size=size, dark=dark) as one:
        found: list[str] = []
        for name, address in ADDRESSES.items():
            await one.go(address)
            await expect(one.page.locator("h1")).to_be_visible()
            await expect(one.page.get_by_text("Loading", exact=True)).to_have_count(0)
            if name == "trends":
                await expect(one.page.locator(".chart canvas")).to_have_count(2)
            if (overflow := await one.overflow()) > 0:
                found.append(f"{name}: {overflow} pixels too wide")
            if name == "overview":
                found += [f"{name}: cut: {text}" for text in await one.cut(".scroll:has(table.tree)")]
            if kind in {"desktop", "dark"}:
                found += [f"{name}: {problem}" for problem in await one.serious()]
            await one.picture(name if kind == "desktop" else f"{name}-{kind}")
        assert not found, "\n".join(found)


async def test_a_wall_screen_shows_the_overview_alone(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin, size=WALL, dark=True) as one:
        await one.go("?wall=1")
        await one.says("Needs attention")
        await expect(one.page.locator("nav.main")).to_have_count(0)
        await one.picture("wall")
        await one.page.keyboard.press("Escape")
        await expect(one.page.locator("nav.main")).to_be_visible()


async def test_it_speaks_german(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin, language="de-DE") as one:
        await one.go(f"device/{PRESS}")
        await one.says("über dem Normalbereich")
        assert await one.page.locator("html").get_attribute("lang") == "de"
        await one.picture("machine-german")
        await one.go("settings")
        await one.page.get_by_role("button", name="English").click()
        await one.says("Account")


async def test_with_the_keyboard_alone(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go("")
        await one.says("Needs attention")
        keys = one.page.keyboard

        async def tab_to(selector: str) -> None:
            for _ in range(60):
                await keys.press("Tab")
                if await one.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                    return
            pytest.fail(f"{selector} cannot be reached with Tab")

        await keys.press("Tab")
        await expect(one.page.locator(".skip")).to_be_focused()
        await keys.press("Enter")
        await expect(one.page.locator("main")).to_be_focused()
        await tab_to("button.twisty")
        await keys.press("Enter")
        await tab_to(f"a[href='#/device/{PRESS}']")
        await keys.press("Enter")
        await expect(one.page.locator("h1")).to_have_text("press-01")
        await tab_to("button.primary")
        await keys.press("Enter")
        dialog = one.page.get_by_role("dialog")
        await expect(dialog).to_be_visible()
        await tab_to("#p-speed_setpoint")
        await keys.type("22")
        await keys.press("Enter")
        await expect(dialog).to_contain_text("Send this command?")
        await keys.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(one.page.locator("button.primary")).to_be_focused()
