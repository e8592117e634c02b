"""Brings what people changed through the database to the topic `audit.log`: rows of `audit_outbox`, which triggers write (migration 44).

Enters: rows, in their order. Leaves: events in the topic, then the rows are deleted. Who calls: maintenance, every second. An event may be
sent twice, when a kill comes between the two; both have one `event_id`. While the broker is away rows wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from base.errors import MillraceError
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from schemas import topics
from schemas.audit import AuditEvent, Outcome

log = logging.getLogger(__name__)

_AT_ONCE = 500
_AGAIN_S = 15.0
_TIMEOUT_S = 2.0
_READ = """
    SELECT id, event_id, (extract(epoch FROM noted_at) * 1e6)::bigint, login, action, who, why, name, path, before, after
    FROM audit_outbox ORDER BY id LIMIT %s"""

Send = Callable[[Sequence[AuditEvent]], None]


class Forwarder:
    """Of one connection in autocommit. `send` returns when the events are durable; raises MillraceError."""

    def __init__(
        self, connection: psycopg.Connection[Any], send: Send, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection, self._send, self._clock_s = connection, send, clock_s
        self._not_before_s = float("-inf")

    def forward(self) -> int:
        """Send what waits; returns how many. 0 also while the broker is away: it is tried again after a while."""
        sent = 0
        while self._clock_s() >= self._not_before_s:
            rows = self._connection.execute(_READ, (_AT_ONCE,)).fetchall()
            if not rows:
                return sent
            try:
                self._send([_event(*row[1:]) for row in rows])
            except MillraceError as error:
                log.warning("audit events wait for the broker", extra={"cause": str(error)})
                self._not_before_s = self._clock_s() + _AGAIN_S
                return sent
            self._connection.execute("DELETE FROM audit_outbox WHERE id = ANY (%s)", ([row[0] for row in rows],))
            sent += len(rows)
        return sent


def sender(settings: KafkaSettings) -> Send:
    """Sends to the topic. A record that is not confirmed in time is given up, so that it does not come behind those that follow."""
    made = kafka.producer(settings, linger_ms=0, delivery_timeout_ms=int(_TIMEOUT_S * 1000))

    def send(events: Sequence[AuditEvent]) -> None:
        records = [(event.key, event.encode()) for event in events]
        kafka.send(made, topics.AUDIT.name, records, timeout_s=2 * _TIMEOUT_S)

    return send


def _event(
    event_id: Any,
    time_us: int,
    login: str,
    action: str,
    who: str,
    why: str,
    name: str,
    path: str,
    before: str,
    after: str,
) -> AuditEvent:
    return AuditEvent(
        service="database",
        action=action,
        outcome=Outcome.DONE,
        subject=who,
        credential="system",
        event_id=event_id,
        time_us=time_us,
        reason=why,
        name=name,
        path=path,
        before=before,
        after=after,
        method=f"login {login}",
    )
