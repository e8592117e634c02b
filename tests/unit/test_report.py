"""The page of a report without a database: words, numbers, periods, what is shown and what is counted."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reports import drawing, page, periods
from reports.__main__ import name_of
from reports.drawing import Part
from reports.model import Anomaly, Cause, Data, Oee, Order, Period, Place, Report, Span, Step
from reports.texts import CATALOGUES, Words

ZONE = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 11, 27, 6, tzinfo=ZONE)
OEE = Oee(pbt_s=28_800, apt_s=23_040, ideal_s=20_736, pq=8_294, gq=8_128, other_gq=100)
EN, DE = Words("en", ZONE), Words("de", ZONE)


def report(**changes: Any) -> Report:
    """A shift of a site with a line of two machines."""
    line = Place(
        path="acme/north/forming/line-1", device=False, oee=OEE, planned=9_000, energy=400, anomalies=1, coverage=0.9
    )
    machines = [Place(path=f"{line.path}/blanking/press-0{n}", device=True, oee=OEE) for n in (1, 2)]
    made = Report(
        scope="acme/north",
        period=Period(
            span=Span.SHIFT, day=BEGIN.date(), begin=BEGIN, end=BEGIN + timedelta(hours=8), zone=ZONE, shift="early"
        ),
        made_at=BEGIN + timedelta(hours=8),
        total=Place(path="acme/north", device=False, oee=OEE, energy=400, anomalies=1, coverage=0.9),
        before=dataclasses.replace(OEE, gq=8_000),
        places=(line, *machines),
        causes=(
            Cause(reason="mechanical/bearing", state="", stopped_s=4_000, times=2),
            Cause(reason="", state="HELD", stopped_s=1_760, times=4),
        ),
        orders=(
            Order(
                name="JO-1",
                material="<b>bracket</b>",
                status="RUNNING",
                scope=line.path,
                quantity=20_000,
                planned=10_000,
                good=8_000,
            ),
        ),
        anomalies=(Anomaly(device=machines[0].path, begin=BEGIN, end=None, score=0.97, tags=("power",)),),
        steps=tuple(Step(begin=BEGIN + timedelta(hours=hour), oee=OEE if hour != 3 else Oee()) for hour in range(8)),
        data=Data(coverage=0.9, refused=3, gaps=1, gap_samples=120),
    )
    return dataclasses.replace(made, **changes)


def test_factors_multiply_to_oee_and_losses_add_up_to_planned_time() -> None:
    assert OEE.availability is not None
    assert OEE.effectiveness is not None
    assert OEE.quality is not None
    assert OEE.oee == pytest.approx(0.8 * 0.9 * 8_128 / 8_294)
    assert OEE.good_s is not None
    assert OEE.scrapped_s is not None
    assert OEE.slow_s is not None
    assert OEE.good_s + OEE.scrapped_s + OEE.slow_s + OEE.stopped_s == pytest.approx(OEE.pbt_s)
    assert OEE.good_s / OEE.pbt_s == pytest.approx(OEE.oee)


@pytest.mark.parametrize("empty", [Oee(), Oee(pbt_s=10, apt_s=5), Oee(pbt_s=10, ideal_s=0.0)])
def test_what_is_not_known_is_not_zero(empty: Oee) -> None:
    assert empty.oee is None
    assert EN.share(empty.oee) == "–"


def test_every_language_has_every_word_with_the_same_values() -> None:
    def values(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text)} - {None}

    english = CATALOGUES["en"]
    for language, words in CATALOGUES.items():
        assert words.keys() == english.keys(), language
        assert {key for key in words if values(words[key]) != values(english[key])} == set()


def test_numbers_and_times_are_those_of_the_language() -> None:
    assert (EN.number(1234.5, 1), DE.number(1234.5, 1)) == ("1,234.5", "1.234,5")
    assert (EN.share(0.7143), DE.share(0.7143)) == ("71.4\u202f%", "71,4\u202f%")
    assert (EN.hours(59), EN.hours(3_900), DE.hours(None)) == ("1 min", "1 h 05 min", "–")
    assert (EN.long_date(date(2026, 11, 27)), DE.long_date(date(2026, 11, 27))) == (
        "Friday, 27 November 2026",
        "Freitag, 27. November 2026",
    )
    assert (EN.clock(BEGIN.astimezone(UTC)), EN.moment(BEGIN), DE.moment(BEGIN)) == (
        "06:00",
        "2026-11-27 06:00",
        "27.11.2026 06:00",
    )


class _Tags(HTMLParser):
    """What the page would load, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loaded += [
            f"{tag} {name}" for name, _ in attributes if name in {"src", "href", "srcset", "action", "data"}
        ]
        assert tag not in {"script", "link", "iframe", "object", "embed", "b>bracket"}

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.mark.parametrize("language", CATALOGUES)
def test_the_page_needs_nothing_else_and_says_everything(language: str) -> None:
    html = page.html(report(), language)
    read = _Tags(html)
    assert read.loaded == []
    assert not re.search(r"@import|url\((?!#)|https?://", html)
    for text in ("north", "forming/line-1", "press-01", "JO-1", "<b>bracket</b>", "mechanical/bearing"):
        assert any(text in found for found in read.texts), text
    assert f'<html lang="{language}">' in html


