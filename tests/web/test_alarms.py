"""Alarms on the page: the banner counts, a phone acknowledges with one hand, shelving says why and for how long, a flood stays calm."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from base.ids import now_us
from schemas import topics
from schemas.alarm_rules import AlarmRule
from schemas.alarms import Alarm, AlarmState
from schemas.commands import CommandState
from schemas.priorities import Priority, Response, Severity
from serving.caches.alarm_job import EvaluationState
from serving.machine_acks import request_of
from tests.integration.fix_history import copy_of
from tests.unit.alarming import rule
from tests.unit.served import eventually, record_of
from tests.web import demo_alarms
from tests.web.demo_plant import HELD
from tests.web.pages import DESKTOP, PHONE, Screen, screen
from tests.web.plant_server import PlantServer, plant_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
_ADVICE = {
    "cause": "The cooler is blocked, or its valve is closed.",
    "consequence": "The oil loses its film at 85 °C: the guides score.",
    "corrective_action": "Open valve V3. If the oil is above 80 °C in 5 min, stop the press.",
}
RULES: tuple[AlarmRule, ...] = (
    rule("oil-hot", "oil_temperature", 70.0, title="Oil too hot", group="cooling", **_ADVICE),
    rule("bearing-hot", "bearing_temperature", 80.0, title="Bearing too hot", severity=Severity.MAJOR, group="cooling"),
    rule(
        "force",
        "ram_force",
        3000.0,
        title="Ram force above its limit",
        severity=Severity.SEVERE,
        response=Response.IMMEDIATE,
    ),
    rule("power", "power", 85.0, title="Power near the contract", severity=Severity.MINOR, response=Response.LATER),
    rule(
        "pressure", "coolant_pressure", 55.0, title="Coolant pressure high", device_class="mill", response=Response.SOON
    ),
    rule("stands", "packml_state", 8.0, title="Machine stands", severity=Severity.MINOR),
    rule("joint", "motor_temperature", 85.0, title="Motor warm", device_class="robot", severity=Severity.MINOR),
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plant(built: Path) -> AsyncIterator[PlantServer]:
    """The demonstration plant with rules."""
    async with plant_server(built, rules=RULES) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def lived_in(
    built: Path, postgres_admin_dsn: str, history_template: Callable[[str], str]
) -> AsyncIterator[PlantServer]:
    """The same with a day of alarms in a real database."""
    with copy_of(postgres_admin_dsn, history_template("plain")) as dsn:
        async with plant_server(built, dsn=dsn, rules=RULES) as running:
            await asyncio.to_thread(demo_alarms.write, dsn, running.tags, now_us())
            yield running


def raised(plant: PlantServer, **values: float) -> None:
    """Values of tags by the end of their path, as the job sees them; the job lives."""
    plant.alarms.advance()
    for end, value in values.items():
        device, _, name = end.partition("__")
        tag = next(one for one in plant.tags if one.path.endswith(f"/{device.replace('_', '-')}/{name}"))
        plant.alarms.see({tag.tag_id: value})


def items(one: Screen, text: str) -> Locator:
    """Alarms of a list with a text."""
    return one.page.locator("ul.alarms .alarm").filter(has_text=text)


async def test_alarms_are_seen_acknowledged_and_shelved_on_a_phone(browser: Browser, plant: PlantServer) -> None:
    async with screen(browser, plant.origin, size=PHONE, name="anna") as one:
        await one.go("alarms")
        await one.says("No alarm stands.", within="main")
        raised(plant, press_01__oil_temperature=78.0, press_02__power=88.0)
        await expect(items(one, "Oil too hot")).to_be_visible()
        banner = one.page.get_by_role("region", name="Alarms not acknowledged")
        await expect(banner.get_by_role("link", name="0 High not acknowledged")).to_be_visible()
        await expect(banner.get_by_role("link", name="1 Medium not acknowledged")).to_be_visible()
        first = items(one, "Oil too hot").get_by_role("button", name=re.compile("Acknowledge.*Oil too hot, press-01"))
        box = await first.bounding_box()
        assert box is not None
        assert box["height"] >= 44, "a thumb has to find it"
        assert await one.overflow() <= 0
        assert not await one.cut("ul.alarms .state"), "beside the button, not under it"
        await expect(items(one, "Oil too hot").locator(".value")).to_have_text("78 °C")
        assert not await one.serious()
        await one.picture("alarms-phone-new")
        await first.click()
        await expect(items(one, "Oil too hot")).to_contain_text("Acknowledged")
        await expect(banner.get_by_role("link", name="0 Medium not acknowledged")).to_be_visible()

        await items(one, "Oil too hot").get_by_role("link").first.click()
        for text in _ADVICE.values():
            await one.says(text, within="main")
        await one.says("oil temperature is 78 °C, HI is 70", within="main")
        await one.page.get_by_label("Comment").fill("valve was half closed")
        await one.page.get_by_role("button", name="Say it").click()
        await expect(items(one, "Oil too hot")).to_contain_text("valve was half closed")
        await one.picture("alarms-phone")
        await one.page.get_by_role("button", name="Shelve …").click()
        dialog = one.page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Shelve").click()
        await expect(dialog.get_by_role("alert")).to_have_text("Say why it is put aside.")
        await dialog.get_by_role("button", name="4 h").click()
        await dialog.get_by_label("Why").fill("cooler is being cleaned")
        assert not await one.serious()
        await dialog.get_by_role("button", name="Shelve").click()
        await expect(dialog).to_have_count(0)
        await expect(items(one, "Oil too hot")).to_have_count(0)
        await one.page.get_by_role("navigation", name="Kinds of list").get_by_role("link", name="Put aside").click()
        await expect(items(one, "Oil too hot")).to_contain_text("Shelved")
        await items(one, "Oil too hot").get_by_role("link").first.click()
        await expect(items(one, "Oil too hot")).to_contain_text("local:anna: cooler is being cleaned")
        await one.page.get_by_role("button", name="End the shelving").click()
        await one.says("Nothing is put aside.", within="main")
        await one.go("alarms?view=all")
        await items(one, "Oil too hot").get_by_role("link").first.click()
        await one.page.get_by_role("button", name="Out of service …").click()
        dialog = one.page.get_by_role("dialog")
        await expect(dialog).to_contain_text("until somebody returns it to service")
        await dialog.get_by_label("Why").fill("cooler is being replaced")
        assert not await one.serious()
        await dialog.get_by_role("button", name="Take out of service").click()
        await expect(items(one, "Oil too hot")).to_have_count(0)
        await one.page.get_by_role("navigation", name="Kinds of list").get_by_role("link", name="Put aside").click()
        await expect(items(one, "Oil too hot")).to_contain_text("Out of service")
        await items(one, "Oil too hot").get_by_role("link").first.click()
        await expect(items(one, "Oil too hot")).to_contain_text("local:anna: cooler is being replaced")
        await one.page.get_by_role("button", name="Return to service").click()
        await one.says("Nothing is put aside.", within="main")
        found = plant.server.alarms.alarms.all()
        assert [alarm.acknowledged_by for alarm in found if alarm.rule == "oil-hot"] == ["local:anna"]


async def test_the_summary_is_by_cause_with_the_critical_on_top(browser: Browser, plant: PlantServer) -> None:
    raised(
        plant,
        press_01__oil_temperature=78.0,
        press_01__bearing_temperature=86.0,
        press_02__oil_temperature=74.0,
        press_02__power=88.0,
        mill_01__coolant_pressure=57.0,
        robot_01__motor_temperature=88.0,
        press_03__ram_force=3100.0,
    )
    async with screen(browser, plant.origin, name="ben", expected=("status of 503",)) as one:  # no history
        await one.go("alarms")
        rows = one.page.locator("ul.alarms .alarm")
        await expect(rows.first).to_contain_text("Ram force above its limit")
        await expect(rows.first).to_contain_text("press-03")
        await expect(one.page.locator(".alarm-banner")).to_contain_text("All alarms")
        assert not await one.serious()
        assert await one.overflow() <= 0
        await items(one, "Oil too hot").first.get_by_role("link").first.click()
        await one.says(_ADVICE["corrective_action"], within="main")
        await one.picture("alarms")
        await one.go("alarms?view=all&priority=CRITICAL")
        await expect(rows).to_have_count(1)
        await one.go(f"device/{HELD}")
        await expect(items(one, "Ram force")).to_be_visible()
        assert not await one.serious()
        await one.picture("machine-alarms")
        with_key = items(one, "Ram force").get_by_role("button")
        await with_key.focus()
        await one.page.keyboard.press("Enter")
        await expect(items(one, "Ram force")).to_contain_text("Acknowledged")
    async with screen(browser, plant.origin, dark=True, language="de-DE") as two:
        await two.go("alarms?view=all")
        await two.says("Nicht quittiert", within="main")
        assert not await two.serious()
        await two.picture("alarms-german")


async def test_a_flood_is_a_few_lines_and_one_hand_takes_note_of_a_line(browser: Browser, plant: PlantServer) -> None:
    raised(plant, press_02__power=88.0)
    cache = plant.server.alarms.alarms
    template = next(alarm for alarm in cache.all() if alarm.rule == "power")
    async with screen(browser, plant.origin, size=DESKTOP) as one:
        await one.go("alarms")
        await expect(items(one, template.title)).to_be_visible()
        low = one.page.locator(".alarm-banner a", has_text="Low").locator("b")
        before = int(await low.inner_text())
        assert before >= 1
        for number in range(300):
            cache.apply(_like(template, number))
        await one.go("alarms")
        await expect(low).to_have_text(str(before + 300))
        await expect(one.page.locator("ul.alarms .alarm").first).to_be_visible()
        assert await one.page.locator("ul.alarms .alarm").count() <= 20
        await one.picture("alarms-flood")
    for number in range(300):
        cache.apply(_like(template, number, version=2, state=AlarmState.NORMAL))


@pytest.mark.parametrize(
    ("name", "size", "dark"),
    [("alarm-figures", DESKTOP, False), ("alarm-figures-dark", DESKTOP, True), ("alarm-figures-phone", PHONE, True)],
)
async def test_the_figures_say_whether_people_can_live_with_them(
    browser: Browser, lived_in: PlantServer, name: str, size: tuple[int, int], dark: bool
) -> None:
    raised(lived_in, press_01__oil_temperature=78.0)
    async with screen(browser, lived_in.origin, size=size, dark=dark) as one:
        await one.go("alarms?view=figures")
        await one.says("Can people live with the alarms?", within="main")
        bars = one.page.locator(".alarm-rates rect")
        await expect(bars.first).to_be_visible()
        assert await one.page.locator(".alarm-rates rect.flood").count() >= 1
        top = one.page.locator("section", has_text="Most alarms").locator("ol.pareto li")
        await expect(top).to_have_count(10)
        await one.says("Power near the contract", within="main")
        stale = one.page.get_by_role("region", name="Stand for longer than a day")
        await expect(stale.locator("tbody tr")).to_have_count(2)
        assert await one.overflow() <= 0
        assert not await one.serious()
        await one.page.set_viewport_size({"width": size[0], "height": 2200 if size == PHONE else 1400})
        await one.picture(name)
        areas = one.page.get_by_role("region", name="By area")
        await areas.get_by_role("link", name="north / forming").click()
        await expect(areas.locator("tbody tr")).to_have_count(1)
        await one.go("alarms?view=figures&from=-7d&prefix=acme/north/forming/line-2")
        await expect(stale).to_have_count(0)


async def test_a_condition_says_how_it_stands_at_its_machine_and_is_acknowledged_again(
    browser: Browser, plant: PlantServer
) -> None:
    raised(plant, press_02__power=88.0)
    cache = plant.server.alarms.alarms
    template = next(alarm for alarm in cache.all() if alarm.rule == "power")
    taken = _like(
        template,
        900,
        rule="machine",
        title="Spindle hot",
        condition="plc:ns=2;s=High",
        state=AlarmState.ACKNOWLEDGED,
        acknowledged_us=now_us(),
        acknowledged_by="local:ben",
        seen_us=now_us(),
    )
    request = request_of(taken)
    assert request is not None
    async with screen(browser, plant.origin, size=PHONE, name="anna") as one:
        plant.feed(topics.ALARMS, taken.encode())
        await one.go("alarms?view=all")
        await expect(items(one, "Spindle hot").locator(".marks")).to_contain_text("machine: pending")
        detail = "the server does not take it: BadUserAccessDenied"
        refused = record_of(request, CommandState.FAILED, 1, detail=detail)
        plant.feed(topics.STATES, refused.encode())
        await expect(items(one, "Spindle hot").locator(".marks")).to_contain_text("machine: not acknowledged")
        assert await one.overflow() <= 0
        await items(one, "Spindle hot").get_by_role("link").first.click()
        await one.says("not acknowledged: the server does not take it: BadUserAccessDenied", within="main")
        assert not await one.serious()
        await one.page.get_by_role("button", name="Acknowledge again").click()
        await eventually(
            lambda: any(name == "AlarmAction" and record["condition"] for name, record in plant.requests.decoded)
        )
    async with screen(browser, plant.origin, language="de-DE") as two:
        await two.go("alarms?view=all")
        await expect(items(two, "Spindle hot").locator(".marks")).to_contain_text("Maschine: nicht quittiert")
    cache.apply(dataclasses.replace(taken, version=9, state=AlarmState.NORMAL))


async def test_a_list_that_nobody_makes_is_not_calm(browser: Browser, plant: PlantServer) -> None:
    async with screen(browser, plant.origin) as one:
        plant.alarms.stall()
        assert plant.server.alarms.job.evaluation.state is EvaluationState.STALLED
        await one.go("alarms")
        await one.says("the alarms job has not advanced", within="main")
        await expect(one.page.locator(".alarm-banner").get_by_role("alert")).to_have_text(
            "Alarms are not evaluated now"
        )


async def test_a_site_that_was_put_aside_is_not_calm(browser: Browser, plant: PlantServer) -> None:
    async with screen(browser, plant.origin) as one:
        plant.alarms.advance()
        (alarm,) = plant.alarms.logic.put_aside("north", "state part site has layout 63", now_us()).alarms
        plant.server.alarms.alarms.apply(alarm)
        await one.go("alarms")
        await one.says("alarms of site north are not evaluated", within="main")
        await expect(one.page.locator(".alarm-banner").get_by_role("alert")).to_have_text(
            "Alarms of a part of the plant are not evaluated"
        )
        await expect(items(one, "Alarms of the site are not evaluated")).to_be_visible()
        plant.server.alarms.alarms.apply(dataclasses.replace(alarm, version=2, state=AlarmState.NORMAL))


async def test_counts_that_may_be_old_are_not_calm(browser: Browser, plant: PlantServer) -> None:
    async with screen(browser, plant.origin) as one:
        plant.server.alarms.job.failed("no broker")
        await one.go("alarms")
        banner = one.page.locator(".alarm-banner")
        await expect(banner.get_by_role("alert")).to_have_text("Nobody can say whether alarms are evaluated")
        assert "No alarm stands" not in (await banner.text_content() or "")


def _like(template: Alarm, number: int, **fields: Any) -> Alarm:
    usual: dict[str, Any] = {"state": AlarmState.UNACKNOWLEDGED, "version": 1, "cause_alarm_id": None}
    ids = {"alarm_id": UUID(int=5_000 + number), "source_id": UUID(int=number + 1)}
    about = {"rule": f"flood-{number % 40}", "title": f"Contactor {number % 40} open", "priority": Priority.LOW}
    return dataclasses.replace(template, **(usual | ids | about | fields))


async def test_the_state_of_a_machine_is_a_word(browser: Browser, plant: PlantServer) -> None:
    raised(plant, press_02__packml_state=9.0)
    async with screen(browser, plant.origin, size=DESKTOP, name="anna") as one:
        await one.go("alarms")
        await expect(items(one, "Machine stands").locator(".value")).to_have_text("Aborted")
