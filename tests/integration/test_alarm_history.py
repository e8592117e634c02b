"""Alarms in the database: written once whatever comes again, the figures of EEMUA 191 against an oracle, and rules tried on history."""

from __future__ import annotations

import dataclasses
import json
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import psycopg
import pytest

from alarms import report, rule_changes, trial
from base.errors import InvalidRequestError, NotFoundError
from base.settings import StorageSettings
from connectors.postgres.pool import ReadPool
from historian.maintenance import Maintenance
from historian.store import HistorianStore
from registry import edit
from schemas import definitions
from schemas.alarm_rules import AlarmRule
from schemas.alarms import PUT_ASIDE, Alarm, AlarmEvent, Override, OverrideKind
from schemas.alarms import AlarmEventKind as Kind
from schemas.alarms import AlarmState as State
from schemas.priorities import Priority
from serving.caches.plant import Plant
from serving.handlers.alarm_records import AlarmRecords
from serving.machine_acks import request_of
from stack.line import alarm_reasons
from stages.alarms.eemua import rate_verdict
from tests.integration.fix_history import history_template, plain_history
from tests.integration.history import T0_US, Record, make_frame, register, tag, validated
from tests.unit.served import definition

__all__ = ["history_template", "plain_history"]

S = 1_000_000
AREAS = ("acme/north/forming", "acme/north/assembly", "acme/south/forming")
FROM = datetime.fromtimestamp(T0_US / 1e6, UTC)
TO = FROM + timedelta(hours=5, minutes=5)


def event(alarm: UUID, version: int, kind: Kind, state: State, second: float, **about: Any) -> AlarmEvent:
    known: dict[str, Any] = {
        "site": "north",
        "rule": "hot",
        "device_id": 1,
        "path": f"{AREAS[0]}/l/c/d/t",
        "priority": Priority.LOW,
    }
    time_us = T0_US + round(second * S)
    return AlarmEvent(
        event_id=uuid5(alarm, str(version)),
        alarm_id=alarm,
        source_id=about.pop("source_id", alarm),
        version=version,
        kind=kind,
        state=state,
        time_us=time_us,
        recorded_us=time_us + 1000,
        **(known | about),
    )


def a_day_of_alarms(seed: int) -> list[AlarmEvent]:
    """Sources that come and go: seen, hidden, acknowledged or not, in three areas, with a storm in one of them."""
    pick, found = random.Random(seed), list[AlarmEvent]()
    for number in range(120):
        area, source = pick.choice(AREAS), UUID(int=pick.randrange(25))
        storm = pick.random() < 0.4
        second = pick.uniform(7000, 7500) if storm else pick.uniform(-3000, 20000)
        about = {
            "source_id": source,
            "path": f"{area}/line/cell/device/{source.int}",
            "rule": f"rule{source.int % 4}",
            "priority": pick.choice(list(Priority)),
        }
        alarm, version = uuid5(source, str(number)), 0
        for turn in range(pick.randint(1, 3)):
            version += 1
            hidden = pick.random() < 0.2
            kind = Kind.RAISED_AGAIN if turn else Kind.RAISED
            state = pick.choice([State.SUPPRESSED, State.SHELVED]) if hidden else State.UNACKNOWLEDGED
            found.append(event(alarm, version, kind, state, second, **about))
            if pick.random() < 0.3:
                version += 1
                found.append(event(alarm, version, Kind.CHATTERING, state, second, **about))
            if pick.random() < 0.5:
                version += 1
                second += pick.uniform(1, 900)
                found.append(event(alarm, version, Kind.ACKNOWLEDGED, State.ACKNOWLEDGED, second, by="anna", **about))
            if pick.random() < 0.6:
                version += 1
                second += pick.uniform(1, 60)
                found.append(event(alarm, version, Kind.RETURNED, State.NORMAL, second, **about))
            second += pick.uniform(1, 600)
    return found