def test_figures_of_the_page_are_those_of_the_report() -> None:
    html = page.html(report(), "en")
    for name, text in (
        ("oee", "70.6\u202f%"),
        ("availability", "80.0\u202f%"),
        ("effectiveness", "90.0\u202f%"),
        ("gq", "8,128"),
        ("scrap", "166"),
    ):
        assert re.search(rf'data-figure="{name}">{text}<', html), name
    assert "+1.1 points against the same length of time before" in html
    assert "0.049 kWh a good piece" in html
    assert "orders: 80\u202f% of 10,000 planned" in html
    assert "HELD: no reason" in html
    assert "Data for 90.0\u202f% of the time · 3 samples refused · 1 gaps reported by gateways (120 samples)" in html


def test_machines_without_planned_run_time_are_not_called_slow() -> None:
    parts = page.parts_of(Oee(pbt_s=100, apt_s=60), EN)
    assert [(part.kind, part.value) for part in parts] == [("unrated", 60), ("stopped", 40)]


def test_more_machines_than_fit_are_counted_and_the_worst_are_shown() -> None:
    lines = [Place(path=f"acme/north/area/line-{n}", device=False, oee=OEE) for n in range(2)]
    machines = [
        Place(path=f"acme/north/area/line-0/cell/m-{n:02d}", device=True, oee=dataclasses.replace(OEE, gq=8_000 - n))
        for n in range(40)
    ]
    kept = page.shown((*lines, *machines))
    assert len(kept) == page.MAX_PLACES
    assert {place.name for place in kept if place.device} == {f"m-{n:02d}" for n in range(20, 40)}
    html = page.html(report(places=(*lines, *machines)), "en")
    assert "and 20 more, with smaller losses" in html


def test_a_week_is_compared_with_the_week_before_and_has_seven_days_of_any_length() -> None:
    # Summer time ends in this week.
    monday = datetime(2026, 10, 19, tzinfo=ZONE)
    week = Period(span=Span.WEEK, day=monday.date(), begin=monday, end=datetime(2026, 10, 26, tzinfo=ZONE), zone=ZONE)
    begin, end = periods.before(week)
    assert (begin, end) == (datetime(2026, 10, 12, tzinfo=ZONE), monday)
    hours = [(stop - start) / timedelta(hours=1) for start, stop in periods.steps(week)]
    assert hours == [24.0] * 6 + [25.0]


def test_hours_of_a_shift_are_those_of_the_clock() -> None:
    begin = datetime(2026, 11, 27, 5, 30, tzinfo=UTC)
    shift = Period(
        span=Span.SHIFT, day=begin.date(), begin=begin, end=begin + timedelta(hours=2), zone=ZONE, shift="early"
    )
    assert [f"{start:%H:%M}" for start, _ in periods.steps(shift)] == ["05:30", "06:00", "07:00"]


def test_files_are_named_after_place_span_day_and_shift() -> None:
    assert name_of(report()) == "acme-north-shift-2026-11-27-early"


def test_drawings_escape_and_stay_within_their_frame() -> None:
    found = drawing.stacked(
        [Part("good", 3.0, "<good>", "3 h", "75 %"), Part("stopped", 1.0, "stopped", "1 h", "25 %")], width=100
    )
    assert "&lt;good&gt;" in found
    assert "<good>" not in found
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', found)]
    assert sum(widths) == pytest.approx(100)
    assert ">75 %<" not in found
    assert ">3 h<" in found
