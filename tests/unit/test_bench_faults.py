"""The campaign of faults: schedule, what is looked at and what is made of it; nothing runs here."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from base.errors import ConfigError
from benchmarks import report
from benchmarks.faults import campaign, flow, orders, outcome, signals, table, tables
from benchmarks.faults.flow import Look
from benchmarks.faults.orders import Target
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.signals import Relation
from benchmarks.faults.table import Fault

SERVICES = ("owner-watch", "kafka", "postgres", "jobmanager", "taskmanager-1", "taskmanager-2", "taskmanager-3")


def schedule(**options: Any) -> list[Fault]:
    return table.schedule(table.load(), SERVICES, **({"seed": 1, "rounds": 1} | options))


# --- the schedule --------------------------------------------------------------------------------------------------------


def test_every_service_and_group_is_broken_in_every_way_once_a_round() -> None:
    found = schedule(rounds=2)
    names = {*SERVICES, *table.load().together} - {"owner-watch"}
    expected = {(1, number, name, kind): 1 for number in (1, 2) for name in names for kind in table.load().kinds}
    assert Counter(one.key for one in found) == Counter(expected)
    assert {(one.kind, one.pause_s) for one in found} == {("kill", 0), ("pause15", 15), ("pause60", 60)}


def test_a_schedule_is_its_seed() -> None:
    assert schedule(rounds=3) == schedule(rounds=3)
    assert schedule() == schedule(rounds=3)[: len(schedule())]
    assert schedule(seed=2) != schedule()
    first, second = schedule(rounds=2)[: len(schedule())], schedule(rounds=2)[len(schedule()) :]
    assert [one.name for one in first] != [one.name for one in second]


def test_a_choice_of_faults_leaves_the_others_as_they_are() -> None:
    chosen = schedule(only=("kafka", "taskmanagers"), kinds=("kill",))
    assert chosen == [one for one in schedule() if one.name in {"kafka", "taskmanagers"} and one.kind == "kill"]
    with pytest.raises(ConfigError, match=r"no fault 'kafla'; there are .*kafka"):
        schedule(only=("kafla",))
    with pytest.raises(ConfigError, match=r"no kind 'pause'; there are .*pause15"):
        schedule(kinds=("pause",))


def test_groups_name_services_of_the_instance() -> None:
    found = {(one.name, one.services) for one in schedule(rounds=20)}
    together = {name: {services for one, services in found if one == name} for name in table.load().together}
    assert together["kafka+postgres"] == {("kafka", "postgres")}
    assert together["taskmanagers"] == {("taskmanager-1", "taskmanager-2", "taskmanager-3")}
    assert together["jobmanager+taskmanager"] == {("jobmanager", f"taskmanager-{n}") for n in (1, 2, 3)}
    with pytest.raises(ConfigError, match="any taskmanager"):
        table.schedule(table.load(), ("kafka", "postgres", "jobmanager"), seed=1, rounds=1)


# --- processes -----------------------------------------------------------------------------------------------------------


def test_a_service_is_its_group_and_what_descends_from_it() -> None:
    others = [Relation(1, 0, 1), Relation(50, 1, 50), Relation(51, 50, 50)]
    database = [Relation(102, 101, 102), Relation(101, 100, 101), Relation(100, 1, 100)]
    engine = [Relation(200, 1, 200), Relation(201, 200, 200), Relation(202, 1, 200)]
    found = signals.members([100, 200], [*others, *database, *engine])
    assert found[:2] == [100, 200]
    assert sorted(found) == [100, 101, 102, 200, 201, 202]
    assert signals.members([7], others) == []


# --- samples and lag -----------------------------------------------------------------------------------------------------


def looks(*rows: tuple[float, int, int]) -> list[Look]:
    return [Look(at_s, silent, 1000 + lag, 1000) for at_s, silent, lag in rows]


def test_a_line_is_back_when_the_last_silence_is_over() -> None:
    seen = looks(
        (9, 5, 0), (10, 0, 10), (12, 0, 900), (14, 3, 4000), (16, 0, 5000), (18, 1, 3000), (20, 0, 90), (22, 0, 10)
    )
    found = flow.measure(seen, broken_s=10, over_s=11, level=100)
    assert (found.samples_s, found.lag_s, found.largest_lag) == (9, 9, 5000)
    assert found.silent_s == 8


def test_a_line_that_was_never_silent_is_back_at_once_and_one_that_stays_silent_is_not() -> None:
    assert flow.measure(looks((10, 0, 5), (11, 0, 5)), broken_s=10, over_s=10, level=9).samples_s == 0
    found = flow.measure(looks((10, 0, 5), (11, 2, 50)), broken_s=10, over_s=10, level=9)
    assert (found.samples_s, found.lag_s) == (None, None)


def test_a_line_that_is_back_before_the_pause_is_over_is_back_after_no_time() -> None:
    assert flow.measure(looks((10, 4, 0), (15, 0, 0), (26, 0, 0)), broken_s=10, over_s=25, level=9).samples_s == 0


def test_the_normal_lag_is_the_largest_seen_but_some_seconds_of_the_load_at_least() -> None:
    calm = [Look(0.0, 0, 1000, 990), Look(10.0, 0, 11_000, 10_970)]
    assert flow.level_of(calm) == 2000
    assert flow.level_of([*calm, Look(11.0, 0, 12_000, 7_000)]) == 5000


# --- commands ------------------------------------------------------------------------------------------------------------

TARGETS = [Target(device=f"acme/north/forming/line-1/a/press-0{n}", low=0, high=40) for n in range(5)]


def test_twenty_commands_are_planned_by_the_seed_and_no_two_write_the_same() -> None:
    first, again = (orders.plan(schedule()[0], table.load(), TARGETS) for _ in range(2))
    assert len(first) == 20
    assert [(one.target, one.value, one.at_s) for one in first] == [(one.target, one.value, one.at_s) for one in again]
    assert len({(one.target, one.value) for one in first}) == 20
    assert {one.command_id for one in first}.isdisjoint(one.command_id for one in again)
    assert all(one.target.low < one.value < one.target.high for one in first)
    assert min(one.at_s for one in first) < 0 < max(one.at_s for one in first)
    assert first[0].target.journal_name.startswith("north.press-0")


@pytest.mark.parametrize(
    ("state", "times", "right"),
    [
        ("SUCCEEDED", 1, True),
        ("SUCCEEDED", 0, False),
        ("SUCCEEDED", 2, False),
        ("FAILED", 0, True),
        ("FAILED", 1, False),
        ("REJECTED", 1, False),
        ("EXPIRED", 0, True),
        ("EXPIRED", 1, False),
        ("CANCELLED", 1, False),
        ("UNKNOWN", 0, True),
        ("UNKNOWN", 1, True),
        ("UNKNOWN", 2, False),
        ("EXECUTING", 0, False),
        ("NONE", 0, True),
        ("NONE", 1, False),
    ],
)
def test_an_outcome_must_match_the_journal(state: str, times: int, right: bool) -> None:
    (one, *_) = orders.plan(schedule()[0], table.load(), TARGETS)
    recorded: dict[UUID, str] = {} if state == "NONE" else {one.command_id: state}
    found = orders.compare([one], recorded, {}, {one.command_id: times})
    assert found.by_state == {state: 1}
    assert bool(found.wrong) is not right


def test_what_was_acknowledged_is_in_the_record_and_callers_hear_what_is_there() -> None:
    (one, *_) = orders.plan(schedule()[0], table.load(), TARGETS)
    one.acknowledged = True
    assert "was acknowledged" in orders.compare([one], {}, {}, {}).wrong[0]
    told = {one.command_id: "EXECUTING (provisional)"}
    found = orders.compare([one], {one.command_id: "SUCCEEDED"}, told, {one.command_id: 1})
    assert found.wrong == [f"{one.name} is SUCCEEDED in the record and EXECUTING (provisional) to callers"]


# --- results -------------------------------------------------------------------------------------------------------------


def result_of(fault: Fault, **changes: Any) -> Outcome:
    row = Outcome(
        seed=fault.seed,
        round=fault.round,
        fault=fault.name,
        kind=fault.kind,
        pause_s=fault.pause_s,
        services=list(fault.services),
        time=f"2026-01-01T00:00:00.{fault.round:03d}+00:00",
        commit="abc",
        load=1.0,
        took_s=60.0,
        healed=True,
        healed_s=6.0,
        samples_s=4.0,
        lag_s=5.0,
        silent_s=4.0,
        largest_lag=5000,
        restarted={},
        commands={"SUCCEEDED": 19, "UNKNOWN": 1},
        commands_unacknowledged=0,
        commands_wrong=[],
        accounting={"closed": True, "difference": 0, "checksums_differing": 0},
    )
    return dataclasses.replace(row, **changes)


def test_a_campaign_goes_on_where_its_file_stands(tmp_path: Path) -> None:
    faults = schedule(rounds=2)
    file = tmp_path / "faults.json"
    campaign.write(file, [result_of(one) for one in faults[:7]])
    known = outcome.read(report.load(file), file.name)
    assert outcome.left(faults, known) == faults[7:]
    assert outcome.left(schedule(seed=2), known) == schedule(seed=2)
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_files_are_merged_and_nothing_counts_twice_or_is_hidden(tmp_path: Path) -> None:
    one, two = schedule(kinds=("kill",))[:2]
    failed = result_of(one, healed=False, samples_s=None, lag_s=None, healed_s=None)
    again = result_of(one, time="2026-01-02T00:00:00.000+00:00")
    for name, some in (("a.json", [failed, result_of(two)]), ("b.json", [again, failed])):
        campaign.write(tmp_path / name, some)
    found = campaign.result(campaign.merge([str(tmp_path / name) for name in ("a.json", "b.json")]))
    assert found["faults_done"] == 3
    assert found["healed"] == 2
    with pytest.raises(ConfigError, match="not of 'faults'"):
        outcome.read({"scenario": "soak"}, "c.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        outcome.read({"scenario": "faults", "faults": [{"seed": 1}]}, "d.json")


def test_a_fault_that_does_not_heal_counts_as_longer_than_any() -> None:
    kills = schedule(only=("kafka", "postgres"), rounds=5, kinds=("kill",))
    some = [result_of(one, samples_s=float(number)) for number, one in enumerate(kills)]
    assert tables.figures(some)["samples_kill_p95_s"] == 9
    assert tables.figures(some)["samples_pause_p95_s"] is None
    some[0] = result_of(
        kills[0], healed=False, samples_s=None, problems=["job telemetry does not run"], logs="kept/there"
    )
    found = tables.figures(some)
    assert (found["samples_kill_p50_s"], found["samples_kill_p95_s"], found["healed"]) == (6, None, 9)
    by_kind, by_fault, not_well = found["tables"]
    assert by_kind["rows"][0][:6] == ["kill", 10, 9, "6.0", "not back", "not back"]
    assert [row[:2] for row in by_fault["rows"]] == [["kafka", "kill"], ["postgres", "kill"]]
    assert not_well["rows"][0][4:] == ["job telemetry does not run", "kept/there"]


def test_an_accounting_that_is_not_closed_is_not_exact() -> None:
    (one, *_) = schedule()
    assert result_of(one).exact
    for books in ({"closed": None, "difference": 0, "checksums_differing": 0}, {}):
        assert not result_of(one, accounting=books).exact
