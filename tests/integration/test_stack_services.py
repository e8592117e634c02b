"""Broker, database and MQTT broker of the stack, and what supervision promises about them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from psycopg import errors

from base.settings import KafkaSettings, StorageSettings
from historian import accounting
from historian.maintenance import Maintenance
from historian.migrator import migrate
from historian.store import HistorianStore
from schemas.frame import Stream
from stack import instance, kafka, lifecycle, line, mosquitto, postgres, postgres_roles, processes
from stack.config import ROOT, Ports, StackConfig
from stack.errors import NotReadyError, PreflightError
from stack.health.answer import READY, Answer
from stack.health.watch import Watch
from stack.instance import Instance
from stack.line_state import State
from stack.render import instance_environment
from stack.reporting import Progress
from stack.services import all_services, select
from stack.supervisor import Supervisor
from tests.integration.history import SECOND_US, make_frame, register, validated
from tests.integration.polling import eventually


@pytest.fixture(scope="module")
def running() -> Iterator[Instance]:
    with instance.temporary() as started:
        started.require("kafka", "postgres", "mosquitto")
        yield started
    assert processes.of_instance(started.config) == []
    assert Supervisor(started.config).state() == "DOWN"


def test_broker_carries_a_record_and_makes_no_topic_by_itself(running: Instance) -> None:
    servers: dict[str, str | int | float | bool] = {"bootstrap.servers": running.config.bootstrap_servers}
    admin = AdminClient(servers)
    admin.create_topics([NewTopic("known", num_partitions=1)])["known"].result()
    producer = Producer(servers)
    producer.produce("known", key=b"k", value=b"v")
    producer.flush(10)
    consumer = Consumer(servers | {"group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe(["known"])
    message = eventually(lambda: consumer.poll(0.5), what="the record")
    consumer.close()
    assert (message.key(), message.value()) == (b"k", b"v")
    admin.list_topics("unknown", timeout=5)
    assert "unknown" not in admin.list_topics(timeout=5).topics


def test_database_is_durable_and_its_owner_needs_the_password(running: Instance) -> None:
    config = running.config
    made = "database created, with TimescaleDB" if postgres.has_timescaledb() else "database created"
    assert postgres_roles.create_database(config) == made
    assert postgres_roles.create_database(config) == "database exists"
    with psycopg.connect(postgres.dsn(config)) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit", "timezone")
        }
    assert shown == {"fsync": ("on",), "synchronous_commit": ("on",), "timezone": ("UTC",)}
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.dsn(config, with_password=False), passfile="/dev/null")


def test_serving_s_role_reads_what_people_may_read_and_changes_nothing(running: Instance) -> None:
    config = running.config
    migrate(postgres.dsn(config), timescaledb="off")
    for _ in range(2):  # each `up` does it again
        postgres_roles.create_service_roles(config)
    role = postgres.SERVING
    internal = (
        "rejects",
        "dirty_ranges",
        "on_change_state",
        "lane_latest",
        "partitions",
        "storage_settings",
        "schema_migrations",
    )
    with psycopg.connect(postgres.superuser_dsn(config, dbname=postgres.DATABASE)) as admin:
        rights = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
        assert admin.execute(f"SELECT {rights} FROM pg_roles WHERE rolname = %s", (role,)).fetchone() == (False,)
        groups = "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole"
        for name, group in postgres.GROUPS.items():
            assert admin.execute(groups, (name,)).fetchall() == [(group,)]
        tables = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
        writes = f"{tables} AND has_table_privilege(%s, oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')"
        assert admin.execute(writes, (role,)).fetchall() == []
        seen = {name for (name,) in admin.execute(f"{tables} AND has_table_privilege(%s, oid, 'SELECT')", (role,))}
        assert not seen & set(internal)
        assert {"telemetry", "ledger", "rejected", "backlog"} <= seen
        makes = "SELECT has_schema_privilege(%s, 'public', 'CREATE')"
        assert admin.execute(makes, (role,)).fetchone() == (False,)
    with psycopg.connect(postgres.dsn(config, role=role), autocommit=True) as serving:
        for name in internal:
            with pytest.raises(errors.InsufficientPrivilege):
                serving.execute(f"SELECT 1 FROM {name} LIMIT 1")
        for statement in (
            "DELETE FROM samples",
            "UPDATE ledger SET stored = 0",
            "CREATE TABLE mine ()",
            "SET ROLE millrace_writer",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                serving.execute(statement)
    found = accounting.measure(
        postgres.dsn(config, role=role), KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    )
    assert (found["closed"], found["not_measured"]) == (True, [])


def test_the_historian_and_maintenance_need_no_superuser_and_no_more_than_they_have(running: Instance) -> None:
    config = running.config
    migrate(postgres.dsn(config), timescaledb="off")
    postgres_roles.create_service_roles(config)
    power = register(postgres.dsn(config))["power"]
    minute_us = 60 * SECOND_US
    now_us = int(datetime.now(UTC).timestamp()) * SECOND_US // minute_us * minute_us - 3 * 60 * minute_us
    times = [now_us, now_us + SECOND_US]
    late = [time_us - 20 * 24 * 60 * minute_us for time_us in times]
    store = HistorianStore(postgres.dsn(config, role=postgres.HISTORIAN))
    store.write([validated(make_frame([power] * 2, times, [1.0, 2.0], stream=Stream.BACKFILL))])
    with psycopg.connect(postgres.dsn(config, role=postgres.HISTORIAN), autocommit=True) as connection:
        for statement in (
            "DELETE FROM samples",
            "UPDATE samples SET value = 0",
            "DROP TABLE samples",
            "SELECT set_storage_policy('samples')",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())
    with psycopg.connect(postgres.dsn(config, role=postgres.MAINTENANCE), autocommit=True) as connection:
        service = Maintenance(connection, StorageSettings(), now=lambda: datetime.now(UTC) + timedelta(days=10))
        for sequence, batch in ((1, late), (2, [late[0] + minute_us])):
            connection.execute("UPDATE dirty_ranges SET marked_at = marked_at - interval '1 hour'")
            for task in service.tasks():
                task.run()
            # Late, into what is closed by now.
            store.write(
                [
                    validated(
                        make_frame(
                            [power] * len(batch), batch, [3.0] * len(batch), stream=Stream.BACKFILL, sequence=sequence
                        )
                    )
                ]
            )
        connection.execute("UPDATE dirty_ranges SET marked_at = marked_at - interval '1 hour'")
        for task in service.tasks():
            task.run()
        assert connection.execute("SELECT sum(count) FROM aggregate_1h").fetchone() == (5,)
    store.close()


def test_killed_broker_is_restarted_with_its_data(running: Instance) -> None:
    config = running.config
    pid = Supervisor(config).states()["kafka"].pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: Supervisor(config).states()["kafka"].pid not in (0, pid), what="a new broker process")
    eventually(lambda: kafka.health(config).answer is Answer.READY, timeout_s=60, what="the new broker answers")
    assert "known" in AdminClient({"bootstrap.servers": config.bootstrap_servers}).list_topics(timeout=10).topics


def test_one_service_stops_and_starts_alone(running: Instance) -> None:
    supervisor = Supervisor(running.config)
    assert supervisor.stop("mosquitto")
    assert not supervisor.stop("mosquitto")
    assert mosquitto.health(running.config).answer is Answer.SILENT
    lifecycle.start(running.config, Progress(sink=lambda _: None), select(running.config, ("mosquitto",)))
    assert mosquitto.health(running.config).answer is Answer.READY


def test_a_service_that_ends_of_a_signal_is_started_again(running: Instance) -> None:
    """As the watch does with gateways whose certificate is new."""
    supervisor = Supervisor(running.config)
    pid = supervisor.states()["mosquitto"].pid
    assert supervisor.signal("mosquitto", "TERM")
    eventually(lambda: supervisor.states()["mosquitto"].pid not in (0, pid), what="another process of mosquitto")
    eventually(lambda: mosquitto.health(running.config).answer is Answer.READY, what="mosquitto answers")
    assert not supervisor.signal("nobody", "TERM")


def test_what_changed_of_other_services_stops_nobody(running: Instance) -> None:
    """A standby comes to a line whose code was updated since it was started."""
    supervisor = Supervisor(running.config)
    services = all_services(running.config)
    before = supervisor.states()["kafka"].pid
    updated = [dataclasses.replace(one, environment={**one.environment, "UPDATED": "1"}) for one in services]
    added = dataclasses.replace(updated[0], name="another")
    supervisor.ensure([*updated, added], only=("another",))
    assert (supervisor.states()["kafka"].pid, supervisor.states()["another"].pid) == (before, 0)
    supervisor.ensure(services)
    assert "another" not in supervisor.states()
    assert supervisor.states()["kafka"].pid == before


@pytest.mark.parametrize("name", ["mosquitto", "kafka", "postgres"])
def test_a_stopped_service_that_still_accepts_connections_is_silent_and_restarted(running: Instance, name: str) -> None:
    """As the watch does it, with a shorter grace than the services' own; the kernel goes on accepting for a stopped process."""
    config, supervisor = running.config, Supervisor(running.config)
    (service,) = select(config, (name,))
    watch = Watch(config, [dataclasses.replace(service, grace_s=3.0)])
    assert watch.round() == []
    assert watch.answers[name].answer is Answer.READY
    pid = supervisor.states()[name].pid
    stopped = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in stopped:
        process.suspend()
    restarted = eventually(watch.round, timeout_s=60, what="the watch restarts it")
    assert [one.service for one in restarted] == [name]
    assert watch.answers[name].answer is Answer.SILENT
    eventually(lambda: supervisor.states()[name].pid not in (0, pid), what="a new process")
    eventually(lambda: service.ready(config), timeout_s=60, what="the new process answers")
    # Killed processes stay in the table until their new parent, init, has collected them.
    _, alive = psutil.wait_procs(stopped, timeout=60)
    assert alive == []
    assert watch.round() == []


