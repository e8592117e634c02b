"""What people change through the database is an event, in the same transaction; and maintenance brings it to the topic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from base.errors import UnavailableError
from historian.audit_outbox import Forwarder
from historian.store import HistorianStore
from registry import edit, proposals
from registry.changes import Change
from schemas.audit import AuditEvent, Outcome
from tests.integration.fix_history import history_template, plain_history, sql
from tests.integration.history import SECOND_US, T0_US, make_frame, register, tag, validated

__all__ = ["history_template", "plain_history", "sql"]

Sql = psycopg.Connection[Any]
PRESS = "acme/north/forming/line-1/cell-1/press-01"


@pytest.fixture
def history(plain_history: str) -> str:
    """How samples are stored does not matter here."""
    return plain_history


class Topic:
    """Takes events, or fails as told."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.failure: UnavailableError | None = None

    def send(self, events: Sequence[AuditEvent]) -> None:
        if self.failure is not None:
            raise self.failure
        self.events += [AuditEvent.decode(event.encode()) for event in events]


def forwarded(sql: Sql) -> list[AuditEvent]:
    topic = Topic()
    Forwarder(sql, topic.send).forward()
    assert sql.execute("SELECT count(*) FROM audit_outbox").fetchone() == (0,)
    return topic.events


@pytest.mark.security("SR 2.8")
def test_a_change_of_the_registry_says_what_was_there_before(history: str, sql: Sql) -> None:
    register(history, power=tag(), speed=tag())
    (loaded,) = forwarded(sql)
    assert (loaded.action, loaded.outcome, loaded.service) == ("registry:change", Outcome.DONE, "database")
    assert loaded.name == "load: version 1, 2 tags"
    assert set(json.loads(loaded.after)) == {f"{PRESS}/power", f"{PRESS}/speed"}
    edit.set_attributes(sql, f"{PRESS}/power", {"limit_high": "150"}, Change(who="ann", why="new motor", what="set"))
    (changed,) = forwarded(sql)
    assert (changed.subject, changed.reason, changed.path) == ("ann", "new motor", f"{PRESS}/power")
    assert json.loads(changed.before) == {f"{PRESS}/power": {"limit_high": 200}}
    assert json.loads(changed.after) == {f"{PRESS}/power": {"limit_high": 150}}
    assert changed.method.startswith("login ")


@pytest.mark.security("T-DB-CHANGE", "V2.3.3")
def test_what_is_rolled_back_is_no_event(history: str, sql: Sql) -> None:
    register(history, power=tag())
    forwarded(sql)
    with sql.transaction(force_rollback=True):
        edit.set_attributes(sql, f"{PRESS}/power", {"limit_high": "150"}, Change(who="ann", what="set"))
        sql.execute("SELECT set_storage_policy('samples', '*', '90 days', NULL, NULL)")
    assert forwarded(sql) == []


def test_refusals_and_storage_policies_are_events(history: str, sql: Sql) -> None:
    register(history, power=tag())
    forwarded(sql)
    proposals.refuse(sql, ["spb:north/*"], Change(who="ann", why="not ours", what="proposals refuse"))
    proposals.withdraw(sql, ["spb:north/*"])
    sql.execute("SELECT set_storage_policy('samples', '*', '40 days', NULL, NULL)")
    sql.execute("SELECT set_storage_policy('samples', '*', '50 days', NULL, NULL)")
    sql.execute("UPDATE storage_policy SET dropped_before = now()")  # maintenance goes on: no change of a policy
    events = forwarded(sql)
    assert [event.action for event in events] == ["registry:refuse", "registry:accept-again", *["storage:policy"] * 2]
    assert (events[0].subject, events[0].reason, events[0].name) == ("ann", "not ours", "spb:north/*")
    assert [event.name for event in events[2:]] == ["samples *"] * 2
    assert "31 days" in events[2].before
    assert "40 days" in events[2].after
    assert "40 days" in events[3].before
    assert "50 days" in events[3].after


@pytest.mark.security("T-DB-CHANGE")
def test_a_correction_and_a_replay_are_events(history: str, sql: Sql) -> None:
    ids = register(history, power=tag())
    store = HistorianStore(history)
    store.write([validated(make_frame([ids["power"]] * 3, [T0_US + n * SECOND_US for n in range(3)], [1.0, 2.0, 3.0]))])
    store.close()
    forwarded(sql)
    sql.execute(
        "SELECT correct_samples(%s, to_time(%s), to_time(%s), 'SCALE', 'ada', 'sent in W', factor => 0.001)",
        (ids["power"], T0_US, T0_US + 2 * SECOND_US),
    )
    (event,) = forwarded(sql)
    assert (event.action, event.subject, event.reason) == ("history:correct", "ada", "sent in W")
    assert event.path == f"{PRESS}/power"
    after = json.loads(event.after)
    assert (after["action"], after["factor"], after["samples"]) == ("SCALE", 0.001, 2)
    sql.execute(
        """INSERT INTO rejects (identity, reason, detail, rejected_at, source_topic, source_partition, source_offset, samples)
           SELECT n::text, 'FUTURE', '', now(), 't', 0, n, 5 FROM generate_series(1, 3) n"""
    )
    sql.execute(
        """INSERT INTO replays (reject_identity, tag_id, correction, gateway_id, epoch, lane, stream, sequence, samples)
           SELECT n::text, 7, 'as it is', 'gw', %s, 0, 2, n, 5 FROM generate_series(1, 3) n""",
        (uuid4(),),
    )
    (event,) = forwarded(sql)
    assert (event.action, event.name) == ("history:replay", "as it is")
    assert json.loads(event.after) == {"refusals": 3, "samples": 15, "tags": 1}


@pytest.mark.security("SR 2.10")
def test_while_the_broker_is_away_events_wait_in_their_order(history: str, sql: Sql) -> None:
    for number in range(1_200):
        sql.execute("SELECT set_storage_policy('samples', '*', %s, NULL, NULL)", (f"{number + 24} hours",))
    topic, now = Topic(), [0.0]
    forwarder = Forwarder(sql, topic.send, lambda: now[0])
    topic.failure = UnavailableError("no broker")
    assert forwarder.forward() == 0
    topic.failure = None
    assert forwarder.forward() == 0  # not again at once
    now[0] += 15.0
    assert forwarder.forward() == 1_200
    assert len({event.event_id for event in topic.events}) == 1_200
    assert [event.time_us for event in topic.events] == sorted(event.time_us for event in topic.events)
    assert "1223:00:00" in topic.events[-1].after
    assert forwarder.forward() == 0
