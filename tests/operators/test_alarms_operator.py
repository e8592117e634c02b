"""The alarms operator: records to alarms and events, state in bytes, ticks, definitions by snapshot and broadcast, what cannot be read."""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from uuid import UUID

import pytest

from base.errors import ConfigError
from jobs.flink.alarms import UNPLACED, AlarmsOperator, SiteOf
from schemas import codec, topics
from schemas.alarm_rules import AlarmRule
from schemas.alarms import AlarmActionKind
from schemas.commands import CommandState, CommandStateRecord
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from tests.operators.alarming import GATEWAY_SILENT, S, action, harness, registry, rule, rule_row, told, values
from tests.operators.fakes import Harness
from tests.operators.rows import START_US, registry_rows, row, tag


def test_an_alarm_through_a_restore_between_all_its_records() -> None:
    bench = harness(rule().encode())
    (raised,), _ = told(bench.element(values(85, 1)))
    bench = bench.restored()
    (acknowledged,), _ = told(bench.element(action(1, AlarmActionKind.ACKNOWLEDGE, alarm_id=raised.alarm_id)))
    bench = bench.restored()
    (over,), (event,) = told(bench.element(values(70, 20)))
    assert [each.state for each in (raised, acknowledged, over)] == ["UNACKNOWLEDGED", "ACKNOWLEDGED", "NORMAL"]
    assert [each.version for each in (raised, acknowledged, over)] == [1, 2, 3]
    assert {each.alarm_id for each in (raised, acknowledged, over)} == {raised.alarm_id}
    assert (event.kind, event.recorded_us) == ("RETURNED", START_US)


def test_shelving_ends_on_time_after_a_restore() -> None:
    bench = harness(rule().encode())
    bench.element(action(1, AlarmActionKind.SHELVE, until_us=START_US + 60 * S))
    bench.element(values(85, 1))
    bench.advance(30_000)
    other = bench.restored()
    assert told(other.advance(29_000)) == ([], [])
    _, events = told(other.advance(2_000))
    assert [(each.kind, each.time_us) for each in events] == [("UNSHELVED", START_US + 60 * S)]


def test_nobody_is_silent_by_the_time_that_reading_the_topic_took() -> None:
    silent = AlarmRule.from_record(GATEWAY_SILENT).encode()
    bench = harness(rule().encode(), silent)
    bench.element(values(70, 1))

    def slow(again: Harness) -> list[tuple[bytes, bytes | None]]:
        again.now_us += 120 * S
        return []

    known = [*registry(), rule().encode(), silent]
    again = Harness(
        lambda one: AlarmsOperator(AlarmConfig(), clock=one.clock, snapshot=lambda: known, published=lambda: slow(one)),
        SiteOf(registry),
        now_us=bench.now_us,
        backend=bench.backend.snapshot(),
        timers=bench.timers,
    )
    assert told(again.advance(1_000)) == ([], [])
    assert told(again.advance(25_000)) == ([], [])
    _, events = told(again.advance(10_000))
    assert [each.kind for each in events] == ["RAISED"]


def test_out_of_service_has_an_end_within_ten_years_or_none() -> None:
    bench = harness(rule().encode())
    for number, until_us in enumerate((START_US + 11 * 366 * 86_400 * S, (1 << 63) - 1)):
        _, (event,) = told(
            bench.element(action(number, AlarmActionKind.OUT_OF_SERVICE, reason="repair", until_us=until_us))
        )
        assert (event.kind, event.detail) == ("REFUSED", "it may be put aside for 10 years at most")
    _, (event,) = told(bench.element(action(9, AlarmActionKind.OUT_OF_SERVICE, reason="repair")))
    assert event.kind == "OUT_OF_SERVICE"


def test_rules_come_by_broadcast_and_are_there_after_a_restore() -> None:
    bench = harness()
    assert told(bench.element(values(85, 1))) == ([], [])
    bench.broadcast(rule_row(rule()))
    (raised,), _ = told(bench.element(values(86, 2)))
    assert raised.state == "UNACKNOWLEDGED"
    bench = bench.restored()
    assert told(bench.element(values(87, 3))) == ([], [])
    bench.broadcast(rule_row(rule(version=2, retired=True)))
    (over,), _ = told(bench.element(values(88, 4)))
    assert over.state == "NORMAL"


def test_the_tombstone_of_a_version_takes_it_away() -> None:
    bench = harness(rule().encode(), rule(version=2, limit=90.0).encode())
    assert told(bench.element(values(85, 1))) == ([], [])
    bench.broadcast(row(topics.ALARM_RULES.name, rule(version=2).key, None))
    (raised,), _ = told(bench.element(values(86, 2)))
    assert raised.rule_version == 1


