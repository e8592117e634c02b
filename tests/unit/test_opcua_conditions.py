"""Conditions of OPC UA as events: a flood is spread over seconds, and what a refresh does not repeat has ended."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import ua

from connectors.device_notices import DeviceNotices
from connectors.opcua import alarms
from connectors.opcua.alarms import Alarms
from schemas.events import CONDITIONS_SINCE, EventKind
from tests.integration.gateway_support import MemorySink

START, END, OVERFLOW = (
    {"event_type": ua.NodeId(number)}
    for number in (
        ua.ObjectIds.RefreshStartEventType, ua.ObjectIds.RefreshEndEventType, ua.ObjectIds.EventQueueOverflowEventType
    )
)  # fmt: skip


class Told:
    """Conditions, and what of them came out."""

    def __init__(self) -> None:
        self.sink, self.second = MemorySink(), 1_000
        self.told_all: list[dict[str, str]] = []
        self.alarms = Alarms(
            DeviceNotices(self.sink, self.clock, connector="m", endpoint="opc.tcp://m", born={}), self.clock
        )

    def clock(self) -> int:
        return self.second * 1_000_000

    def take(self, *events: dict[str, Any]) -> list[dict[str, str]]:
        """What is told at once."""
        before = len(self.sink.of(EventKind.STATE))
        self.alarms.take([_event(each) for each in events], ())
        return self._since(before)

    def later(self) -> list[dict[str, str]]:
        """What is told a second later."""
        before = len(self.sink.of(EventKind.STATE))
        self.second += 1
        self.alarms.tell_waiting()
        return self._since(before)

    def _since(self, before: int) -> list[dict[str, str]]:
        told = [dict(notice.attributes) for notice in self.sink.of(EventKind.STATE)[before:]]
        self.told_all += [one for one in told if CONDITIONS_SINCE in one]
        return [one for one in told if CONDITIONS_SINCE not in one]


def _event(fields: dict[str, Any]) -> Any:
    event = ua.EventFieldList()
    event.EventFields = [ua.Variant(fields.get(name)) for name, _, _ in alarms._FIELDS]
    return event


def condition(number: int, *, active: bool = True, retain: bool = True, branch: int = 0) -> dict[str, Any]:
    fields = {"condition": "High", "condition_id": ua.NodeId(f"c{number}", 2), "active": active, "retain": retain}
    return fields | ({"branch": ua.NodeId(f"b{branch}", 2)} if branch else {})


def states(told: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [
        (one["condition_id"].removeprefix("ns=2;s=c"), one["active"])
        for one in told
        if "conditions_left_out" not in one
    ]


def test_conditions_of_a_flood_are_told_in_the_next_seconds() -> None:
    plant = Told()
    flood = [condition(number) for number in range(120)]
    assert len(states(plant.take(*flood))) == 50
    assert plant.take(*flood) == []
    later = [plant.later(), plant.later(), plant.later()]
    assert [len(states(each)) for each in later] == [50, 20, 0]
    assert {one for each in later for one in states(each)} == {(str(number), "true") for number in range(50, 120)}
    plant.second += 1
    assert plant.take(START, *flood, END) == []


def test_a_condition_that_changes_while_it_waits_is_told_as_it_is_and_the_rest_is_counted() -> None:
    plant = Told()
    plant.take(*(condition(number) for number in range(52)))
    assert plant.take(condition(50, active=False), condition(0, active=False), condition(0)) == []
    told = plant.later()
    assert told[0]["conditions_left_out"] == "2"
    assert states(told) == [("50", "false"), ("51", "true")]


def test_what_a_refresh_does_not_repeat_has_ended() -> None:
    plant = Told()
    plant.take(condition(1), condition(2), condition(2, branch=7))
    (gone,) = plant.take(START, condition(1), condition(2), END)
    assert (gone["condition_id"], gone["branch"], gone["active"], gone["retain"]) == (
        "ns=2;s=c2", "ns=2;s=b7", "false", "false",
    )  # fmt: skip
    assert "was not heard" in gone["message"]
    assert plant.take(START, condition(1), condition(2), END) == []
    assert states(plant.take(condition(2, branch=7))) == [("2", "true")]


@pytest.mark.parametrize("end", [[OVERFLOW, END], [END]], ids=["overflow", "lost"])
def test_a_refresh_of_which_something_was_lost_ends_nothing(end: list[dict[str, Any]]) -> None:
    plant = Told()
    plant.take(condition(1))
    plant.take(START)
    if OVERFLOW not in end:
        plant.alarms.lost()
    assert plant.take(*end) == []


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "MOST_KNOWN", 60)
    plant = Told()
    plant.take(*(condition(1, branch=number) for number in range(1, 121)))
    left = sum(int(one.get("conditions_left_out", 0)) for one in plant.later())
    assert (left, len(plant.alarms._told), len(plant.alarms._waiting)) == (10, 60, 10)
    assert len(states(plant.later())) == 10
    assert len(plant.alarms._told) == 60


def test_behind_the_first_refresh_it_is_said_since_when_all_was_told() -> None:
    plant = Told()
    plant.take(START, *(condition(number) for number in range(60)), END)
    assert plant.told_all == []  # ten are still to be told
    plant.second += 1
    plant.take()
    plant.later()
    assert [one[CONDITIONS_SINCE] for one in plant.told_all] == ["1000000000"]
    plant.take(START, condition(1), END)
    plant.later()
    assert len(plant.told_all) == 1


def test_a_refresh_of_which_something_was_lost_does_not_say_that_all_was_told() -> None:
    plant = Told()
    plant.take(START, condition(1), OVERFLOW, END)
    assert plant.told_all == []
    plant.take(START, condition(1), END)
    assert len(plant.told_all) == 1
