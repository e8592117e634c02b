"""What a deployment makes before the new jobs start, on an instance from before there was a topic."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from base.settings import KafkaSettings
from jobs.telemetry import all_definitions
from schemas import topics
from stack import instance, lifecycle, postgres, roots
from stack.config import ROOT
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


def test_files_of_a_newer_checkout_are_loaded_when_the_jobs_are_of_it_too(tmp_path: Path) -> None:
    """Older jobs cannot read every definition and rule of newer files: the order is jobs first."""
    lines: list[str] = []
    with instance.temporary() as running:
        config = running.require("kafka", "postgres", "jobmanager")
        today, stores = roots.active(config).name, ("owner-watch", "kafka", "postgres")
        for package in roots.packages():
            shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / "jobs" / "__init__.py").write_text('"""Of the version before."""\n')
        older = roots.build(config, tmp_path)
        roots.activate(config, older)
        lifecycle.up(config, Progress(sink=lines.append), names=stores)
        with psycopg.connect(postgres.dsn(config)) as connection:
            assert connection.execute("SELECT count(*) FROM tag_definition").fetchone() == (0,)
        for title in ("registry", "model of work", "registry topic", "alarm rules"):
            assert any(line.startswith(f"{title}: left") and older in line and "deploy" in line for line in lines)
        roots.activate(config, today)
        lifecycle.up(config, Progress(sink=lines.append), names=stores)
        with psycopg.connect(postgres.dsn(config)) as connection:
            assert connection.execute("SELECT count(*) > 0 FROM tag_definition").fetchone() == (True,)
