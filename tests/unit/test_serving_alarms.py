"""Alarms as callers see them: a real server on a free port, with the logic of the alarms job in the place of the job."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from base.errors import UnavailableError
from base.ids import now_us, uuid7
from millrace_client import (
    AlarmEvaluationState,
    AlarmOutcome,
    AlarmPriority,
    AlarmState,
    AsyncClient,
    Connection,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    cli,
)
from millrace_client._proto.millrace.v1 import alarms_pb2
from millrace_client.calls.alarms import ACKNOWLEDGE_ALL
from millrace_client.calls.method import Call
from schemas import codec
from schemas.alarm_rules import AlarmRule, ConditionKind
from schemas.alarms import Alarm
from schemas.alarms import AlarmState as State
from schemas.audit import AuditEvent, Outcome
from schemas.priorities import Priority, Response, Severity
from serving import trail
from serving.caches.alarm_job import AlarmJob, EvaluationState
from serving.caches.alarms import Alarms
from serving.caches.wakeup import Wakeup
from serving.handlers import alarms as handlers
from serving.tokens import hash_token
from tests.unit.alarming import AlarmsInPlace, rule
from tests.unit.served import LINE, Served, eventually, presses, served

PRESS = [f"{LINE}/press{number:02}" for number in range(3)]
HOT, HOTTER, FAST = 100, 110, 111
RULES = (
    rule(
        "hot", "temperature", 80.0, cause="no coolant", consequence="the oil cracks", corrective_action="open valve 3"
    ),
    rule("melting", "temperature", 120.0, severity=Severity.SEVERE, response=Response.IMMEDIATE),
    rule("fast", "speed_setpoint", 50.0, severity=Severity.MINOR, response=Response.LATER, latch=True),
)


@asynccontextmanager
async def alarming(**options: object) -> AsyncIterator[tuple[Served, AlarmsInPlace]]:
    """A server whose alarms are switched on."""
    async with served(**options) as running:  # type: ignore[arg-type]
        job = AlarmsInPlace(running.server, presses(), RULES)
        running.requests.told = job.acted
        await job.begin()
        yield running, job


def standing(number: int, **fields: object) -> Alarm:
    """An alarm of press00."""
    made = Alarm(
        alarm_id=UUID(int=1_000 + number), source_id=UUID(int=number), version=1, site="north", rule="many", rule_version=1,
        device_id=10, gateway_id="gw-north-1", path=PRESS[0], priority=Priority.LOW, state=State.UNACKNOWLEDGED, active=True,
        start_us=number, activated_us=number,
    )  # fmt: skip
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


async def test_alarms_come_by_priority_then_the_newest_first() -> None:
    async with alarming() as (running, job):
        job.see({HOT: 90.0})
        job.see({FAST: 60.0})
        job.see({HOTTER: 130.0})
        found = [alarm async for alarm in running.client.alarms()]
        assert [(one.rule, one.device_path) for one in found] == [
            ("melting", PRESS[1]), ("hot", PRESS[1]), ("hot", PRESS[0]), ("fast", PRESS[1]),
        ]  # fmt: skip
        melting, hot = found[0], found[2]
        assert (melting.priority, melting.state, melting.active) == (
            AlarmPriority.CRITICAL,
            AlarmState.UNACKNOWLEDGED,
            True,
        )
        assert (hot.value, hot.path, hot.unit) == (90.0, f"{PRESS[0]}/temperature", presses()[0].unit)
        assert (hot.cause, hot.consequence, hot.corrective_action) == ("no coolant", "the oil cracks", "open valve 3")
        page = await running.client.alarms_page(page_size=3)
        rest = await running.client.alarms_page(page_token=page.next_page_token)
        assert [one.alarm_id for one in (*page.items, *rest.items)] == [one.alarm_id for one in found]
        assert page.evaluation.running
        assert [one.count for one in page.counts.unacknowledged] == [1, 0, 2, 1]
        low = running.client.alarms(PRESS[1], priorities=AlarmPriority.LOW)
        assert [one.rule async for one in low] == ["fast"]
        with pytest.raises(NotFoundError, match="no device"):
            await running.client.alarms_page(f"{LINE}/press99")
        with pytest.raises(InvalidRequestError, match="page_token"):
            await running.client.alarms_page(page_token="no")


async def test_an_acknowledgement_is_a_record_and_is_answered_with_what_came_of_it() -> None:
    async with alarming() as (running, job):
        (raised,) = job.see({HOT: 90.0})
        answer = await running.client.acknowledge_alarm(raised.alarm_id, "on it", action_id=(action := uuid7()))
        assert (answer.outcome, answer.action_id) == (AlarmOutcome.DONE, action)
        assert answer.alarm is not None
        assert (answer.alarm.state, answer.alarm.acknowledged_by) == (AlarmState.ACKNOWLEDGED, "local")
        topic, key, value = running.requests.records[-1]
        record = codec.decode(value, "AlarmAction")[1]
        assert (topic, key) == ("alarm.actions", b"north")
        assert (record["kind"], record["rule"], record["reason"], record["by"]) == (
            "ACKNOWLEDGE",
            "hot",
            "on it",
            "local",
        )
        again = await running.client.acknowledge_alarm(raised.alarm_id, "on it", action_id=action)
        assert (again.outcome, again.alarm) == (AlarmOutcome.DONE, answer.alarm)
        other = await running.client.acknowledge_alarm(raised.alarm_id)
        assert (other.outcome, other.detail) == (AlarmOutcome.REFUSED, "it has been acknowledged by local")
        (event, *_) = await running.audited("alarm:acknowledge")
        assert (event.outcome, event.path, event.name, event.reason) == (Outcome.ALLOW, PRESS[0], "hot", "on it")
        assert event.policies == ("alarms-where-granted",)
        assert event.operation == str(action)


async def test_what_came_again_since_it_was_seen_is_not_acknowledged() -> None:
    async with alarming() as (running, job):
        job.see({HOT: 90.0})
        client = running.client
        (first,) = [alarm async for alarm in client.alarms()]
        (line,) = (await client.calm_list()).lines
        job.see({HOT: 60.0})
        job.see({HOT: 90.0})
        late = "it came again since; acknowledge again"
        answer = await client.acknowledge_alarm(first)
        assert answer.alarm is not None
        assert (answer.outcome, answer.detail) == (AlarmOutcome.REFUSED, late)
        assert (answer.alarm.state, answer.alarm.activations) == (AlarmState.UNACKNOWLEDGED, 2)
        (of_line,) = await client.acknowledge_alarms(line)
        assert (of_line.outcome, of_line.detail) == (AlarmOutcome.REFUSED, late)
        (now,) = (await client.calm_list()).lines
        assert (now.unacknowledged_ids, now.unacknowledged_activations) == ((first.alarm_id,), (2,))
        (seen,) = await client.acknowledge_alarms(now)
        assert seen.outcome is AlarmOutcome.DONE
        wrong = alarms_pb2.AcknowledgeAlarmsRequest(alarm_ids=[str(first.alarm_id)], activations=[1, 2])
        with pytest.raises(InvalidRequestError, match="name one for each, or none"):
            await client._unary(Call(ACKNOWLEDGE_ALL, wrong, lambda found: found), None)


async def test_the_last_word_on_an_alarm_that_is_over_ends_it() -> None:
    async with alarming() as (running, job):
        (raised,) = job.see({HOT: 90.0})
        job.see({HOT: 60.0})
        assert [one.state async for one in running.client.alarms()] == [AlarmState.RETURNED_UNACKNOWLEDGED]
        answer = await running.client.acknowledge_alarm(raised.alarm_id)
        assert answer.alarm is not None
        assert answer.alarm.state is AlarmState.NORMAL
        assert [one async for one in running.client.alarms()] == []
        history = await running.client.alarm(raised.alarm_id)
        assert history.events == ()
        assert "no database is configured" in history.events_missing
        with pytest.raises(NotFoundError, match="no alarm"):
            await running.client.alarm(uuid4())


async def test_shelving_says_why_and_until_when_and_ends_when_somebody_says_so() -> None:
    async with alarming() as (running, job):
        (raised,) = job.see({HOT: 90.0})
        client, hour_us = running.client, now_us() + 3_600_000_000
        with pytest.raises(PermissionDeniedError, match=r"say why it is put aside \(policy shelving-says-why\)"):
            await client.shelve_alarm(raised.alarm_id, hour_us, " ")
        with pytest.raises(InvalidRequestError, match="is not after now"):
            await client.shelve_alarm(raised.alarm_id, 1, "sensor is loose")
        long = await client.shelve_alarm(raised.alarm_id, now_us() + 10 * 3_600_000_000, "sensor is loose")
        assert (long.outcome, long.detail) == (AlarmOutcome.REFUSED, "it may be shelved for 28800 s at most")
        answer = await client.shelve_alarm(raised.alarm_id, hour_us, "sensor is loose")
        assert answer.outcome is AlarmOutcome.DONE
        assert answer.alarm is not None
        assert answer.alarm.state is AlarmState.SHELVED
        (override,) = answer.alarm.overrides
        assert (override.by, override.reason, override.until_us) == ("local", "sensor is loose", hour_us)
        page = await client.alarms_page(states=AlarmState.SHELVED)
        assert ([one.alarm_id for one in page.items], page.counts.shelved) == ([raised.alarm_id], 1)
        ended = await client.unshelve_alarm(raised.alarm_id, "it is tight")
        assert ended.alarm is not None
        assert ended.alarm.state is AlarmState.UNACKNOWLEDGED
        twice = await client.unshelve_alarm(raised.alarm_id)
        assert (twice.outcome, twice.detail) == (AlarmOutcome.REFUSED, "it is not shelved")


@pytest.mark.security("V2.3.2")
async def test_nothing_is_put_aside_for_more_than_ten_years() -> None:
    async with alarming() as (running, job):
        (raised,) = job.see({HOT: 90.0})
        for until_us in (now_us() + 11 * 366 * 86_400_000_000, (1 << 63) - 1):
            with pytest.raises(InvalidRequestError, match="10 years at most"):
                await running.client.shelve_alarm(raised.alarm_id, until_us, "sensor is loose")
            with pytest.raises(InvalidRequestError, match="10 years at most"):
                await running.client.take_alarm_out_of_service(raised.alarm_id, "repair", until=until_us)


async def test_a_policy_that_bounds_shelving_bounds_out_of_service_too(tmp_path: Path) -> None:
    (tmp_path / "plant.cedar").write_text(
        """
        @id("comes-back-soon")
        @advice("15 minutes at most")
        forbid (principal, action == Action::"shelve", resource) when { context.forS > 900 };
        """
    )
    async with alarming(policies=str(tmp_path)) as (running, job):
        (raised,) = job.see({HOT: 90.0})
        client = running.client
        with pytest.raises(PermissionDeniedError, match="15 minutes at most"):
            await client.take_alarm_out_of_service(raised.alarm_id, "repair")
        soon = await client.take_alarm_out_of_service(raised.alarm_id, "repair", until=now_us() + 600_000_000)
        assert soon.outcome is AlarmOutcome.DONE
        assert (await client.return_alarm_to_service(raised.alarm_id)).outcome is AlarmOutcome.DONE


async def test_a_latched_alarm_is_commented_on_acknowledged_and_reset() -> None:
    async with alarming() as (running, job):
        (raised,) = job.see({FAST: 60.0})
        job.see({FAST: 10.0})
        client = running.client
        said = await client.comment_alarm(raised.alarm_id, "the belt again")
        assert said.alarm is not None
        assert said.alarm.comment == "the belt again"
        early = await client.reset_alarm(raised.alarm_id)
        assert (early.outcome, early.detail) == (AlarmOutcome.REFUSED, "it has not been acknowledged")
        await client.acknowledge_alarm(raised.alarm_id)
        gone = await client.reset_alarm(raised.alarm_id)
        assert gone.alarm is not None
        assert (gone.outcome, gone.alarm.state) == (AlarmOutcome.DONE, AlarmState.NORMAL)
        with pytest.raises(InvalidRequestError, match="a comment says something"):
            await client.comment_alarm(raised.alarm_id, " ")


async def test_several_are_acknowledged_and_one_that_cannot_be_stops_no_other() -> None:
    async with alarming() as (running, job):
        first, second = *job.see({HOT: 90.0}), *job.see({HOTTER: 90.0})
        await running.client.acknowledge_alarm(second.alarm_id)
        unknown = uuid4()
        answers = await running.client.acknowledge_alarms([first.alarm_id, unknown, second.alarm_id], action_id=uuid7())
        assert [(one.alarm_id, one.outcome) for one in answers] == [
            (first.alarm_id, AlarmOutcome.DONE),
            (unknown, AlarmOutcome.NOT_FOUND),
            (second.alarm_id, AlarmOutcome.REFUSED),
        ]
        running.requests.failure = UnavailableError("the broker is away")
        (third,) = job.see({120: 90.0})
        (failed,) = await running.client.acknowledge_alarms([third.alarm_id])
        assert (failed.outcome, failed.detail) == (AlarmOutcome.FAILED, "the broker is away")
        with pytest.raises(InvalidRequestError, match="alarm_ids is empty"):
            await running.client.acknowledge_alarms([])


async def test_of_many_that_are_acknowledged_at_once_the_loop_does_one_at_a_time_and_each_is_audited() -> None:
    async with alarming() as (running, _):
        cache = running.server.alarms.alarms
        for number in range(300):
            cache.apply(standing(number))
        done: list[int] = []

        async def others() -> None:
            while True:  # what a command or a stream gets: each round of the loop
                done.append(len(running.events.records) + len(running.requests.records))
                await asyncio.sleep(0)

        running.server.alarms.settle_s = 0.0
        beside = asyncio.create_task(others())
        await running.client.acknowledge_alarms([UUID(int=1_000 + number) for number in range(300)])
        beside.cancel()
        assert max(after - before for before, after in pairwise(done)) <= 4
        assert len(await running.audited("alarm:acknowledge")) == 300


async def test_the_answer_waits_for_the_audit_event_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "WAIT_S", 5.0)
    async with alarming() as (running, job):
        (hot,), (hotter,) = job.see({HOT: 90.0}), job.see({HOTTER: 90.0})
        first = asyncio.Event()
        written = running.events.send

        async def send(topic: str, key: bytes, value: bytes) -> object:
            if AuditEvent.decode(value).after == str(hot.alarm_id):
                await first.wait()
            return await written(topic, key, value)

        monkeypatch.setattr(running.events, "send", send)
        asked = asyncio.create_task(running.client.acknowledge_alarms([hot.alarm_id, hotter.alarm_id]))
        await eventually(lambda: len(running.requests.records) == 2)
        done, _ = await asyncio.wait([asked], timeout=0.2)
        first.set()
        assert not done
        assert [one.outcome for one in await asked] == [AlarmOutcome.DONE] * 2


async def test_an_action_that_nobody_has_answered_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "SETTLE_S", 0.05)
    async with alarming() as (running, job):
        running.server.alarms.settle_s = 0.05
        (raised,) = job.see({HOT: 90.0})
        running.requests.told = lambda _topic, _value: None
        answer = await running.client.acknowledge_alarm(raised.alarm_id)
        assert (answer.outcome, answer.detail) == (
            AlarmOutcome.RECORDED,
            "it is recorded; the alarms job has not answered yet",
        )
        assert answer.alarm is not None
        assert answer.alarm.state is AlarmState.UNACKNOWLEDGED


async def test_a_flood_is_a_calm_list_with_the_critical_on_top_and_none_lost() -> None:
    async with alarming() as (running, _):
        cache = running.server.alarms.alarms
        for number in range(1_000):
            critical = number % 400 == 7
            cache.apply(
                standing(
                    number,
                    rule=f"rule-{number % 40}",
                    priority=Priority.CRITICAL if critical else Priority.HIGH,
                    cause_alarm_id=UUID(int=1_000) if number % 2 and not critical else None,
                )
            )
        calm = await running.client.calm_list()
        assert len(calm.lines) == 20
        assert [line.priority for line in calm.lines[:4]] == [AlarmPriority.CRITICAL] * 3 + [AlarmPriority.HIGH]
        assert sum(line.alarms for line in calm.lines) == 1_000
        assert [one.count for one in calm.counts.unacknowledged] == [3, 997, 0, 0]
        assert sum(len(line.unacknowledged_ids) for line in calm.lines) == 1_000
        assert len([alarm async for alarm in running.client.alarms()]) == 1_000
        assert await running.client.calm_list(PRESS[1]) != calm


async def test_a_thousand_in_ten_seconds_with_three_critical_among_them_stay_calm_and_whole() -> None:
    """Values of one tag that climb past the limits of a thousand rules, a hundred a second."""
    critical = {150, 500, 999}
    rules = [
        rule(
            f"limit-{number}",
            "temperature",
            number + 0.5,
            severity=Severity.SEVERE if number in critical else Severity.MINOR,
            response=Response.IMMEDIATE if number in critical else Response.LATER,
        )
        for number in range(1_000)
    ]
    async with served() as running:
        job = AlarmsInPlace(running.server, presses(), rules)
        await job.begin()
        begun_us = now_us() - 10_000_000
        async with running.client.watch_alarms(LINE) as changes:
            seen = {one.alarm_id async for one in running.client.alarms()}
            for second in range(10):
                raised = job.see({HOT: (second + 1) * 100.0}, time_us=begun_us + second * 1_000_000)
                assert len(raised) == 100
                calm = await running.client.calm_list()
                urgent = sum(number < (second + 1) * 100 for number in critical)
                assert len(calm.lines) <= 20
                assert [line.priority is AlarmPriority.CRITICAL for line in calm.lines] == [
                    place < urgent for place in range(len(calm.lines))
                ]
                assert sum(line.alarms for line in calm.lines) == (second + 1) * 100
                assert [one.count for one in calm.counts.unacknowledged] == [urgent, 0, 0, (second + 1) * 100 - urgent]
            while len(seen) < 1_000:
                seen |= {alarm.alarm_id for alarm in (await anext(changes)).alarms}
        listed = [alarm async for alarm in running.client.alarms()]
        assert {alarm.alarm_id for alarm in listed} == seen
        assert {alarm.rule for alarm in listed} == {one.name for one in rules}
        assert {alarm.rule for alarm in listed[:3]} == {f"limit-{number}" for number in critical}
        floods = [kind for kind in job.told if kind in ("FLOOD_BEGAN", "FLOOD_ENDED")]
        assert floods == ["FLOOD_BEGAN"]


async def test_it_is_said_that_a_site_was_put_aside(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    who = {"anna": ["read"], "ben": [f"read@{PRESS[0]}"], "carl": ["read@acme/south"]}
    tokens.write_text(
        "".join(f'[principals.{name}]\nsha256 = "{hash_token(name)}"\nallow = {allow}\n' for name, allow in who.items())
    )
    async with alarming(tokens=str(tokens), token="anna") as (running, job):
        step = job.logic.put_aside("north", "state part site has layout 63", now_us())
        (alarm,) = step.alarms
        running.server.alarms.alarms.apply(alarm)
        async with (
            AsyncClient(Connection(running.address, token="ben")) as ben,
            AsyncClient(Connection(running.address, token="carl")) as carl,
        ):
            for client in (running.client, ben):
                for found in (
                    await client.alarms_page(),
                    await client.calm_list(LINE),
                    await client.calm_list(PRESS[0]),
                ):
                    assert found.evaluation.state is AlarmEvaluationState.PARTIAL
                    assert found.evaluation.detail == (
                        "alarms of site north are not evaluated: state part site has layout 63"
                    )
                assert [one.rule async for one in client.alarms()] == ["site-put-aside"]
            assert (await carl.alarms_page()).evaluation.running
        running.server.alarms.alarms.apply(dataclasses.replace(alarm, version=2, state=State.NORMAL))
        assert (await running.client.alarms_page()).evaluation.running


async def test_a_source_is_out_of_service_with_a_reason_until_somebody_returns_it() -> None:
    async with alarming() as (running, job):
        client = running.client
        (raised,) = job.see({HOT: 90.0})
        with pytest.raises(PermissionDeniedError, match="say why it is put aside"):
            await client.take_alarm_out_of_service(raised.alarm_id, " ")
        with pytest.raises(InvalidRequestError, match="is not after now"):
            await client.take_alarm_out_of_service(raised.alarm_id, "repair", until=1)
        answer = await client.take_alarm_out_of_service(raised.alarm_id, "repair")
        assert answer.alarm is not None
        assert (answer.outcome, answer.alarm.state) == (AlarmOutcome.DONE, AlarmState.OUT_OF_SERVICE)
        assert [(one.by, one.reason, one.until_us) for one in answer.alarm.overrides] == [("local", "repair", None)]
        calm = await client.calm_list()
        assert (calm.lines, calm.counts.out_of_service) == ((), 1)
        job.see({HOT: 60.0})
        job.see({HOT: 95.0})  # nobody hears of it
        assert [one async for one in client.alarms()] == []
        (off,) = [one async for one in client.alarms(states=AlarmState.OUT_OF_SERVICE)]
        back = await client.return_alarm_to_service(off, "it is repaired")
        assert back.outcome is AlarmOutcome.DONE
        assert [(one.rule, one.state) async for one in client.alarms()] == [("hot", AlarmState.UNACKNOWLEDGED)]
        assert (await client.return_alarm_to_service(off)).outcome is AlarmOutcome.REFUSED
        until_us = now_us() + 3_600_000_000
        (again,) = [one async for one in client.alarms()]
        timed = await client.take_alarm_out_of_service(again, "repair", until=until_us)
        assert timed.alarm is not None
        assert [one.until_us for one in timed.alarm.overrides] == [until_us]


async def test_a_watch_tells_what_stands_then_changes_and_says_when_nothing_does() -> None:
    async with alarming() as (running, job):
        (raised,) = job.see({HOT: 90.0})
        async with running.client.watch_alarms(LINE, heartbeat_ms=1_000) as changes:
            first = await anext(changes)
            assert (first.sequence, first.snapshot_complete) == (1, True)
            assert [one.alarm_id for one in first.alarms] == [raised.alarm_id]
            await running.client.acknowledge_alarm(raised.alarm_id)
            second = await anext(changes)
            assert (second.sequence, [one.state for one in second.alarms]) == (2, [AlarmState.ACKNOWLEDGED])
            job.see({HOT: 60.0})
            third = await anext(changes)
            assert [one.state for one in third.alarms] == [AlarmState.NORMAL]  # it fits no more: once more
            beat = await anext(changes)
            assert (beat.alarms, beat.notice, beat.evaluation.running) == ((), "heartbeat", True)
        async with running.client.watch_alarms(counts_only=True) as counts:
            assert not (await anext(counts)).alarms
            job.see({HOTTER: 130.0})
            changed = await anext(counts)
            assert (changed.alarms, [one.count for one in changed.counts.unacknowledged]) == ((), [1, 0, 1, 0])
        with pytest.raises(InvalidRequestError, match="heartbeat_ms"):
            async with aclosing(running.client.watch_alarms(heartbeat_ms=1)) as wrong:
                await anext(wrong)


async def test_where_alarms_are_not_switched_on_nobody_is_told_that_all_is_calm() -> None:
    async with served() as running:
        job = running.server.alarms.job
        job.saw({}, {("telemetry.latest", 0): 7})
        for call in (
            running.client.alarms_page(),
            running.client.calm_list(),
            running.client.acknowledge_alarm(uuid4()),
        ):
            with pytest.raises(
                PreconditionError, match="alarms are not switched on: no alarms job has completed a checkpoint"
            ):
                await call
        job.saw({("telemetry.latest", 0): 1}, {("telemetry.latest", 0): 7})
        reading = asyncio.create_task(running.client.calm_list())
        done, _ = await asyncio.wait([reading], timeout=0.1)
        assert not done  # it is tried again while the topic is being read
        reading.cancel()


def test_the_job_is_judged_by_what_it_commits() -> None:
    now = 1_000_000
    job = AlarmJob(lambda: now)

    def judged() -> EvaluationState:
        return job.evaluation.state

    assert judged() is EvaluationState.UNKNOWN  # nobody has been asked
    job.saw({}, {("t", 0): 0, ("t", 1): 0})
    assert (judged(), "no value has come yet" in job.evaluation.detail) == (EvaluationState.UNKNOWN, True)
    job.saw({}, {("t", 0): 0, ("t", 1): 1})
    assert judged() is EvaluationState.OFF
    job.saw({("t", 0): 5}, {("t", 0): 9})
    assert judged() is EvaluationState.UNKNOWN  # it has to be seen to move
    job.saw({("t", 0): 6}, {("t", 0): 9})
    assert (judged(), job.evaluation.advanced_us) == (EvaluationState.RUNNING, now)
    now += 31_000_000
    job.saw({("t", 0): 6}, {("t", 0): 9})
    assert judged() is EvaluationState.STALLED
    assert "has not advanced for 31 s" in job.evaluation.detail
    job.saw({("t", 0): 6}, {("t", 0): 6})
    assert judged() is EvaluationState.UNKNOWN  # without values nobody can see it
    job.failed("the broker is away")
    assert "the broker is away" in job.evaluation.detail


@pytest.mark.security("SR 2.1")
async def test_who_sees_a_part_of_the_plant_sees_its_alarms_alone_and_answers_where_it_may(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    who = {"anna": ["read", "alarm"], "ben": [f"read@{PRESS[0]}", f"alarm@{PRESS[0]}"], "carl": ["read", "command"]}
    tokens.write_text(
        "".join(f'[principals.{name}]\nsha256 = "{hash_token(name)}"\nallow = {allow}\n' for name, allow in who.items())
    )
    async with alarming(tokens=str(tokens), token="anna") as (running, job):
        (mine,), (other,) = job.see({HOT: 90.0}), job.see({HOTTER: 90.0})
        async with (
            AsyncClient(Connection(running.address, token="ben")) as ben,
            AsyncClient(Connection(running.address, token="carl")) as carl,
        ):
            assert [one.alarm_id async for one in ben.alarms()] == [mine.alarm_id]
            for number, device in enumerate((10, 11, 11)):  # what no list has, at his press and at another
                running.server.alarms.alarms.by_number.add(standing(number, device_id=device))
            running.server.alarms.alarms.by_number.add(standing(9, device_id=0))  # his press's gateway
            job.see({HOT: 60.0})
            assert (await ben.alarms_page()).counts.not_kept == 2
            assert (await running.client.alarms_page()).counts.not_kept == 4
            with pytest.raises(NotFoundError):
                await ben.acknowledge_alarm(other.alarm_id)
            assert (await ben.acknowledge_alarm(mine.alarm_id)).outcome is AlarmOutcome.DONE
            with pytest.raises(PermissionDeniedError, match="carl may not alarm"):
                await carl.acknowledge_alarm(other.alarm_id)
            assert (await running.client.acknowledge_alarm(other.alarm_id)).outcome is AlarmOutcome.DONE


@pytest.mark.security("SR 2.1")
async def test_an_alarm_of_a_line_is_seen_and_answered_by_who_sees_the_whole_line(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    line = LINE.rpartition("/")[0]
    who = {
        "anna": ["read", "alarm"],
        "lena": [f"read@{line}", f"alarm@{line}"],
        "ben": [f"read@{PRESS[0]}", f"alarm@{PRESS[0]}"],
    }
    tokens.write_text(
        "".join(f'[principals.{name}]\nsha256 = "{hash_token(name)}"\nallow = {allow}\n' for name, allow in who.items())
    )
    both = AlarmRule(
        name="both-hot", line_path=line, kind=ConditionKind.EXPRESSION, expression="tag.one > 80 && tag.other > 80",
        inputs=(("one", "press00/temperature"), ("other", "press01/temperature")), severity=Severity.MODERATE, response=Response.PROMPT,
    )  # fmt: skip
    async with served(tokens=str(tokens), token="anna") as running:
        job = AlarmsInPlace(running.server, presses(), [both])
        running.requests.told = job.acted
        await job.begin()
        running.server.alarms.alarms.by_number.add(standing(9, device_id=0, gateway_id="", path=line))
        (alarm,) = job.see({HOT: 90.0, HOTTER: 90.0})
        assert (alarm.path, alarm.device_id, alarm.gateway_id) == (line, 0, "")
        async with (
            AsyncClient(Connection(running.address, token="lena")) as lena,
            AsyncClient(Connection(running.address, token="ben")) as ben,
        ):
            assert [one.path async for one in lena.alarms()] == [line]
            assert [one async for one in ben.alarms()] == []
            assert [one.path async for one in lena.alarms(line)] == [line]
            assert [one async for one in lena.alarms(PRESS[0])] == []
            assert (await lena.alarms_page()).counts.not_kept == 1
            assert (await ben.alarms_page()).counts.not_kept == 0
            with pytest.raises(NotFoundError):
                await ben.acknowledge_alarm(alarm.alarm_id)
            answer = await lena.acknowledge_alarm(alarm.alarm_id)
            assert answer.outcome is AlarmOutcome.DONE
            shelved = await lena.shelve_alarm(alarm.alarm_id, now_us() + 60_000_000, "known")
            assert shelved.outcome is AlarmOutcome.DONE


# --- the cache -------------------------------------------------------------------------------------------------------


def test_what_is_not_newer_changes_nothing_also_after_the_end() -> None:
    cache = Alarms()
    cache.apply(standing(1, version=3))
    cache.apply(standing(1, version=2, state=State.NORMAL))
    assert [alarm.version for alarm in cache.all()] == [3]
    cache.apply(standing(1, version=4, state=State.NORMAL))
    cache.apply(standing(1, version=3))
    assert not len(cache)
    assert cache.get(UUID(int=1_001)) is not None  # for a moment, for who ended it


def test_a_tombstone_ends_an_alarm() -> None:
    cache = Alarms()
    cache.apply(standing(1))
    cache.forget(str(UUID(int=1_001)).encode())
    cache.forget(b"no key of ours")
    assert (len(cache), cache.get(UUID(int=1_001))) == (0, None)


def test_it_is_bounded_and_a_critical_alarm_always_has_its_place() -> None:
    cache = Alarms(most=10)
    for number in range(15):
        cache.apply(standing(number))
    cache.apply(standing(99, priority=Priority.CRITICAL))
    assert (len(cache), len(cache.by_number)) == (10, 6)
    cache.apply(standing(12, version=2, state=State.NORMAL))
    assert (len(cache), len(cache.by_number)) == (10, 5)
    for number in range(100, 115):
        cache.apply(standing(number, priority=Priority.CRITICAL))
    assert (len(cache), len(cache.by_number)) == (16, 14)


def test_what_is_more_urgent_pushes_out_the_oldest_of_the_lowest_priority() -> None:
    cache = Alarms(most=10)
    for number in range(10):
        cache.apply(standing(number, priority=Priority.MEDIUM if number == 0 else Priority.LOW))
    with cache.opened(Wakeup(), lambda _: True) as reader:
        reader.take(100)
        for number in range(20, 23):
            cache.apply(standing(number, priority=Priority.HIGH))
        kept = {alarm.alarm_id.int - 1_000 for alarm in cache.all()}
        assert kept == {0, *range(4, 10), *range(20, 23)}
        assert len(cache.by_number) == 3
        cache.apply(standing(4, version=2, priority=Priority.HIGH))  # more urgent now: the next ones push out others
        cache.apply(standing(30, priority=Priority.MEDIUM))
        assert {alarm.alarm_id.int - 1_000 for alarm in cache.all()} == {0, 4, *range(6, 10), *range(20, 23), 30}
        reader.take(100)
        cache.apply(standing(1, version=2, state=State.NORMAL))  # who was told that it stands is told that it is over
        cache.apply(standing(40))  # who was not is not
        assert [(alarm.alarm_id.int - 1_000, alarm.state) for alarm in reader.take(100)] == [(1, State.NORMAL)]
    for number in range(50, 70):
        cache.apply(standing(number, priority=Priority.HIGH))
    assert {alarm.priority for alarm in cache.all()} == {Priority.HIGH}
    assert len(cache) == 10


def test_a_source_that_is_put_aside_is_told_by_its_alarm_while_there_is_one() -> None:
    cache = Alarms()
    source = standing(1, alarm_id=UUID(int=1), state=State.SHELVED, start_us=None)
    cache.apply(source)
    assert [alarm.alarm_id for alarm in cache.all()] == [UUID(int=1)]
    cache.apply(standing(1, state=State.SHELVED))
    assert [alarm.alarm_id for alarm in cache.all()] == [UUID(int=1_001)]


async def test_a_slow_reader_gets_the_newest_of_each() -> None:
    cache = Alarms()
    with cache.opened(Wakeup(), lambda alarm: alarm.state is State.UNACKNOWLEDGED) as reader:
        for version in range(1, 100):
            cache.apply(standing(1, version=version))
        assert [alarm.version for alarm in reader.take(10)] == [99]
        cache.apply(standing(1, version=100, state=State.NORMAL))
        assert [alarm.state for alarm in reader.take(10)] == [State.NORMAL]
        await eventually(lambda: not len(reader))


# --- a terminal --------------------------------------------------------------------------------------------------------


async def test_alarms_are_listed_and_answered_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    async with alarming() as (running, job):

        async def say(*arguments: str) -> tuple[int, str]:
            status = await asyncio.to_thread(cli.main, ["alarm", *arguments, "--address", running.address])
            return status, capsys.readouterr().out

        assert await say("standing") == (0, "no alarm stands\n")
        (raised,) = job.see({HOT: 90.0})
        short = str(raised.alarm_id)[:8]
        status, said = await say("standing")
        assert status == 0
        assert f"{short} MEDIUM" in " ".join(said.split())
        assert (await say("ack", short))[1].startswith(f"{short} DONE Hot, ACKNOWLEDGED")
        assert (await say("ack", short))[0] == 1
        assert (await say("shelve", short, "--for", "30min", "--why", "loose"))[0] == 0
        assert "SHELVED" in (await say("standing", "--aside"))[1]
        assert (await say("unshelve", short))[0] == 0
        assert (await say("comment", short, "tight again"))[0] == 0
        assert "ACKNOWLEDGED" in (await say("watch", "--count", "1"))[1]
        assert (await say("ack", "ffffffff"))[0] == 2
        assert (await say("shelve", short, "--for", "long", "--why", "x"))[0] == 2
        job.stall()
        assert (await say("standing", "--each"))[0] == 1  # a list that nobody makes is not calm
