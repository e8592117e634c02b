"""Which certificates the stack makes, and who runs on an old one."""

from __future__ import annotations

import dataclasses
import http.client
import json
import logging
import os
import pwd
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AclBinding, AclPermissionType  # type: ignore[attr-defined]

from authority.book import Usage
from base.settings import KafkaSettings, load
from connectors.kafka import acls
from edge.config import GatewayConfig
from simulator.config import SimulatorConfig
from simulator.sparkplug_node import node_name
from stack import (
    certificates,
    doors,
    kafka,
    mosquitto,
    mqtt_access,
    postgres,
    postgres_access,
    render,
    renewal,
    server_files,
    trust,
)
from stack.config import StackConfig
from stack.errors import StackError, StepError
from stack.health.answer import READY, silent
from stack.supervisor import ProcessState, Supervisor

PLANT = """
enterprise: acme
tag_classes: {}
device_classes: {}
sites:
  - name: north
    gateways:
      - id: gw-1
        connections: [{name: spb, protocol: sparkplug, endpoint: 'mqtt://x', group_id: north, simulated: true}]
      - {id: gw-2}
    areas: []
"""
NAMES = [
    "kafka",
    "postgres",
    "mosquitto",
    "enrolment",
    "gateway-gw-1",
    "gateway-gw-2",
    "node-sim-north",
    "serving",
    "replay",
]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackConfig:
    plant = tmp_path / "plant.yaml"
    plant.write_text(PLANT)
    monkeypatch.setattr(postgres, "system_user", lambda: None)  # or root's cluster is elsewhere
    return StackConfig(state=tmp_path / "state", plant=plant)


def make_cluster(config: StackConfig, *, standby: bool = False) -> Path:
    """What is there of a cluster before its settings are written."""
    folder = postgres.standby_dir(config) if standby else postgres.data_dir(config)
    folder.mkdir(parents=True)
    (folder / "PG_VERSION").write_text("15")
    (folder / "postgresql.conf").write_text("# initdb's\n")
    return folder


def noting(told: list[str]) -> Callable[[StackConfig], bool]:
    """A server that takes what it is told to read."""

    def reload(config: StackConfig) -> bool:
        told.append(config.instance_id)
        return True

    return reload


def newest_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """For servers that are there in name only."""

    def shown(config: StackConfig, name: str) -> str:
        entry = trust.authority(config).newest(name)
        return entry.serial if entry else ""

    monkeypatch.setattr(doors, "shown", shown)


def test_each_server_and_each_gateway_has_a_certificate_once(config: StackConfig) -> None:
    assert trust.prepare(config) == NAMES
    assert trust.prepare(config) == []
    principals = {trust.principal(one) for one in trust.authority(config).entries()}
    assert principals == {f"User:CN={name},OU=1" for name in NAMES}


def test_a_node_has_its_own_topics_and_a_gateway_its_site_s(config: StackConfig) -> None:
    trust.prepare(config)
    trust.authority(config).revoke("gateway-gw-1")
    config.config.mkdir(parents=True)
    mosquitto.prepare(config)
    node = """
user CN=node-sim-north,OU=1
topic write spBv1.0/north/NBIRTH/sim-north
topic write spBv1.0/north/NDEATH/sim-north
topic write spBv1.0/north/NDATA/sim-north
topic read spBv1.0/north/NCMD/sim-north
topic write spBv1.0/north/DBIRTH/sim-north/+
topic write spBv1.0/north/DDEATH/sim-north/+
topic write spBv1.0/north/DDATA/sim-north/+
topic read spBv1.0/north/DCMD/sim-north/+
topic read spBv1.0/STATE/millrace-gw-1
"""
    assert mosquitto.access_file(config).read_text().split("\n", 1)[1] == node
    trust.authority(config).issue("gateway-gw-1", Usage.CLIENT)
    mosquitto.write_access(config)
    gateway = """
user CN=gateway-gw-1,OU=2
topic read spBv1.0/north/NBIRTH/+
topic read spBv1.0/north/NDEATH/+
topic read spBv1.0/north/NDATA/+
topic write spBv1.0/north/NCMD/+
topic read spBv1.0/north/DBIRTH/+/+
topic read spBv1.0/north/DDEATH/+/+
topic read spBv1.0/north/DDATA/+/+
topic write spBv1.0/north/DCMD/+/+
topic readwrite spBv1.0/STATE/millrace-gw-1
"""
    assert mosquitto.access_file(config).read_text().split("\n", 1)[1] == gateway + node


