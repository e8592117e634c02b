"""The Kafka helpers against a real broker."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from audit import __main__ as audit_writer
from audit.errors import AuditError
from audit.settings import AuditSettings
from audit.tiles import Readable
from base.errors import SchemaError, UnavailableError
from base.settings import KafkaSettings
from connectors.kafka import admin as kafka_admin
from connectors.kafka import cat
from connectors.kafka import client as kafka
from connectors.kafka.consume import Marks, from_now
from connectors.kafka.follow import Follower
from jobs.alarms import broker_answers, published_alarms
from schemas import codec, definitions, topics
from schemas.alarms import Alarm, AlarmActionKind
from schemas.audit import AuditEvent, Outcome
from tests.contract import examples
from tests.integration.polling import eventually
from tests.operators import alarming

MakeTopic = Callable[..., str]


@pytest.fixture
def settings(kafka: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka)


@pytest.fixture
def make_topic(settings: KafkaSettings) -> MakeTopic:
    """Makes a topic of a new name."""

    def make(*, partitions: int = 3, name: str = "", **config: str) -> str:
        topic = name or f"test.{uuid4().hex}"
        admin = AdminClient({**settings.client_config()})
        settled = {key.replace("_", "."): value for key, value in config.items()}
        admin.create_topics([NewTopic(topic, partitions, 1, config=settled)], operation_timeout=10)[topic].result(15)
        eventually(lambda: topic in admin.list_topics(timeout=5).topics, what="the broker shows the topic")
        return topic

    return make


def write(settings: KafkaSettings, topic: str, *values: str, key: str = "k") -> None:
    producer = kafka.producer(settings, linger_ms=0)
    assert kafka.send(producer, topic, [(key.encode(), value.encode()) for value in values]) == len(values)


def texts(messages: list[Message]) -> list[str]:
    return [(message.value() or b"-").decode() for message in messages]


def changes_at(settings: KafkaSettings, site: str, *, add_partitions: bool = False) -> list[kafka_admin.Change]:
    """Differences of a site's own topics; the others are shared with the tests before."""
    found = kafka_admin.apply(settings, (site,), add_partitions=add_partitions)
    return [change for change in found if change.topic.endswith(f".{site}")]


def test_topics_are_made_once_and_then_agree_with_the_table(settings: KafkaSettings) -> None:
    site = f"s{uuid4().hex[:8]}"
    made = changes_at(settings, site)
    assert {change.topic for change in made} == {topic.for_site(site) for topic in topics.TOPICS if topic.per_site}
    assert all(change.applied for change in made)
    eventually(lambda: changes_at(settings, site) == [], what="nothing differs")


def test_differences_are_reported_and_put_right_where_that_is_safe(
    settings: KafkaSettings, make_topic: MakeTopic
) -> None:
    site = f"s{uuid4().hex[:8]}"
    make_topic(name=f"telemetry.frames.{site}", partitions=2, retention_ms="1000")
    changes = {(change.topic, change.what, change.applied) for change in changes_at(settings, site)}
    week_ms = topics.FRAMES.retention_ms
    assert (f"telemetry.frames.{site}", "partitions 2, table says 6", False) in changes
    assert (f"telemetry.frames.{site}", f"retention.ms was 1000, now {week_ms}", True) in changes
    # The broker shows new settings a moment after it took them.
    eventually(lambda: len(changes_at(settings, site)) == 1, what="only the partitions differ")
    [grown] = changes_at(settings, site, add_partitions=True)
    assert (grown.what, grown.applied) == ("partitions 2, table says 6", True)
    source = kafka.consumer(settings)
    eventually(lambda: kafka.partitions_of(source, f"telemetry.frames.{site}") == list(range(6)))
    source.close()


def test_the_alarms_job_knows_whether_the_broker_answers(settings: KafkaSettings) -> None:
    kafka_admin.apply(settings, ())
    eventually(lambda: broker_answers(settings), what="the topic of last values can be read")
    assert not broker_answers(KafkaSettings(bootstrap_servers="127.0.0.1:9"))


