"""Notifications of a browser: a person turns them on and off on the page, the worker shows what comes and opens the alarm."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from base import p256
from notifier.push import encrypted, public_key
from schemas import topics
from schemas.push import PushSubscription, subscription_id
from tests.web.pages import PHONE, Screen, screen
from tests.web.plant_server import PlantServer, plant_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEY = public_key(p256.key_pem(p256.new_key()).encode())
ENDPOINT = "https://updates.push.services.mozilla.com/wpush/v2/a-browser"
# A headless browser has no push service: this one is in its place, and asks as a browser's does.
SERVICE = """(([endpoint, p256dh]) => {
  let made = null;
  PushManager.prototype.getSubscription = async () => made;
  PushManager.prototype.subscribe = async ({applicationServerKey, userVisibleOnly}) => {
    if (!userVisibleOnly) throw new Error("nothing is shown");
    window.subscribedWith = applicationServerKey;
    made = {
      toJSON: () => ({endpoint, expirationTime: null, keys: {p256dh, auth: "AAECAwQFBgcICQoLDA0ODw"}}),
      unsubscribe: async () => { made = null; window.unsubscribed = true; return true; },
    };
    return made;
  };
})"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plant(built: Path) -> AsyncIterator[PlantServer]:
    """The demonstration plant, with a key for browsers."""
    async with plant_server(built, push_key=KEY) as running:
        yield running


async def ready(one: Screen) -> None:
    """A browser that may notify, with its push service."""
    await one.page.context.grant_permissions(["notifications"], origin=one.origin)
    await one.page.add_init_script(f"{SERVICE}({json.dumps([ENDPOINT, KEY])})")


def kept(plant: PlantServer) -> PushSubscription | None:
    """What the topic has of the browser."""
    wanted = (topics.ALARM_SUBSCRIPTIONS.name, str(subscription_id(ENDPOINT)).encode())
    found = [value for *place, value in plant.requests.records if tuple(place) == wanted]
    return PushSubscription.decode(found[-1]) if found else None


async def controlled(page: Page) -> None:
    """Wait until the worker is there."""
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")


async def test_a_person_turns_them_on_and_off_and_signing_out_ends_them(browser: Browser, plant: PlantServer) -> None:
    async with screen(browser, plant.origin, name="anna", worker=True, size=PHONE) as one:
        await ready(one)
        await one.go("settings")
        await controlled(one.page)
        await one.page.reload()
        panel = one.page.locator("section.panel").filter(has_text="Notifications on this device")
        await panel.get_by_role("button", name="Turn on").click()
        await expect(panel).to_contain_text("This browser shows alarms")
        assert await one.page.evaluate("window.subscribedWith") == KEY
        found = kept(plant)
        assert found is not None
        assert (found.principal, found.endpoint) == ("local:anna", ENDPOINT)
        assert found.session_us <= found.renewed_us
        assert encrypted(b"x", found), "the keys are ones that the notifier can use"
        assert not await one.serious()
        assert await one.overflow() <= 0
        await one.picture("push-phone")
        await panel.get_by_role("button", name="Turn off").click()
        await expect(panel.get_by_role("button", name="Turn on")).to_be_visible()
        assert kept(plant) is None
        await panel.get_by_role("button", name="Turn on").click()
        await expect(panel).to_contain_text("This browser shows alarms")
        assert kept(plant) is not None
        await one.page.get_by_role("button", name="Sign out", exact=True).click()
        await one.page.wait_for_function("window.unsubscribed === true")
        assert kept(plant) is None


async def test_the_worker_shows_what_comes_and_leads_to_the_alarm(browser: Browser, plant: PlantServer) -> None:
    async with screen(browser, plant.origin, name="anna", worker=True) as one:
        await ready(one)
        workers = await one.page.context.new_cdp_session(one.page)
        registered: list[dict[str, Any]] = []
        workers.on("ServiceWorker.workerRegistrationUpdated", lambda event: registered.extend(event["registrations"]))
        await workers.send("ServiceWorker.enable")
        await one.go("overview")
        await controlled(one.page)
        alarm = "0198c0de-0000-7000-8000-000000000007"
        told = {"id": "m-1", "title": "[HIGH] Oil too hot", "body": "Open valve V3.", "alarm": alarm, "urgent": False}
        number = next(each["registrationId"] for each in registered if not each["isDeleted"])
        for _ in range(2):  # the same message again is shown once
            message = {"origin": one.origin, "registrationId": number, "data": json.dumps(told)}
            await workers.send("ServiceWorker.deliverPushMessage", message)
        shown = (
            "async () => (await (await navigator.serviceWorker.ready).getNotifications())"
            ".map(each => [each.title, each.body, each.tag, each.data.alarm])"
        )
        await one.page.wait_for_function(f"({shown})().then(found => found.length === 1)")
        assert await one.page.evaluate(shown) == [["[HIGH] Oil too hot", "Open valve V3.", "m-1", alarm]]
        (worker,) = one.page.context.service_workers
        await worker.evaluate(
            "async () => { const [notification] = await self.registration.getNotifications();"
            " self.dispatchEvent(new NotificationEvent('notificationclick', {notification})); }"
        )
        await one.page.wait_for_url(f"**/#/alarms?alarm={alarm}")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"endpoint": "http://push.example.com/x"}, "https address"),
        ({"endpoint": "https://user@push.example.com/x"}, "https address"),
        ({"endpoint": 7}, "https address"),
        ({"keys": None}, "keys are missing"),
        ({"keys": {"p256dh": KEY, "auth": "AAEC"}}, "keys.auth is 16 bytes"),
        ({"keys": {"p256dh": "%%%", "auth": "AAECAwQFBgcICQoLDA0ODw"}}, "keys.p256dh is 65 bytes"),
    ],
)
async def test_what_is_no_subscription_is_refused(
    browser: Browser, plant: PlantServer, changes: dict[str, Any], says: str
) -> None:
    good = {"endpoint": ENDPOINT, "keys": {"p256dh": KEY, "auth": "AAECAwQFBgcICQoLDA0ODw"}}
    async with screen(browser, plant.origin, name="anna", expected=("Failed to load resource",)) as one:
        before = len(plant.requests.records)
        request = one.page.context.request
        who = await (await request.get(f"{one.origin}/api/v1/me")).json()
        headers = {"origin": one.origin, "x-csrf-token": who["csrf"]}
        answer = await request.post(f"{one.origin}/api/v1/push", data=good | changes, headers=headers)
        assert answer.status == 400
        assert says in (await answer.json())["detail"]
        assert len(plant.requests.records) == before


async def test_a_server_without_a_key_says_so(browser: Browser, built: Path) -> None:
    async with plant_server(built) as without, screen(browser, without.origin, name="anna", worker=True) as one:
        await ready(one)
        await one.go("settings")
        await controlled(one.page)
        await one.page.reload()
        await one.says("This server sends no notifications to browsers.")