def test_a_supervisor_that_does_not_answer_is_said_to(running: Instance) -> None:
    process = psutil.Process(Supervisor(running.config).pid())
    process.suspend()
    try:
        found, _ = line.ask(running.config)
    finally:
        process.resume()
    assert (found.state, found.reasons) == (State.DOWN, ("supervisord does not answer",))
    found, answers = line.ask(running.config)
    assert found.state is State.DOWN
    assert answers["mosquitto"].answer is Answer.READY
    assert "service jobmanager is STOPPED" in found.reasons


def test_who_asks_at_the_same_time_gets_the_same_answer(running: Instance) -> None:
    # With one client id for all of them the broker ended whoever had asked before: `status` and the watch made the line look ill.
    with ThreadPoolExecutor(max_workers=8) as askers:
        found = list(askers.map(lambda _: mosquitto.health(running.config), range(400)))
    assert set(found) == {READY}


def test_another_instance_on_the_same_ports_is_refused(running: Instance, tmp_path: Path) -> None:
    other = StackConfig(state=tmp_path, ports=running.config.ports)
    with pytest.raises(PreflightError, match=f"port {running.config.ports.kafka} .* is taken by java"):
        lifecycle.prepare(other, Progress(sink=lambda _: None), names=("kafka",))


def test_command_line_up_twice_status_and_down(tmp_path: Path) -> None:
    with instance.free_block() as base:
        config = StackConfig(state=tmp_path / "state", ports=Ports(base=base))
        environment = os.environ | instance_environment(config)

        def stack(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "stack", *arguments]
            return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

        try:
            first = stack("up", "mosquitto")
            assert first.returncode == 0, first.stderr
            assert "mosquitto: ready" in first.stdout
            assert "the line is DOWN" in first.stdout
            found = stack("status", "--wait", "1")
            assert found.returncode == 4
            assert "service kafka is STOPPED" in found.stdout
            pid = json.loads(stack("status", "--json").stdout)["services"]
            second = stack("up", "mosquitto")
            assert second.returncode == 0, second.stderr
            assert "already running" in second.stdout
            assert [row["pid"] for row in pid] == [
                row["pid"] for row in json.loads(stack("status", "--json").stdout)["services"]
            ]
            assert "mosquitto version" in stack("logs", "mosquitto").stdout
        finally:
            assert stack("down").returncode == 0
        assert processes.of_instance(config) == []
        assert stack("status").returncode == 3
        assert "nothing runs" in stack("down").stdout
        assert stack("reset", "--yes").returncode == 0
        assert not config.data.exists()


def test_instance_ends_with_its_owner(tmp_path: Path) -> None:
    with instance.free_block() as base, subprocess.Popen(["sleep", "600"]) as owner:
        config = StackConfig(state=tmp_path / "state", ports=Ports(base=base), owner_pid=owner.pid)
        Instance(config).require("mosquitto", "owner-watch")
        owner.kill()
        owner.wait()
        eventually(lambda: Supervisor(config).state() == "DOWN", timeout_s=90, what="supervisord ends")
        eventually(lambda: processes.of_instance(config) == [], what="no process is left")


def test_service_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    with instance.free_block() as base:
        config = StackConfig(state=tmp_path / "state", ports=Ports(base=base))
        progress = Progress(sink=lambda _: None)
        lifecycle.prepare(config, progress, names=("mosquitto",))
        mosquitto.config_file(config).write_text("no_such_setting true\n")
        try:
            with pytest.raises(NotReadyError, match=r"(?s)mosquitto ended 4 times.*no_such_setting"):
                lifecycle.start(config, progress, select(config, ("mosquitto",)))
        finally:
            lifecycle.down(config, progress)
