"""Questions to a broker whose partitions have just been made or moved."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka.connection import DeliveryError, watermarks


class Asked:
    """A broker of one topic with two partitions; each of `errors` is an answer to the first partition's question."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)

    def list_topics(self, topic: str, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: None, 1: None})})

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
