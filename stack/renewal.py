"""Certificates of a stack that stays up: issued anew when they are due, and taken up by who runs on an older one.

The watch of the services calls it every hour. Servers read their certificates again while they run; a gateway is started again, one a
minute, which loses nothing: what it has not sent is in its buffer. A certificate that was renewed by hand is found in the same way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from authority.book import Usage
from base.errors import MillraceError, UnavailableError
from connectors.kafka.connection import DeliveryError, wait_all
from stack import doors, kafka, mosquitto, postgres, trust
from stack.config import StackConfig
from stack.errors import StackError
from stack.health.answer import Answer
from stack.supervisor import ProcessState, Supervisor

PERIOD_S, _SOON_S = 3600.0, 60.0
_TIMEOUT_S = 10.0
_log = logging.getLogger("stack.renewal")


class Renewal:
    """What is done round by round. `alive` is called between steps that can take long."""

    def __init__(self, config: StackConfig, alive: Callable[[], None]) -> None:
        self._config, self._alive = config, alive
        self._loaded = dict[str, str]()
        """Serials of the certificates that servers were told to read last: they run since before that for ever."""

    def round(self, states: Mapping[str, ProcessState]) -> float:
        """Issue what is due, and let the servers and one gateway use theirs; in how many seconds to call again.

        What fails is logged; it is found again the next time.
        """
        gateways: list[str] = []
        with _logged():
            self._look_at_doors(states)
        with _logged():
            trust.prepare(self._config)
            self._alive()
            if (postgres.data_dir(self._config) / "PG_VERSION").exists():
                with _logged():  # whether it runs or not: supervisord may start it any time
                    postgres.install_certificate(self._config)
            servers, gateways = behind(self._config, states)
            for name in servers:
                with _logged():  # one that is away keeps nobody else from its own
                    self._reload(name)
                self._alive()
            for name in gateways[:1]:
                # supervisord starts what ends: whatever becomes of this process meanwhile, the gateway comes back.
                Supervisor(self._config).signal(name, "TERM")
                _log.info("a gateway is started again with its new certificate", extra={"certificate": name})
        return _SOON_S if len(gateways) > 1 else PERIOD_S

    def _look_at_doors(self, states: Mapping[str, ProcessState]) -> None:
        """Servers that show another certificate than the newest, a round after that was issued, or none: said, and told again below."""
        for name in trust.servers(self._config):
            entry = trust.authority(self._config).newest(name)
            if entry is None or name not in states or states[name].state != "RUNNING":
                continue
            try:
                found = doors.shown(self._config, name)
            except OSError as error:
                found = f"none: {error}"
            if found != entry.serial:
                details = {"certificate": name, "shown": found, "issued": entry.serial}
                _log.error("a server does not show the certificate that was issued to it last", extra=details)
                self._loaded.pop(name, None)
            self._alive()

    def _reload(self, name: str) -> None:
        entry = trust.authority(self._config).newest(name)
        if entry is None or entry.serial == self._loaded.get(name):
            return
        if reload(self._config, name):
            self._loaded[name] = entry.serial
            _log.info("a server uses its new certificate", extra={"certificate": name})


@contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except (MillraceError, StackError, OSError, HTTPException, ValueError):
        _log.exception("a certificate was not renewed, or is not in use yet")


def behind(config: StackConfig, states: Mapping[str, ProcessState]) -> tuple[list[str], list[str]]:
    """Servers, and gateways, that run since before the file with their certificate was written."""
    issued, now_s = trust.authority(config), time.time()

    def late(name: str) -> bool:
        # PostgreSQL and its standby read a copy.
        is_database = name == postgres.CERTIFICATE
        file = postgres.installed_certificate(config) if is_database else issued.file(name)
        services = (name, postgres.STANDBY) if is_database else (name,)
        running = [states[service] for service in services if service in states and states[service].pid]
        return file.exists() and any(file.stat().st_mtime > now_s - state.uptime_s for state in running)

    holders = trust.holders(config)
    servers = [name for name, (usage, _) in holders.items() if usage is Usage.SERVER and late(name)]
    return servers, [name for name, (usage, _) in holders.items() if usage is Usage.CLIENT and late(name)]


def reload_database(config: StackConfig) -> bool:
    """Let PostgreSQL, and its standby, read the key and certificate again where they run; whether one does. Raises StackError.

    Connections that are open go on. One that fails keeps the other from nothing.
    """
    postgres.install_certificate(config)
    states, problems = Supervisor(config).states(), list[str]()
    running = [name for name in (postgres.CERTIFICATE, postgres.STANDBY) if name in states and states[name].pid]
    for name in running:
        try:
            postgres.reload(config, standby=name == postgres.STANDBY)
        except psycopg.Error as error:
            problems.append(f"{name} does not take the new certificate of PostgreSQL: {str(error).strip()}")
    if problems:
        raise StackError("; ".join(problems))
    return bool(running)


def reload(config: StackConfig, name: str) -> bool:
    """Let a server read its key and certificate again; False when it does not run. Raises DeliveryError or StackError."""
    tell: dict[str, Callable[[StackConfig], bool]] = {
        trust.KAFKA: reload_broker,
        postgres.CERTIFICATE: reload_database,
        trust.MOSQUITTO: tell_mosquitto,
        trust.ENROLMENT: partial(_reads_by_itself, name=trust.ENROLMENT),
        trust.INGESTION: partial(_reads_by_itself, name=trust.INGESTION),
    }
    return tell[name](config)


def _reads_by_itself(config: StackConfig, *, name: str) -> bool:
    """It has its newest certificate for the next that connects."""
    state = Supervisor(config).states().get(name)
    return state is not None and bool(state.pid)


def tell_brokers(config: StackConfig, tell: Callable[[StackConfig], bool]) -> None:
    """Both brokers who may do what by now; that one does not answer is no reason not to tell the other. Raises UnavailableError."""
    try:
        told = tell(config)
    finally:
        trust.allow(config)
    if not told and mosquitto.health(config).answer is not Answer.SILENT:
        msg = "Mosquitto runs, and supervisord, which would tell it, does not answer"
        raise UnavailableError(msg)


def tell_mosquitto(config: StackConfig) -> bool:
    """Let Mosquitto, when it runs, read who may do what, and its key and certificate, again; whether it runs. Raises StackError.

    What somebody may do counts at once, on open connections too.
    """
    return _signal_mosquitto(config, "HUP")


def restart_mosquitto(config: StackConfig) -> bool:
    """The same for a revocation, by another start of it.

    Who is only told nothing more goes on in an open connection, and neither its will nor its end is heard: a gateway would keep the last
    values of a revoked node as good, and a node would wait for a revoked gateway.
    """
    return _signal_mosquitto(config, "TERM")


def _signal_mosquitto(config: StackConfig, signal: str) -> bool:
    mosquitto.write_access(config)
    supervisor = Supervisor(config)
    return supervisor.alive() and supervisor.signal(trust.MOSQUITTO, signal)


def reload_broker(config: StackConfig) -> bool:
    """Let the broker read its key and certificate again: it does whenever its dynamic settings change. Raises DeliveryError.

    The setting is taken back at once: one that stayed would outrank `server.properties`, also in a folder that has moved.
    """
    where = str(trust.authority(config).file(trust.KAFKA))
    admin = AdminClient({"bootstrap.servers": config.bootstrap_servers, "log_level": 3})
    try:
        for operation in (AlterConfigOpType.SET, AlterConfigOpType.DELETE):
            entry = ConfigEntry(trust.KEYSTORE, where, incremental_operation=operation)
            resource = ConfigResource(ResourceType.BROKER, str(kafka.NODE), incremental_configs=[entry])
            wait_all(admin.incremental_alter_configs([resource], request_timeout=_TIMEOUT_S), timeout_s=2 * _TIMEOUT_S)
    except KafkaException as error:
        raise DeliveryError(error.args[0], "the broker does not take its new certificate") from error
    return True
