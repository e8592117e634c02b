"""What the notifier follows beside alarms, on a real broker: a topic that is not there or cannot be taken holds nobody else."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from prometheus_client import CollectorRegistry

from base.ids import now_us
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from notifier import beside, command, push, routes_file, side
from notifier.beside import Beside
from notifier.channels import FailedError
from notifier.routes import WebPush
from notifier.service import Metrics, Notifier
from notifier.settings import NotifierSettings, PushSettings
from notifier.shifts import NOTHING_KNOWN, Shifts
from schemas import topics
from schemas.priorities import Priority
from schemas.shifts import ShiftCalendar
from tests.integration.gateway_support import until
from tests.integration.receivers import HookServer, MailServer, PushServer
from tests.integration.test_notifier import Site, told

BESIDE = ("WORK_SHIFTS", "SIGN_OUTS", "ALARM_SUBSCRIPTIONS")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> list[topics.Topic]:
    """Topics of this test alone, which nobody has created yet."""
    made = []
    for name in BESIDE:
        one = dataclasses.replace(getattr(topics, name), name=f"{getattr(topics, name).name}-{uuid4().hex[:8]}")
        monkeypatch.setattr(topics, name, one)
        made.append(one)
    return made


@asynccontextmanager
async def running(settings: NotifierSettings, registry: CollectorRegistry) -> AsyncIterator[Notifier]:
    producer = kafka.AsyncProducer(settings.kafka, linger_ms=0)
    made = Notifier(settings, routes_file.read(settings.routes), producer, Metrics(registry))
    task = asyncio.create_task(made.run())
    try:
        yield made
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await producer.close()


async def test_topics_that_are_not_there_hold_nobody_and_are_found_when_they_come(
    kafka: str, own: list[topics.Topic], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "_PATIENCE_S", 0.5)
    hook, browsers = HookServer(), PushServer()
    hook.open()
    browsers.open()
    site = await asyncio.to_thread(Site, kafka, tmp_path, MailServer(tmp_path), hook)
    ann, key = f"ann@{site.name}", tmp_path / "push.pem"
    assert command.main(["key", str(key)]) == 0
    browsers.public_key = push.public_key(key.read_bytes())
    site.document["targets"] |= {"people": {"web_push": {"people": [ann]}}}  # type: ignore[operator]
    site.document["roles"] = {"lead": [{"tell": ["hook"], "during_shift": "day"}]}
    steps = [{"tell": ["lead", "people"]}]
    site.document["routes"] = [{"name": "all", "scope": f"acme/{site.name}", "steps": steps}]
    site.write_routes()
    settings = NotifierSettings(
        kafka=site.kafka, routes=site.routes, push=PushSettings(key=f"file:{key}", services=("127.0.0.1",))
    )
    alarms = await asyncio.to_thread(site.raised, 1, priority=Priority.CRITICAL)
    registry = CollectorRegistry()
    async with running(settings, registry) as notifier:
        # What is not known counts as on duty; what is for browsers waits.
        await until(lambda: told(alarms, "hook") <= set(hook.received.notifications), timeout_s=60)
        assert own[0].name.partition("-")[0] in notifier.trouble
        assert "no such topics yet" in notifier.trouble
        assert notifier.held == ""
        notifier.show()
        assert registry.get_sample_value("millrace_notifier_held") == 1
        shifts, sign_outs, subscriptions = own
        await asyncio.to_thread(create, site.kafka, [shifts, subscriptions])
        one = browsers.browser(ann, session_us=now_us(), renewed_us=now_us())
        await asyncio.to_thread(publish, site.kafka, subscriptions.name, one.key, one.encode())
        channel = WebPush(people=(ann,))
        await until(lambda: notifier._beside.subscriptions.of(channel) == [one], timeout_s=60)
        # Who has signed out is not known yet: no browser is told.
        with pytest.raises(FailedError, match=sign_outs.name):
            notifier._beside.browsers(channel)
        await asyncio.to_thread(create, site.kafka, [sign_outs])
        await until(lambda: told(alarms, "people") <= set(browsers.received.notifications), timeout_s=60)
        await until(lambda: notifier.trouble == "", timeout_s=60)
    hook.close()
    browsers.close()


async def test_a_reading_that_ends_is_tried_again_and_ends_nothing_else(
    kafka: str, own: list[topics.Topic], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side, "_AGAIN_S", 0.2)
    monkeypatch.setattr(side, "_STEADY_S", 0.6)
    monkeypatch.setattr(beside, "_PATIENCE_S", 0.5)
    settings = KafkaSettings(bootstrap_servers=kafka)
    await asyncio.to_thread(create, settings, own)
    now = now_us()
    calendar = ShiftCalendar(scope="acme", from_us=now, until_us=now + 1, planned=(), shifts=(), names=("day",))
    await asyncio.to_thread(publish, settings, own[0].name, calendar.key, calendar.encode())
    routes = routes_file.parse("""
targets: {hook: {webhook: {url: "https://t.example/x"}}}
roles: {lead: [{tell: [hook], during_shift: day}]}
routes: [{name: all, steps: [{tell: [lead]}]}]
""")
    known, denied = NOTHING_KNOWN, True

    def take(shifts: Shifts) -> None:
        nonlocal known
        if denied:
            raise PermissionError("denied")
        known = shifts

    made = Beside(settings, routes, take, lambda *_: None, now_us)
    async with asyncio.timeout(60), made.followed():
        await until(lambda: "denied" in made.problem, timeout_s=30)
        assert known is NOTHING_KNOWN
        denied = False
        await until(lambda: list(known.calendars) == ["acme"] and not made.problem, timeout_s=30)


def publish(settings: KafkaSettings, topic: str, key: bytes, value: bytes) -> None:
    kafka.send(kafka.producer(settings), topic, [(key, value)])


def create(settings: KafkaSettings, made: list[topics.Topic]) -> None:
    wanted = [NewTopic(one.name, num_partitions=1, replication_factor=1) for one in made]
    client = AdminClient({**settings.client_config()})
    for future in client.create_topics(wanted).values():
        future.result(30)
