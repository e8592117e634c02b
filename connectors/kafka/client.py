"""Kafka, as everybody else here uses it: one module to import.

`connection` makes producers and consumers and has their errors, `produce` the sending with acknowledgements, `consume` the reading.
`follow.Follower` reads from asyncio. Delivery: sending again after a timeout may make a second copy, which is why every record carries an
identity. Ordering: per partition only; readers interleave partitions as they arrive.
"""

from connectors.kafka.connection import (
    MAX_MESSAGE_BYTES,
    DeliveryError,
    consumer,
    ends,
    partitions_of,
    passing,
    producer,
    topics_matching,
    watermarks,
)
from connectors.kafka.consume import Reader, follow, read_newest, read_to_end
from connectors.kafka.produce import AsyncProducer, Outbox, send

__all__ = [
    "MAX_MESSAGE_BYTES",
    "AsyncProducer",
    "DeliveryError",
    "Outbox",
    "Reader",
    "consumer",
    "ends",
    "follow",
    "partitions_of",
    "passing",
    "producer",
    "read_newest",
    "read_to_end",
    "send",
    "topics_matching",
    "watermarks",
]
