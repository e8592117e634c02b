"""Domain type of the topic `alarm.subscriptions`: browsers that take notifications of alarms (Web Push)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from base.errors import UndecodableError
from schemas import codec

RECORD = "PushSubscription"
LIFE_US = 28 * 86_400_000_000
"""How long one holds behind its renewal. Sign-outs are remembered for 30 days: none is forgotten before what it ends."""
LONGEST_ENDPOINT = 2_000
"""Characters of an endpoint."""
_NAMESPACE = UUID("6f9b1a52-0d43-4f7e-9a5b-0d8b8f1c5e21")


def subscription_id(endpoint: str) -> UUID:
    """Id of the subscription with an endpoint."""
    return uuid5(_NAMESPACE, endpoint)


def is_address(endpoint: str) -> bool:
    """Whether an endpoint can be asked at all: http or https, a host, printable ASCII without blanks, at most `LONGEST_ENDPOINT`."""
    if len(endpoint) > LONGEST_ENDPOINT or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return False
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class PushSubscription:
    """A browser of `principal`. Topic `alarm.subscriptions`, key subscription id; the newest record holds, a tombstone ends it.

    `p256dh` and `auth` are Base64 for URLs, as browsers give them; they and `endpoint` are secrets.
    """

    subscription_id: UUID
    principal: str
    endpoint: str = field(repr=False)
    p256dh: str = field(repr=False)
    auth: str = field(repr=False)
    session_us: int
    renewed_us: int

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return str(self.subscription_id).encode()

    def encode(self) -> bytes:
        """Kafka value."""
        return codec.encode(RECORD, {one.name: getattr(self, one.name) for one in dataclasses.fields(self)})

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Record of a Kafka value; raises UndecodableError, also for an endpoint that is no address, or UnknownSchemaError."""
        made = cls(**codec.decode(message, RECORD)[1])
        if not is_address(made.endpoint):
            msg = f"subscription {made.subscription_id} has an endpoint that is no address of a push service"
            raise UndecodableError(msg)
        return made
