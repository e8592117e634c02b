"""Trends: zoom and pan change the address and the resolution, marks are told, what is drawn can be saved."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from base.ids import now_us
from tests.integration.fix_history import copy_of
from tests.web import demo_alarms, demo_history
from tests.web.demo_plant import PRESS
from tests.web.pages import DESKTOP, PHONE, screen
from tests.web.plant_server import PlantServer, plant_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
OIL = f"{PRESS}/oil_temperature"
CHOSEN = f"trends?tag={OIL}&tag={PRESS}/power"
READ_BACK = ("Multiple readback operations",)
"""What Chromium says of a test that looks at pixels."""
_SAVED: dict[str, Callable[[bytes], bool]] = {
    "CSV, as drawn": lambda data: data.startswith(b"path,unit,source,time,value") and OIL.encode() in data,
    "Picture (PNG)": lambda data: data.startswith(b"\x89PNG") and len(data) > 10_000,
}


async def test_zooming_out_draws_windows_and_zooming_in_samples(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go(f"{CHOSEN}&from=-8h")
        figures = one.page.get_by_role("row", name="oil temperature")
        await expect(figures).to_contain_text("mean of 10 s, band from least to largest")
        await one.says("recomputed after late data", within=".legend")
        await one.says("anomaly", within=".legend")
        await one.picture("trends-8h")
        chart = one.page.locator(".chart .u-over").first
        box = await chart.bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        await one.page.mouse.move(box["x"] + box["width"] * 0.97, y)
        await one.page.mouse.down()
        await one.page.mouse.move(box["x"] + box["width"] * 0.99, y, steps=4)
        await one.page.mouse.up()
        await expect(figures).to_contain_text("samples")
        assert "from=20" in one.page.url
        assert "to=20" in one.page.url
        # The address is the whole state: another browser sees the same.
        async with screen(browser, history_plant.origin) as other:
            await other.page.goto(one.page.url)
            await expect(other.page.get_by_role("row", name="oil temperature")).to_contain_text("samples")


async def test_keys_zoom_and_pan_however_quickly_and_back_undoes_them(
    browser: Browser, history_plant: PlantServer
) -> None:
    async with screen(browser, history_plant.origin) as one:
        end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

        def hours(start: float, length: float) -> str:
            """Part of an address: a range that begins so many hours after the first, 8 hours ago."""
            start_at = end + timedelta(hours=start - 8)
            texts = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (start_at, start_at + timedelta(hours=length)))
            return "from={}&to={}".format(*texts)

        await one.go(f"{CHOSEN}&{hours(0, 8)}")
        chart = one.page.locator(".chart").first
        await expect(chart).to_be_visible()
        # Two in one turn of the browser: before it has told anybody of the first.
        await chart.evaluate(
            "chart => { for (const key of ['+', '+']) chart.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true})) }"
        )
        await expect(one.page).to_have_url(re.compile(hours(3, 2)))
        await chart.press("ArrowLeft")
        await expect(one.page).to_have_url(re.compile(hours(2.5, 2)))
        await one.page.go_back()
        await expect(one.page).to_have_url(re.compile(hours(3, 2)))
        await chart.press("-")
        await expect(one.page).to_have_url(re.compile(hours(2, 4)))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def alarmed(
    built: Path, postgres_admin_dsn: str, history_template: Callable[[str], str]
) -> AsyncIterator[PlantServer]:
    """The plant with a past in which one press had alarms."""
    with copy_of(postgres_admin_dsn, history_template("plain")) as dsn:
        async with plant_server(built, dsn=dsn) as running:
            now = now_us()
            await asyncio.to_thread(demo_history.write, dsn, running.tags, now)
            await asyncio.to_thread(demo_alarms.write_press, dsn, running.tags, now)
            yield running


@pytest.mark.parametrize(
    ("kind", "size", "dark"), [("", DESKTOP, False), ("-dark", DESKTOP, True), ("-phone", PHONE, False)]
)
async def test_alarms_are_drawn_over_trends_and_lead_to_the_alarm(
    browser: Browser, alarmed: PlantServer, kind: str, size: tuple[int, int], dark: bool
) -> None:
    async with screen(browser, alarmed.origin, size=size, dark=dark, expected=READ_BACK) as one:
        await one.go(f"{CHOSEN}&from=-6h")
        legend = one.page.locator(".legend")
        for text in ("Critical alarm (1)", "High alarm (1)", "Medium alarm (1)", "Low alarm (5)"):
            await expect(legend).to_contain_text(text)
        listed = one.page.get_by_role("region", name="Alarms in this range")
        await expect(listed.get_by_role("row")).to_have_count(9)  # and the head
        await expect(listed.get_by_role("row", name="Bearing too hot")).to_contain_text("holds")
        await expect(listed.get_by_role("row", name="Ram force above its limit")).to_contain_text("not acknowledged")
        charts = one.page.locator(".chart canvas")
        await expect(charts).to_have_count(2)
        assert await _has(charts.first, "critical"), "a filled bar of the priority's colour"
        assert await _has(charts.first, "medium")
        assert not await one.serious()
        assert await one.overflow() <= 0
        await one.picture(f"trends-alarms{kind}")
        link = listed.get_by_role("link", name=re.compile("Critical: *Ram force above its limit"))
        await link.focus()
        await expect(link).to_be_focused()
        await one.page.keyboard.press("Enter")
        await expect(one.page).to_have_url(re.compile("#/alarms.*alarm="))
        # It is over: no list of what stands has it, and it opens all the same.
        opened = one.page.locator("ul.alarms .alarm.opened")
        await expect(opened).to_contain_text("Ram force above its limit")
        await expect(opened).to_contain_text("Normal")


async def test_the_crosshair_names_what_held(browser: Browser, alarmed: PlantServer) -> None:
    async with screen(browser, alarmed.origin, language="de-DE") as one:
        await one.go(f"{CHOSEN}&from=-6h")
        await one.says("Alarme in diesem Zeitraum")
        over = one.page.locator(".chart .u-over").first
        box = await over.bounding_box()
        assert box is not None
        await over.hover(position={"x": box["width"] * (1 - 240 / 360), "y": box["height"] / 2})
        await expect(over.locator(".tip")).to_contain_text("Oil too hot")


async def test_no_alarm_is_drawn_where_none_held(browser: Browser, alarmed: PlantServer) -> None:
    async with screen(browser, alarmed.origin, expected=READ_BACK) as one:
        begin, end = (datetime.now(UTC) - timedelta(hours=hours) for hours in (8, 7))
        await one.go(f"{CHOSEN}&from={begin:%Y-%m-%dT%H:%M:%SZ}&to={end:%Y-%m-%dT%H:%M:%SZ}")
        charts = one.page.locator(".chart canvas")
        await expect(charts).to_have_count(2)
        await expect(one.page.get_by_role("row", name="oil temperature")).to_contain_text("mean of")
        await expect(one.page.get_by_role("region", name="Alarms in this range")).to_have_count(0)
        assert not await _has(charts.first, "critical")


async def _has(canvas: Locator, name: str) -> bool:
    """Whether many pixels of a chart have the colour of a priority."""
    found: int = await canvas.evaluate(
        """(canvas, name) => {
            const probe = document.createElement("i");
            probe.style.color = `var(--${name})`;
            document.body.append(probe);
            const wanted = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
            probe.remove();
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let at = 0; at < data.length; at += 4)
                if (wanted.every((one, place) => Math.abs(data[at + place] - one) < 3) && data[at + 3] > 250) found++;
            return found;
        }""",
        name,
    )
    return found > 40


async def test_crosshairs_go_in_step(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go(CHOSEN)
        charts = one.page.locator(".chart .u-over")
        await expect(charts).to_have_count(2)
        await charts.first.hover(position={"x": 300, "y": 40})
        for place in range(2):
            await expect(charts.nth(place).locator(".tip")).to_be_visible()
        await expect(charts.first.locator(".tip")).to_contain_text("°C")
        await expect(charts.last.locator(".tip")).to_contain_text("kW")


async def test_measurements_are_searched_added_and_removed(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go("trends")
        search = one.page.get_by_role("searchbox")
        await search.fill("press-01 vibration")
        await one.says("1 found")
        await search.press("Enter")
        await expect(one.page.locator(".chart canvas")).to_have_count(1)
        await one.page.get_by_role("button", name="Remove ram_vibration press-01").click()
        await one.says("Choose measurements to draw")


async def test_what_is_drawn_can_be_saved(browser: Browser, history_plant: PlantServer, tmp_path: Path) -> None:
    async with screen(browser, history_plant.origin) as one:
        await one.go(CHOSEN)
        for button, check in _SAVED.items():
            async with one.page.expect_download() as started:
                await one.page.get_by_role("button", name=button).click()
            target = tmp_path / button[:3]
            await (await started.value).save_as(target)
            assert check(target.read_bytes()), button
        async with one.page.expect_download() as started:
            await one.page.get_by_role("link", name="CSV, every sample").click()
        await (await started.value).save_as(tmp_path / "samples.csv")
        assert (tmp_path / "samples.csv").read_text().count("\n") > 100


async def test_without_the_database_live_values_go_on(browser: Browser, plant: PlantServer) -> None:
    async with screen(browser, plant.origin, expected=("Failed to load resource",)) as one:
        await one.go(CHOSEN)
        await expect(one.page.get_by_role("alert")).to_contain_text("could not be loaded")
        await one.go(f"device/{PRESS}")
        await expect(one.page.get_by_role("row", name="power").get_by_role("cell").first).not_to_have_text("–")
        await one.says("Live", within="header.top")
