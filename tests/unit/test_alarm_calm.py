"""The calm list: few lines in a storm, every critical alarm on one of its own, nothing left out of the counts."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from schemas.alarms import Alarm, AlarmState
from schemas.priorities import Priority
from stages.alarms.calm import STANDING, calm_list


def alarm(number: int, priority: Priority, state: AlarmState, cause: int | None, rule: str) -> Alarm:
    return Alarm(
        alarm_id=UUID(int=1 + number),
        source_id=UUID(int=1_000_000 + number),
        version=1,
        site="north",
        rule=rule,
        rule_version=1,
        device_id=number,
        gateway_id="gw",
        path=f"acme/north/a/l/c/device{number}",
        priority=priority,
        state=state,
        start_us=number,
        activated_us=number,
        cause_alarm_id=None if cause is None else UUID(int=1 + cause),
    )


Drawn = tuple[Priority, AlarmState, int, int]
_ONE = st.tuples(
    st.sampled_from([*Priority, *[Priority.LOW] * 8]),
    st.sampled_from(AlarmState),
    st.integers(-10, 20),
    st.integers(0, 30),
)


@given(st.lists(_ONE, max_size=40), st.integers(min_value=1, max_value=20))
def test_nothing_is_lost_and_nothing_critical_is_hidden(storm: list[Drawn], limit: int) -> None:
    alarms = [
        alarm(number, priority, state, cause if cause >= 0 else None, f"rule{rule}")
        for number, (priority, state, cause, rule) in enumerate(storm)
    ]
    lines = calm_list(alarms, limit)
    shown = [one.alarm_id for line in lines for one in line.alarms]
    standing = [one for one in alarms if one.state in STANDING]
    assert sorted(shown) == sorted(one.alarm_id for one in standing)
    critical = {one.alarm_id for one in standing if one.priority is Priority.CRITICAL}
    assert {line.head.alarm_id for line in lines[: len(critical)]} == critical
    assert len(lines) <= max(limit, len(critical) + 1)


def test_a_thousand_alarms_are_at_most_twenty_lines_with_the_critical_on_top() -> None:
    storm = [
        alarm(number, Priority.MEDIUM, AlarmState.UNACKNOWLEDGED, None, f"rule{number % 40}") for number in range(1000)
    ]
    storm += [alarm(2000 + number, Priority.CRITICAL, AlarmState.ACKNOWLEDGED, None, "fire") for number in range(3)]
    lines = calm_list(storm)
    assert len(lines) == 20
    assert [line.priority for line in lines[:4]] == [Priority.CRITICAL] * 3 + [Priority.MEDIUM]
    assert sum(len(line.alarms) for line in lines) == 1003


def test_a_circle_of_causes_is_one_line() -> None:
    storm = [alarm(number, Priority.LOW, AlarmState.ACKNOWLEDGED, (number + 1) % 3, "round") for number in range(3)]
    storm.append(alarm(5, Priority.LOW, AlarmState.ACKNOWLEDGED, 1, "beside"))
    assert [len(line.alarms) for line in calm_list(storm)] == [4]


def test_what_follows_is_on_the_line_of_its_cause() -> None:
    standing = AlarmState.UNACKNOWLEDGED
    storm = [
        alarm(1, Priority.LOW, standing, None, "cause"),
        alarm(2, Priority.HIGH, standing, 1, "effect"),
        alarm(3, Priority.LOW, standing, 2, "effect"),
        alarm(4, Priority.MEDIUM, standing, 99, "of something that stands no more"),
    ]
    assert [[one.alarm_id.int - 1 for one in line.alarms] for line in calm_list(storm)] == [[1, 2, 3], [4]]
