"""Reading Kafka again for another life of the database: positions, refusal to write before it, idempotent sinks, the registry."""

from __future__ import annotations

import random
from collections.abc import Sequence

import psycopg
import pytest
from confluent_kafka import TopicPartition

from base.settings import KafkaSettings
from connectors.kafka import admin
from connectors.kafka import client as kafka_client
from historian import positions, recovery, timeline
from historian.store import HistorianStore, StoreUnavailable
from registry import edit
from registry.load import load_plant
from registry.plant_file import parse_plant
from registry.publish import publish
from schemas import codec, topics
from tests.integration.every_record import SITE, contents, records
from tests.integration.fix_history import history, plain_history, sql, store, variant
from tests.integration.history import Record, make_frame, plant, register, tag, validated

__all__ = ["history", "plain_history", "sql", "store", "variant"]
Sql = psycopg.Connection
T = "telemetry.validated"


def placed(item: Record, partition: int, offset: int) -> Record:
    return item._replace(partition=partition, offset=offset)


def frames(numbers: Sequence[int]) -> list[Record]:
    return [validated(make_frame([1], [1_790_000_000_000_000 + n], [1.0], sequence=n)) for n in numbers]


def test_positions_are_behind_everything_that_was_read_of_a_partition(store: HistorianStore, sql: Sql) -> None:
    first, second, third = frames(range(3))
    torn = Record(T, 2, 9, b"gw/0", b"torn")
    store.write([placed(first, 0, 40), placed(second, 0, 41), placed(third, 1, 7), torn])
    assert {place: one.next_offset for place, one in positions.read(sql).items()} == {(T, 0): 42, (T, 1): 8, (T, 2): 10}
    store.write([placed(first, 0, 5)])  # a topic that was made anew, or a job that goes on from an older point
    assert positions.read(sql)[T, 0].next_offset == 6


def test_a_batch_that_is_not_stored_moves_no_position(store: HistorianStore, sql: Sql) -> None:
    sql.execute("ALTER TABLE ledger_minute ADD CONSTRAINT refuses CHECK (stored < 0) NOT VALID")
    sql.execute("ALTER TABLE ledger ADD CONSTRAINT refuses CHECK (frames < 0) NOT VALID")
    result = store.write([placed(one, 0, n) for n, one in enumerate(frames(range(4)))])
    assert len(result.poisoned) == 4
    assert positions.read(sql) == {}
    sql.execute("ALTER TABLE ledger DROP CONSTRAINT refuses; ALTER TABLE ledger_minute DROP CONSTRAINT refuses")
    store.write([placed(one, 0, n) for n, one in enumerate(frames(range(4, 6)), 4)])
    assert positions.read(sql)[T, 0].next_offset == 6


