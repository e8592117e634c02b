"""Fixtures of the tests of the page: the built page, a browser, a serving process in this one that is fed by hand."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from base.ids import now_us
from registry import edit
from stack import node, page
from tests.integration import worked_history
from tests.integration.conftest import postgres_admin_dsn, stack
from tests.integration.fix_history import copy_of, history_template
from tests.web import demo_history
from tests.web.plant_server import PlantServer, plant_server

__all__ = ["history_template", "postgres_admin_dsn", "stack"]

CHROMIUM = shutil.which("chromium")
# Conditions are waited for; a busy machine takes its time.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def built() -> Path:
    """The page as `up` builds it, with the packages of its checks."""
    page.build()
    with node.alone(page.LOCK):
        node.install(page.SOURCE)
    return page.DIST


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, which `./millrace test` installs."""
    assert CHROMIUM, "Chromium is missing: './millrace test' installs it (package chromium)"
    async with async_playwright() as playwright:
        # As root its sandbox does not start; it only opens pages of ours.
        found = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--lang=en-GB"])
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plant(built: Path) -> AsyncIterator[PlantServer]:
    """A server with the demonstration plant, whose values move."""
    async with plant_server(built) as running:
        moving = asyncio.create_task(running.move())
        yield running
        moving.cancel()
        await asyncio.gather(moving, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def history_plant(
    built: Path, postgres_admin_dsn: str, history_template: Callable[[str], str]
) -> AsyncIterator[PlantServer]:
    """The same with a past, in a real database."""
    with copy_of(postgres_admin_dsn, history_template("plain")) as dsn:
        async with plant_server(built, dsn=dsn) as running:
            await asyncio.to_thread(demo_history.write, dsn, running.tags, now_us())
            moving = asyncio.create_task(running.move())
            yield running
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def work_plant(
    built: Path, postgres_admin_dsn: str, history_template: Callable[[str], str]
) -> AsyncIterator[PlantServer]:
    """The example plant with yesterday's work in a real database: shifts, stops, orders."""
    with copy_of(postgres_admin_dsn, history_template("plain")) as dsn:
        day = (datetime.now(UTC) - timedelta(days=1)).astimezone(worked_history.ZONE).date()
        await asyncio.to_thread(worked_history.write, dsn, day)
        with psycopg.connect(dsn) as connection:
            registry, _ = edit.definitions(connection)
        async with plant_server(built, dsn=dsn, registry=registry) as running:
            yield running
