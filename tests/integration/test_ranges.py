"""Every function that takes a range of time, found in the catalogue: empty, reversed, null, in the future, before the first sample."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from simulator.week import LINE, Week
from tests.integration.fix_week import Sql, asked, rows

__all__ = ["asked"]

_FOUND = """
SELECT p.oid::regprocedure::text AS signature, p.proname AS name, p.proargnames[:p.pronargs - p.pronargdefaults] AS given
FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND p.provolatile <> 'v' AND 'to_time' = ANY (p.proargnames[:p.pronargs])
ORDER BY 1"""
MILL = f"{LINE}/milling-a/mill-01"
GIVEN = {
    "scope": f"'{LINE}'",
    "place": f"'{LINE}'",
    "device": f"device_id_of('{MILL}')",
    "devices": f"ARRAY[device_id_of('{MILL}')]",
    "tag": f"tag_id_of('{MILL}/cycle_count')",
    "tag_path": f"'{MILL}/cycle_count'",
    "every": "interval '10 minutes'",
    "from_time": "%(begin)s::timestamptz",
    "to_time": "%(end)s::timestamptz",
}
NO_ANSWER = {"is_range", "is_finite_range", "until_now", "hours_without_windows"}
"""What the rule is made of, and maintenance's own."""
PLANNED = {"shifts_between", "work_days", "calendar_time", "calendars_of", "planned_busy", "planned_busy_of"}
"""What is planned is known ahead."""
WITHOUT_END = {*PLANNED, "downtimes_between", "gap_filled"}
"""What is made of the range itself, and ends with nothing else: both its bounds must be times."""
WITHOUT_BEGINNING = {
    *WITHOUT_END, "alarm_kpis", "alarm_rates",
    "downtime_pareto", "energy_between", "energy_per_piece", "oee_between", "oee_losses", "production_segments",
    "reliability_between",
}  # fmt: skip
"""What machines were to do; it ends now."""
GRIDS = {"gap_filled": "value", "spc_limits": "mean", "production_against_plan": "started"}
"""What has rows without any data, to the column that is null then."""
FIGURES = GRIDS | {
    "oee_between": "apt_s",
    "reliability_between": "operating_s",
    "energy_between": "energy",
    "energy_per_piece": "energy",
}
"""The same for what has rows of machines that are there and did nothing."""


@dataclass(frozen=True)
class Asking:
    """The functions, and how to ask one for a range: rows, and for a single value none when it is null."""

    connection: Sql
    functions: dict[str, tuple[str, list[str]]]

    def __call__(
        self, signature: str, begin: datetime | str | None, end: datetime | str | None
    ) -> list[dict[str, Any]]:
        name, given = self.functions[signature]
        query = f"SELECT * FROM {name}({', '.join(GIVEN[one] for one in given)})"
        with self.connection.cursor() as cursor:
            found = cursor.execute(query.encode(), {"begin": begin, "end": end}).fetchall()
        return [row for row in found if list(row.values()) != [None]]


@pytest.fixture
def asking(asked: Sql) -> Asking:
    found = rows(asked, _FOUND)
    functions = {row["signature"]: (row["name"], row["given"]) for row in found if row["name"] not in NO_ANSWER}
    assert len(functions) > 25
    return Asking(asked, functions)


def when(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def test_a_range_without_time_or_without_a_bound_has_no_rows(asking: Asking, week: Week) -> None:
    at = when((week.start_us + week.end_us) // 2)
    for signature in asking.functions:
        for begin, end in ((at, at), (None, at), (at, None), (None, None)):
            assert asking(signature, begin, end) == [], (signature, begin, end)


def test_a_range_that_ends_before_it_begins_is_an_error_that_says_so(asking: Asking, week: Week) -> None:
    at = when((week.start_us + week.end_us) // 2)
    for signature in asking.functions:
        for begin in (at, when(week.end_us + 86_400_000_000)):  # the second is in the future
            with pytest.raises(
                psycopg.errors.InvalidParameterValue, match=r"the range ends at .*, before it begins at"
            ):
                asking(signature, begin, at - timedelta(hours=1))


def test_a_range_without_a_beginning_or_an_end_is_an_answer_or_an_error_that_says_so(
    asking: Asking, week: Week
) -> None:
    start, end, day = when(week.start_us), when(week.end_us), timedelta(days=1)
    asking.connection.execute("SET statement_timeout = '30s'")  # what goes on for ever is to fail
    for signature, (name, _) in asking.functions.items():
        for begin, until, missing in (("-infinity", start + day, "beginning"), (end - day, "infinity", "end")):
            if name in (WITHOUT_BEGINNING if missing == "beginning" else WITHOUT_END):
                with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"the range has no {missing}"):
                    asking(signature, begin, until)
                continue
            found = asking(signature, begin, until)
            if (name, missing) == ("cycle_time_distribution", "beginning"):
                assert found  # it compares with what was ideal at the beginning
                continue
            within = (start - 300 * day, until) if missing == "beginning" else (begin, end)
            assert found == asking(signature, *within), signature


def test_what_has_not_come_yet_is_in_no_figure(asking: Asking, week: Week) -> None:
    begin, end = when(week.end_us + 86_400_000_000), when(week.end_us + 2 * 86_400_000_000)
    for signature, (name, _) in asking.functions.items():
        found = asking(signature, begin, end)
        if name in PLANNED:
            assert found, signature
        else:
            assert [row for row in found if name not in GRIDS or row[GRIDS[name]] is not None] == [], signature
    for signature in asking.functions:  # a range that is to go on for a while ends now
        now = asking(signature, when(week.end_us) - timedelta(hours=30), when(week.end_us))
        later = asking(signature, when(week.end_us) - timedelta(hours=30), end)
        if asking.functions[signature][0] not in PLANNED | GRIDS.keys():
            assert later == now, signature


def test_before_the_first_sample_nothing_is_known(asking: Asking, week: Week) -> None:
    first = when(week.start_us)
    for signature, (name, _) in asking.functions.items():
        found = asking(signature, first - timedelta(days=30), first - timedelta(days=28))
        if name not in PLANNED | {"production_segments", "oee_losses"}:  # of time, in which nobody knows the state
            assert not [row for row in found if name not in FIGURES or row[FIGURES[name]]], signature
