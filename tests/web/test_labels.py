"""What people say of an anomaly on the page: not a fault, with a reason, seen by everybody who looks, taken back; for those who may."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from base.ids import now_us
from schemas import codec, topics
from schemas.labels import AnomalyLabel, Verdict
from tests.unit.http_served import tokens
from tests.web.pages import PHONE, screen
from tests.web.plant_server import PlantServer, plant_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


def written(plant: PlantServer) -> list[AnomalyLabel]:
    return [
        AnomalyLabel.from_record(codec.decode(value, "AnomalyLabel")[1])
        for topic, _, value in plant.requests.records
        if topic == "anomaly.labels"
    ]


async def test_an_episode_is_called_no_fault_and_that_is_taken_back(browser: Browser, plant: PlantServer) -> None:
    async with (
        screen(browser, plant.origin, name="anna") as one,
        screen(browser, plant.origin, size=PHONE, name="ben") as other,
    ):
        for each in (one, other):
            await each.go("anomalies?open=1")
        row, theirs = (each.page.get_by_role("row", name="press-01") for each in (one, other))
        await expect(row.get_by_role("button", name="Was a fault")).to_be_visible()
        await row.get_by_role("button", name="Not a fault").click()
        dialog = one.page.get_by_role("dialog")
        await expect(dialog).to_contain_text("clearly stronger")
        await dialog.get_by_role("button", name="Say so").click()
        await expect(dialog.get_by_role("alert")).to_have_text("Say why.")
        await dialog.get_by_label("Why").fill("the die was warmed up")
        assert not await one.serious()
        await one.picture("label-dialog")
        await one.page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(row.get_by_role("button", name=re.compile("Undo.*press-01"))).to_be_focused()
        for line in (row, theirs):
            await expect(line.locator(".labelling")).to_contain_text("Not a fault")
            await expect(line.locator(".labelling")).to_contain_text("the die was warmed up")
        assert not await one.serious()
        assert await other.overflow() <= 0
        await one.picture("anomalies-labelled")
        await other.picture("anomalies-labelled-phone")
        (label,) = written(plant)
        assert (label.verdict, label.by, label.withdrawn_us) == (Verdict.NOT_A_FAULT, "local:anna", None)
        assert label.pattern[0].tag_id == plant.tag(f"{row_path(plant)}/oil_temperature").tag_id
        await theirs.get_by_role("button", name="Undo").click()
        for line in (row, theirs):
            await expect(line.get_by_role("button", name="Was a fault")).to_be_visible()
        assert [label.withdrawn_by for label in written(plant)] == ["", "local:ben"]


async def test_on_a_phone_an_episode_is_read_and_judged_without_scrolling_sideways(
    browser: Browser, plant: PlantServer
) -> None:
    async with screen(browser, plant.origin, size=PHONE, name="ben") as one:
        await one.go("anomalies?open=1")
        row = one.page.get_by_role("row", name="press-01")
        for name in ("Not a fault", "Was a fault", "Show"):
            target = row.get_by_role("button" if "fault" in name else "link", name=re.compile(name)).first
            await expect(target).to_be_visible()
            box = await target.bounding_box()
            assert box is not None
            assert box["x"] >= 0, (name, box)
            assert box["x"] + box["width"] <= PHONE[0], (name, box)
            assert box["height"] >= 44, (name, "is smaller than a thumb", box)
        for what in (row.get_by_role("rowheader"), row.get_by_text("Open", exact=True)):
            await expect(what).to_be_in_viewport()
        assert await one.cut(".scroll") == []
        assert await one.overflow() <= 0
        assert not await one.serious()
        await one.picture("anomalies-phone")


async def test_it_is_done_by_keyboard_and_in_german_and_a_dialog_outlives_its_row(
    browser: Browser, built: Path
) -> None:
    async with (
        plant_server(built) as plant,
        screen(browser, plant.origin, name="anna", dark=True, language="de-DE") as one,
    ):
        await one.go("anomalies?open=1")
        row = one.page.get_by_role("row", name="press-01")
        fault = row.get_by_role("button", name=re.compile("War ein Fehler.*press-01"))
        await fault.focus()
        await one.page.keyboard.press("Enter")
        dialog = one.page.get_by_role("dialog", name="War ein Fehler")
        await expect(dialog.get_by_label("Warum")).to_be_focused()
        await one.page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(fault).to_be_focused()
        await one.page.keyboard.press("Enter")
        await expect(dialog.get_by_label("Warum")).to_be_focused()
        await one.page.keyboard.type("Lager 3 war trocken")
        step = plant.server.episodes.open_now()[0]
        closed = dict(step) | {"phase": "CLOSE", "revision": step["revision"] + 1, "end_us": now_us()}
        plant.feed(topics.ANOMALIES, codec.encode("Anomaly", closed))
        await expect(row).to_have_count(0)
        await one.picture("label-dialog-german")
        await one.page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        assert written(plant)[-1].reason == "Lager 3 war trocken"


async def test_who_may_not_answer_alarms_may_not_label(browser: Browser, built: Path, tmp_path: Path) -> None:
    known = str(tokens(tmp_path / "tokens.toml", ann=["read"]))
    async with plant_server(built, tokens=known) as running, screen(browser, running.origin) as one:
        answer = await one.page.context.request.post(
            f"{running.origin}/api/v1/session", data={"token": "ann-secret"}, headers={"origin": running.origin}
        )
        assert answer.ok, await answer.text()
        await one.go("anomalies?open=1")
        row = one.page.get_by_role("row", name="press-01")
        for name in ("Not a fault", "Was a fault"):
            button = row.get_by_role("button", name=name)
            await expect(button).to_be_disabled()
            await expect(button).to_have_attribute("title", "Your account may not judge anomalies.")
        assert not await one.serious()


def row_path(plant: PlantServer) -> str:
    (step,) = plant.server.episodes.open_now()
    return plant.server.plant.device_path(step["device_id"])