def test_nodes_find_their_certificates(config: StackConfig) -> None:
    trust.prepare(config)
    render.render_all(config, ())
    found = load(SimulatorConfig, render.simulator_file(config), environ={}).sparkplug
    assert mqtt_access.node_name("north") == f"node-{node_name('north')}"
    assert Path(found.ca_file).is_file()
    assert Path(found.certificate_file.replace("{node}", node_name("north"))).is_file()


def test_nobody_comes_to_the_database_without_encryption_but_over_the_socket() -> None:
    rules = [line.split() for line in postgres_access.HBA.splitlines() if not line.startswith("#")]
    assert {rule[0] for rule in rules} == {"local", "hostssl"}
    assert {rule[-1] for rule in rules if rule[0] == "hostssl"} == {"reject", "scram-sha-256"}


def test_a_gateway_is_told_where_its_certificate_is_and_the_broker_asks_for_it(config: StackConfig) -> None:
    trust.prepare(config)
    render.render_all(config, ())
    found = load(GatewayConfig, render.gateway_file(config, "gw-1"), environ={}).kafka
    assert (found.bootstrap_servers, found.security_protocol) == (config.kafka_tls, "SSL")
    for path in (found.ssl_ca_location, found.ssl_certificate_location, found.ssl_key_location):
        assert Path(path).is_file()
    rows = kafka._properties(config)
    assert "listener.name.ssl.ssl.client.auth=required" in rows
    assert "listener.name.ssl.ssl.enabled.protocols=TLSv1.3" in rows
    assert "StandardAuthorizer" in rows
    assert "allow.everyone" not in rows


def test_a_name_that_is_too_long_is_said(config: StackConfig) -> None:
    config.plant.write_text(PLANT.replace("gw-2", "g" * 60))
    with pytest.raises(StackError, match="is no name of a certificate"):
        trust.prepare(config)


def test_who_runs_since_before_its_certificate_is_behind(config: StackConfig) -> None:
    trust.prepare(config)

    def state(name: str, uptime_s: int, pid: int = 7) -> ProcessState:
        return ProcessState(name=name, state="RUNNING", pid=pid, uptime_s=uptime_s, description="")

    before_s = time.time() - 60
    for name in ("kafka", "gateway-gw-2"):
        os.utime(trust.authority(config).file(name), (before_s, before_s))
    states = {
        "kafka": state("kafka", 30),
        "gateway-gw-1": state("gateway-gw-1", 30),
        "gateway-gw-2": state("gateway-gw-2", 90),
    }
    assert renewal.behind(config, states) == ([], ["gateway-gw-1", "gateway-gw-2"])
    assert renewal.behind(config, {"gateway-gw-1": state("gateway-gw-1", 0, pid=0)}) == ([], [])
    trust.authority(config).file("gateway-gw-1").unlink()
    states["postgres"] = state("postgres", 90)
    assert renewal.behind(config, states) == ([], ["gateway-gw-2"])
    make_cluster(config)
    postgres.install_certificate(config)  # what it reads is a copy
    assert renewal.behind(config, states) == (["postgres"], ["gateway-gw-2"])
    states["standby"], states["postgres"] = states["postgres"], state("postgres", 0, pid=0)
    assert renewal.behind(config, states) == (["postgres"], ["gateway-gw-2"])


