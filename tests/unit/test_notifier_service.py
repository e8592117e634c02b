"""Who cannot read or write does not look healthy."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from prometheus_client import CollectorRegistry

from base.errors import UnavailableError
from base.heartbeat import Heartbeat
from base.settings import KafkaSettings
from connectors.kafka.client import DeliveryError
from notifier import routes_file, service
from notifier.service import Metrics, Notifier, serve
from notifier.settings import NotifierSettings
from tests.integration.gateway_support import free_port, until
from tests.unit.notifying import alarm, first_told

TEXT = "targets: {hook: {webhook: {url: 'https://t.example'}}}\nroutes: [{name: all, steps: [{tell: [hook]}]}]\n"
ROUTES = routes_file.parse(TEXT)


class Ticks(Heartbeat):
    """Counts."""

    number = 0

    def tick(self) -> None:
        """One more."""
        self.number += 1


class Broker:
    """In the stead of the producer, where there is no broker: fails while there is an error."""

    error: Exception | None = None

    async def send(self, *_: Any) -> None:
        """As the producer's."""
        if self.error is not None:
            raise self.error


def notifier(broker: Any) -> Notifier:
    settings = NotifierSettings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9"), routes=Path("none"))
    return Notifier(settings, ROUTES, broker, Metrics(CollectorRegistry()))


async def test_a_notifier_without_a_broker_gives_no_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_TICK_S", 0.01)
    file, beat, stop = tmp_path / "routes.yaml", Ticks(None, patience_s=1), asyncio.Event()
    file.write_text(TEXT)
    registry = CollectorRegistry()
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    serving = asyncio.create_task(serve(NotifierSettings(kafka=kafka, routes=file), Metrics(registry), beat, stop))
    await until(lambda: registry.get_sample_value("millrace_notifier_held") == 1)
    await asyncio.sleep(0.1)
    stop.set()
    await serving
    assert beat.number == 0


async def test_what_cannot_be_written_is_trouble_until_it_is() -> None:
    broker = Broker()
    made = notifier(broker)
    broker.error = UnavailableError("no broker")
    writing = asyncio.create_task(made._durable(first_told(ROUTES, alarm())))
    await until(lambda: made.trouble == "alarm.notifications is not written")
    broker.error = None
    await writing
    assert not made.trouble


async def test_a_producer_that_failed_for_good_ends_a_start_too() -> None:
    broker = Broker()
    made = notifier(broker)
    (told,) = first_told(ROUTES, alarm())
    made._book.take(dataclasses.replace(told, target="gone"))
    broker.error = DeliveryError(KafkaError(KafkaError._FATAL, "fenced", fatal=True), "alarm.notifications")
    with pytest.raises(DeliveryError):
        async with asyncio.timeout(10):
            await made._ready()
