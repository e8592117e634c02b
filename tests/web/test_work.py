"""OEE, stops and orders on the page: figures equal SQL, a person gives a reason, splits and merges, and everybody may look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from playwright.async_api import Browser, expect

from reports.texts import Words
from tests.integration import worked_history
from tests.web.pages import DESKTOP, PHONE, WALL, Screen, screen
from tests.web.plant_server import PlantServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
DAY = (datetime.now(UTC) - timedelta(days=1)).astimezone(worked_history.ZONE).date()
BEGIN, END = worked_history.shift_of(DAY)
SITE = worked_history.SITE
LINE = f"{SITE}/forming/line-1"
PRESS = f"{LINE}/blanking/press-01"
EN = Words("en", worked_history.ZONE)


def at(place: str, **query: str) -> str:
    """Address of a page with the early shift as its range."""
    asked = query | {
        "from": f"{BEGIN.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "to": f"{END.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    return f"{place}?{'&'.join(f'{name}={quote(value)}' for name, value in asked.items())}"


def one(dsn: str, query: str, **more: Any) -> tuple[Any, ...]:
    """A row of SQL over the shift."""
    with psycopg.connect(dsn) as sql:
        found = sql.execute(query, {"begin": BEGIN, "end": END} | more).fetchone()
    assert found is not None
    return tuple(found)


def figure(share: float) -> str:
    return f"{share * 100:.1f} %"


async def test_oee_of_a_site_equals_sql_and_leads_to_its_lines_and_machines(
    browser: Browser, work_plant: PlantServer
) -> None:
    async with screen(browser, work_plant.origin) as page:
        await page.go(at(f"oee/{SITE}"))
        await page.says("Where the planned time went")
        query = "SELECT oee, availability, effectiveness, quality, gq, pq - gq FROM oee_between(%(scope)s, %(begin)s, %(end)s, '{}')"
        *shares, good, scrap = one(work_plant.dsn, query, scope=SITE)
        figures = page.page.locator(".oee-figures dd")
        await expect(figures).to_have_count(6)
        shown = [text.strip() for text in await figures.all_inner_texts()]
        assert shown == [*map(figure, shares), f"{good:,.0f}", f"{scrap:,.0f}"]
        await page.page.get_by_role("link", name="forming / line-1").click()
        await expect(page.page.locator("h1")).to_have_text("OEE: line-1")
        await page.page.get_by_role("link", name="blanking / press-01").click()
        await expect(page.page.locator("h1")).to_have_text("OEE: press-01")
        (oee,) = one(work_plant.dsn, "SELECT oee FROM oee_between(%(scope)s, %(begin)s, %(end)s, '{}')", scope=PRESS)
        await expect(page.page.locator(".oee-figures .main dd")).to_have_text(figure(oee))
        await expect(page.page.get_by_role("region", name="Shifts").locator("tbody tr")).to_have_count(1)


async def reasons(dsn: str, device: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as sql:
        query = "SELECT start_time, end_time, reason, entered_by FROM downtimes_between(%s, %s, %s) ORDER BY 1"
        return sql.execute(query, (device, BEGIN, END)).fetchall()


async def stop_without_reason(page: Screen) -> str:
    """Opens the dialog of the first such stop; its machine."""
    row = page.page.get_by_role("region", name="Stops").locator("tbody tr").filter(has_text="no reason").first
    device = await row.locator("th").inner_text()
    await row.get_by_role("button", name="Give a reason").click()
    return device


async def test_a_person_says_why_a_machine_stood_and_splits_the_stop(browser: Browser, work_plant: PlantServer) -> None:
    async with screen(browser, work_plant.origin, name="anna") as page:
        await page.go(at(f"down/{SITE}", open="1"))
        await page.says("States")
        device = await stop_without_reason(page)
        dialog = page.page.get_by_role("dialog")
        await expect(dialog).to_contain_text(f"Why did {device} stand?")
        path = await dialog.locator("header p").inner_text()
        before = [row for row in await reasons(work_plant.dsn, path) if row[2] is None]
        newest = before[-1]
        # Half of it: the other half keeps no reason.
        half = (newest[0] + (newest[1] - newest[0]) / 2).replace(microsecond=0)
        await dialog.get_by_role("combobox").select_option("electrical/drive")
        await dialog.get_by_label("To", exact=True).fill(f"{half.astimezone(worked_history.ZONE):%Y-%m-%dT%H:%M:%S}")
        await dialog.get_by_label("Note").fill("fuse")
        await dialog.get_by_role("button", name="Save").click()
        await expect(dialog).to_have_count(0)
        after = await reasons(work_plant.dsn, path)
        assert (newest[0], half, "electrical/drive") in {row[:3] for row in after}
        assert (half, newest[1], None) in {row[:3] for row in after}
        assert {row[3] for row in after if row[:2] == (newest[0], half)} == {"local:anna"}
        # Over both halves: merged, corrected, by somebody else.
        await page.go(at(f"down/{path}"))
        rows = page.page.get_by_role("region", name="Stops").locator("tbody tr")
        await expect(rows).to_have_count(len(after))
        for row in (len(after) - 1 - place for place, stop in enumerate(after) if newest[0] <= stop[0] < newest[1]):
            await rows.nth(row).get_by_role("checkbox").check()
        await page.page.get_by_role("button", name="One reason for 2 stops").click()
        await dialog.get_by_role("combobox").select_option("mechanical/bearing")
        await dialog.get_by_role("button", name="Save").click()
        await expect(dialog).to_have_count(0)
        assert (newest[0], newest[1], "mechanical/bearing") in {row[:3] for row in await reasons(work_plant.dsn, path)}


async def test_orders_show_progress_against_plan(browser: Browser, work_plant: PlantServer) -> None:
    async with screen(browser, work_plant.origin) as page:
        await page.go(at("orders"))
        await page.says("JO-1187")
        row = page.page.get_by_role("row").filter(has_text="JO-1187")
        # Presses and robots work on it: a piece counts once, by the kind that has made the fewest.
        (good,) = one(
            work_plant.dsn,
            "SELECT min(good) FROM (SELECT sum(f.gq + f.unplanned_gq) AS good"
            " FROM oee_between(%(scope)s, %(begin)s, now(), '{device,order}') f JOIN device d USING (path)"
            " WHERE f.job_order = 'JO-1187' GROUP BY d.device_class) AS kinds",
            scope=LINE,
        )
        bar = row.locator(".order-bar")
        await expect(bar).to_have_attribute("aria-label", f"{good:,.0f} of 12,600 good pieces; 12,600 are due by now")
        await page.page.get_by_label("State").select_option("COMPLETED")
        await expect(page.page.get_by_text("No order is planned or ran in this range.")).to_be_visible()


ADDRESSES = {"oee": at(f"oee/{SITE}"), "downtime": at(f"down/{LINE}"), "orders": at("orders")}


@pytest.mark.parametrize("kind", ["desktop", "dark", "phone", "wall"])
async def test_pages_of_work_fit_and_are_accessible(browser: Browser, work_plant: PlantServer, kind: str) -> None:
    size, dark = {"desktop": (DESKTOP, False), "dark": (DESKTOP, True), "phone": (PHONE, False), "wall": (WALL, True)}[
        kind
    ]
    async with screen(browser, work_plant.origin, size=size, dark=dark) as page:
        found: list[str] = []
        for name, address in ADDRESSES.items():
            await page.go(f"{address}&wall=1" if kind == "wall" else address)
            await expect(page.page.locator("h1")).to_be_visible()
            await expect(page.page.locator(".losses, .timeline, .order-bar").first).to_be_visible()
            await expect(page.page.get_by_text("Loading", exact=True)).to_have_count(0)
            await expect(page.page.locator("td.figure").get_by_text("–")).to_have_count(0)
            if (overflow := await page.overflow()) > 0:
                found.append(f"{name}: {overflow} pixels too wide")
            if kind in {"desktop", "dark"}:
                found += [f"{name}: {problem}" for problem in await page.serious()]
            await page.picture(name if kind == "desktop" else f"{name}-{kind}")
        assert not found, "\n".join(found)


async def test_pages_of_work_speak_german(browser: Browser, work_plant: PlantServer) -> None:
    async with screen(browser, work_plant.origin, language="de-DE") as page:
        for address, text in (
            (ADDRESSES["oee"], "Wo die geplante Zeit blieb"),
            (ADDRESSES["downtime"], "Zustände"),
            (ADDRESSES["orders"], "JO-1187"),
        ):
            await page.go(address)
            await page.says(text)
        await page.picture("orders-german")
