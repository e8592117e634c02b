"""Events of the tools beside serving in the audit log: of whoever runs one, durable before what it tells of is done."""

from __future__ import annotations

from typing import Any

from base.settings import KafkaSettings
from connectors.kafka.client import producer, send
from schemas import topics
from schemas.audit import Outcome, by_tool

TIMEOUT_S = 10.0


def note(kafka: KafkaSettings, service: str, action: str, outcome: Outcome, **about: Any) -> None:
    """Durable when this returns; raises UnavailableError. `about`: fields of `AuditEvent`."""
    event = by_tool(service, action, outcome, **about)
    send(producer(kafka), topics.AUDIT.name, [(event.key, event.encode())], timeout_s=TIMEOUT_S)
