"""What happened to an alarm, as serving reads it from what the historian wrote."""

from __future__ import annotations

from uuid import UUID, uuid5

from connectors.postgres.pool import ReadPool
from historian.store import HistorianStore
from schemas.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from schemas.priorities import Priority
from serving.handlers.alarm_records import AlarmRecords
from tests.integration.fix_history import history_template, plain_history
from tests.integration.history import T0_US, Record

__all__ = ["history_template", "plain_history"]
SOURCE, ALARM = UUID(int=1), UUID(int=2)


def event(of: UUID, version: int, kind: AlarmEventKind, second: int, **about: object) -> AlarmEvent:
    return AlarmEvent(
        event_id=uuid5(of, str(version)), alarm_id=of, source_id=SOURCE, version=version, kind=kind,
        state=AlarmState.UNACKNOWLEDGED, site="north", rule="hot", device_id=1, path="acme/north/f/l/c/d/t",
        priority=Priority.HIGH, time_us=T0_US + second * 1_000_000, recorded_us=T0_US + second * 1_000_000 + 5, **about,  # type: ignore[arg-type]
    )  # fmt: skip


async def test_events_of_an_alarm_and_of_its_source_since_it_began_newest_first(plain_history: str) -> None:
    told = [
        event(SOURCE, 1, AlarmEventKind.SHELVED, 0, by="ann", reason="before it began", until_us=T0_US + 5_000_000),
        event(ALARM, 1, AlarmEventKind.RAISED, 10, value=90.5, detail="too hot"),
        event(UUID(int=3), 1, AlarmEventKind.RAISED, 11),
        event(ALARM, 2, AlarmEventKind.ACKNOWLEDGED, 20, by="ben", action_id=UUID(int=9)),
        event(SOURCE, 2, AlarmEventKind.SHELVED, 30, by="ann", reason="loose", until_us=T0_US + 90_000_000),
    ]
    store = HistorianStore(plain_history)
    messages = [Record("alarm.events", 0, number, one.key, one.encode()) for number, one in enumerate(told)]
    assert store.write(messages).poisoned == []
    store.close()
    alarm = Alarm(
        alarm_id=ALARM, source_id=SOURCE, version=2, site="north", rule="hot", rule_version=1, device_id=1, gateway_id="", path="",
        priority=Priority.HIGH, state=AlarmState.ACKNOWLEDGED, start_us=T0_US + 9_000_000,
    )  # fmt: skip
    pool = ReadPool(plain_history, application="test")
    try:
        found, missing = await AlarmRecords(database=pool).events_of(alarm)
    finally:
        await pool.close()
    assert missing == ""
    assert found == [told[4], told[3], told[1]]