def test_what_the_alarms_job_published_behind_its_checkpoint_waits_for_its_acknowledgement(
    settings: KafkaSettings,
) -> None:
    """The topic is a real one, before the crash and after it; in the place of Flink is what drives the operator."""
    kafka_admin.apply(settings, ())
    producer = kafka.producer(settings)

    def publish(outputs: list[tuple[str, bytes, bytes]]) -> None:
        kafka.send(producer, topics.ALARMS.name, [one[1:] for one in outputs if one[0] == topics.ALARMS.name])

    def standing() -> list[Alarm]:
        found: dict[bytes | None, Alarm] = {}
        for message in kafka.read_to_end(settings, topics.ALARMS.name):
            if message.value() is None:
                found.pop(message.key(), None)
            else:
                found[message.key()] = Alarm.from_record(codec.decode(message.value() or b"", "Alarm")[1])
        return [alarm for alarm in found.values() if alarm.state != "NORMAL" and alarm.alarm_id not in others]

    others: set[UUID] = set()  # the broker is that of other tests too
    others = {alarm.alarm_id for alarm in standing()}
    bench = alarming.harness(alarming.rule().encode(), published=partial(published_alarms, settings))
    bench.element(alarming.values(70, 1))
    checkpoint = bench.restored()
    publish(bench.element(alarming.values(85, 2)))
    (lost,) = standing()
    again = checkpoint.restored()
    again.element(alarming.values(71, 3))
    publish(again.advance(70_000))
    assert [(one.alarm_id, one.state) for one in standing()] == [(lost.alarm_id, "RETURNED_UNACKNOWLEDGED")]
    publish(again.element(alarming.action(1, AlarmActionKind.ACKNOWLEDGE, alarm_id=lost.alarm_id)))
    assert standing() == []
    kafka.send(producer, topics.ALARMS.name, [(lost.key, None)])
    assert alarming.harness(published=partial(published_alarms, settings)).count("unreadable_alarms") == 0


def test_reading_to_the_end_gives_everything_and_stops(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic()
    assert list(kafka.read_to_end(settings, topic)) == []
    kafka.send(kafka.producer(settings), topic, [(f"{i % 7}".encode(), f"{i}".encode()) for i in range(300)])
    found = texts(list(kafka.read_to_end(settings, topic)))
    assert sorted(found, key=int) == [str(i) for i in range(300)]
    assert len(texts(list(kafka.read_to_end(settings, topic, last=2)))) <= 6


def test_reading_ends_where_a_compacted_topic_has_lost_its_tail(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1)
    write(settings, topic, "a", "b", "c")
    admin = AdminClient({**settings.client_config()})
    for future in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
        future.result(10)
    assert list(kafka.read_to_end(settings, topic, timeout_s=5)) == []


def test_tombstones_come_along(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1)
    kafka.send(kafka.producer(settings), topic, [(b"k", b"v"), (b"k", None)])
    assert [message.value() for message in kafka.read_to_end(settings, topic)] == [b"v", None]


def test_the_newest_value_of_each_key_counts(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1)

    def decode(value: bytes) -> int:
        if not value.isdigit():
            msg = "no number"
            raise SchemaError(msg)
        return int(value)

    values = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"c", b"4"), (b"b", None), (b"c", b"torn"), (b"d", b"torn")]
    kafka.send(kafka.producer(settings), topic, values)
    passed_over: list[tuple[str, bytes | None, str]] = []
    found = kafka.read_newest(
        settings, topic, decode, lambda name, one, error: passed_over.append((name, one.key(), str(error)))
    )
    assert found == {b"a": 3, b"c": 4}
    assert passed_over == [(topic, b"c", "no number"), (topic, b"d", "no number")]
    with pytest.raises(SchemaError, match="no number"):
        kafka.read_newest(settings, topic, decode)


def test_errors_name_cause_and_fix(settings: KafkaSettings) -> None:
    with pytest.raises(kafka.DeliveryError, match=r"UNKNOWN_TOPIC.*connectors\.kafka\.admin"):
        list(kafka.read_to_end(settings, "no.such.topic"))
    nobody = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"within|confirmed|check that"):
        kafka.send(kafka.producer(nobody, delivery_timeout_ms=300), "t", [(b"k", b"v")], timeout_s=2)
    source = kafka.consumer(nobody)
    with pytest.raises(kafka.DeliveryError, match=r"bootstrap_servers"):
        kafka.partitions_of(source, "t", timeout_s=0.5)
    source.close()