def test_the_database_s_copy_is_the_newest_whether_it_runs_or_not(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust.prepare(config)
    make_cluster(config)
    newest_is_shown(monkeypatch)
    copy, issued = postgres.installed_certificate(config), trust.authority(config).file("postgres")
    renewing = renewal.Renewal(config, lambda: None)
    renewing.round({})
    assert copy.read_bytes() == issued.read_bytes()
    # `up kafka` renews it, and the database, which started on the older one meanwhile, is told.
    trust.authority(config).renew("postgres")
    os.utime(issued, (time.time() - 60, time.time() - 60))
    told: list[str] = []
    monkeypatch.setattr(renewal, "reload_database", noting(told))
    states = {"postgres": ProcessState(name="postgres", state="RUNNING", pid=7, uptime_s=30, description="")}
    renewing.round(states)
    assert copy.read_bytes() == issued.read_bytes()
    assert len(told) == 1
    renewing.round(states)
    assert len(told) == 1


@pytest.mark.security("SR 3.3")
def test_a_server_that_goes_on_with_its_certificate_before_is_said_and_told_again(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trust.prepare(config)
    issued, told = trust.authority(config), list[str]()
    monkeypatch.setattr(renewal, "tell_mosquitto", noting(told))
    states = {"mosquitto": ProcessState(name="mosquitto", state="RUNNING", pid=7, uptime_s=90, description="")}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.file("mosquitto"))
    with socket.create_server((config.host, 0)) as listener, ThreadPoolExecutor(1) as pool:
        ports = dataclasses.replace(config.ports, mosquitto=listener.getsockname()[1])
        renewing = renewal.Renewal(dataclasses.replace(config, ports=ports), lambda: None)

        def serve() -> None:
            with context.wrap_socket(listener.accept()[0], server_side=True) as secure:
                secure.recv(1)

        def said() -> int:
            served = pool.submit(serve)
            caplog.clear()
            renewing.round(states)
            served.result(10)
            return len(caplog.records)

        with caplog.at_level(logging.ERROR, logger="stack.renewal"):
            assert (said(), len(told)) == (0, 1)
            issued.renew("mosquitto")
            assert (said(), len(told)) == (1, 2)
            assert (said(), len(told)) == (1, 3)
            context.load_cert_chain(issued.file("mosquitto"))
            assert (said(), len(told)) == (0, 3)


def test_primary_and_standby_are_told_each_by_itself(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    trust.prepare(config)
    make_cluster(config)
    make_cluster(config, standby=True)
    states = {
        name: ProcessState(name=name, state="", pid=7, uptime_s=1, description="") for name in ("postgres", "standby")
    }
    told: list[str] = []

    def reload(_config: StackConfig, *, standby: bool = False) -> None:
        told.append("standby" if standby else "postgres")
        if not standby:
            raise psycopg.OperationalError("too many connections")

    monkeypatch.setattr(Supervisor, "states", lambda _: states)
    monkeypatch.setattr(postgres, "reload", reload)
    with pytest.raises(StackError, match=r"postgres does not take .* too many connections"):
        renewal.reload_database(config)
    assert told == ["postgres", "standby"]
    del states["postgres"]
    assert renewal.reload_database(config)
    del states["standby"]
    assert not renewal.reload_database(config)
    assert told == ["postgres", "standby", "standby"]


def test_a_standby_has_the_settings_of_this_version(config: StackConfig) -> None:
    trust.prepare(config)
    make_cluster(config)
    folder = make_cluster(config, standby=True)
    (folder / "pg_hba.conf").write_text("host all all all trust\n")
    postgres.prepare(config)
    assert (folder / "pg_hba.conf").read_text() == postgres_access.HBA
    assert f"port = {config.ports.standby}\n" in (folder / "millrace.conf").read_text()
    assert (folder / "postgresql.conf").read_text() == "# initdb's\n\ninclude = 'millrace.conf'\n"


@pytest.mark.security("T-HOST-SOCKET")
def test_what_is_written_for_the_server_s_user_follows_no_link(tmp_path: Path) -> None:
    secret, link = tmp_path / "secret", tmp_path / "pg_hba.conf"
    secret.write_text("root's")
    link.symlink_to(secret)
    with pytest.raises(StepError, match=r"pg_hba\.conf is a link"):
        server_files.write(link, b"x", None)
    assert secret.read_text() == "root's"
    link.unlink()
    (tmp_path / ".pg_hba.conf.new").symlink_to(secret)
    assert server_files.write(link, b"x", pwd.getpwuid(os.geteuid()).pw_name)
    assert not server_files.write(link, b"x", None)
    assert (link.read_bytes(), link.stat().st_mode & 0o777, secret.read_text()) == (b"x", 0o600, "root's")


@pytest.mark.security("T-HOST-SOCKET", "SR 4.1", "V13.3.2")
def test_secrets_are_for_their_owner_whatever_the_umask(config: StackConfig) -> None:
    before = os.umask(0o022)
    try:
        trust.prepare(config)
    finally:
        os.umask(before)
    assert config.secrets.stat().st_mode & 0o777 == 0o700
    config.secrets.chmod(0o755)
    trust.prepare(config)
    assert config.secrets.stat().st_mode & 0o777 == 0o700


def test_servers_are_told_once_and_gateways_follow_one_a_minute(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust.prepare(config)
    make_cluster(config)
    newest_is_shown(monkeypatch)
    reloads: list[str] = []
    signals: list[tuple[str, str]] = []
    for reload in ("reload_broker", "reload_database", "tell_mosquitto"):
        monkeypatch.setattr(renewal, reload, noting(reloads))
    monkeypatch.setattr(Supervisor, "_call", lambda _self, _method, *arguments: signals.append(arguments))
    names = ("kafka", "postgres", "gateway-gw-1", "gateway-gw-2")
    states = {name: ProcessState(name=name, state="RUNNING", pid=7, uptime_s=90, description="") for name in names}
    beats: list[int] = []
    renewing = renewal.Renewal(config, lambda: beats.append(1))
    assert renewing.round(states) < renewal.PERIOD_S
    assert signals == [("gateway-gw-1", "TERM")]
    del states["gateway-gw-1"]
    assert renewing.round(states) == renewal.PERIOD_S
    assert signals == [("gateway-gw-1", "TERM"), ("gateway-gw-2", "TERM")]
    assert len(reloads) == 2
    trust.authority(config).renew("kafka")
    renewing.round(states)
    assert len(reloads) == 3
    assert beats


@pytest.mark.parametrize("error", [http.client.BadStatusLine("x"), json.JSONDecodeError("x", "", 0), OSError("x")])
def test_what_fails_while_renewing_ends_no_watch(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(_config: StackConfig) -> list[str]:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(trust, "prepare", fails)
        assert renewal.Renewal(config, lambda: None).round({}) == renewal.PERIOD_S
    trust.prepare(config)
    make_cluster(config)
    told: list[str] = []
    monkeypatch.setattr(renewal, "reload_broker", fails)
    monkeypatch.setattr(renewal, "reload_database", noting(told))
    states = {
        name: ProcessState(name=name, state="RUNNING", pid=7, uptime_s=90, description="")
        for name in ("kafka", "postgres")
    }
    assert renewal.Renewal(config, lambda: None).round(states) == renewal.PERIOD_S
    assert len(told) == 1


def test_what_is_told_to_the_broker_is_read_under_the_lock(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation that comes while another process sets ACLs waits for it: the older list cannot be told after the newer one."""
    trust.prepare(config)
    told: list[set[str]] = []
    revoking = threading.Thread(target=lambda: trust.authority(config).revoke("gateway-gw-1"))

    def apply(_kafka: KafkaSettings, bindings: set[AclBinding]) -> int:
        if not told:
            revoking.start()
            revoking.join(0.3)
            assert revoking.is_alive()
            assert all(one.revoked is None for one in trust.authority(config).entries())
        told.append({one.principal for one in bindings if one.permission_type == AclPermissionType.DENY})
        return 0

    monkeypatch.setattr(acls, "apply", apply)
    trust.allow(config)
    revoking.join()
    trust.allow(config)
    assert told == [set(), {"User:CN=gateway-gw-1,OU=1"}]


@pytest.mark.security("T-EDGE-ENROL", "SR 7.6")
def test_the_commands_say_what_there_is(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in render.instance_environment(config).items():
        monkeypatch.setenv(key, value)
    assert certificates.main(["list"]) == 0
    assert "no certificates yet" in capsys.readouterr().out
    trust.prepare(config)
    assert certificates.main(["list"]) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert rows[:2] == [["enrolment", "server", "good"], ["gateway-gw-1", "client", "good"]]
    assert certificates.main(["revoke", "kafka"]) == 2
    assert "its clients look at no list" in capsys.readouterr().err
    assert certificates.main(["revoke", "nobody"]) == 1
    assert (
        "there are enrolment, gateway-gw-1, gateway-gw-2, kafka, mosquitto, node-sim-north, postgres"
        in capsys.readouterr().err
    )
    for other in ("grafana", "gateway-elsewhere"):  # nothing would deny the first once it is revoked
        assert certificates.main(["issue", other]) == 2
        assert f"{other} is neither a server of the stack, nor a gateway or simulated node" in capsys.readouterr().err
    assert len(trust.authority(config).entries()) == len(NAMES)
    assert certificates.main(["renew", "gateway-gw-1"]) == 0
    assert "service restart gateway-gw-1" in capsys.readouterr().out
    make_cluster(config)
    assert certificates.main(["renew", "postgres"]) == 0
    assert "it is in use from its next start on" in capsys.readouterr().out


@pytest.mark.parametrize(("answers", "status"), [(False, 0), (True, 3)])
def test_a_revocation_that_mosquitto_did_not_hear_of_is_said(
    config: StackConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    answers: bool,
    status: int,
) -> None:
    for key, value in render.instance_environment(config).items():
        monkeypatch.setenv(key, value)
    trust.prepare(config)
    config.config.mkdir(parents=True)
    monkeypatch.setattr(acls, "apply", lambda *_: 0)
    monkeypatch.setattr(mosquitto, "health", lambda _: READY if answers else silent("away"))
    assert certificates.main(["revoke", "node-sim-north"]) == status  # there is no supervisord
    said = capsys.readouterr()
    assert ("refuse it from now on" in said.out) != answers
    assert ("Mosquitto runs, and supervisord" in said.err) == answers
