"""The benchmark of alarms: excursions against a real server, hops and verdicts as arithmetic, kills by their model; no cluster."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from base.errors import ConfigError
from benchmarks.alarms import caller, excursions, flood, flooding, hops, kills, oracle, record, rules
from benchmarks.alarms.excursions import Excursion, Target
from benchmarks.alarms.flood import Look, Sent
from benchmarks.alarms.kills import HOOK, MAIL, Outcome
from benchmarks.alarms.oracle import Activation
from benchmarks.alarms.record import Stored
from schemas import frame
from schemas.alarm_rules import AlarmRule
from schemas.frame import ClockStatus, Frame, Stream
from schemas.notifications import AlarmNotification, NotificationKind, NotificationState, raised_id
from schemas.priorities import Priority
from stack.reporting import Progress
from tests.unit.alarming import AlarmsInPlace, rule
from tests.unit.served import LINE, definition, served

T0 = 1_800_000_000_000_000
S = 1_000_000
TARGET = Target(path=f"{LINE}/press00/power", tag_id=100, limit=90.0, value=99.0)


def excursion(number: int = 0, **fields: Any) -> Excursion:
    known: dict[str, Any] = {
        "target": TARGET,
        "due_s": 0.0,
        "put_us": T0,
        "over_us": T0 + 9 * S,
        "alarm_id": UUID(int=number + 1),
    }
    return Excursion(number=number, **(known | fields))


def stored(number: int = 0, **fields: Any) -> Stored:
    known: dict[str, Any] = {
        "alarm_id": UUID(int=number + 1), "path": TARGET.path, "rule": excursions.RULE, "priority": "HIGH", "state": "NORMAL", "version": 4,
        "activations": 1, "start_us": T0 + S, "activated_us": T0 + S, "acknowledged_us": T0 + 2 * S, "events": record.COURSE,
    }  # fmt: skip
    return Stored(**(known | fields))


# --- excursions ----------------------------------------------------------------------------------------------------------


class Machines:
    """Values of the machines, as the simulator would change them."""

    def __init__(self, job: AlarmsInPlace, loop: asyncio.AbstractEventLoop) -> None:
        self._job, self._loop = job, loop
        self._on: dict[int, Target] = {}
        self.puts = 0

    def put(self, target: Target) -> int:
        self.puts += 1
        self._on[self.puts] = target
        self._see(target.tag_id, target.value)
        return self.puts

    def take_off(self, number: int) -> None:
        self._see(self._on.pop(number).tag_id, 50.0)

    def _see(self, tag_id: int, value: float) -> None:
        self._loop.call_soon_threadsafe(lambda: self._job.see({tag_id: value}))


async def test_each_excursion_is_seen_acknowledged_and_normal_again() -> None:
    names = [f"{LINE}/press{number:02}/power" for number in range(2)]
    tags = [
        definition(tag_id=500 + n, device_id=10 + n, path=path, name="power", device_class="press", eu_high=90.0)
        for n, path in enumerate(names)
    ]
    async with served() as running:
        running.know(tags, version=9)
        job = AlarmsInPlace(running.server, tags, [rule(excursions.RULE, "power", 90.0)])
        running.requests.told = job.acted
        await job.begin()
        chosen = excursions.targets([tag async for tag in running.client.tags()])
        assert [one.path for one in chosen] == names
        done = excursions.plan(chosen, count=3, rate_hz=100)
        machines = Machines(job, asyncio.get_running_loop())
        call = caller.Call(grpc=running.address, faults=machines, hold_s=0.0, patience_s=30.0)
        await caller.drive(call, done)
    assert [one.wrong for one in done] == ["", "", ""]
    assert machines.puts == 3
    assert len({one.alarm_id for one in done}) == 3
    for one in done:
        assert one.put_us <= one.seen_us <= one.asked_us <= one.answered_us
        assert one.acknowledged_seen_us
        assert one.over_us <= one.normal_seen_us
    assert job.told.count("RAISED") == job.told.count("ACKNOWLEDGED") == job.told.count("RETURNED") == 3


def test_every_class_with_the_tag_has_a_rule_and_each_priority_comes() -> None:
    plant = {
        "device_classes": {f"c{n}": {"tags": {"power": {"eu": [0, n]}}} for n in range(4)} | {"meter": {"tags": {}}}
    }
    made = excursions.rules(plant)
    assert [one["limit"] for one in made] == [0, 1, 2, 3]
    assert {AlarmRule.from_record(one).priority for one in made} == set(Priority)


# --- hops ----------------------------------------------------------------------------------------------------------------


def shown_frame(*samples: tuple[int, float, float]) -> bytes:
    tag_id, second, value = (np.array(column) for column in zip(*samples, strict=True))
    times = T0 + (second * S).astype(np.int64)
    made = frame.build(
        gateway_id="g", epoch=UUID("01890a5d-ac96-774b-bcce-b302099a8057"), lane=0, stream=Stream.LIVE, sequence=0,
        closed_time_us=int(times.max()) + 1000, clock_status=ClockStatus.SYNCHRONISED, registry_version=1, tag_id=tag_id.astype(np.int32),
        time_us=times, value=value.astype(np.float64), quality=np.zeros(len(samples), np.uint16),
    )  # fmt: skip
    return frame.encode(made)


def test_the_frame_that_shows_an_alarm_is_the_first_beyond_the_limit() -> None:
    messages = [
        (shown_frame((100, 3, 99.0), (101, 2, 99.0)), T0 + 4 * S),
        (shown_frame((100, 2, 99.0), (100, 2.1, 99.0)), T0 + 3 * S),
        (shown_frame((100, 1, 50.0), (100, -1, 99.0), (100, 10, 99.0)), T0 + 2 * S),
    ]
    found = hops.shown_by([excursion()], messages)
    assert found == {0: (T0 + 2 * S, T0 + 2_100_000 + 1000, T0 + 3 * S)}


def test_hops_are_between_steps_that_are_known() -> None:
    one = excursion(seen_us=T0 + 900_000, sent_us=T0 + 880_000, stream_us=0)
    shown = {0: hops.Shown(T0, T0 + 100_000, T0 + 110_000)}
    found = hops.table([one, excursion(1)], shown, {UUID(int=1): (T0 + 600_000, T0 + 601_000)})
    assert {hop: values["p50_ms"] for hop, values in found.items() if values} == {
        "closed_to_seen": 800.0, "source_to_seen": 900.0, "source_to_closed": 100.0, "closed_to_produced": 10.0,
        "produced_to_recorded": 490.0, "recorded_to_sent": 280.0, "sent_to_seen": 20.0,
    }  # fmt: skip
    assert next(row[0] for row in hops.rows(found)) == "closed to seen"


# --- the record ----------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_compared_with_what_was_done() -> None:
    assert record.compare([excursion()], [stored()]) == []
    for row, problem in (
        (stored(state="ACKNOWLEDGED"), "stored as ACKNOWLEDGED"),
        (stored(activations=2), "raised 2 times"),
        (stored(events=("RAISED", "RETURNED")), "what happened to it is stored as RAISED, RETURNED"),
        (stored(7), "is stored of it"),
    ):
        (said,) = record.compare([excursion()], [row])
        assert problem in said
    assert "0 alarms of it are stored" in record.compare([excursion()], [])[0]
    assert "2 alarms of it are stored" in record.compare([excursion()], [stored(), stored(1)])[0]
    assert "is of no excursion" in record.compare([excursion()], [stored(), stored(1, start_us=T0 + 60 * S)])[0]
    assert "nothing was seen" in record.compare([excursion(wrong="nothing was seen of it")], [stored()])[0]


def test_figures_by_hand() -> None:
    path = "acme/north/forming/line/cell/press-{}/power"
    seen = [
        Activation(
            path=path.format(n % 3), rule="r", priority="CRITICAL" if n else "LOW", time_us=T0 + n * 60 * S, acknowledged_us=T0 + n * 61 * S
        )
        for n in range(12)
    ]  # fmt: skip
    seen += [Activation(path="acme/north/other/line/cell/x/y", rule="r", priority="LOW", time_us=T0 - 1)]
    found = oracle.kpis(seen, T0, T0 + 1200 * S)
    assert found == {
        "acme/north/forming": {
            "alarms": 12, "per_10_min": 6.0, "peak_10_min": 10, "flood_share": 0.0, "critical": 11 / 12, "high": 0.0, "medium": 0.0,
            "low": 1 / 12, "acknowledged": 12, "time_to_acknowledge_us": 5.5 * S,
        }
    }  # fmt: skip
    assert oracle.kpis(seen[:11], T0, T0 + 660 * S)["acme/north/forming"]["flood_share"] == 0.0
    assert oracle.top(seen, T0, T0 + 1200 * S, most=2) == [(path.format(n), "r", 4) for n in (0, 1)]
    row = dict(found["acme/north/forming"]) | {"scope": "acme/north/forming"}
    assert oracle.differences(found, [row]) == []
    assert oracle.differences(found, [row | {"alarms": 13}]) == ["acme/north/forming: alarms is 13, by hand 12"]
    assert oracle.differences(found, []) == ["acme/north/forming is not in the figures"]
    assert oracle.differences({}, [row]) == ["acme/north/forming is in the figures, and nothing was raised there"]


# --- the flood -----------------------------------------------------------------------------------------------------------


def test_a_flood_is_its_seed_and_its_critical_alarms_come_in_the_midst_of_it() -> None:
    machines = flood.plan(1)
    assert machines == flood.plan(1) != flood.plan(2)
    assert len({one.path for one in machines}) == flood.MACHINES
    assert all(0.2 * flood.SPAN_S < one.at_s < 0.95 * flood.SPAN_S for one in machines if one.critical)
    assert sum(one.critical for one in machines) == flood.CRITICAL
    assert {AlarmRule.from_record(one).priority for one in flood.rules()} == {Priority.CRITICAL, Priority.MEDIUM}
    site = flood.plant(machines)["sites"][0]
    assert sum(len(area["lines"][0]["cells"][0]["devices"]) for area in site["areas"]) == flood.MACHINES


def test_a_critical_alarm_is_on_top_when_nothing_less_urgent_is_above_it() -> None:
    machines = flood.plan(1, 10, 2)
    first, second = (one.path for one in machines if one.critical)
    sent = Sent(closed_us={first: T0, second: T0 + S})
    looks = [
        Look(at_us=T0 + 300_000, lines=(("x", "MEDIUM"), (first, "CRITICAL")), alarms=2),
        Look(at_us=T0 + 400_000, lines=((first, "CRITICAL"), ("x", "MEDIUM")), alarms=3),
        Look(at_us=T0 + S + 500_000, lines=((second, "CRITICAL"), (first, "CRITICAL")), alarms=9),
    ]
    found = flood.judge(machines, sent, looks)
    assert (found["critical_on_top_max_ms"], found["lines_max"], found["alarms_in_lines_max"]) == (500.0, 2, 9)
    assert found["critical_not_on_top"] == []
    lost = flood.judge(machines, sent, [*looks, Look(at_us=T0 + 3 * S, lines=((second, "CRITICAL"),), alarms=9)])
    assert lost["critical_not_on_top"] == [f"{first} was on top, and no more at {T0 + 3 * S}"]
    assert f"{second} never was on top" in flood.judge(machines, sent, looks[:2])["critical_not_on_top"]


async def test_a_flood_is_sent_looked_at_acknowledged_and_over() -> None:
    machines = flood.plan(1, 60, 2, span_s=1.0)
    tags = [
        definition(
            tag_id=500 + n, device_id=500 + n, path=one.path, name="level", site=flood.SITE, gateway_id=flood.GATEWAY, lane=0,
            device_class="flooded-critical" if one.critical else "flooded",
        )
        for n, one in enumerate(machines)
    ]  # fmt: skip
    async with served() as running:
        running.know(tags, version=9)
        job = AlarmsInPlace(running.server, tags, map(AlarmRule.from_record, flood.rules()))
        running.requests.told = job.acted
        await job.begin()
        loop = asyncio.get_running_loop()

        def write(made: Frame) -> None:
            values = dict(zip(made.tag_id.tolist(), made.value.tolist(), strict=True))
            loop.call_soon_threadsafe(lambda: job.see(values, time_us=int(made.time_us.max())))

        done = await flooding.carry_out(running.address, machines, 9, write, span_s=1.0, calm_s=0.2)
    assert done.left == []
    assert len(done.acknowledged) == len(done.sent.source_us) == 60
    found = flood.judge(machines, done.sent, done.looks)
    assert found["critical_not_on_top"] == []
    assert found["lines_max"] <= flood.MOST_LINES
    assert found["alarms_in_lines_max"] == 60
    assert job.told.count("RAISED") == job.told.count("ACKNOWLEDGED") == job.told.count("RETURNED") == 60


# --- kills ---------------------------------------------------------------------------------------------------------------


def outcome(fault: kills.Fault, **fields: Any) -> Outcome:
    known: dict[str, Any] = {
        "services": [fault.name], "time": "t", "commit": "c", "load": 1.0, "took_s": 60.0, "healed_s": 9.0, "raised": 13,
        "acknowledged": 13, "told": 20, "seen_s_p50": 0.5, "seen_s_max": 20.0, "repeats": 1, "wrong": [],
    }  # fmt: skip
    return Outcome(seed=fault.seed, name=fault.name, kind=fault.kind, **(known | fields))


def test_everything_that_alarms_pass_is_killed_and_paused_once_in_an_order_of_the_seed() -> None:
    found = kills.schedule(1)
    assert {(one.name, one.kind) for one in found} == {
        (name, kind) for name in kills.NAMES for kind in ("kill", "pause")
    }
    assert len(found) == 2 * len(kills.NAMES)
    assert found == kills.schedule(1) != kills.schedule(2)
    assert [one.key for one in kills.schedule(1, only=["kafka"], kinds=["kill"])] == [(1, "kafka", "kill")]
    with pytest.raises(ConfigError, match="there is no 'kafkas'"):
        kills.schedule(1, only=["kafkas"])


def test_a_campaign_goes_on_where_its_file_stands() -> None:
    faults = kills.schedule(1)
    known = [outcome(faults[0]), outcome(faults[1], wrong=["x"], healed_s=None)]
    result = kills.figures(known)
    assert (result["faults_done"], result["alarms"], result["wrong"], result["not_healed"]) == (2, 26, 1, 1)
    again = kills.read(result, "file.json")
    assert again == known
    assert kills.left(faults, again) == faults[2:]
    with pytest.raises(ConfigError, match="no result of `bench alarms --kills`"):
        kills.read({"scenario": "faults"}, "file.json")


def test_excursions_around_a_fault_are_at_machines_of_their_own() -> None:
    targets = [dataclasses.replace(TARGET, path=f"a/b/c/d/e/f-{n}/power", tag_id=n) for n in range(38)]
    fault = kills.Fault(seed=1, name="kafka", kind="pause")
    done = kills.plan(fault, targets, 13)
    assert len({one.target.tag_id for one in done}) == 13
    assert {one.told for one in done} == {True, False}
    assert all(0 <= one.due_s <= kills.LEAD_S + 15 + 8 for one in done)
    assert [one.target for one in done] == [one.target for one in kills.plan(fault, targets, 13)]


def notification(
    alarm: int, target: str, state: NotificationState = NotificationState.SENT, **fields: Any
) -> AlarmNotification:
    known: dict[str, Any] = {
        "notification_id": raised_id(UUID(int=alarm), 1, 0, target), "kind": NotificationKind.RAISED, "state": state,
        "alarm_id": UUID(int=alarm), "activation": 1, "route": "all", "step": 0, "target": target, "site": "north",
        "rule": "r", "path": "p", "priority": Priority.LOW,
        "created_us": T0, "updated_us": T0, "attempts": 1,
    }  # fmt: skip
    return AlarmNotification(**(known | fields))


def compared(
    outbox: Sequence[AlarmNotification], messages: Sequence[tuple[float, str, list[str]]]
) -> tuple[list[str], int]:
    return kills.told_wrongly([excursion(told=True)], {one.notification_id: one for one in outbox}, {MAIL: messages})


def test_what_was_told_is_in_the_outbox_and_came_once_by_its_id() -> None:
    one = notification(1, MAIL)
    key = str(one.notification_id)
    assert kills.is_told(excursion(), [key])
    assert compared([one], [(5.0, "m", [key])]) == ([], 0)
    assert compared([one], [(5.0, "m", [key]), (7.0, "m", [key])]) == ([], 1)
    # Begun before a restart and called back since: it may have come.
    begun = notification(1, MAIL, NotificationState.CANCELLED, message_id=UUID(int=9))
    assert compared([begun], [(5.0, "m", [key])]) == ([], 0)
    for outbox, messages, problem in (
        ([one], [(5.0, "m", [key]), (5.4, "m", [key])], "came again after 0.40 s"),
        ([one], [(5.0, "m", [key]), (7.0, "n", [key])], "came in 2 messages"),
        ([one], [], "SENT and never came"),
        ([], [(5.0, "m", [key])], "is not in the outbox"),
        ([notification(1, MAIL, NotificationState.SENDING)], [(5.0, "m", [key])], "is SENDING at the end"),
        (
            [notification(1, MAIL, NotificationState.CANCELLED)],
            [(5.0, "m", [key])],
            "never tried, and came",
        ),
        ([notification(1, MAIL, NotificationState.CANCELLED)], [], "nobody was told"),
    ):
        wrong, _ = compared(outbox, messages)
        assert any(problem in text for text in wrong), (problem, wrong)


def test_who_was_acknowledged_at_once_may_have_been_told_to_nobody() -> None:
    assert kills.told_wrongly([excursion()], {}, {MAIL: [], HOOK: []}) == ([], 0)


# --- many rules ----------------------------------------------------------------------------------------------------------


def test_many_rules_are_measured_at_one_site_and_at_several() -> None:
    found = rules.run(rules=400, devices=2 * rules.DEVICES_OF_GATEWAY, progress=Progress(sink=lambda _: None))
    assert found["one_site"]["alarm_records"] > 0
    assert found["one_site"]["state_bytes_quiet"] >= 400 * 30
    assert found["tables"][0]["columns"] == ["", "one_site", "sites_of_40_gateways"]
