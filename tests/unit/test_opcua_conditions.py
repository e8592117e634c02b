"""Conditions of OPC UA as events: a flood is spread over seconds, and what a refresh does not repeat has ended."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import ua

from connectors.device_notices import DeviceNotices
from connectors.opcua import alarms
from connectors.opcua.alarms import Alarms
from connectors.opcua.items import Item
from connectors.readings import Seen
from schemas.events import CONDITIONS_SINCE, EventKind
from tests.integration.gateway_support import MemorySink, tag

START, END, OVERFLOW, REQUIRED = (
    {"event_type": ua.NodeId(number)}
    for number in (
        ua.ObjectIds.RefreshStartEventType, ua.ObjectIds.RefreshEndEventType,
        ua.ObjectIds.EventQueueOverflowEventType, ua.ObjectIds.RefreshRequiredEventType,
    )
)  # fmt: skip


class Told:
    """Conditions, and what of them came out."""

    def __init__(self) -> None:
        self.sink, self.second = MemorySink(), 1_000
        self.told_all: list[dict[str, str]] = []
        self.items: list[Item] = []
        self.alarms = Alarms(
            DeviceNotices(self.sink, self.clock, connector="m", endpoint="opc.tcp://m", born={}), self.clock
        )

    def clock(self) -> int:
        return self.second * 1_000_000

    def take(self, *events: dict[str, Any]) -> list[dict[str, str]]:
        """What is told at once."""
        before = len(self.sink.of(EventKind.STATE))
        self.alarms.take([_event(each) for each in events], self.items)
        return self._since(before)

    def read(self, number: int, active: bool | None, acked: bool | None = None) -> list[dict[str, str]]:
        """What is told when a condition in doubt was read."""
        before = len(self.sink.of(EventKind.STATE))
        self.alarms.answered(f"ns=2;s=c{number}/", active, acked, self.items)
        return self._since(before)

    def devices(self, *devices: int) -> None:
        """Devices whose tags the connection reads."""
        self.items = [Item(tag(device, f"m:{device}", device_id=device), device, None, Seen(0)) for device in devices]

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


@pytest.mark.parametrize("retain", [True, False])
def test_what_was_active_and_is_not_repeated_is_over_when_its_state_says_so(retain: bool) -> None:
    """Some servers retain nothing that is acknowledged, though it is active."""
    plant = Told()
    plant.take(*({**condition(number, retain=retain), "acked": not retain, "by": "ann"} for number in range(1, 5)))
    assert plant.take(START, END) == []
    assert plant.alarms.asks.is_set()
    assert list(plant.alarms.in_doubt) == [f"ns=2;s=c{number}/" for number in range(1, 5)]
    told = plant.read(1, True, True)
    assert [(one["active"], one["acked"], one["retain"], "by" in one) for one in told] == (
        [("true", "true", "false", False)] if retain else []
    )
    assert states([*plant.read(2, False, True), *plant.read(3, None)]) == [("2", "false"), ("3", "false")]
    # It was heard of before the answer came.
    plant.take({**condition(4), "acked": False, "severity": 900})
    assert plant.read(4, False) == []
    assert plant.take(START, condition(4), END) != []
    assert list(plant.alarms.in_doubt) == ["ns=2;s=c1/"]


def test_what_moves_to_another_device_is_over_at_the_one_before() -> None:
    plant = Told()
    plant.devices(7)
    plant.take(condition(1))
    plant.devices(7, 8)
    plant.take(condition(1))
    plant.take(condition(1, active=False, retain=False))
    told = plant.sink.of(EventKind.STATE)
    assert [(one.device_id, one.attributes["active"], one.attributes["retain"]) for one in told] == [
        (7, "true", "true"), (7, "false", "false"), (0, "true", "true"), (0, "false", "false"),
    ]  # fmt: skip


def test_what_is_moved_while_it_waits_is_over_at_the_device_that_heard_of_it() -> None:
    plant = Told()
    plant.devices(7)
    plant.take(*(condition(number) for number in range(50)))
    plant.devices(7, 8)
    plant.take(condition(0, active=False, retain=False))
    plant.later()
    told = plant.sink.of(EventKind.STATE)[50:]
    assert [(one.device_id, one.attributes["active"]) for one in told] == [(7, "false"), (0, "false")]


@pytest.mark.parametrize("lost", [OVERFLOW, REQUIRED], ids=["overflow", "required"])
def test_lost_events_are_asked_for_again(lost: dict[str, Any]) -> None:
    plant = Told()
    plant.take(START, END)
    before = plant.alarms.refresh_wanted
    plant.take(lost)
    assert (before, plant.alarms.refresh_wanted) == (False, True)
    assert plant.alarms.asks.is_set()


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


def test_a_clock_that_was_set_after_the_start_says_what_is_over_by_when_the_refresh_began() -> None:
    plant = Told()
    plant.second = 5_000  # the clock is right only now
    plant.take(START, condition(1), END)
    assert [one[CONDITIONS_SINCE] for one in plant.told_all] == ["5000000000"]


def test_nothing_that_was_told_since_the_start_is_called_over() -> None:
    plant = Told()
    plant.take(condition(1))
    plant.second += 10
    plant.take(START, condition(1))
    plant.second = 500  # stepped back
    plant.take(condition(2), END)
    assert [one[CONDITIONS_SINCE] for one in plant.told_all] == ["500000000"]


def test_what_asks_again_after_a_refresh_without_it_has_come_again() -> None:
    """Between the two it was acknowledged, or over, unheard."""
    plant = Told()
    unacked = {**condition(1), "acked": False, "event_id": b"1"}
    plant.take(unacked)
    plant.take(START, END)
    plant.second += 10
    plant.take(unacked)
    assert plant.alarms.acknowledging._known["ns=2;s=c1"].raised_us == 1_010_000_000
