"""Alarms: listed, watched, answered."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from client_conformance.plant import LINE, PRESSES, Plant
from millrace_client import (
    AlarmOutcome,
    AlarmPriority,
    AlarmState,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    uuid7,
)


class AlarmCases:
    """What callers see of alarms, and what they do about them."""

    async def test_an_alarm_is_listed_acknowledged_once_and_over(self, plant: Plant) -> None:
        client = plant.client("ann")
        assert [one async for one in client.alarms()] == []
        plant.overheat(1)
        (alarm,) = [one async for one in client.alarms(LINE)]
        assert (alarm.rule, alarm.path, alarm.priority) == ("hot", f"{PRESSES[1]}/temperature", AlarmPriority.MEDIUM)
        assert (alarm.state, alarm.active, alarm.standing, alarm.value) == (
            AlarmState.UNACKNOWLEDGED,
            True,
            True,
            200.0,
        )
        (line,) = (await client.calm_list()).lines
        assert (line.head.alarm_id, line.alarms, line.unacknowledged_ids) == (alarm.alarm_id, 1, (alarm.alarm_id,))
        page = await client.alarms_page(states=AlarmState.ACKNOWLEDGED)
        assert (page.items, [one.count for one in page.counts.unacknowledged]) == ((), [0, 0, 1, 0])
        answer = await client.acknowledge_alarm(alarm, "seen", action_id=(action := uuid7()))
        assert (answer.outcome, answer.alarm.acknowledged) == (AlarmOutcome.DONE, True)
        assert (await client.acknowledge_alarm(alarm, "seen", action_id=action)).outcome is AlarmOutcome.DONE
        again = await client.acknowledge_alarm(alarm)
        assert again.outcome is AlarmOutcome.REFUSED
        assert again.detail.startswith("it has been acknowledged by ")
        plant.overheat(1, over=True)
        assert [one async for one in client.alarms()] == []

    async def test_several_are_acknowledged_with_an_answer_each(self, plant: Plant) -> None:
        client = plant.client("ann")
        plant.overheat(0)
        plant.overheat(2)
        found = [one async for one in client.alarms()]
        unknown = uuid4()
        answers = await client.acknowledge_alarms([found[0], unknown, found[1].alarm_id])
        assert [one.outcome for one in answers] == [AlarmOutcome.DONE, AlarmOutcome.NOT_FOUND, AlarmOutcome.DONE]
        assert {one.state async for one in client.alarms()} == {AlarmState.ACKNOWLEDGED}
        with pytest.raises(InvalidRequestError):
            await client.acknowledge_alarms([])
        with pytest.raises(NotFoundError):
            await client.alarm(unknown)

    async def test_what_came_again_since_it_was_seen_is_not_acknowledged(self, plant: Plant) -> None:
        client = plant.client("ann")
        plant.overheat(0)
        (seen,) = (await client.calm_list()).lines
        plant.overheat(0, over=True)
        plant.overheat(0)
        (late,) = await client.acknowledge_alarms(seen)
        assert (late.outcome, late.detail) == (AlarmOutcome.REFUSED, "it came again since; acknowledge again")
        assert (await client.acknowledge_alarm(late.alarm)).outcome is AlarmOutcome.DONE

    async def test_it_is_shelved_with_a_reason_commented_on_and_comes_back(self, plant: Plant) -> None:
        client = plant.client("ann")
        plant.overheat(0)
        (alarm,) = [one async for one in client.alarms()]
        until = timedelta(hours=-1)  # an hour from now
        with pytest.raises(PermissionDeniedError, match="say why"):
            await client.shelve_alarm(alarm, until, "")
        with pytest.raises(InvalidRequestError, match="is not after now"):
            await client.shelve_alarm(alarm, timedelta(hours=1), "too late")
        with pytest.raises(InvalidRequestError, match="10 years at most"):
            await client.shelve_alarm(alarm, timedelta(days=-4_000), "for good")
        shelved = await client.shelve_alarm(alarm, until, "sensor is loose")
        assert shelved.alarm.state is AlarmState.SHELVED
        assert [one.reason for one in shelved.alarm.overrides] == ["sensor is loose"]
        assert [one async for one in client.alarms()] == []
        assert (await client.calm_list()).counts.shelved == 1
        assert (await client.unshelve_alarm(alarm)).alarm.state is AlarmState.UNACKNOWLEDGED
        assert (await client.unshelve_alarm(alarm)).outcome is AlarmOutcome.REFUSED
        assert (await client.comment_alarm(alarm, "tightened")).alarm.comment == "tightened"
        assert (await client.reset_alarm(alarm)).outcome is AlarmOutcome.REFUSED

    async def test_it_is_out_of_service_until_somebody_returns_it(self, plant: Plant) -> None:
        client = plant.client("ann")
        plant.overheat(0)
        (alarm,) = [one async for one in client.alarms()]
        with pytest.raises(PermissionDeniedError, match="say why"):
            await client.take_alarm_out_of_service(alarm, "")
        with pytest.raises(InvalidRequestError, match="is not after now"):
            await client.take_alarm_out_of_service(alarm, "too late", until=timedelta(hours=1))
        with pytest.raises(InvalidRequestError, match="10 years at most"):
            await client.take_alarm_out_of_service(alarm, "for good", until=timedelta(days=-4_000))
        off = await client.take_alarm_out_of_service(alarm, "pump is being changed")
        assert off.alarm.state is AlarmState.OUT_OF_SERVICE
        assert [(one.reason, one.until_us) for one in off.alarm.overrides] == [("pump is being changed", None)]
        assert [one async for one in client.alarms()] == []
        assert (await client.calm_list()).counts.out_of_service == 1
        assert (await client.return_alarm_to_service(alarm)).alarm.state is AlarmState.UNACKNOWLEDGED
        assert (await client.return_alarm_to_service(alarm)).outcome is AlarmOutcome.REFUSED

    async def test_a_watch_tells_what_stands_and_what_changes(self, plant: Plant) -> None:
        client = plant.client("ann")
        plant.overheat(0)
        async with client.watch_alarms(PRESSES[0]) as changes:
            first = await anext(changes)
            assert (first.sequence, first.snapshot_complete, len(first.alarms)) == (1, True, 1)
            assert first.evaluation.running
            plant.overheat(1)  # not of this press
            await client.acknowledge_alarm(first.alarms[0])
            second = await anext(changes)
            assert [one.state for one in second.alarms] == [AlarmState.ACKNOWLEDGED]
            plant.overheat(0, over=True)
            assert [one.state for one in (await anext(changes)).alarms] == [AlarmState.NORMAL]

    async def test_alarms_that_are_not_switched_on_are_no_empty_list(self, plant: Plant) -> None:
        client = plant.client("ann")
        plant.switch_alarms_off()
        for call in (client.alarms_page(), client.calm_list(), client.acknowledge_alarm(uuid4())):
            with pytest.raises(PreconditionError, match="alarms are not switched on"):
                await call
