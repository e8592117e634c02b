"""`screen`: how old a value is when a person sees it: a machine's page in a real browser, on the example plant's running line.

A value's age cell carries its source time, so the page itself says which sample it shows; the moment is that of the frame that the browser
paints next. Two figures for each value that was shown: from its source time, and from the close of its frame at the gateway, which is read
from the frames' topic afterwards. Clocks are one and the same here: machines, gateway, server and browser are on one machine.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from base.errors import UnavailableError
from base.settings import KafkaSettings
from benchmarks import figures
from connectors.kafka import client as kafka
from schemas import codec, frame, topics
from schemas.definitions import tag_from_record
from stack import instance, lifecycle
from stack.config import TOOLS, Parallelism, StackConfig
from stack.reporting import Progress

if TYPE_CHECKING:
    from playwright.async_api import Page

MACHINE = "acme/north/forming/line-1/blanking/press-01"
_OPEN_MS = 60_000
_SETTLE_S = 15.0
_LOOK_S = 0.1
_WATCH = """() => {
  const shown = (window.millraceShown = []), last = new Map();
  const look = () => requestAnimationFrame(() => {
    const now = Date.now();
    for (const age of document.querySelectorAll("table.live td.age time")) {
      const tag = new URLSearchParams(age.closest("tr").querySelector("th a").hash.split("?")[1]).get("tag");
      if (last.get(tag) === age.dateTime) continue;
      if (last.has(tag)) shown.push([tag, Date.parse(age.dateTime), now]);
      last.set(tag, age.dateTime);
    }
  });
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributeFilter: ["datetime"] });
  look();
}"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A value that came to the screen: path of its tag, its source time, and when it was painted; milliseconds since 1970."""

    path: str
    source_ms: int
    painted_ms: int


async def watch(page: Page, origin: str, machine: str, *, updates: int, timeout_s: float) -> list[Shown]:
    """Open a machine's page and note so many values as they come to the screen, those of the opening left out."""
    await page.goto(f"{origin}/#/device/{machine}")
    await page.locator("table.live td.age time").first.wait_for(timeout=_OPEN_MS)
    await page.evaluate(_WATCH)
    deadline = time.monotonic() + timeout_s
    while await page.evaluate("window.millraceShown.length") < updates:
        if time.monotonic() > deadline:
            msg = f"fewer than {updates} new values came to the screen within {timeout_s:g} s"
            raise UnavailableError(msg)
        await asyncio.sleep(_LOOK_S)
    return [Shown(*row) for row in await page.evaluate("window.millraceShown")]


def closed_ms(messages: Iterable[bytes], tag_ids: Mapping[str, int]) -> dict[tuple[str, int], float]:
    """When the frame of each sample was closed, by path and source time in milliseconds; of those paths."""
    path_of = {tag_id: path for path, tag_id in tag_ids.items()}
    found: dict[tuple[str, int], float] = {}
    for message in messages:
        one = frame.decode(message)
        for tag_id, time_us in zip(one.tag_id.tolist(), one.time_us.tolist(), strict=True):
            if (path := path_of.get(tag_id)) is not None:
                found[path, time_us // 1000] = one.closed_time_us / 1000
    return found


def frames_of(config: StackConfig, site: str, paths: Iterable[str]) -> dict[tuple[str, int], float]:
    """`closed_ms` of a running line."""
    settings, wanted = KafkaSettings(bootstrap_servers=config.bootstrap_servers), set(paths)
    tag_ids = {}
    for message in kafka.read_to_end(settings, topics.TAGS.name):
        if message.key() != topics.REGISTRY_VERSION_KEY:
            tag = tag_from_record(codec.decode(message.value() or b"")[1])
            if tag.path in wanted:
                tag_ids[tag.path] = tag.tag_id
    frames = kafka.read_to_end(settings, topics.FRAMES.for_site(site))
    return closed_ms((message.value() or b"" for message in frames), tag_ids)


def ways(shown: Iterable[Shown], closed: Mapping[tuple[str, int], float]) -> dict[str, Any]:
    """Figures of what was shown; `unknown` are values that no frame has."""
    seen = list(shown)
    known = [(one, closed.get((one.path, one.source_ms))) for one in seen]
    return {
        "updates": len(seen),
        "unknown": sum(at_ms is None for _, at_ms in known),
        **figures.percentiles(np.array([one.painted_ms - one.source_ms for one in seen]), "source_"),
        **figures.percentiles(
            np.array([one.painted_ms - at_ms for one, at_ms in known if at_ms is not None]), "closed_"
        ),
    }


def run(*, updates: int, progress: Progress) -> dict[str, Any]:
    """Bring the example plant up, look at a machine, take it down."""
    chromium()  # before the line comes up for nothing
    with instance.temporary(folder=TOOLS / "bench", parallelism=Parallelism()) as running:
        lifecycle.up(running.config, progress)
        time.sleep(_SETTLE_S)  # let the cost of starting pass out of the figures
        with progress.step("look") as details:
            shown = asyncio.run(look(running.config, updates))
            found = ways(shown, frames_of(running.config, MACHINE.split("/")[1], {one.path for one in shown}))
            details.append(f"closed to screen p50 {found.get('closed_p50_ms')} ms")
    return found


def chromium() -> str:
    """Path of the browser; raises UnavailableError."""
    if (found := shutil.which("chromium")) is None:
        msg = "Chromium is missing: `./millrace test` installs it (package chromium)"
        raise UnavailableError(msg)
    return found


async def look(config: StackConfig, updates: int) -> list[Shown]:
    """Open the machine's page of a running line in Chromium."""
    from playwright.async_api import async_playwright  # the other scenarios need no browser

    async with async_playwright() as playwright:
        # As root its sandbox does not start; it only opens pages of ours.
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            origin = f"http://{config.host}:{config.ports.serving_http}"
            return await watch(await browser.new_page(), origin, MACHINE, updates=updates, timeout_s=updates + 60)
        finally:
            await browser.close()