def test_a_version_that_was_taken_away_is_not_back_after_a_restore() -> None:
    bench = harness(rule().encode())
    bench.broadcast(rule_row(rule(version=2, limit=90.0)))
    assert told(bench.element(values(85, 1))) == ([], [])
    bench.broadcast(row(topics.ALARM_RULES.name, rule(version=2).key, None))
    bench = bench.restored()
    (raised,), _ = told(bench.element(values(86, 2)))
    assert raised.rule_version == 1


def test_a_rule_that_is_none_is_counted_and_changes_nothing() -> None:
    bench = harness(rule().encode())
    record = codec.decode(rule().encode(), "AlarmRule")[1] | {"name": "Not a name"}
    bench.broadcast(row(topics.ALARM_RULES.name, b"x", codec.encode("AlarmRule", record)))
    bench.broadcast(row(topics.ALARM_RULES.name, b"x", b"nothing"))
    assert bench.count("failed_definitions") == 2
    assert len(told(bench.element(values(85, 1)))[0]) == 1


def test_what_cannot_be_read_or_placed_is_said() -> None:
    bench = harness(rule().encode())
    ((topic, _, refused),) = bench.element(row(topics.ALARM_ACTIONS.name, b"north", b"\x00"))
    assert topic == topics.REJECTED.name
    assert codec.decode(refused)[1]["reason"] == "UNDECODABLE"
    unknown = row(topics.LATEST.name, b"gw-9/0", values(85, 1)[4])
    assert bench.element(unknown) == []
    assert (bench.count("refused_records"), bench.count("unplaced_records")) == (1, 1)
    assert bench.element(row(topics.LATEST.name, b"gw-1/0", None)) == []
    assert bench.count("records") == 3


def test_a_record_that_fails_is_refused_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = harness(rule().encode())
    bench.element(values(70, 1))
    with monkeypatch.context() as broken:

        def fail(*_: object, **__: object) -> None:
            msg = "thirteen"
            raise ArithmeticError(msg)

        broken.setattr("stages.alarms.lifecycle.activate", fail)
        ((topic, _, refused),) = bench.element(values(85, 2))
    assert topic == topics.REJECTED.name
    assert codec.decode(refused)[1]["reason"] == "PROCESSING_FAILED"
    (raised,), _ = told(bench.element(values(86, 3)))
    assert raised.start_us == START_US + 3 * S


def test_a_site_whose_state_cannot_be_read_is_put_aside_and_the_others_go_on() -> None:
    place = {"site": "south", "device_id": 2, "path": "acme/south/hall/line/cell/press/temperature1"}
    south = dataclasses.replace(tag(2, gateway_id="gw-2"), name="temperature1", **place)  # type: ignore[arg-type]
    bench = harness(*[each[4] for each in registry_rows(tag(1), south, version=2)], rule().encode())
    bench.element(values(85, 1))
    torn = bench.restored()
    torn.backend.cells["alarm-parts", "north"] = pickle.dumps({"site": b"\x63"})
    kept = dict(torn.backend.cells)
    for second in (2, 3):
        *_, (topic, _, refused) = torn.element(values(86, second))
        record = codec.decode(refused)[1]
        assert (topic, record["reason"]) == (topics.REJECTED.name, "PROCESSING_FAILED")
        assert "state of site north cannot be read: StateError: state part site has layout 63" in record["detail"]
    assert torn.advance(3_000) == []
    assert torn.backend.cells == kept
    assert torn.count("refused_records") == 2
    (other,), _ = told(
        torn.element(action(1, AlarmActionKind.SHELVE, site="south", device_id=2, until_us=START_US + 60 * S))
    )
    assert torn.level("sites_put_aside") == 1
    assert (other.site, other.state) == ("south", "SHELVED")


def test_no_gateway_is_silent_while_the_broker_is_away_nor_before_it_had_time_to_speak_again() -> None:
    silent = AlarmRule.from_record(GATEWAY_SILENT)
    known, answers = [*registry(), silent.encode()], [True]
    bench = Harness(
        lambda bench: AlarmsOperator(
            AlarmConfig(), clock=bench.clock, snapshot=lambda: known, reachable=lambda: answers[0]
        ),
        SiteOf(registry),
        now_us=START_US,
    )
    assert told(bench.element(values(20, 1))) == ([], [])
    answers[0] = False
    assert bench.advance(45_000) == []
    assert bench.count("broker_away") == 1
    answers[0] = True
    assert bench.advance(29_000) == []
    (raised,), _ = told(bench.advance(8_000))  # it is away indeed
    assert (raised.rule, raised.state) == ("gateway-silent", "UNACKNOWLEDGED")