def test_too_large_a_record_is_refused_with_the_limit(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    with pytest.raises(kafka.DeliveryError, match=str(kafka.MAX_MESSAGE_BYTES)):
        kafka.send(kafka.producer(settings), make_topic(), [(b"k", bytes(kafka.MAX_MESSAGE_BYTES + 1))])


def test_following_from_now_on_until_told_to_stop(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1)
    write(settings, topic, "before")
    stop = threading.Event()
    found = kafka.follow(settings, (topic,), beginning=True, stop=stop)
    assert texts([next(found)]) == ["before"]
    write(settings, topic, "after")
    assert texts([next(found)]) == ["after"]
    stop.set()
    assert list(found) == []


async def test_an_awaited_send_is_durable(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic()
    producer = kafka.AsyncProducer(settings, linger_ms=0)
    sent = await asyncio.gather(*(producer.send(topic, b"k", f"{i}".encode()) for i in range(100)))
    assert sorted(message.offset() or 0 for message in sent) == list(range(100))
    assert len(list(kafka.read_to_end(settings, topic))) == 100
    with pytest.raises(kafka.DeliveryError, match=r"not written|was refused"):
        await producer.send(topic, b"k", bytes(kafka.MAX_MESSAGE_BYTES + 1))
    assert await producer.close() == 0


async def following(
    settings: KafkaSettings, topic: str, **options: object
) -> tuple[Follower, asyncio.Task[None], list[str]]:
    found: list[str] = []
    follower = Follower(settings, (topic,), lambda batch: found.extend(texts(batch)), **options)  # type: ignore[arg-type]
    return follower, asyncio.create_task(follower.run()), found


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object], *, timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition is any state, nothing signals it
            await asyncio.sleep(0.005)


async def test_a_follower_is_caught_up_after_what_was_there_and_goes_on(
    settings: KafkaSettings, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    write(settings, topic, *map(str, range(2500)))
    follower, task, found = await following(settings, topic)
    async with asyncio.timeout(20):
        await follower.caught_up.wait()
    assert found == [str(i) for i in range(2500)]
    producer = kafka.AsyncProducer(settings, linger_ms=0)
    delays_s = []
    for i in range(50):
        await producer.send(topic, b"k", f"new {i}".encode())
        start_s = time.monotonic()
        await until(lambda: found[-1] == f"new {i}")  # noqa: B023 - awaited in the same turn of the loop
        delays_s.append(time.monotonic() - start_s)
    assert sorted(delays_s)[25] < 0.25
    await producer.close()
    await ended(task)


async def test_a_follower_finds_topics_that_come_later(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    mark = uuid4().hex
    make_topic(name=f"late.{mark}.one", partitions=1)
    follower, task, found = await following(settings, rf"late\.{mark}\..*", start=from_now, refresh_s=0.2)
    async with asyncio.timeout(20):
        await follower.caught_up.wait()
    make_topic(name=f"late.{mark}.two", partitions=1)
    await asyncio.to_thread(write, settings, f"late.{mark}.two", "first")
    await until(lambda: found == ["first"])
    await ended(task)


async def test_a_coroutine_gets_one_batch_after_the_other_from_where_it_says(
    settings: KafkaSettings, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=1)
    write(settings, topic, *map(str, range(10)))
    found: list[str] = []
    under_way = 0

    async def take(batch: list[Message]) -> None:
        nonlocal under_way
        under_way += 1
        await asyncio.sleep(0.01)
        assert (under_way, len(batch) <= 2) == (1, True)
        found.extend(texts(batch))
        under_way -= 1

    def start(_topic: str, marks: Marks) -> dict[int, int]:
        assert marks == {0: (0, 10)}
        return {0: 4}

    follower = Follower(settings, (topic,), take, start=start, in_flight=1, batch=2)
    task = asyncio.create_task(follower.run())
    async with asyncio.timeout(20):
        await follower.caught_up.wait()
    assert (found, follower.problem) == ([str(i) for i in range(4, 10)], "")
    await ended(task)


async def test_a_renewed_producer_sends_on(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1)
    producer = kafka.AsyncProducer(settings, linger_ms=0)
    await producer.send(topic, b"k", b"before")
    producer.renew()
    await producer.send(topic, b"k", b"after")
    await producer.abandon()
    assert texts(list(kafka.read_to_end(settings, topic))) == ["before", "after"]


async def test_a_follower_ends_with_the_error_of_its_reader(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic()
    write(settings, topic, "1")

    def refuse(_: list[Message]) -> None:
        msg = "cannot be"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="cannot be"):
        async with asyncio.timeout(20):
            await Follower(settings, (topic,), refuse).run()


def test_cat_shows_the_last_records_in_order_and_by_key(settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic()
    producer = kafka.producer(settings, linger_ms=0)
    for i in range(12):
        kafka.send(producer, topic, [(f"k{i % 2}".encode(), f"{i}".encode())])
    assert texts(cat.read(settings, topic, count=3, key=None)) == ["9", "10", "11"]
    assert texts(cat.read(settings, topic, count=2, key="k0")) == ["8", "10"]
    assert len(cat.read(settings, topic, count=None, key=None)) == 12


@pytest.fixture
def platform(settings: KafkaSettings, tmp_path: Path) -> Path:
    """A platform.toml of the broker."""
    path = tmp_path / "platform.toml"
    path.write_text(
        f'sites = ["clitest"]\n[kafka]\nbootstrap_servers = "{settings.bootstrap_servers}"\n[postgres]\ndsn = "unused"\n'
    )
    return path


def test_the_tools_work_from_the_command_line(
    settings: KafkaSettings, platform: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kafka_admin.main(["--config", str(platform)]) == 0
    assert f"{len(topics.TOPICS)} topics" in capsys.readouterr().out
    topic = topics.EVENTS.for_site("clitest")
    kafka.send(
        kafka.producer(settings), topic, [(b"11", codec.encode("DeviceEvent", examples.records()["DeviceEvent"]))]
    )
    kafka.send(kafka.producer(settings), topic, [(b"11", b"garbage")])
    assert cat.main([topic, "--config", str(platform), "--from-beginning"]) == 0
    out = capsys.readouterr().out
    assert "kind GAP · gateway id gw-north-1" in out
    assert "UNDECODABLE 7 bytes" in out
    assert cat.main([topic, "--config", str(platform), "--json", "-n", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["undecodable"]
    assert cat.main(["topics", "--config", str(platform)]) == 0
    assert f"{topic}" in capsys.readouterr().out
    assert cat.main(["no.such", "--config", str(platform)]) == 2
    assert "no topic no.such; known: telemetry.frames" in capsys.readouterr().err


def test_cat_names_tags_from_the_registry(
    settings: KafkaSettings, platform: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kafka_admin.apply(settings, ("clitest",))
    tag = definitions.tag_from_record(
        examples.records()["TagDefinition"] | {"tag_id": 70_000, "path": "acme/clitest/x/y"}
    )
    kafka.send(kafka.producer(settings), topics.TAGS.name, [definitions.encode_tag(tag)])
    frame = codec.encode("TelemetryFrame", examples.records()["TelemetryFrame"])
    topic = topics.FRAMES.for_site("clitest")
    kafka.send(kafka.producer(settings), topic, [(b"gw-north-1/1", frame)])
    assert cat.main([topic, "--config", str(platform), "--samples", "0"]) == 0
    assert "acme/clitest/x/y" in capsys.readouterr().out


def test_following_ends_at_a_signal(settings: KafkaSettings, platform: Path) -> None:
    kafka_admin.apply(settings, ("clitest",))
    topic = topics.ACKS.for_site("clitest")
    command = [sys.executable, "-m", "connectors.kafka.cat", topic, "--follow", "-n", "1", "--config", str(platform)]
    ack = codec.encode("CommandAck", examples.records()["CommandAck"])
    kafka.send(kafka.producer(settings), topic, [(b"k", ack)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "CommandAck" in process.stdout.readline()
        process.stdout.readline()
        process.stdout.readline()
        # It shows the past before it follows: write until something of it comes.
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.append(process.stdout.readline() if process.stdout else ""))
        reader.start()
        producer = kafka.producer(settings, linger_ms=0)
        eventually(lambda: kafka.send(producer, topic, [(b"k", ack)]) and lines, period_s=0.2)
        process.terminate()
        assert process.wait(15) == 0
        reader.join()


def audit_events(first: int, count: int) -> list[tuple[bytes, bytes]]:
    made = [
        AuditEvent(service="test", action="try", outcome=Outcome.ALLOW, subject=f"s{number}")
        for number in range(first, first + count)
    ]
    return [(event.key, event.encode()) for event in made]


def test_the_audit_writer_notices_a_topic_that_is_another_while_it_reads(
    settings: KafkaSettings, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Its next offset is behind the end of the new topic: librdkafka stops reading, and says so once."""
    topic = topics.AUDIT.name
    admin = AdminClient({**settings.client_config()})
    if topic in admin.list_topics(timeout=5).topics:
        admin.delete_topics([topic], operation_timeout=10)[topic].result(15)
        eventually(lambda: topic not in admin.list_topics(timeout=5).topics, what="the topic is gone")
    make_topic(name=topic, partitions=1)
    producer = kafka.producer(settings, linger_ms=0)
    kafka.send(producer, topic, audit_events(0, 8))
    where = AuditSettings(kafka=settings, folder=tmp_path / "log", keys=tmp_path / "keys", origin="plant.example/audit")
    stop = threading.Event()
    running = threading.Thread(target=audit_writer.run, args=(where, stop))
    running.start()

    def said() -> list[str]:
        try:
            entries = list(Readable(where.folder).oldest_first())
        except AuditError:
            return []
        return [str(json.loads(entry)["subject"] or json.loads(entry)["action"]) for _, entry in entries]

    try:
        eventually(lambda: "s7" in said(), what="the first topic is taken")
        admin.delete_topics([topic], operation_timeout=10)[topic].result(15)
        eventually(lambda: topic not in admin.list_topics(timeout=5).topics, what="the topic is gone")
        make_topic(name=topic, partitions=1)
        kafka.send(kafka.producer(settings, linger_ms=0), topic, audit_events(100, 2))
        eventually(lambda: "s101" in said(), timeout_s=90, what="the new topic is taken")
        assert [name for name in said() if name.startswith("s")] == [*(f"s{n}" for n in range(8)), "s100", "s101"]
    finally:
        stop.set()
        running.join(timeout=30)
