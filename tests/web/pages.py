"""What the tests of the page do with it: open it, wait for what it says, look for what it must not say."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

from stack.config import ROOT

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "docs" / "images" / "web"
IN_DOCS = {
    "oee",
    "downtime",
    "orders",
    "alarms",
    "alarms-phone",
    "alarm-figures",
    "overview",
    "machine",
    "machine-dark",
    "machine-phone",
    "trends-8h",
    "trends-alarms",
    "command",
    "degraded",
    "wall",
}
DESKTOP, PHONE, TABLET, WALL = (1280, 800), (390, 844), (820, 1180), (1920, 1080)
# Answers that a test asks for on purpose; Chromium writes a line for each.
_EXPECTED = ("Failed to load resource", "WebSocket connection to")


@dataclass
class Screen:
    """A tab, and what went wrong in it."""

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    async def go(self, address: str) -> None:
        """Open an address of the page: what stands behind its `#`."""
        await self.page.goto(f"{self.origin}/#/{address}")

    async def says(self, text: str, *, within: str = "body", timeout_s: float = 15.0) -> None:
        """Wait until a text can be seen."""
        found = self.page.locator(within).get_by_text(text).filter(visible=True).first
        await found.wait_for(timeout=timeout_s * 1000)

    async def picture(self, name: str) -> None:
        """Keep a picture for the docs, when they are asked for: `MILLRACE_PICTURES=1`; with `all` also those that no page shows."""
        wanted = os.environ.get("MILLRACE_PICTURES", "")
        if wanted == "all" or (wanted and name in IN_DOCS):
            PICTURES.mkdir(parents=True, exist_ok=True)
            await self.page.mouse.move(0, 0)
            await self.page.screenshot(path=PICTURES / f"{name}.png")

    async def serious(self) -> list[str]:
        """What axe-core finds that is serious or critical: rule, count, first place."""
        # From the file into the page's world, by the browser itself: the page's policy lets no other script in.
        await self.page.evaluate(AXE.read_text())
        # A row that is scrolled half under a banner that stays is not too small.
        await self.page.evaluate("window.scrollTo({top: 0, behavior: 'instant'})")
        found: dict[str, Any] = await self.page.evaluate(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
        )
        return [
            f"{one['id']} x{len(one['nodes'])}: {one['nodes'][0]['target']} {one['nodes'][0]['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in {"serious", "critical"}
        ]

    async def cut(self, selector: str) -> list[str]:
        """Texts of the elements whose content is wider than they are: cut, scrolled, or over their neighbour."""
        found: list[str] = await self.page.evaluate(
            "selector => [...document.querySelectorAll(selector)].filter(one => one.scrollWidth > one.clientWidth)"
            ".map(one => one.textContent.slice(0, 80))",
            selector,
        )
        return found

    async def overflow(self) -> int:
        """Pixels that the page is wider than its window."""
        width: int = await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return width


@asynccontextmanager
async def screen(
    browser: Browser,
    origin: str,
    *,
    size: tuple[int, int] = DESKTOP,
    dark: bool = False,
    worker: bool = False,
    name: str = "",
    expected: tuple[str, ...] = (),
    language: str = "en-GB",
) -> AsyncIterator[Screen]:
    """A browser of its own for a person called `name`; fails at its end for every console error that was not expected."""
    context: BrowserContext = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        service_workers="allow" if worker else "block",
        locale=language,
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
        accept_downloads=True,
    )
    found = Screen(await context.new_page(), origin, expected=expected)

    def heard(message: ConsoleMessage) -> None:
        # A busy machine makes the server postpone bulk reads; the page asks again.
        known = (*found.expected, "Service Worker registration blocked", "status of 429")
        if message.type in {"error", "warning"} and not any(text in message.text for text in known):
            found.errors.append(f"{message.type}: {message.text} {message.location}")

    found.page.on("console", heard)
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    try:
        if name:
            answer = await context.request.post(
                f"{origin}/api/v1/session", data={"name": name}, headers={"origin": origin}
            )
            assert answer.ok, await answer.text()
        yield found
        assert not found.errors, found.errors
    finally:
        await context.close()


def without_server() -> tuple[str, ...]:
    """Lines that Chromium writes while the server is away."""
    return _EXPECTED