def test_no_gateway_is_silent_because_the_process_stood() -> None:
    bench = harness(AlarmRule.from_record(GATEWAY_SILENT).encode())
    bench.element(values(20, 1))
    bench.advance(2_000)
    bench.now_us += 45 * S
    bench.timers = {(bench.now_us // 1000, "north")}
    assert bench.advance(20_000) == []
    (raised,), _ = told(bench.advance(12_000))
    assert raised.rule == "gateway-silent"


def test_a_tick_that_fails_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = harness(rule().encode())
    bench.element(values(70, 1))

    def fail(*_: object) -> None:
        msg = "tick"
        raise ArithmeticError(msg)

    monkeypatch.setattr(AlarmLogic, "on_timer", fail)
    assert bench.advance(2_500) == []
    assert bench.count("failed_ticks") == 2


@pytest.mark.parametrize("message", [b"", b"nothing", registry()[0][:-3]], ids=["empty", "no record", "torn"])
def test_a_message_of_the_registry_that_cannot_be_read_hides_none_behind_it(message: bytes) -> None:
    known = [message, *registry(), rule().encode()]
    bench = Harness(
        lambda bench: AlarmsOperator(AlarmConfig(), clock=bench.clock, snapshot=lambda: known),
        SiteOf(lambda: known),
        now_us=START_US,
    )
    assert len(told(bench.element(values(85, 1)))[0]) == 1
    assert (bench.count("failed_definitions"), bench.count("unplaced_records")) == (1, 0)


def test_the_site_of_a_row_is_what_it_says_or_what_the_registry_says() -> None:
    read = []

    def messages() -> list[bytes]:
        read.append(1)
        return registry()

    clock = [START_US]
    site_of = SiteOf(messages, lambda: clock[0])
    assert site_of(row("device.events.south", b"7", b"")) == "south"
    assert site_of(action(1, AlarmActionKind.COMMENT)) == "north"
    state = CommandStateRecord(
        command_id=UUID(int=1),
        version=1,
        state=CommandState.UNKNOWN,
        device_id=1,
        gateway_id="gw-1",
        site="east",
        name="start",
        parameters={},
        submitted_by="alice",
        submitted_us=0,
        expires_us=0,
        updated_us=0,
        attempt=1,
    )
    assert site_of(row(topics.STATES.name, b"x", state.encode())) == "east"
    assert not read
    assert site_of(values(1, 1)) == "north"
    assert site_of(row(topics.ANOMALIES.name, b"1", b"")) == "north"
    assert [site_of(row(topics.ANOMALIES.name, b"9", b"")) for _ in range(3)] == [UNPLACED] * 3
    assert len(read) == 1
    clock[0] += 6 * S
    assert site_of(row(topics.ANOMALIES.name, b"9", b"")) == UNPLACED
    assert len(read) == 2
    assert site_of(row(topics.ANOMALIES.name, b"no number", b"")) == UNPLACED
    assert site_of(row(topics.STATES.name, b"x", b"no state")) == UNPLACED


def test_rules_that_cannot_be_brought_to_a_device_are_said_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    def said() -> list[tuple[str, str, bool]]:
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        return sorted(
            (line["rule"], line["key"], "has no tag" in line["cause"])
            for line in lines
            if line["message"] == "alarm rule does not hold as it says"
        )

    absent, orphan = rule(name="absent", tag="gone"), rule(name="orphan", parent="nobody")
    bench = harness(rule().encode(), absent.encode(), orphan.encode())
    bench.element(values(85, 1))
    bench.advance(3_000)
    assert said() == [(absent.rule_id, "tag", True), (orphan.rule_id, "parent", False)]
    assert bench.level("rules_not_applied") == 1  # the other holds, without its parent
    usual = {"name": "odd", "device_class": "press", "severity": "MAJOR", "response": "PROMPT"}
    other = AlarmRule.from_record({**usual, "kind": "EXPRESSION", "expression": "tag.nowhere > 1"})
    bench.broadcast(rule_row(other))
    bench.element(values(85, 2))
    bench.advance(3_000)
    assert said() == [(other.rule_id, "expression", True)]
    assert bench.level("rules_not_applied") == 2


def test_a_job_without_the_library_of_expressions_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(ConfigError, match="expressions need the package cel-expr-python"):
        harness(rule().encode())
