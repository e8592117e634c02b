"""The accounting against a real broker and database: in motion, when quiet, and with a part of it down."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from base.ids import uuid7
from base.settings import KafkaSettings
from connectors.kafka import client as connector
from historian import accounting
from historian.store import HistorianStore
from schemas import topics
from schemas.checksum import to_signed
from schemas.frame import Frame
from tests.integration.fix_history import plain_history
from tests.integration.history import EPOCH, T0_US, Record, event_fields, make_frame, record, validated
from tests.integration.polling import eventually

__all__ = ["plain_history"]


@pytest.fixture
def broker(kafka: str) -> KafkaSettings:
    """The broker with the topics of one site, empty."""
    settings = KafkaSettings(bootstrap_servers=kafka)
    admin = AdminClient({**settings.client_config()})
    names = [topic.for_site("north") for topic in (topics.FRAMES, topics.VALIDATED, topics.EVENTS)]
    old = [name for name in admin.list_topics(timeout=10).topics if not name.startswith("_")]
    if old:
        for done in admin.delete_topics(old).values():
            done.result(30)
        eventually(lambda: not set(old) & set(admin.list_topics(timeout=10).topics), timeout_s=30)
    for done in admin.create_topics([NewTopic(name, 2, 1) for name in names]).values():
        done.result(30)
    return settings


@pytest.fixture
def history(plain_history: str) -> str:
    """How samples are stored does not matter here."""
    return plain_history


def frames(count: int) -> list[Frame]:
    rng = np.random.default_rng(2)
    return [
        make_frame(
            [1] * 10,
            (T0_US + n * 1000 + np.arange(10)).tolist(),
            rng.normal(size=10).tolist(),
            sequence=n,
            verdict=[0] * 8 + [18, 20],
        )
        for n in range(count)
    ]


def health(produced: list[Frame], delivered: int, *, dropped: int = 0) -> Record:
    lane = {
        "lane": 0, "epoch": EPOCH, "stream": "LIVE", "next_sequence": len(produced), "produced_samples": 10 * len(produced),
        "produced_checksum": to_signed(sum(item.checksum for item in produced)), "delivered_sequence": delivered,
        "buffered_samples": 10 * (len(produced) - delivered), "dropped_samples": dropped,
    }  # fmt: skip
    return record("DeviceEvent", **event_fields(event_id=uuid7(), kind="GATEWAY_HEALTH", device_id=0, lanes=[lane]))


def send(settings: KafkaSettings, topic: topics.Topic, *messages: Record) -> None:
    connector.send(
        connector.producer(settings), topic.for_site("north"), [(message.key, message.value) for message in messages]
    )


def test_frames_are_found_wherever_they_are(broker: KafkaSettings, history: str) -> None:
    made = frames(12)
    store = HistorianStore(history)
    # 0-3 stored; 4-5 judged; 6-7 not yet judged; 8-11 at the gateway.
    store.write([validated(item) for item in made[:4]])
    send(broker, topics.VALIDATED, *(validated(item) for item in made[:6]))
    send(broker, topics.FRAMES, *(validated(item) for item in made[:8]))
    send(broker, topics.EVENTS, health(made, 8))
    found = accounting.measure(history, broker)
    assert (found["produced"], found["stored"], found["rejected"]) == (120, 32, 8)
    assert (found["in_kafka"], found["in_gateway_buffers"], found["in_flight"]) == (40, 40, 80)
    assert (found["difference"], found["missing_frames"], found["closed"], found["not_measured"]) == (0, 0, True, [])
    # Everything arrives, some of it twice.
    store.write([validated(item) for item in made[2:]])
    send(broker, topics.EVENTS, health(made, 12))
    found = accounting.measure(history, broker)
    assert (found["in_flight"], found["difference"], found["checksums_compared"], found["checksums_differing"]) == (
        0,
        0,
        1,
        0,
    )
    assert found["closed"] is True
    assert found["lanes"] == [
        {
            "gateway_id": "gw",
            "lane": 0,
            **{name: found[name] for name in found["lanes"][0] if name not in ("gateway_id", "lane")},
        }
    ]
    store.close()


def test_a_lost_frame_is_seen(broker: KafkaSettings, history: str) -> None:
    made = frames(5)
    store = HistorianStore(history)
    store.write([validated(item) for item in made if item.sequence != 2])
    store.close()
    send(broker, topics.EVENTS, health(made, 5))
    found = accounting.measure(history, broker)
    assert (found["closed"], found["difference"], found["missing_frames"]) == (False, 10, 1)


def test_what_is_down_is_said(broker: KafkaSettings, history: str) -> None:
    made = frames(3)
    store = HistorianStore(history)
    store.write([validated(item) for item in made] + [health(made, 3)])
    store.close()
    send(broker, topics.FRAMES, *(validated(item) for item in made))
    send(broker, topics.EVENTS, health(made, 3))
    without_database: dict[str, Any] = accounting.measure("host=127.0.0.1 port=1", broker)
    assert without_database["closed"] is None
    assert without_database["produced"] == 30
    assert "the database does not answer" in without_database["not_measured"][0]
    without_kafka = accounting.measure(history, KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    assert without_kafka["closed"] is None
    assert (without_kafka["produced"], without_kafka["stored"], without_kafka["difference"]) == (30, 24, 0)
    assert "Kafka does not answer" in without_kafka["not_measured"][0]


def test_commands_and_ages(broker: KafkaSettings, history: str) -> None:
    with psycopg.connect(history, autocommit=True) as connection:
        connection.execute(
            """INSERT INTO commands
               SELECT gen_random_uuid(), 1, s, 1, 'gw', 'north', 'start', '{}', 'ada', now(), now(), now(), 1, '', '{}', 0, 0
               FROM unnest(ARRAY['SUCCEEDED', 'SUCCEEDED', 'EXPIRED']) AS s"""
        )
    store = HistorianStore(history)
    store.write([validated(frames(1)[0])])
    store.close()
    found = accounting.measure(history, broker)
    assert found["commands"] == {"EXPIRED": 1, "SUCCEEDED": 2}
    assert found["newest_sample"].startswith("20")
    assert isinstance(found["newest_sample_age_s"], float)