def seen_of(events: list[AlarmEvent]) -> list[AlarmEvent]:
    from_us, to_us = T0_US, round(TO.timestamp() * S)
    raised = (Kind.RAISED, Kind.RAISED_AGAIN)
    return [
        one
        for one in events
        if one.kind in raised and one.state is State.UNACKNOWLEDGED and from_us <= one.time_us < to_us
    ]


def scope_of(one: AlarmEvent) -> str:
    return "/".join(one.path.split("/")[:3])


def expected_kpis(events: list[AlarmEvent]) -> dict[str, dict[str, Any]]:
    """By hand, event by event."""
    seen, found = seen_of(events), dict[str, dict[str, Any]]()
    later: dict[UUID, list[AlarmEvent]] = defaultdict(list)
    for one in sorted(events, key=lambda each: each.version):
        later[one.alarm_id].append(one)
    spans = -(-round((TO - FROM).total_seconds()) // 600)
    for scope in {scope_of(one) for one in seen}:
        mine = [one for one in seen if scope_of(one) == scope]
        by_span = Counter((one.time_us - T0_US) // (600 * S) for one in mine)
        took = []
        for one in mine:
            for other in later[one.alarm_id]:
                if other.version > one.version and other.kind is Kind.RAISED_AGAIN:
                    break
                if other.version > one.version and other.kind is Kind.ACKNOWLEDGED:
                    took.append((other.time_us - one.time_us) / S)
                    break
        found[scope] = {
            "alarms": len(mine),
            "per_10_min": len(mine) * 600 / (TO - FROM).total_seconds(),
            "peak_10_min": max(by_span.values()),
            "flood_share": sum(count > 10 for count in by_span.values()) / spans,
            **{each.name.lower(): sum(one.priority is each for one in mine) / len(mine) for each in Priority},
            "acknowledged": len(took),
            "time_to_acknowledge": statistics.median(took) if took else None,
        }
    return found


@pytest.fixture
def history(plain_history: str) -> str:
    register(plain_history)
    return plain_history


def write(dsn: str, records: Sequence[AlarmEvent | Alarm]) -> None:
    store_all(dsn, [Record("alarm.events", 0, number, one.key, one.encode()) for number, one in enumerate(records)])


def store_all(dsn: str, messages: Sequence[Record]) -> None:
    store = HistorianStore(dsn)
    assert store.write(messages).poisoned == []
    store.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_figures_are_those_of_the_oracle(history: str, seed: int) -> None:
    events = a_day_of_alarms(seed)
    shuffled = random.Random(seed).sample(events, len(events))
    write(history, shuffled)
    write(history, shuffled[: len(shuffled) // 2])  # again
    with psycopg.connect(history) as sql, sql.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        rows = cursor.execute("SELECT * FROM alarm_kpis(%s, %s)", (FROM, TO)).fetchall()
        expected = expected_kpis(events)
        assert {row["scope"] for row in rows} == set(expected)
        assert any(row["flood_share"] > 0 for row in rows)
        for row in rows:
            took = row.pop("time_to_acknowledge")
            want = expected[row.pop("scope")]
            assert (None if took is None else took.total_seconds()) == pytest.approx(
                want.pop("time_to_acknowledge"), abs=1e-5
            )
            assert row == pytest.approx(want)
        rates = cursor.execute("SELECT * FROM alarm_rates(%s, %s)", (FROM, TO)).fetchall()
        by_span = Counter((scope_of(one), (one.time_us - T0_US) // (600 * S)) for one in seen_of(events))
        assert {
            (row["scope"], round((row["start"] - FROM).total_seconds() / 600)): row["alarms"] for row in rates
        } == by_span
        assert all(row["flood"] == (row["alarms"] > 10) for row in rates)
        top = cursor.execute("SELECT * FROM alarm_top(%s, %s, 5)", (FROM, TO)).fetchall()
        count = Counter((one.path, one.rule) for one in seen_of(events))
        assert [row["alarms"] for row in top] == [each for _, each in count.most_common(5)]
        assert all(row["alarms"] == count[row["path"], row["rule"]] for row in top)
        assert sum(row["share"] for row in top) == pytest.approx(sum(row["alarms"] for row in top) / count.total())
        chattered = {
            one.path for one in events if one.kind is Kind.CHATTERING and T0_US <= one.time_us < TO.timestamp() * S
        }
        assert all(row["chattering"] == (row["path"] in chattered) for row in top)


def test_figures_of_a_part_are_those_of_its_alarms_alone(history: str) -> None:
    events = a_day_of_alarms(3)
    write(history, events)
    gateway = event(
        UUID(int=999), 1, Kind.RAISED, State.UNACKNOWLEDGED, 60, device_id=0, path="acme/north/gw", gateway_id="gw"
    )
    write(history, [gateway])
    part = f"{AREAS[0]}/line"
    mine = [one for one in events if one.path.startswith(f"{part}/")]
    with psycopg.connect(history) as sql, sql.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        given = (FROM, TO, [part], ["gw"])
        rows = {
            row["scope"]: row for row in cursor.execute("SELECT * FROM alarm_kpis(%s, %s, %s, %s)", given).fetchall()
        }
        assert set(rows) == {AREAS[0], "acme/north"}
        want = expected_kpis(mine)[AREAS[0]]
        took = rows[AREAS[0]].pop("time_to_acknowledge")
        assert took.total_seconds() == pytest.approx(want.pop("time_to_acknowledge"), abs=1e-5)
        assert rows[AREAS[0]] == pytest.approx({"scope": AREAS[0], **want})
        assert rows["acme/north"]["alarms"] == 1
        top = cursor.execute("SELECT * FROM alarm_top(%s, %s, 3, %s, %s)", given).fetchall()
        count = Counter((one.path, one.rule) for one in seen_of(mine))
        assert [row["alarms"] for row in top] == [each for _, each in count.most_common(3)]
        chattered = Counter(
            one.path for one in mine if one.kind is Kind.CHATTERING and T0_US <= one.time_us < TO.timestamp() * S
        )
        found = cursor.execute("SELECT * FROM alarm_chattering(%s, %s, 10, %s, %s)", given).fetchall()
        assert {row["path"]: row["chattered"] for row in found} == chattered
        nowhere: tuple[object, ...] = (FROM, TO, ["acme/east"], [])
        for query in (
            "alarm_kpis(%s, %s, %s, %s)",
            "alarm_top(%s, %s, 3, %s, %s)",
            "alarm_chattering(%s, %s, 3, %s, %s)",
        ):
            assert cursor.execute(f"SELECT * FROM {query}", nowhere).fetchall() == []


def test_an_alarm_of_a_line_counts_in_its_area_and_under_its_path(history: str) -> None:
    line = f"{AREAS[0]}/line"
    write(
        history,
        [event(UUID(int=1), 1, Kind.RAISED, State.UNACKNOWLEDGED, 60, device_id=0, path=line, gateway_id="")],
    )
    with psycopg.connect(history) as sql:
        assert sql.execute("SELECT scope, path FROM annunciation").fetchall() == [(AREAS[0], line)]
        for parts, count in ([line], 1), ([AREAS[0]], 1), ([f"{line}/cell"], 0):
            rows = sql.execute("SELECT alarms FROM alarm_kpis(%s, %s, %s, %s)", (FROM, TO, parts, ["gw"])).fetchall()
            assert sum(row[0] for row in rows) == count


def test_an_alarm_that_never_was_counts_for_nothing(history: str) -> None:
    never, was = UUID(int=1), UUID(int=2)
    write(
        history,
        [
            event(never, 1, Kind.RAISED, State.UNACKNOWLEDGED, 10, source_id=UUID(int=9)),
            event(never, 2, Kind.RETURNED, State.NORMAL, 10, source_id=UUID(int=9), withdrawn=True),
            event(was, 1, Kind.RAISED, State.UNACKNOWLEDGED, 20, source_id=UUID(int=9)),
            event(was, 2, Kind.RETURNED, State.RETURNED_UNACKNOWLEDGED, 30, source_id=UUID(int=9)),
        ],
    )
    with psycopg.connect(history) as sql:
        assert sql.execute("SELECT alarm_id FROM annunciation").fetchall() == [(was,)]
        assert sql.execute("SELECT alarms FROM alarm_kpis(%s, %s)", (FROM, TO)).fetchall() == [(1,)]
        assert sql.execute("SELECT alarms FROM alarm_top(%s, %s)", (FROM, TO)).fetchall() == [(1,)]


def test_what_ended_long_ago_goes_and_what_stands_stays(history: str) -> None:
    write(
        history,
        [
            event(UUID(int=1), 1, Kind.RAISED, State.UNACKNOWLEDGED, 0),
            event(UUID(int=2), 1, Kind.RAISED, State.UNACKNOWLEDGED, 0),
            event(UUID(int=2), 2, Kind.RETURNED, State.NORMAL, 10),
            event(UUID(int=3), 1, Kind.RAISED, State.UNACKNOWLEDGED, 3 * 86_400),
            where_it_stands(1, 1, State.UNACKNOWLEDGED),
            where_it_stands(2, 2, State.NORMAL),
        ],
    )
    with psycopg.connect(history, autocommit=True) as sql:
        sql.execute("SELECT set_storage_policy('records', keep => '2 days')")
        Maintenance(sql, StorageSettings(), now=lambda: FROM + timedelta(days=4)).drop_old()
        assert sql.execute("SELECT alarm_id FROM alarms").fetchall() == [(UUID(int=1),)]
        kept = sql.execute("SELECT alarm_id FROM alarm_events ORDER BY 1").fetchall()
        assert kept == [(UUID(int=1),), (UUID(int=3),)]


def test_who_changes_a_rule_and_why_is_an_event_of_the_audit_log(history: str) -> None:
    about = {
        "device_class": "press",
        "tag": "power",
        "severity": "MINOR",
        "response": "SOON",
        "kind": "LIMIT",
        "level": "HI",
    }
    first = AlarmRule.from_record({**about, "name": "hot", "limit": 80.0, "author": "anna", "written_us": T0_US})
    second = dataclasses.replace(first, version=2, limit=90.0, reason="new oil")
    gone = dataclasses.replace(second, version=3, retired=True, reason="no sensor")
    with psycopg.connect(history, autocommit=True) as sql:
        for known, made in (([], first), ([first], second), ([first, second], gone), ([first, second], gone)):
            rule_changes.record(sql, known, [made])
        rows = sql.execute(
            "SELECT action, who, why, name, before, after FROM audit_outbox WHERE action = 'alarms:rule' ORDER BY id"
        ).fetchall()
        kept = sql.execute("SELECT version, who, why, what FROM alarm_rule_changes ORDER BY version").fetchall()
    assert [row[:4] for row in rows[:3]] == [
        ("alarms:rule", "anna", "", "publish hot@press: version 1"),
        ("alarms:rule", "anna", "new oil", "change hot@press: version 2"),
        ("alarms:rule", "anna", "no sensor", "retire hot@press: version 3"),
    ]
    assert rows[3] == rows[2]  # it was tried again
    assert json.loads(rows[0][5]) | {"limit": 80.0, "tag": "power"} == json.loads(rows[0][5])
    assert (json.loads(rows[1][4]), json.loads(rows[1][5])) == ({"limit": 80.0}, {"limit": 90.0})
    assert kept == [(1, "anna", "", "publish"), (2, "anna", "new oil", "change"), (3, "anna", "no sensor", "retire")]


def test_status_says_where_alarms_are_not_evaluated(history: str) -> None:
    assert alarm_reasons(history) == ()
    aside = dataclasses.replace(where_it_stands(5, 1, State.UNACKNOWLEDGED), rule=PUT_ASIDE, detail="layout 63")
    write(history, [aside])
    assert alarm_reasons(history) == ("alarms of site north are not evaluated: layout 63",)
    write(history, [dataclasses.replace(aside, version=2, state=State.NORMAL)])
    assert alarm_reasons(history) == ()
    with psycopg.connect(history, autocommit=True) as sql:
        sql.execute("DROP TABLE alarms CASCADE")
    assert alarm_reasons(history) == ()
    (unknown,) = alarm_reasons("host=127.0.0.1 port=1 dbname=away")
    assert unknown.startswith("whether the alarms of every site are evaluated is not known:")


def test_a_tombstone_is_no_record(history: str) -> None:
    store_all(history, [Record("alarms", 0, 7, where_it_stands(1, 1, State.NORMAL).key, b"")])
    with psycopg.connect(history) as sql:
        assert sql.execute("SELECT count(*) FROM alarms").fetchone() == (0,)


def test_what_holds_for_a_day_is_stale(history: str) -> None:
    day, alarm = 86_400, UUID(int=7)
    write(
        history,
        [
            event(UUID(int=1), 1, Kind.RAISED, State.UNACKNOWLEDGED, 0),
            event(UUID(int=1), 2, Kind.ACKNOWLEDGED, State.ACKNOWLEDGED, 60),
            event(UUID(int=2), 1, Kind.RAISED, State.UNACKNOWLEDGED, 0),
            event(UUID(int=2), 2, Kind.RETURNED, State.NORMAL, day - 1),
            event(alarm, 1, Kind.RAISED, State.UNACKNOWLEDGED, 10),
            event(alarm, 2, Kind.RETURNED, State.NORMAL, day + 20),
            where_it_stands(1, 2, State.ACKNOWLEDGED),
            where_it_stands(2, 2, State.NORMAL),
            where_it_stands(7, 2, State.NORMAL),
        ],
    )
    with psycopg.connect(history) as sql:
        sql.execute(
            """INSERT INTO alarm_events
               SELECT gen_random_uuid(), ('00000000-0000-0000-0001-' || lpad(one::text, 12, '0'))::uuid, gen_random_uuid(), version,
                      CASE version WHEN 1 THEN 'RAISED' ELSE 'RETURNED' END, 'NORMAL', 'north', 'hot', 1, 'gw', 'path', 'LOW',
                      %s - one * interval '1 minute', now(), '', '', '', NULL, NULL, NULL, false
               FROM generate_series(1, 3000) AS one, generate_series(1, 2) AS version""",
            (FROM,),
        )
        sql.execute("ANALYZE alarm_events, alarms")
        query = "SELECT alarm_id FROM stale_alarms(%s)"
        for second, stale in ((day, [1]), (day + 10, [1, 7]), (day + 20, [1])):
            at = FROM + timedelta(seconds=second)
            assert [row[0].int for row in sql.execute(query, (at,)).fetchall()] == stale
            plan = sql.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", (at,)).fetchone()
            assert plan is not None
            assert read_of(plan[0][0]["Plan"], "alarm_events") < 20


def read_of(plan: dict[str, Any], table: str) -> int:
    """Rows of a table that a plan has looked at."""
    seen = plan["Actual Rows"] + sum(plan.get(name, 0) for name in ("Rows Removed by Filter",))
    own = seen * plan["Actual Loops"] if plan.get("Relation Name") == table else 0
    return int(own) + sum(read_of(each, table) for each in plan.get("Plans", ()))


def where_it_stands(number: int, version: int, state: State) -> Alarm:
    return Alarm(
        alarm_id=UUID(int=number),
        source_id=UUID(int=2),
        version=version,
        site="north",
        rule="hot",
        rule_version=1,
        device_id=1,
        gateway_id="gw",
        path=f"{AREAS[0]}/l/c/d/t",
        priority=Priority.HIGH,
        state=state,
        start_us=T0_US,
        updated_us=T0_US,
    )


def test_the_highest_version_of_an_alarm_stays(history: str) -> None:
    def alarm(version: int, state: State) -> Alarm:
        return where_it_stands(1, version, state)

    write(history, [alarm(2, State.ACKNOWLEDGED), alarm(1, State.UNACKNOWLEDGED)])
    write(history, [alarm(1, State.UNACKNOWLEDGED)])
    with psycopg.connect(history) as sql:
        assert sql.execute("SELECT version, state FROM alarm").fetchall() == [(2, "ACKNOWLEDGED")]


async def test_of_a_condition_history_knows_what_its_machine_is_to_hear(history: str) -> None:
    """From it the command follows that carries the acknowledgement, also when the alarm is over."""
    taken = dataclasses.replace(
        where_it_stands(91, 3, State.NORMAL),
        condition="plc:ns=2;s=High",
        acknowledged_us=T0_US + S,
        acknowledged_by="anna",
        seen_us=T0_US + 1,
    )
    heard = dataclasses.replace(taken, alarm_id=UUID(int=92), acknowledged_at_machine=True, seen_us=0)
    write(history, [taken, heard])
    database = ReadPool(history, application="test")
    try:
        records = AlarmRecords(database=database)
        found = await records.alarm(taken.alarm_id)
        assert request_of(found) == request_of(taken)
        assert request_of(taken) is not None
        assert (await records.alarm(heard.alarm_id)).acknowledged_at_machine
    finally:
        await database.close()
    with psycopg.connect(history) as connection:
        rows = connection.execute(
            "SELECT condition, acknowledged_at_machine FROM alarm WHERE alarm_id = ANY (%s) ORDER BY alarm_id",
            ([taken.alarm_id, heard.alarm_id],),
        ).fetchall()
    assert rows == [(taken.condition, False), (taken.condition, True)]


def test_rules_are_tried_on_what_is_stored(plain_history: str) -> None:
    ids = register(plain_history, power=tag(), speed=tag())
    second = [0.0, 1.0, 2.0, 2.05, 30.0, 60.0, 90.0]
    power = [50.0, 85.0, 86.0, 50.0, 50.0, 90.0, 50.0]
    frame = make_frame([ids["power"]] * 7, [T0_US + round(each * S) for each in second], power)
    others = make_frame([ids["speed"]] * 120, [T0_US + each * S for each in range(120)], [1.0] * 120, sequence=1)
    store = HistorianStore(plain_history)
    store.write([validated(frame), validated(others)])
    store.close()
    common = {"device_class": "press", "tag": "power", "severity": "MINOR", "response": "SOON"}
    rules = [
        AlarmRule.from_record({**common, "name": "hot", "kind": "LIMIT", "level": "HI", "limit": 80.0}),
        AlarmRule.from_record(
            {**common, "name": "slow", "kind": "LIMIT", "level": "HI", "limit": 80.0, "on_delay_s": 5.0}
        ),
        AlarmRule.from_record({**common, "name": "silent", "kind": "NO_DATA", "after_s": 25.0}),
        AlarmRule.from_record({**common, "name": "lost", "kind": "NO_DATA", "tag": "absent", "after_s": 25.0}),
    ]
    with psycopg.connect(plain_history) as connection:
        tags = edit.definitions(connection)[0]
        done = trial.run(connection, tags, rules, T0_US, T0_US + 200 * S)
    told = [(one.rule, one.kind, (one.time_us - T0_US) / S) for one in done.events]
    assert [one for one in told if one[0] == "hot"] == [
        ("hot", "RAISED", 1.0),
        ("hot", "RETURNED", 2.05),  # of a tenth of a second the last value counts
        ("hot", "RAISED_AGAIN", 60.0),
        ("hot", "RETURNED", 90.0),
    ]
    assert [one for one in told if one[0] == "slow"] == [("slow", "RAISED", 65.0), ("slow", "RETURNED", 90.0)]
    assert ("silent", "CHATTERING", 85.0) in told
    assert [one for one in told if one[0] == "silent" and one[1] != "CHATTERING"] == [
        ("silent", "RAISED", 27.05),
        ("silent", "RETURNED", 30.0),
        ("silent", "RAISED_AGAIN", 55.0),
        ("silent", "RETURNED", 60.0),
        ("silent", "RAISED_AGAIN", 85.0),
        ("silent", "RETURNED", 90.0),
        ("silent", "RAISED_AGAIN", 115.0),
    ]
    assert done.samples == 7
    assert done.problems == ["alarm rule lost@press: acme/north/forming/line-1/cell-1/press-01 has no tag absent"]
    found = {one.rule: one for one in trial.summaries(done, rules)}
    assert (found["hot"].raised, found["hot"].fleeting, found["hot"].standing) == (2, 1, 0)
    assert (found["silent"].raised, found["silent"].standing) == (4, 1)


def test_a_report_says_what_people_saw_and_what_would_have_helped(plain_history: str) -> None:
    ids = register(plain_history, power=tag())
    times = [T0_US + each * S for each in range(120)]
    chattering = [
        85.0 if each % 4 < 2 else 70.0 for each in range(120)
    ]  # up for two seconds, down for two, by more than any deadband
    store_all(plain_history, [validated(make_frame([ids["power"]] * 120, times, chattering))])
    about = {"device_class": "press", "tag": "power", "severity": "MINOR", "response": "SOON"}
    rule = AlarmRule.from_record(
        {**about, "name": "hot", "kind": "LIMIT", "level": "HI", "limit": 80.0, "deadband": 2.0}
    )
    until = FROM + timedelta(minutes=10)
    span = (T0_US, T0_US + 600 * S)
    with psycopg.connect(plain_history) as connection:
        tags = edit.definitions(connection)[0]
        done = trial.run(connection, tags, [rule], *span)
    shelved = Alarm(
        alarm_id=UUID(int=2), source_id=UUID(int=2), version=1, site="north", rule="cold", rule_version=1, device_id=1, gateway_id="gw",
        path=f"{AREAS[0]}/l/c/d", priority=Priority.LOW, state=State.SHELVED, updated_us=T0_US,
        overrides=(Override(kind=OverrideKind.SHELVED, since_us=T0_US, by="anna", reason="valve sticks", until_us=T0_US + 60 * S),),
    )  # fmt: skip
    write(plain_history, [*done.events, shelved])
    with psycopg.connect(plain_history) as connection:
        found = report.collect(connection, FROM, until)
        lines = "".join(report.text(found))
        assert report.busiest(found, tags, [rule]) == [rule]
        raised, proposals = report.proposals(connection, tags, [rule], rule, span)
    assert raised == found.scopes[0]["alarms"] == found.top[0]["alarms"] == 30
    assert (
        "30 alarms, 30.00 in 10 minutes: very likely unacceptable; 30 at the worst, 100.0% of the time in flood"
        in lines
    )
    assert "chatters" in lines
    assert "SHELVED by anna  until 2026-" in lines
    assert "valve sticks" in lines
    # As long as it is up, or down, it never is for 5 s; no deadband is as wide as the swing.
    assert [(one.field, one.before, one.after, one.raised) for one in proposals] == [
        ("on_delay_s", 0.0, 5.0, 0),
        ("off_delay_s", 0.0, 5.0, 1),
    ]


@pytest.mark.parametrize(
    ("per_10_min", "words"),
    [
        (0.0, "very likely acceptable"),
        (1.0, "very likely acceptable"),
        (1.5, "manageable"),
        (4, "likely over-demanding"),
        (50, "very likely unacceptable"),
    ],
)
def test_a_rate_has_a_verdict(per_10_min: float, words: str) -> None:
    assert rate_verdict(per_10_min).words == words


def activations_by_hand(events: list[AlarmEvent], from_us: int, to_us: int) -> set[tuple[Any, ...]]:
    """What a person saw come, with its end and who took note, event by event."""
    found, by_alarm = set[tuple[Any, ...]](), defaultdict[UUID, list[AlarmEvent]](list)
    for one in sorted(events, key=lambda each: each.version):
        by_alarm[one.alarm_id].append(one)
    for own in by_alarm.values():
        for place, one in enumerate(own):
            if one.kind not in (Kind.RAISED, Kind.RAISED_AGAIN) or one.state is not State.UNACKNOWLEDGED:
                continue
            later = own[place + 1 :]
            over = next((each.time_us for each in later if each.kind in (Kind.RETURNED, Kind.RAISED_AGAIN)), None)
            until = next((at for at, each in enumerate(later) if each.kind is Kind.RAISED_AGAIN), len(later))
            taken = next((each.time_us for each in later[:until] if each.kind is Kind.ACKNOWLEDGED), None)
            if one.time_us < to_us and (over is None or over >= from_us):
                found.add((one.alarm_id, one.path, one.priority, one.time_us, over, taken))
    return found


@pytest.mark.parametrize("seed", [4, 5])
@pytest.mark.asyncio
async def test_what_held_within_a_while_is_that_of_the_oracle(history: str, seed: int) -> None:
    events = a_day_of_alarms(seed)
    last = {one.alarm_id: one for one in sorted(events, key=lambda each: each.version)}
    stand = [
        dataclasses.replace(
            where_it_stands(1, one.version, one.state),
            alarm_id=one.alarm_id,
            path=one.path,
            start_us=min(each.time_us for each in events if each.alarm_id == one.alarm_id),
            updated_us=one.time_us,
        )
        for one in last.values()
    ]
    never = event(UUID(int=77), 1, Kind.RAISED, State.UNACKNOWLEDGED, 60)
    away = dataclasses.replace(never, event_id=UUID(int=78), version=2, kind=Kind.RETURNED, withdrawn=True)
    write(history, [*events, never, away, *stand, dataclasses.replace(where_it_stands(77, 2, State.NORMAL))])
    from_us, to_us = T0_US + 7_000 * S, T0_US + 9_000 * S
    pool = ReadPool(history, application="test")
    try:
        records = AlarmRecords(database=pool, clock=lambda: to_us)
        plant = Plant()
        for number, area in enumerate(AREAS, 1):
            known = definition(
                tag_id=number, device_id=number, path=f"{area}/line/cell/device/{number - 1}/temperature"
            )
            plant.apply(definitions.encode_tag(known)[1])
        plant.apply(definitions.encode_version(1, tags=len(AREAS), time_us=T0_US)[1])
        found, left_out = await records.activations(plant, "acme", from_us, to_us)
        assert left_out == 0
        seen = {
            (one.alarm_id, one.path, one.priority, one.raised_us, one.returned_us, one.acknowledged_us) for one in found
        }
        assert len(seen) == len(found)
        assert seen == activations_by_hand(events, from_us, to_us)
        assert [one.raised_us for one in found] == sorted((one.raised_us for one in found), reverse=True)
        part, _ = await records.activations(plant, AREAS[1], from_us, to_us)
        assert {one.path for one in part} == {one.path for one in found if one.path.startswith(f"{AREAS[1]}/")}
        over = next(one for one in found if last[one.alarm_id].state is State.NORMAL)
        assert (await records.alarm(over.alarm_id)).state is State.NORMAL
        with pytest.raises(NotFoundError, match="no alarm"):
            await records.alarm(UUID(int=12345))
        with pytest.raises(InvalidRequestError, match="at most 31"):
            await records.activations(plant, "acme", T0_US - 40 * 86_400 * S, to_us)
    finally:
        await pool.close()
