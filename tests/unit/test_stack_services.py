"""The table of services: order, groups, priorities, and the order in which `down` stops them."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from base.settings import load
from edge.config import GatewayConfig
from edge.uplink import Way
from ingestion.settings import ServiceSettings
from stack import jobs, keeper, lifecycle, render, status, supervisor, trust
from stack.config import ROOT, Parallelism, StackConfig
from stack.errors import StackError
from stack.services import all_services, select


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(state=tmp_path, parallelism=Parallelism(telemetry=2))


def names(services: object) -> list[str]:
    return [service.name for service in services]  # type: ignore[attr-defined]


def test_stores_and_flink_come_first(config: StackConfig) -> None:
    order = names(all_services(config))
    taskmanagers = {f"taskmanager-{index}" for index in range(1, 6)}
    assert set(order[:9]) == {"kafka", "postgres", "mosquitto", "jobmanager", *taskmanagers}
    assert order[-2:] == ["job-keeper", "health-watch"]
    assert "taskmanager-5" in order
    assert "taskmanager-6" not in order


def test_a_service_is_the_same_whoever_starts_it(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another definition is another service to supervisord: it would stop the one that runs."""
    before = supervisor.render(config, all_services(config))
    monkeypatch.setenv("PATH", f"/home/ada/bin:{os.environ['PATH']}")
    assert supervisor.render(config, all_services(config)) == before


def test_broker_has_cpu_priority_and_every_taskmanager_starts_with_it(config: StackConfig) -> None:
    nice = {service.name: service.nice for service in all_services(config)}
    assert nice["kafka"] == nice["taskmanager-1"] == nice["taskmanager-4"] == 0
    # On the way of a command nobody is polite.
    assert nice["serving"] == nice["simulator"] == 0
    assert not any(value for name, value in nice.items() if name.startswith("gateway-"))
    assert nice["jobmanager"] > 0


def test_selection_by_name_and_group(config: StackConfig) -> None:
    assert names(select(config, ("kafka",))) == ["kafka"]
    assert names(select(config, ("flink",))) == [
        "jobmanager",
        "taskmanager-1",
        "taskmanager-2",
        "taskmanager-3",
        "taskmanager-4",
        "taskmanager-5",
    ]
    with pytest.raises(StackError, match="no service 'kafak'; there are kafka, postgres"):
        select(config, ("kafak",))


def test_down_stops_writers_before_what_they_write_to(config: StackConfig) -> None:
    order = names(lifecycle.stop_order(config))
    assert set(order[:2]) == {"job-keeper", "health-watch"}
    assert order.index("taskmanager-1") < order.index("jobmanager") < order.index("postgres") < order.index("kafka")
    assert order[-1] == "kafka"


def test_restarts_are_counted_since_the_last_start(config: StackConfig) -> None:
    config.logs.mkdir()
    (config.logs / "supervisord.log").write_text(
        "2026-01-01 00:00:00,000 INFO supervisord started with pid 1\n"
        "2026-01-01 00:00:01,000 WARN exited: kafka (exit status 1; not expected)\n"
        "2026-01-01 00:00:02,000 INFO supervisord started with pid 2\n"
        "2026-01-01 00:00:03,000 WARN exited: taskmanager-1 (terminated by SIGKILL; not expected)\n"
        "2026-01-01 00:00:04,000 INFO exited: taskmanager-1 (exit status 0; expected)\n"
        "2026-01-01 00:00:05,000 INFO stopped: kafka (exit status 143)\n"
    )
    found = {row["name"]: row["restarts"] for row in status.collect(config)["services"]}
    assert (found["kafka"], found["taskmanager-1"]) == (0, 2)


def test_status_of_a_stopped_stack_is_readable(config: StackConfig) -> None:
    found = status.collect(config)
    assert not found["running"]
    assert "kafka" in status.text(found)


def test_the_ingestion_service_runs_where_a_gateway_goes_by_it_or_the_settings_say_so(tmp_path: Path) -> None:
    plant = tmp_path / "plant.yaml"
    text = "enterprise: acme\ntag_classes: {}\ndevice_classes: {}\nsites:\n  - {name: a, gateways: [{id: g1}], areas: []}\n"
    plant.write_text(text)
    config = StackConfig(state=tmp_path / "state", plant=plant)
    assert trust.INGESTION not in {*names(all_services(config)), *trust.holders(config)}
    for other in (dataclasses.replace(config, ingestion=True), config):
        if other is config:
            plant.write_text(text.replace("{id: g1}", "{id: g1, uplink: ingestion}"))
        assert trust.INGESTION in names(all_services(other))
        assert trust.INGESTION in trust.holders(other)
        render.render_all(other, ())
        load(ServiceSettings, render.ingestion_file(other), service="ingestion")
    gateway = load(GatewayConfig, render.gateway_file(config, "g1"), service="gateway")
    assert (gateway.uplink.kind, gateway.ingestion.address) == (Way.INGESTION, config.ingestion_address)
    assert not gateway.kafka.bootstrap_servers


def test_the_notifier_runs_where_a_file_says_who_is_told(tmp_path: Path) -> None:
    config = StackConfig(state=tmp_path / "state", plant=tmp_path / "plant.yaml")
    assert "notifier" not in names(all_services(config))
    assert "nobody is told of alarms: there is no" in status.text(status.collect(config))
    (tmp_path / "alarm-routes.yaml").touch()
    assert "notifier" in names(all_services(config))
    assert "nobody is told" not in status.text(status.collect(config))


def test_the_documented_graces_are_those_of_the_table(config: StackConfig) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    documented = {
        name: float(grace)
        for names, grace in re.findall(r"^\| ([a-z, -]+) \| .+ \| (\d+) s \|$", text, re.MULTILINE)
        for name in names.split(", ")
    }
    found = {re.sub(r"-(\d+|gw-.*)$", "", service.name): service.grace_s for service in all_services(config)}
    assert documented == found


def test_the_job_keeper_knows_what_every_job_needs(config: StackConfig) -> None:
    """It would restart a job again and again that waits for its broker."""
    assert set(keeper.NEEDS) == set(jobs.JOBS)
    assert {service for needed in keeper.NEEDS.values() for service in needed} <= set(names(all_services(config)))


def test_a_line_of_progress_does_not_name_a_thousand_gateways() -> None:
    assert lifecycle._issued([]) == "good"
    assert lifecycle._issued(["kafka", "serving"]) == "issued: kafka, serving"
    assert lifecycle._issued([f"gateway-{n}" for n in range(1000)]).endswith(", gateway-9 and 990 more")
