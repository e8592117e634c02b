"""What a deployment makes before the new jobs start, on an instance from before there was a topic."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient

from base.settings import KafkaSettings
from jobs.telemetry import all_definitions
from schemas import topics
from stack import instance, lifecycle
from stack.reporting import Progress
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(600)


def test_a_topic_that_an_instance_does_not_have_stops_no_job_and_is_made_by_a_deployment() -> None:
    lines: list[str] = []
    with instance.temporary() as running:
        config = running.config
        lifecycle.up(config, Progress(sink=lines.append), names=("owner-watch", "kafka", "postgres"))
        settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
        admin, name = AdminClient({**settings.client_config()}), topics.ANOMALY_LABELS.name
        before = list(all_definitions(settings))
        assert before
        admin.delete_topics([name])[name].result(30)
        eventually(lambda: name not in admin.list_topics(timeout=5).topics, what="the topic is gone")
        assert list(all_definitions(settings)) == before
        lines.clear()
        lifecycle.prepare_upgrade(config, Progress(sink=lines.append))
        eventually(lambda: name in admin.list_topics(timeout=5).topics, what="the topic is there")
        assert list(all_definitions(settings)) == before
    said = "\n".join(lines)
    for title in ("topics", "access to topics", "migrations", "roles of services"):
        assert title in said
