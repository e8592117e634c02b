"""A report as one HTML page: self-contained, A4, readable in grey.

Enters: a `Report`. Leaves: HTML. What does not fit on the page is counted, not cut off silently.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports import drawing
from reports.drawing import Part
from reports.model import Anomaly, Oee, Period, Place, Report, Span
from reports.texts import Words

MAX_PLACES, MAX_CAUSES, MAX_ORDERS, MAX_ANOMALIES = 22, 7, 6, 6


def html(report: Report, language: str) -> str:
    """The page."""
    words = Words(language, report.period.zone)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    places = shown(report.places)
    parts = parts_of(report.total.oee, words)
    causes = [
        (
            cause.reason or words("no_reason", state=cause.state),
            cause.stopped_s,
            _cause_text(cause.stopped_s, cause.times, words),
            cause.planned,
        )
        for cause in report.causes[:MAX_CAUSES]
    ]
    return environment.get_template("page.html").render(
        report=report,
        words=words,
        title=words(report.period.span),
        when=when(report.period, words),
        clock=clock(report.period, words),
        before=_before(report, words),
        plan=_plan(report, words),
        scrap=words(
            "of_made",
            share=words.share(_of(report.total.oee.scrap, report.total.oee.pq)),
            made=words.number(report.total.oee.pq),
        ),
        energy=_energy(report.total, words),
        parts=parts,
        where=drawing.stacked(parts),
        causes=causes,
        causes_whole=sum(cause.stopped_s for cause in report.causes),
        steps=[_step(report.period, step.begin, step.oee, words) for step in report.steps],
        places=places,
        hidden=len(report.places) - len(places),
        orders=report.orders[:MAX_ORDERS],
        anomalies=report.anomalies[:MAX_ANOMALIES],
        more_anomalies=max(len(report.anomalies) - MAX_ANOMALIES, 0),
        data=words(
            "footer_data",
            coverage=words.share(report.data.coverage),
            refused=words.number(report.data.refused),
            gaps=words.number(report.data.gaps),
            samples=words.number(report.data.gap_samples),
        ),
        small=drawing.small,
        pareto=drawing.pareto,
        columns=drawing.columns,
        progress=drawing.progress,
        label=lambda place: place.name if place.device else relative(place.path, report.scope),
        per_piece=lambda place: words.number(each_kwh(place), 3),
        spoken=partial(_spoken, words=words),
    )


def shown(places: tuple[Place, ...]) -> list[Place]:
    """Lines, and of their machines those that lost the most time, in the order of the plant."""
    if len(places) <= MAX_PLACES:
        return list(places)
    devices = sorted((place for place in places if place.device), key=_lost, reverse=True)
    room = max(MAX_PLACES - sum(not place.device for place in places), 0)
    kept = {place.path for place in devices[:room]}
    return [place for place in places if not place.device or place.path in kept][: max(MAX_PLACES, room)]


def each_kwh(place: Place) -> float | None:
    """Energy a good piece, of whatever time it was made in."""
    return _of(place.energy, place.oee.gq + place.oee.other_gq)


def relative(path: str, scope: str) -> str:
    """A place below the scope, as it is called there."""
    return path.removeprefix(f"{scope}/") if path != scope else path.rpartition("/")[2]


def parts_of(oee: Oee, words: Words) -> list[Part]:
    """Where the planned busy time went. Machines without a planned run time ran for as long as they ran."""
    if oee.ideal_s is None or oee.good_s is None:
        found = [("unrated", oee.apt_s)]
    else:
        slow = max(oee.slow_s or 0.0, 0.0)
        found = [("good", oee.good_s), ("scrapped", oee.scrapped_s or 0.0), ("slow", slow)]
    whole = sum(value for _, value in found) + oee.stopped_s
    return [
        Part(kind, value, words(kind), f"{words.hours(value)} · {(share := words.share(_of(value, whole), 0))}", share)
        for kind, value in [*found, ("stopped", oee.stopped_s)]
    ]


def when(period: Period, words: Words) -> str:
    """The day, the shift, the week in words."""
    if period.span is Span.WEEK:
        return f"{words('calendar_week', week=str(period.day.isocalendar().week))} · {words.long_date(period.day)}"
    return f"{words.long_date(period.day)} · {period.shift}" if period.shift else words.long_date(period.day)


def clock(period: Period, words: Words) -> str:
    """From when to when."""
    if period.span is Span.SHIFT:
        return f"{words.clock(period.begin)} – {words.clock(period.end)}"
    return f"{words.moment(period.begin)} – {words.moment(period.end)}"


def _before(report: Report, words: Words) -> str:
    now, then = report.total.oee.oee, report.before.oee
    if now is None or then is None:
        return words("no_before")
    points = (now - then) * 100
    sign = "+" if points >= 0 else ""
    return words("before", points=sign + words.number(points, 1), span=words(f"before_{report.period.span}"))


def _plan(report: Report, words: Words) -> str:
    planned = sum(order.planned for order in report.orders)
    if not planned:
        return words("no_plan")
    good = sum(order.good for order in report.orders)
    return words("of_plan", share=words.share(good / planned, 0), planned=words.number(planned))


def _energy(place: Place, words: Words) -> str:
    each = each_kwh(place)
    return words("per_piece", energy=f"{words.number(each, 3)} kWh") if each is not None else ""


def _step(period: Period, begin: object, oee: Oee, words: Words) -> tuple[str, float | None, str]:
    at = begin.astimezone(period.zone)  # type: ignore[attr-defined]
    label = words.weekday(at.date()) if period.span is Span.WEEK else f"{at:%H}"
    return label, oee.oee, words.number(oee.oee and oee.oee * 100)


def _cause_text(stopped_s: float, times: int, words: Words) -> str:
    return f"{words.hours(stopped_s)} · {words('times', count=words.number(times))}"


def _spoken(one: Anomaly, words: Words) -> str:
    end = words("open") if one.end is None else words.clock(one.end)
    return f"{words.clock(one.begin)} – {end} · {words.number(one.score, 2)}"


def _lost(place: Place) -> float:
    return place.oee.pbt_s - (place.oee.good_s if place.oee.good_s is not None else place.oee.apt_s)


def _of(part: float | None, whole: float) -> float | None:
    return None if part is None or whole <= 0 else part / whole
