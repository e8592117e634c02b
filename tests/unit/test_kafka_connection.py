"""Questions to a broker: whose partitions have just been made or moved, and how many it takes to know where topics end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka.connection import DeliveryError, topics_matching, watermarks
from connectors.kafka.offsets import TopicEnd


class Asked:
    """A broker of one topic with two partitions; each of `errors` is an answer to the first partition's question."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.questions: list[str] = []

    def list_topics(self, topic: str = "alarms", timeout: float = 0.0) -> SimpleNamespace:
        self.questions.append("topics")
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={1: None, 0: None})})

    def offsets_for_times(self, wanted: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.questions.append("ends")
        if self.errors:
            raise KafkaException(KafkaError(self.errors.pop(0)))
        assert {one.offset for one in wanted} == {OFFSET_END}
        return [TopicPartition(one.topic, one.partition, 7 + one.partition) for one in wanted]

    def get_watermark_offsets(self, at: TopicPartition, timeout: float) -> tuple[int, int]:
        if at.partition == 0 and self.errors:
            raise KafkaException(KafkaError(self.errors.pop(0)))
        return at.partition, 7


def test_a_leader_that_does_not_know_it_yet_is_asked_again() -> None:
    broker = Asked(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert watermarks(cast("Consumer", broker), "alarms") == {0: (0, 7), 1: (1, 7)}


def test_other_errors_and_a_leader_that_never_knows_are_said() -> None:
    with pytest.raises(DeliveryError, match=r"offsets of alarms\[0\] cannot be read"):
        watermarks(cast("Consumer", Asked(KafkaError.TOPIC_AUTHORIZATION_FAILED)), "alarms")
    never = Asked(*[KafkaError.NOT_LEADER_FOR_PARTITION] * 100)
    with pytest.raises(DeliveryError, match="NOT_LEADER"):
        watermarks(cast("Consumer", never), "alarms", timeout_s=0.0)
    assert len(never.errors) == 99


def test_topics_and_their_partitions_are_one_question() -> None:
    broker = Asked()
    assert topics_matching(cast("Consumer", broker), [r"alarms", r"frames\.\w+"]) == {"alarms": [0, 1]}
    assert broker.questions == ["topics"]


def test_who_looks_again_and_again_where_a_topic_ends_asks_for_its_partitions_once_a_minute() -> None:
    broker, now_s = Asked(), 0.0
    end = TopicEnd(cast("Consumer", broker), "alarms", timeout_s=1.0, clock_s=lambda: now_s)
    assert [end.look() for _ in range(3)] == [{0: 7, 1: 8}] * 3
    assert broker.questions == ["topics", "ends", "ends", "ends"]
    now_s = 60.0
    end.look()
    assert broker.questions[4:] == ["topics", "ends"]


def test_a_look_that_fails_is_said_and_the_next_one_asks_for_the_partitions_again() -> None:
    broker = Asked(KafkaError.NOT_LEADER_FOR_PARTITION)
    end = TopicEnd(cast("Consumer", broker), "alarms", timeout_s=1.0)
    with pytest.raises(DeliveryError, match="the end of alarms cannot be read"):
        end.look()
    assert end.look() == {0: 7, 1: 8}
    assert broker.questions == ["topics", "ends", "topics", "ends"]
