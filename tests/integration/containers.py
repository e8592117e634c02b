"""Broker, database and MQTT broker as containers, for machines with a Docker engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs


@contextmanager
def kafka() -> Iterator[str]:
    """Bootstrap servers of a KRaft broker."""
    with KafkaContainer("confluentinc/cp-kafka:7.8.0").with_kraft() as container:
        yield container.get_bootstrap_server()


@contextmanager
def postgres() -> Iterator[str]:
    """Connection string of the superuser of a TimescaleDB server."""
    with PostgresContainer("timescale/timescaledb:2.17.2-pg15", driver=None) as container:
        yield container.get_connection_url()


@contextmanager
def mosquitto() -> Iterator[tuple[str, int]]:
    """Host and port of an MQTT broker without authentication."""
    container = DockerContainer("eclipse-mosquitto:2.0").with_exposed_ports(1883)
    with container.with_command("mosquitto -c /mosquitto-no-auth.conf") as running:
        wait_for_logs(running, "running")
        yield running.get_container_host_ip(), int(running.get_exposed_port(1883))
