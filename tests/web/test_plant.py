"""The plant on the page: its tree, a line, a machine with live values, what is abnormal."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, expect

from tests.web.demo_plant import DEAD, HELD, LINE, PRESS
from tests.web.pages import screen
from tests.web.plant_server import PlantServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_tree_rolls_up_what_is_wrong_and_leads_to_machines(
    browser: Browser, history_plant: PlantServer
) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go("")
        row = one.page.get_by_role("row", name="forming")
        await expect(row).to_contain_text("5 of 6 running")
        offline, _, anomalies = (row.get_by_role("cell").nth(column) for column in (2, 3, 4))
        await expect(offline).to_have_text("1")
        await expect(anomalies).to_have_text("1")
        attention = one.page.locator("ul.attention")
        await expect(attention).to_contain_text("robot-02")
        await expect(attention).to_contain_text("oil temperature is 78.4 °C, expected 49.2 to 55.8 °C")
        await one.page.get_by_role("button", name="Open line-1").first.click()
        await one.page.locator("table.tree").get_by_role("link", name="press-01").click()
        await expect(one.page.get_by_role("heading", level=1)).to_have_text("press-01")
        assert one.page.url.partition("?")[0].endswith(f"#/device/{PRESS}")


async def test_a_new_value_comes_to_the_screen_by_itself(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go(f"device/{PRESS}")
        cell = one.page.get_by_role("row", name="speed setpoint").get_by_role("cell").first
        await expect(cell).to_have_text("24.0")
        tag = history_plant.tag(f"{PRESS}/speed_setpoint")
        for value in (11.0, 12.0, 13.0, 14.0, 15.0):
            history_plant.overrides[tag.tag_id] = value
            history_plant.apply([tag])
            await expect(cell).to_have_text(f"{value:.1f}")
        history_plant.overrides.clear()


async def test_a_value_outside_its_range_is_told_in_words_and_form(
    browser: Browser, history_plant: PlantServer
) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go(f"device/{PRESS}")
        row = one.page.get_by_role("row", name="oil temperature")
        await expect(row).to_contain_text("above its normal range")
        await expect(row.locator(".mark.warn")).to_have_count(1)
        normal = one.page.get_by_role("row", name="bearing temperature")
        await expect(normal.locator(".mark")).to_have_count(0)
        await expect(normal.get_by_role("img")).to_have_attribute(
            "aria-label", re.compile(r"^\d+\.\d °C, normal 10 to 85$")
        )
        await expect(one.page.locator("header.page")).to_contain_text("Execute")


async def test_a_dead_machine_shows_its_last_values_as_stale(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go(f"device/{DEAD}")
        await expect(one.page.locator("header.page")).to_contain_text("Offline")
        row = one.page.get_by_role("row", name="motor temperature")
        await expect(row).to_contain_text("Stale")
        await expect(row.locator("td.age")).to_have_text("6 min")


async def test_a_line_shows_its_machines_or_only_abnormal_ones(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go(f"plant/{LINE}")
        await expect(one.page.locator(".card")).to_have_count(4)
        await one.page.get_by_label("Only abnormal").check()
        await expect(one.page.locator(".card")).to_have_count(2)
        await one.picture("line")
        await one.go(f"device/{HELD}")
        await expect(one.page.locator("header.page")).to_contain_text("Held")