def test_every_sink_takes_everything_again_in_any_order_and_changes_nothing(
    store: HistorianStore, history: str
) -> None:
    made = [Record(topic, 0, n, key, value) for n, (topic, key, value) in enumerate(records(1, range(12)))]
    store.write(made)
    before = contents(history)
    assert all(before[name] for name in before.keys() - {"on_change_state"}), {n for n in before if not before[n]}
    chance = random.Random(1)
    for start in (0, len(made) // 2):
        again = made[start:]
        if not start:  # newest of two with one time: order decides, as it does in a partition
            chance.shuffle(again)
        assert store.write(again).poisoned == []
        assert contents(history) == before


def test_another_life_of_the_database_is_written_only_after_recovery(history: str, sql: Sql) -> None:
    sql.execute("UPDATE recovery_state SET timeline = 'of a backup/7'")
    store = HistorianStore(history)
    with pytest.raises(StoreUnavailable, match=r"restored, promoted or copied.*millrace recover"):
        store.write(frames([0]))
    assert sql.execute("SELECT count(*) FROM samples").fetchone() == (0,)
    timeline.mark_known(sql, {"records": 0})
    assert store.write(frames([0])).frames == 1
    store.close()


def test_every_table_is_of_one_origin_and_what_the_historian_writes_comes_from_kafka(sql: Sql) -> None:
    rows: dict[str, str] = dict(sql.execute("SELECT name, origin FROM table_origin").fetchall())
    tables = sql.execute(
        """SELECT table_name::text FROM information_schema.tables
           WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT IN (
               SELECT c.relname FROM pg_class c WHERE c.relispartition)"""
    ).fetchall()
    assert rows.keys() == {name for (name,) in tables}
    assert set(rows.values()) == {"kafka", "computed", "entered"}
    assert {name for name, origin in rows.items() if origin == "kafka"} >= {
        "samples",
        "ledger",
        "aggregates",
        "commands",
        "read_positions",
    }
    assert {"tags", "tag_history", "registry_changes", "refused_proposals", "replays", "work_calendars"} <= {
        name for name, origin in rows.items() if origin == "entered"
    }


# --- with Kafka --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(kafka: str) -> KafkaSettings:
    settings = KafkaSettings(bootstrap_servers=kafka)
    admin.apply(settings, [SITE], replication=1)
    return settings


def send(broker: KafkaSettings, made: Sequence[tuple[str, bytes, bytes]]) -> None:
    for topic in {topic for topic, _, _ in made}:
        kafka_client.send(
            kafka_client.producer(broker), topic, [(key, value) for name, key, value in made if name == topic]
        )


def test_the_group_is_set_to_the_positions_and_topics_without_one_to_their_beginning(
    plain_history: str, broker: KafkaSettings
) -> None:
    register(plain_history)
    publish(plain_history, broker, everything=True)
    made = records(1, range(3))
    send(broker, made)
    store = HistorianStore(plain_history)
    with psycopg.connect(plain_history, autocommit=True) as connection:
        place = next(
            place
            for place, marks in recovery.bounds_of(kafka_client.consumer(broker)).items()
            if place[0] == T and marks[1] > 1
        )
        store.write([placed(one, place[1], n) for n, one in enumerate(frames([0, 1]))])
        connection.execute("UPDATE recovery_state SET timeline = 'another'")
        seen = recovery.recover(plain_history, broker, dry_run=True)
        assert not timeline.known(connection)
        assert not seen.was_known
        report = recovery.recover(plain_history, broker)
        assert timeline.known(connection)
    assert report.stretches == seen.stretches
    assert report.lost == ()
    starts = {(one.topic, one.partition): one.start for one in report.stretches}
    member = kafka_client.consumer(broker, group=positions.GROUP)
    asked = [TopicPartition(*each) for each in starts]
    assert {(one.topic, one.partition): one.offset for one in member.committed(asked, timeout=10)} == starts
    member.close()
    assert starts[place] == 2
    store.close()


def test_definitions_behind_the_restored_point_keep_their_numbers_and_what_was_changed_is_published_again(
    plain_history: str, broker: KafkaSettings
) -> None:
    known = register(plain_history, power=tag(), force=tag(unit="N"))
    publish(plain_history, broker, everything=True)
    with psycopg.connect(plain_history, autocommit=True) as connection:
        # The database forgets what it published: a restore to a moment before.
        newest = edit.set_attributes(
            connection, "acme/north/forming/line-1/cell-1/press-01/power", {"description": "x"}
        )
        publish(plain_history, broker)
        before = newest - 1
        connection.execute("UPDATE tags SET registry_version = %s, description = 'Power'", (before,))
        connection.execute("UPDATE registry_state SET version = %s, published_version = %s", (before, before))
        connection.execute("DELETE FROM registry_changes WHERE version = %s", (newest,))
        connection.execute("DELETE FROM tag_history WHERE tag_id = %s", (known["force"],))
        connection.execute("DELETE FROM tag_periods WHERE tag_id = %s", (known["force"],))
        connection.execute("DELETE FROM tags WHERE name = 'force'")
        connection.execute("SELECT setval('registry_id', 1)")
        found = recovery.recover(plain_history, broker).behind
        assert [one.name for one in found.unknown if one.tag_id == known["force"]] == ["force"]
        assert known["power"] in [one.tag_id for one in found.older]
        load_plant(connection, parse_plant(plant(power=tag(), force=tag(unit="N"), torque=tag())))
        ids: dict[str, int] = dict(connection.execute("SELECT name, tag_id FROM tags").fetchall())
    assert {name: ids[name] for name in known} == known
    assert ids["torque"] > max(*known.values(), *(one.tag_id for one in found.unknown))
    newest_known = {}
    for message in kafka_client.read_to_end(broker, topics.TAGS.name):
        if message.key() != topics.REGISTRY_VERSION_KEY:
            _, one = codec.decode(message.value() or b"")
            newest_known[one["tag_id"]] = one
    power = newest_known[known["power"]]
    assert power["description"] == "Power"
    assert power["registry_version"] > newest
