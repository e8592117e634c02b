"""Tells topic `signing.keys` what it does not say yet. Each record is signed with the authority's key, so the broker need not be believed.

Enters: what the topic says, and what it is to say. Leaves: the records that differ. What was revoked once stays revoked for everybody who
reads the topic (`schemas.signing_keys`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from authority.signing_keys import Row
from base.errors import SchemaError
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from schemas import topics
from schemas.signing_keys import KeyBook, SigningKey

TIMEOUT_S = 10.0

Prove = Callable[[bytes], bytes]


def told(settings: KafkaSettings, root_file: Path) -> dict[str, SigningKey]:
    """Keys by id, as the topic says them in the name of the authority with that certificate. Raises ConfigError, DeliveryError."""
    found, book = dict[str, SigningKey](), KeyBook.of(root_file)
    for message in kafka.read_to_end(settings, topics.SIGNING_KEYS.name, timeout_s=TIMEOUT_S):
        try:
            known = book.apply(message.value() or b"")
        except SchemaError:
            continue  # nobody believes it either
        found[known.key_id] = known
    return found


def tell(settings: KafkaSettings, prove: Prove, said: dict[str, SigningKey], wanted: Iterable[SigningKey]) -> int:
    """Send what of `wanted` the topic does not say; how many keys that were. Raises DeliveryError."""
    new = [one for one in wanted if said.get(one.key_id) != one]
    if new:
        records = [(one.key, one.encode(prove)) for one in new]
        kafka.send(kafka.producer(settings), topics.SIGNING_KEYS.name, records, timeout_s=TIMEOUT_S)
    return len(new)


def as_told(row: Row) -> SigningKey:
    """A row of the authority's folder, as the topic has it."""
    return SigningKey(
        key_id=row.key_id,
        holder=row.name,
        public=bytes.fromhex(row.public),
        from_us=us(row.since),
        until_us=us(row.until),
        revoked_us=None if row.revoked is None else us(row.revoked),
    )


def us(moment: datetime) -> int:
    """As the topic has it: microseconds UTC."""
    return int(moment.timestamp() * 1e6)
