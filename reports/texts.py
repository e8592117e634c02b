"""Words, numbers and times of the page in English and German. A language that lacks a word fails a test, not a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

_EN = {
    "shift": "Shift report",
    "day": "Day report",
    "week": "Week report",
    "calendar_week": "week {week}",
    "oee": "OEE",
    "availability": "Availability",
    "effectiveness": "Effectiveness",
    "quality": "Quality",
    "before": "{points} points against the {span} before",
    "before_shift": "same length of time",
    "before_day": "day",
    "before_week": "week",
    "no_before": "nothing to compare with",
    "pieces": "Good pieces",
    "of_plan": "orders: {share} of {planned} planned",
    "no_plan": "no order was planned",
    "scrap": "Scrap",
    "of_made": "{share} of {made} made",
    "energy": "Energy",
    "per_piece": "{energy} a good piece",
    "where": "Where the planned time went",
    "where_of": "{hours} of planned busy time of all machines",
    "good": "Good pieces at planned speed",
    "scrapped": "Scrap",
    "slow": "Slower than planned",
    "stopped": "Stopped",
    "unrated": "Ran, no planned run time known",
    "why": "Why machines stood still",
    "no_stops": "No machine stood still in planned time.",
    "no_reason": "{state}: no reason",
    "cumulative": "cumulative share",
    "times": "{count}×",
    "by_hour": "OEE by the hour",
    "by_day": "OEE by the day",
    "places": "Lines and machines",
    "name": "",
    "made": "Good",
    "plan": "Plan",
    "energy_piece": "kWh/pc",
    "anomaly_count": "Anom.",
    "data": "Data",
    "short_a": "A",
    "short_e": "E",
    "short_q": "Q",
    "more": "and {count} more, with smaller losses",
    "orders": "Orders",
    "no_orders": "No order ran.",
    "expected": "good / planned in this time, of the whole order",
    "anomalies": "Anomalies",
    "no_anomalies": "No anomaly was found.",
    "open": "open",
    "more_anomalies": "and {count} more",
    "footer_data": "Data for {coverage} of the time · {refused} samples refused · {gaps} gaps reported by gateways ({samples} samples)",
    "footer_oee": "OEE = A × E × Q after ISO 22400-2: A = production time / planned busy time, E = planned run time of what was made / "
    "production time, Q = of what was good / of what was made.",
    "made_at": "made {time}",
    "planned_stop": "planned",
    "PLANNED": "planned",
    "RELEASED": "released",
    "RUNNING": "running",
    "COMPLETED": "completed",
    "CANCELLED": "cancelled",
}
_DE = {
    "shift": "Schichtbericht",
    "day": "Tagesbericht",
    "week": "Wochenbericht",
    "calendar_week": "KW {week}",
    "oee": "OEE",
    "availability": "Verfügbarkeit",
    "effectiveness": "Leistung",
    "quality": "Qualität",
    "before": "{points} Punkte gegenüber {span} davor",
    "before_shift": "gleich langer Zeit",
    "before_day": "dem Tag",
    "before_week": "der Woche",
    "no_before": "nichts zum Vergleich",
    "pieces": "Gutteile",
    "of_plan": "Aufträge: {share} von {planned} geplanten",
    "no_plan": "kein Auftrag geplant",
    "scrap": "Ausschuss",
    "of_made": "{share} von {made} gefertigten",
    "energy": "Energie",
    "per_piece": "{energy} je Gutteil",
    "where": "Wo die geplante Zeit blieb",
    "where_of": "{hours} geplante Belegungszeit aller Maschinen",
    "good": "Gutteile in Planzeit",
    "scrapped": "Ausschuss",
    "slow": "Langsamer als geplant",
    "stopped": "Stillstand",
    "unrated": "Lief, keine Planzeit je Stück bekannt",
    "why": "Warum Maschinen standen",
    "no_stops": "Keine Maschine stand in geplanter Zeit.",
    "no_reason": "{state}: kein Grund",
    "cumulative": "Anteil kumuliert",
    "times": "{count}×",
    "by_hour": "OEE je Stunde",
    "by_day": "OEE je Tag",
    "places": "Linien und Maschinen",
    "name": "",
    "made": "Gut",
    "plan": "Plan",
    "energy_piece": "kWh/St.",
    "anomaly_count": "Anom.",
    "data": "Daten",
    "short_a": "V",
    "short_e": "L",
    "short_q": "Q",
    "more": "und {count} weitere mit kleineren Verlusten",
    "orders": "Aufträge",
    "no_orders": "Kein Auftrag lief.",
    "expected": "gut / geplant in dieser Zeit, vom ganzen Auftrag",
    "anomalies": "Anomalien",
    "no_anomalies": "Keine Anomalie gefunden.",
    "open": "offen",
    "more_anomalies": "und {count} weitere",
    "footer_data": "Daten für {coverage} der Zeit · {refused} Messwerte abgelehnt · {gaps} von Gateways "
    "gemeldete Lücken ({samples} Messwerte)",
    "footer_oee": "OEE = V × L × Q nach ISO 22400-2: V = Produktionszeit / geplante Belegungszeit, L = Planzeit des Gefertigten / "
    "Produktionszeit, Q = Planzeit des Guten / des Gefertigten.",
    "made_at": "erstellt {time}",
    "planned_stop": "geplant",
    "PLANNED": "geplant",
    "RELEASED": "freigegeben",
    "RUNNING": "läuft",
    "COMPLETED": "fertig",
    "CANCELLED": "abgebrochen",
}
_DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
}
_MONTHS = {
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    "de": [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
}
CATALOGUES: Mapping[str, Mapping[str, str]] = {"en": _EN, "de": _DE}
NOT_KNOWN = "–"


@dataclass(frozen=True, slots=True)
class Words:
    """A language and the time zone of the place."""

    language: str
    zone: ZoneInfo

    def __call__(self, key: str, **values: str) -> str:
        """The text of a key."""
        return CATALOGUES[self.language][key].format(**values)

    def number(self, value: float | None, places: int = 0) -> str:
        """1,234.5 or 1.234,5."""
        if value is None:
            return NOT_KNOWN
        text = f"{value:,.{places}f}".replace("-", "−")  # noqa: RUF001
        return text.translate(str.maketrans(",.", ".,")) if self.language == "de" else text

    def share(self, value: float | None, places: int = 1) -> str:
        """71.4 %."""
        return NOT_KNOWN if value is None else f"{self.number(value * 100, places)}\u202f%"

    def hours(self, seconds: float | None) -> str:
        """3 h 05 min, 12 min."""
        if seconds is None:
            return NOT_KNOWN
        minutes = round(seconds / 60)
        return f"{self.number(minutes // 60)} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"

    def clock(self, at: datetime) -> str:
        """06:00."""
        return f"{at.astimezone(self.zone):%H:%M}"

    def long_date(self, day: date) -> str:
        """Friday, 27 November 2026."""
        name, month = _DAYS[self.language][day.weekday()], _MONTHS[self.language][day.month - 1]
        return (
            f"{name}, {day.day}. {month} {day.year}"
            if self.language == "de"
            else f"{name}, {day.day} {month} {day.year}"
        )

    def weekday(self, day: date) -> str:
        """Fri."""
        return _DAYS[self.language][day.weekday()][: 2 if self.language == "de" else 3]

    def moment(self, at: datetime) -> str:
        """2026-11-27 06:00, or 27.11.2026 06:00."""
        return f"{at.astimezone(self.zone):{'%d.%m.%Y %H:%M' if self.language == 'de' else '%Y-%m-%d %H:%M'}}"
