"""Commands on the page: the form knows the machine's rules, a second person approves, each state shows as it happens."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from base.ids import now_us
from schemas.commands import CommandState
from tests.unit.served import eventually
from tests.web.demo_plant import PRESS
from tests.web.pages import Screen, screen
from tests.web.plant_server import PlantServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _ordered(one: Screen, value: str, *, second: bool = False) -> None:
    """Fill the form and send it."""
    await one.go(f"device/{PRESS}")
    await one.page.get_by_role("button", name="Command").click()
    dialog = one.page.get_by_role("dialog")
    await dialog.get_by_label("speed setpoint").fill(value)
    await dialog.get_by_label("Reason").fill("thinner sheet")
    if second:
        await dialog.get_by_label("A second person approves it").check()
    await dialog.get_by_role("button", name="Check").click()


async def test_a_command_is_approved_by_a_second_person_and_followed_to_its_outcome(
    browser: Browser, history_plant: PlantServer
) -> None:
    async with (
        screen(browser, history_plant.origin, name="anna") as anna,
        screen(browser, history_plant.origin, name="ben") as ben,
    ):
        await ben.go("commands")
        await _ordered(anna, "20", second=True)
        await expect(anna.page.get_by_role("dialog")).to_contain_text("24.0 →")
        await anna.picture("command-confirm")
        await anna.page.get_by_role("button", name="Send command").click()
        await anna.says("Waits for approval", within="main")
        await expect(anna.page.get_by_role("button", name="Approve")).to_be_disabled()
        await anna.says("somebody else has to approve it", within="main")
        request = history_plant.asked()
        assert (request.name, request.parameters, request.requires_approval) == (
            "write",
            {"speed_setpoint": 20.0},
            True,
        )

        await ben.says("Waiting for approval", within="main")
        await ben.page.get_by_role("button", name="Approve").click()
        await eventually(lambda: any(name == "CommandControl" for name, _ in history_plant.requests.decoded))
        history_plant.record(request, CommandState.ACCEPTED, 2)
        history_plant.ack(request, CommandState.DELIVERED)
        history_plant.ack(request, CommandState.EXECUTING)
        history_plant.ack(request, CommandState.SUCCEEDED, readback={"speed_setpoint": 20.0})
        steps = anna.page.locator(".steps li")
        await expect(steps.filter(has_text="Succeeded")).to_contain_text("provisional")
        history_plant.record(request, CommandState.SUCCEEDED, 5, readback={"speed_setpoint": 20.0})
        await expect(steps.filter(has_text="Succeeded")).to_contain_text("recorded")
        await expect(steps.first).to_contain_text("Waits for approval")
        await expect(anna.page.get_by_role("row", name="speed setpoint")).to_contain_text("20 /min")
        await anna.picture("command")
        await expect(ben.page.get_by_role("button", name="Approve")).to_have_count(0)


async def test_the_form_refuses_what_the_machine_would(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin) as one:
        before = len(history_plant.requests.records)
        for value, problem in (
            ("", "Set at least one value."),
            ("fast", "speed setpoint has to be a number."),
            ("41", "speed setpoint has to lie between 0 and 40."),
        ):
            await _ordered(one, value)
            await expect(one.page.get_by_role("dialog").get_by_role("alert")).to_have_text(problem)
            await one.page.keyboard.press("Escape")
            await expect(one.page.get_by_role("dialog")).to_have_count(0)
        assert len(history_plant.requests.records) == before


async def test_what_waits_can_be_withdrawn(browser: Browser, history_plant: PlantServer) -> None:
    async with screen(browser, history_plant.origin, name="anna") as one:
        await _ordered(one, "21,5", second=True)
        await one.page.get_by_role("button", name="Send command").click()
        await one.says("Waits for approval", within="main")
        request = history_plant.asked()
        assert request.parameters == {"speed_setpoint": 21.5}
        assert request.expires_us > now_us()
        await one.page.get_by_role("button", name="Withdraw").click()
        await eventually(
            lambda: any(
                name == "CommandControl" and content["command_id"] == request.command_id
                for name, content in history_plant.requests.decoded
            )
        )
        history_plant.record(request, CommandState.CANCELLED, 2, detail="withdrawn by local:anna")
        await one.says("Withdrawn", within=".steps")
        await expect(one.page.get_by_role("button", name="Withdraw")).to_have_count(0)
