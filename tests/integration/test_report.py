"""`./millrace report` on a day's work: figures of the page equal SQL, periods come from the calendar, the PDF is one page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from reports.texts import Words
from stack.config import ROOT
from tests.integration import worked_history
from tests.integration.fix_history import copy_of

DAY = (datetime.now(UTC) - timedelta(days=1)).astimezone(worked_history.ZONE).date()
BEGIN, END = worked_history.shift_of(DAY)
EN = Words("en", worked_history.ZONE)
SITE = worked_history.SITE


@pytest.fixture(scope="module")
def worked(postgres_admin_dsn: str, history_template: Callable[[str], str]) -> Iterator[str]:
    """A database with yesterday's work in it."""
    with copy_of(postgres_admin_dsn, history_template("plain")) as dsn:
        worked_history.write(dsn, DAY)
        yield dsn


def run(folder: Path, dsn: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program as people start it."""
    config = folder / "platform.toml"
    config.write_text(f'sites = ["north"]\n[kafka]\nbootstrap_servers = "unused"\n[postgres]\ndsn = "{dsn}"\n')
    command = [sys.executable, "-m", "reports", *arguments, "--out", str(folder), "--config", str(config)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def figure(html: str, name: str) -> str:
    found = re.search(rf'data-figure="{name}">([^<]*)<', html)
    assert found, name
    return found[1]


def row(html: str, path: str) -> list[str]:
    """Cells of a line or machine, without their drawings."""
    found = re.search(rf'<tr[^>]* data-path="{re.escape(path)}">(.*?)</tr>', html, re.DOTALL)
    assert found, path
    cells = re.findall(r"<td[^>]*>(.*?)</td>", found[1], re.DOTALL)
    return [re.sub(r"<svg.*?</svg>", "", cell, flags=re.DOTALL) for cell in cells]


def test_figures_of_the_page_equal_sql(worked: str, tmp_path: Path) -> None:
    done = run(tmp_path, worked, "north", "--shift", "--at", (BEGIN + timedelta(hours=1)).isoformat(), "--no-pdf")
    assert done.returncode == 0, done.stderr
    written = Path(done.stdout.strip())
    assert written.name == f"acme-north-shift-{DAY}-early.html"
    html = written.read_text()
    within: dict[str, Any] = {"scope": SITE, "begin": BEGIN, "end": END}
    with psycopg.connect(worked) as sql:

        def one(query: str) -> tuple[Any, ...]:
            found = sql.execute(query, within).fetchone()
            assert found is not None
            return found

        oee, a, e, q, gq, pq = one(
            "SELECT oee, availability, effectiveness, quality, gq, pq FROM oee_between(%(scope)s, %(begin)s, %(end)s, '{}')"
        )
        assert 0.3 < oee < 0.95
        for name, value in (("oee", oee), ("availability", a), ("effectiveness", e), ("quality", q)):
            assert figure(html, name) == EN.share(value)
        assert (figure(html, "gq"), figure(html, "scrap")) == (EN.number(gq), EN.number(pq - gq))
        (energy,) = one("SELECT energy FROM energy_between(%(scope)s, %(begin)s, %(end)s, '{}') WHERE unit = 'kW.h'")
        assert figure(html, "energy") == f"{EN.number(energy)} kWh"
        rows = sql.execute(
            "SELECT path, oee, availability, effectiveness, quality, pbt_s - apt_s, gq, pq - gq"
            " FROM oee_between(%(scope)s, %(begin)s, %(end)s, '{line}')"
            " UNION ALL SELECT path, oee, availability, effectiveness, quality, pbt_s - apt_s, gq, pq - gq"
            " FROM oee_between(%(scope)s, %(begin)s, %(end)s, '{device}') WHERE path LIKE '%%line-1/%%'",
            within,
        ).fetchall()
        assert len(rows) == 4 + 4
        for path, *shares, stopped, good, scrap in rows:
            cells = row(html, path)
            assert cells[1:5] == [EN.share(share) for share in shares], path
            assert (cells[5], cells[6], cells[8]) == (EN.hours(stopped), EN.number(good), EN.number(scrap))
        reason, seconds = one(
            "SELECT coalesce(reason, packml_state || ': no reason'), sum(extract(epoch FROM end_time - start_time))::float8"
            " FROM downtimes_between(%(scope)s, %(begin)s, %(end)s) GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
        )
        assert f"{reason}: {EN.hours(seconds)} ·" in html
        # Stops that are not planned are what availability lost, where the state is known.
        (lost,) = one(
            "SELECT sum(extract(epoch FROM end_time - start_time))::float8"
            " FROM downtimes_between(%(scope)s, %(begin)s, %(end)s) WHERE NOT planned"
        )
        (stopped,) = one(
            "SELECT sum(availability_loss_s - unknown_s) FROM oee_between(%(scope)s, %(begin)s, %(end)s, '{device}')"
        )
        assert lost == pytest.approx(stopped, abs=1)
        (gaps,) = one("SELECT count(*) FROM device_events WHERE kind = 'GAP' AND time BETWEEN %(begin)s AND %(end)s")
        (refused,) = one("SELECT count(*) FROM rejected WHERE rejected_at BETWEEN %(begin)s AND %(end)s")
        assert f"{refused} samples refused · {gaps} gaps" in html
    order = re.search(r"JO-1187.*?<b>([\d,]+)</b> / ([\d,]+) · ([\d,]+)", html, re.DOTALL)
    assert order
    assert (order[2], order[3]) == ("8,400", "12,600")
    assert 0 < int(order[1].replace(",", "")) < 8_400
    # It was not heard for half an hour of eight.
    assert row(html, f"{SITE}/machining/line-3/milling-a/mill-02")[-1] == EN.share(15 / 16, 0)


def test_shift_day_and_week_are_those_of_the_calendar(worked: str, tmp_path: Path) -> None:
    at = ("--at", (END - timedelta(minutes=1)).isoformat(), "--no-pdf")
    night = ("--at", (BEGIN - timedelta(hours=2)).isoformat(), "--no-pdf")
    monday = DAY - timedelta(days=DAY.weekday())
    for arguments, name in (
        (("machining/line-3", "--shift", *at), f"acme-north-machining-line-3-shift-{DAY}-early"),
        (("machining/line-3", "--shift", *night), f"acme-north-machining-line-3-shift-{DAY - timedelta(days=1)}-night"),
        (("machining/line-3", "--day", *at), f"acme-north-machining-line-3-day-{DAY}"),
        (("machining/line-3", "--week", *at, "--language", "de"), f"acme-north-machining-line-3-week-{monday}"),
    ):
        done = run(tmp_path, worked, *arguments)
        assert (done.returncode, Path(done.stdout.strip()).stem) == (0, name), done.stderr
    assert "Wochenbericht" in (tmp_path / f"{name}.html").read_text()


def test_a_page_is_printed_on_one_sheet(worked: str, tmp_path: Path) -> None:
    done = run(tmp_path, worked, "north", "--shift", "--at", BEGIN.isoformat())
    assert done.returncode == 0, done.stderr
    if os.environ.get("MILLRACE_PICTURES"):
        _picture(Path(done.stdout.splitlines()[0]), ROOT / "docs" / "images" / "report.png")
    printed = Path(done.stdout.splitlines()[1]).read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    assert re.search(rb"/MediaBox\s*\[\s*0 0 59[45][\d.]* 84[12]", printed)


def _picture(page: Path, target: Path) -> None:
    """The page as it is seen, for the docs."""
    size = ["--window-size=780,1110", "--force-device-scale-factor=1.5", "--hide-scrollbars"]
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        *size,
        f"--screenshot={target}",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def test_what_cannot_be_reported_is_said(worked: str, tmp_path: Path) -> None:
    with psycopg.connect(worked, autocommit=True) as sql:
        sql.execute("DELETE FROM work_calendars WHERE scope = 'acme/south'")
    for arguments, status, cause in (
        (("nowhere", "--day"), 2, "nothing in the plant is called 'nowhere'"),
        (("south", "--shift"), 2, "acme/south has no shift in the 14 days before"),
        (("north", "--day", "--at", "soon"), 2, "'soon' is neither a time"),
    ):
        done = run(tmp_path, worked, *arguments)
        assert (done.returncode, cause in done.stderr) == (status, True), done.stderr
    # Without a browser the page is there all the same, and says how to print it.
    done = run(tmp_path, worked, "press-01", "--day", PATH=str(tmp_path))
    assert (done.returncode, "package chromium" in done.stderr) == (3, True)
    assert Path(done.stdout.strip()).exists()
