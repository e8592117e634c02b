"""Calendars, states and stops, moment by moment against the oracle, over all that people may enter."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.fix_history import plain_history
from tests.integration.history import register, tag
from tests.integration.work_oracle import (
    DAY,
    Calendar,
    DayException,
    Model,
    Shift,
    Word,
    owner,
    state_at,
    stop_at,
)

__all__ = ["plain_history"]

Sql = psycopg.Connection[Any]
PATH = "acme/north/forming/line-1/cell-1/press-01"
SCOPES = ["acme/north", "acme/north/forming/line-1", PATH]
ELSEWHERE = ["acme/north/form", "acme/south", "acme/north/forming/line-10"]
STATES = {"STOPPED": 2, "IDLE": 4, "EXECUTE": 6, "ABORTED": 9, "HELD": 11}
REASONS = {"mechanical/bearing": False, "setup/changeover": True, "operator": False}
T0 = datetime(2026, 9, 21, 12, tzinfo=UTC)
property_test = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Spring, autumn, half an hour, at midnight, none; what is called standard time in winter or in summer.
CHANGES = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/Chicago", date(2026, 11, 1)),
    ("Europe/Dublin", date(2026, 10, 25)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("America/Santiago", date(2026, 9, 6)),
    ("Asia/Kolkata", date(2026, 9, 6)),
]


@pytest.fixture
def plant(plain_history: str) -> Iterator[Sql]:
    """One press with a PackML state, and partitions for a day of it."""
    state = tag(tag_class="slow", data_type="INTEGER", eu=[0, 17], limits=[0, 20], unit="1", period_ms=1000)
    register(plain_history, packml_state=state)
    with psycopg.connect(plain_history, autocommit=True) as sql:
        sql.execute(
            "SELECT ensure_partition('samples', t) FROM generate_series(%s::timestamptz, %s, interval '1 hour') AS t",
            (T0 - timedelta(hours=1), T0 + timedelta(hours=4)),
        )
        yield sql


def enter(sql: Sql, model: Model) -> None:
    cursor = sql.cursor()
    cursor.executemany("INSERT INTO shift_patterns (name, time_zone) VALUES (%s, %s)", list(model.zones.items()))
    cursor.executemany(
        "INSERT INTO shift_pattern_shifts (pattern, shift, weekdays, starts, ends) VALUES (%s, %s, %s, %s, %s)",
        [(p, s.name, list(s.weekdays), s.starts, s.ends) for p, shifts in model.shifts.items() for s in shifts],
    )
    cursor.executemany(
        "INSERT INTO work_calendars (scope, valid_from, valid_to, pattern) VALUES (%s, %s, %s, %s)",
        [(c.scope, c.valid_from, c.valid_to, c.pattern) for c in model.calendars],
    )
    cursor.executemany(
        "INSERT INTO work_calendar_exceptions (scope, day, shift, kind, starts, ends) VALUES (%s, %s, %s, %s, %s, %s)",
        [(e.scope, e.day, e.shift, e.kind, e.starts, e.ends) for e in model.exceptions],
    )


clocks = st.integers(0, 47).map(lambda half: time(half // 2, 30 * (half % 2)))
names = st.sampled_from(["early", "late", "night"])
shift = st.builds(Shift, names, st.lists(st.integers(1, 7), min_size=1, unique=True).map(tuple), clocks, clocks)
shifts = st.lists(shift, min_size=1, max_size=4, unique_by=lambda s: s.name)


@st.composite
def models(draw: st.DrawFn) -> tuple[Model, date]:
    """Two patterns in two zones, calendars of nested scopes, exceptions about a clock change."""
    (zone, day), (other, _) = draw(st.sampled_from(CHANGES)), draw(st.sampled_from(CHANGES))
    near = st.integers(-2, 2).map(lambda days: day + days * DAY)
    calendars = []
    for scope in draw(st.lists(st.sampled_from(SCOPES + ELSEWHERE), unique=True)):
        start = draw(st.sampled_from([date(2026, 1, 1), day - DAY, day]))
        end = draw(st.sampled_from([None, day + DAY]))
        calendars.append(Calendar(scope, start, end, draw(st.sampled_from(["a", "b"]))))
        if end is not None and draw(st.booleans()):
            calendars.append(Calendar(scope, end, None, draw(st.sampled_from(["a", "b"]))))
    exceptions = draw(
        st.lists(
            st.one_of(
                st.builds(
                    DayException, st.sampled_from(SCOPES + ELSEWHERE), near, st.just("") | names, st.just("CLOSED")
                ),
                st.builds(
                    DayException,
                    st.sampled_from(SCOPES + ELSEWHERE),
                    near,
                    names,
                    st.sampled_from(["EXTRA", "CHANGED"]),
                    clocks,
                    clocks,
                ),
            ),
            max_size=5,
            unique_by=lambda e: (e.scope, e.day, e.shift),
        )
    )
    return Model({"a": zone, "b": other}, {"a": draw(shifts), "b": draw(shifts)}, calendars, exceptions), day


@property_test
@given(models())
def test_shifts_and_planned_time_are_those_of_the_oracle(plant: Sql, drawn: tuple[Model, date]) -> None:
    model, day = drawn
    middle = datetime.combine(day, time(), UTC)
    start, end = middle - DAY, middle + 2 * DAY
    days = [day + n * DAY for n in range(-5, 6)]
    timed = model.timed(PATH, days)
    with plant.transaction(force_rollback=True):
        enter(plant, model)
        (device,) = one(plant, "SELECT device_id FROM devices")
        found = plant.execute(
            "SELECT shift, shift_day, start_time, end_time FROM shifts_between(%s, %s, %s)", (PATH, start, end)
        ).fetchall()
        busy = plant.execute(
            "SELECT shift, shift_day, start_time, end_time FROM planned_busy(%s, %s, %s)", (device, start, end)
        ).fetchall()
    assert all(a[3] <= b[2] for a, b in itertools.pairwise(found)), "shifts overlap"
    assert all(s[2] < end and s[3] > start for s in found), "a shift does not touch the range"
    assert all(start <= b[2] < b[3] <= end for b in busy), "planned time leaves the range"
    at = start
    while at < end:
        expected = owner(timed, at)
        assert holders(found, at) == ([expected] if expected else []), at
        free = not expected and not model.has_calendar(PATH, days, at)
        assert holders(busy, at) == ([expected] if expected else [(None, None)] if free else []), at
        at += timedelta(minutes=30)


def one(sql: Sql, query: str, *arguments: Any) -> tuple[Any, ...]:
    row = sql.execute(query, arguments).fetchone()
    assert row is not None
    return tuple(row)


def holders(rows: list[tuple[Any, ...]], at: datetime) -> list[tuple[Any, ...]]:
    """First columns of the rows whose last two hold a moment."""
    return [tuple(row[:-2]) for row in rows if row[-2] <= at < row[-1]]


minutes = st.integers(0, 48).map(lambda five: T0 + five * timedelta(minutes=5))
words = st.builds(
    lambda start, length, reason: Word(start, length and start + length * timedelta(minutes=5), reason),
    minutes,
    st.none() | st.integers(1, 30),
    st.none() | st.sampled_from(sorted(REASONS)),
)


@property_test
@given(
    samples=st.dictionaries(minutes, st.sampled_from(sorted(STATES)), max_size=12),
    said=st.lists(words, max_size=6),
    automatic=st.dictionaries(st.sampled_from(sorted(STATES.keys() - {"EXECUTE"})), st.sampled_from(sorted(REASONS))),
    closed_after=st.none() | st.integers(13, 15),
)
def test_stops_are_those_of_the_oracle(
    plant: Sql, samples: dict[datetime, str], said: list[Word], automatic: dict[str, str], closed_after: int | None
) -> None:
    """Whatever people say, in any order and overlapping; with states that are missing for more than an hour."""
    start, end = T0 + timedelta(minutes=20), T0 + timedelta(hours=4)
    with plant.transaction(force_rollback=True):
        (device,) = one(plant, "SELECT device_id FROM devices")
        cursor = plant.cursor()
        cursor.executemany("INSERT INTO downtime_reasons (reason, planned) VALUES (%s, %s)", list(REASONS.items()))
        cursor.executemany(
            "INSERT INTO packml_reasons (device_class, packml_state, reason) VALUES ('press', %s, %s)",
            list(automatic.items()),
        )
        cursor.execute("INSERT INTO packml_reasons (packml_state, reason) VALUES ('HELD', 'operator')")
        (state_tag,) = one(plant, "SELECT tag_id FROM tags")
        cursor.executemany(
            "INSERT INTO samples (time, value, tag_id, quality, verdict) VALUES (%s, %s, %s, 0, 0)",
            [(t, STATES[s], state_tag) for t, s in samples.items()],
        )
        for word in said:
            cursor.execute("SELECT enter_downtime(%s, %s, %s, %s, 'anna')", (device, word.start, word.end, word.reason))
        if closed_after is not None:
            shift = Shift("early", (1,), time(6), time(closed_after))
            enter(plant, Model({"a": "UTC"}, {"a": [shift]}, [Calendar("acme", date(2026, 1, 1), None, "a")]))
        states = plant.execute("SELECT * FROM state_intervals(%s, %s, %s)", (device, start, end)).fetchall()
        found = plant.execute(
            "SELECT packml_state, reason, planned, start_time, end_time FROM stops(%s, %s, %s)", (device, start, end)
        ).fetchall()
        within = plant.execute(
            "SELECT packml_state, reason, planned, start_time, end_time FROM downtimes_between('acme', %s, %s)",
            (start, end),
        ).fetchall()
        busy = plant.execute(
            "SELECT start_time, end_time FROM planned_busy(%s, %s, %s)", (device, start, end)
        ).fetchall()
    line = sorted(samples.items())
    reasons = {"HELD": "operator"} | automatic
    at = start
    while at < end:
        state = state_at(line, at)
        assert holders(states, at) == ([(state,)] if state else []), at
        stop = stop_at(line, said, reasons, at)
        expected = [(*stop, REASONS.get(stop[1] or "", False))] if stop else []
        assert holders(found, at) == expected, at
        works = closed_after is None or at.hour < closed_after
        assert holders(within, at) == (expected if works else []), at
        assert len(holders(busy, at)) == (works and not (expected and expected[0][2])), at
        at += timedelta(minutes=5)


def test_the_answer_for_a_range_is_that_of_its_parts(plant: Sql) -> None:
    """A state does not depend on where one begins to look."""
    (device,) = one(plant, "SELECT device_id FROM devices")
    with plant.transaction(force_rollback=True):
        (state_tag,) = one(plant, "SELECT tag_id FROM tags")
        plant.execute(
            "INSERT INTO samples (time, value, tag_id, quality, verdict) VALUES (%s, 9, %s, 0, 0)", (T0, state_tag)
        )
        query = "SELECT sum(end_time - start_time) FROM state_intervals(%s, %s, %s)"
        whole = one(plant, query, device, T0, T0 + timedelta(hours=3))
        parts = [
            one(plant, query, device, T0 + timedelta(minutes=m), T0 + timedelta(minutes=m + 30))[0]
            for m in range(0, 180, 30)
        ]
    assert whole == (timedelta(hours=1),)
    assert sum((part for part in parts if part), timedelta()) == timedelta(hours=1)


def test_a_machine_that_moves_works_by_the_calendar_of_where_it_stood(plant: Sql) -> None:
    (device,) = one(plant, "SELECT device_id FROM devices")
    with plant.transaction(force_rollback=True):
        shift = Shift("early", (1, 2, 3, 4, 5, 6, 7), time(6), time(14))
        calendar = Calendar("acme/north/forming/line-1/cell-2", date(2026, 1, 1), None, "a")
        enter(plant, Model({"a": "UTC"}, {"a": [shift]}, [calendar]))
        moved = T0 - timedelta(hours=2)  # at 10
        plant.execute("UPDATE device_paths SET valid_to = %s", (moved,))
        plant.execute(
            """INSERT INTO device_paths (device_id, valid_from, cell_id, path)
               SELECT %s, %s, cell_id, path || '/press-01' FROM cells WHERE name = 'cell-2'""",
            (device, moved),
        )
        rows = plant.execute(
            "SELECT * FROM planned_busy(%s, %s, %s)", (device, T0 - timedelta(hours=12), T0 + timedelta(hours=12))
        )
        assert rows.fetchall() == [
            (T0 - timedelta(hours=12), moved, None, None),
            (moved, T0 + timedelta(hours=2), "early", T0.date()),
        ]


def test_the_most_specific_cycle_time_of_the_time_wins(plant: Sql) -> None:
    (device,) = one(plant, "SELECT device_id FROM devices")
    query = "SELECT ideal_cycle_time_at(%s, %s, %s)"
    later = T0 + DAY
    with plant.transaction(force_rollback=True):
        plant.execute("INSERT INTO material_definitions (material) VALUES ('cap'), ('lid')")
        assert one(plant, query, device, "cap", T0) == (2.0,), "of the class, without any"
        plant.cursor().executemany(
            "INSERT INTO ideal_cycle_times (scope, material, valid_from, valid_to, cycle_time_s) VALUES (%s, %s, %s, %s, %s)",
            [
                ("acme", None, "-infinity", None, 10),
                ("acme", "cap", "-infinity", None, 11),
                ("acme/north/forming", "cap", T0, later, 12),
                ("acme/north/forming", "cap", later, None, 13),
                ("acme/north/form", "cap", T0, None, 99),
            ],
        )
        cases = [("lid", T0), ("cap", T0 - DAY), ("cap", T0), ("cap", later), (None, T0)]
        assert [one(plant, query, device, *case)[0] for case in cases] == [10, 11, 12, 13, 10]
        with pytest.raises(psycopg.errors.ExclusionViolation):
            plant.execute(
                "INSERT INTO ideal_cycle_times (scope, material, valid_from, cycle_time_s) VALUES ('acme', 'cap', %s, 9)",
                (T0,),
            )
