"""Configuration files that the stack writes for our services, and the text of supervisord's."""

from __future__ import annotations

import configparser
import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from audit.settings import AuditSettings
from base.secrets import resolve
from base.settings import PlatformSettings, load
from base.toml import to_toml
from edge.config import GatewayConfig
from notifier.push import public_key
from notifier.settings import NotifierSettings
from registry.plant import ConnectionSpec, GatewaySpec
from serving import config as serving_config
from stack import mqtt_access, postgres, push_key, render, signing, trust
from stack.config import StackConfig
from stack.errors import StackError
from stack.health.answer import READY
from stack.plant import read_gateways, sites
from stack.services import Service
from stack.supervisor import render as render_supervisord

PLANT = """
enterprise: acme
tag_classes: {}
device_classes: {}
sites:
  - name: north
    gateways:
      - id: gw-1
        lanes: 2
        connections:
          - {name: line1, protocol: opcua, endpoint: 'opc.tcp://line1:4840', queue_size: 50}
          - {name: played, protocol: opcua, endpoint: 'opc.tcp://line2:4840', simulated: true}
      - {id: gw-2}
    areas: []
  - name: south
    gateways: [{id: gw-3, connections: [{name: spb, protocol: sparkplug, endpoint: 'mqtt://x', group_id: south, simulated: true}]}]
    areas: []
"""


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    plant = tmp_path / "plant.yaml"
    plant.write_text(PLANT)
    config = StackConfig(state=tmp_path / "state", plant=plant)
    trust.prepare(config)
    render.render_all(config, ("telemetry",))
    return config


def test_gateways_and_sites_come_from_the_plant_file(config: StackConfig) -> None:
    gateways = read_gateways(config.plant)
    assert [(gateway.id, gateway.site) for gateway in gateways] == [
        ("gw-1", "north"),
        ("gw-2", "north"),
        ("gw-3", "south"),
    ]
    assert sites(gateways) == ("north", "south")


def test_malformed_plant_file_is_named(tmp_path: Path) -> None:
    plant = tmp_path / "plant.yaml"
    plant.write_text("sites: [{gateways: [{id: a}]}]")
    with pytest.raises(StackError, match=r"plant\.yaml"):
        read_gateways(plant)
    assert read_gateways(tmp_path / "none.yaml") == ()


def test_two_connections_that_would_end_each_other_s_session_are_refused(config: StackConfig) -> None:
    two = "[{name: two, protocol: sparkplug, endpoint: 'mqtt://y', simulated: true}, {name: spb,"
    config.plant.write_text(PLANT.replace("[{name: spb,", two))
    with pytest.raises(StackError, match="gw-3 has 2 simulated connections"):
        render.render_all(config, ())


@pytest.mark.security("V1.3.3")
def test_a_name_that_would_be_rows_of_the_broker_s_access_list_is_refused(config: StackConfig) -> None:
    def read(host: str) -> tuple[GatewaySpec, ...]:
        config.plant.write_text(PLANT.replace("group_id: south", f"host_id: {json.dumps(host)}"))
        return read_gateways(config.plant)

    with pytest.raises(StackError, match=r"host_id is .* no place in it"):
        read("a\nuser CN=thief")
    (*others, good) = read("a")
    spoiled = ConnectionSpec(name="spb", protocol="sparkplug", settings={"host_id": "a\nuser CN=thief"}, simulated=True)
    mqtt_access.access_list([*others, good], {})
    with pytest.raises(StackError, match="gw-3 has host_id"):
        mqtt_access.access_list([*others, dataclasses.replace(good, connections=(spoiled,))], {})


def test_each_gateway_has_its_own_file_folder_and_port(config: StackConfig) -> None:
    files = [tomllib.loads(render.gateway_file(config, name).read_text()) for name in ("gw-1", "gw-2", "gw-3")]
    assert [file["site"] for file in files] == ["north", "north", "south"]
    assert len({file["state_dir"] for file in files}) == len({file["admin"]["port"] for file in files}) == 3


def test_what_is_the_same_for_all_gateways_is_asked_once(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, table = [], signing.gateway_table

    def counted(of: StackConfig) -> dict[str, Any]:
        asked.append(of)
        return table(of)

    monkeypatch.setattr(signing, "gateway_table", counted)
    render.render_all(config, ())
    assert asked == [config]
    files = [tomllib.loads(render.gateway_file(config, name).read_text()) for name in ("gw-1", "gw-2", "gw-3")]
    assert [one["signatures"] for one in files] == [table(config)] * 3


def test_connections_are_the_plant_files_and_simulated_ones_have_the_stacks_endpoints(config: StackConfig) -> None:
    files = [load(GatewayConfig, render.gateway_file(config, name), environ={}) for name in ("gw-1", "gw-2", "gw-3")]
    line1, played = files[0].connections
    assert (line1.name, line1.settings.endpoint, line1.settings.queue_size) == ("line1", "opc.tcp://line1:4840", 50)
    assert played.settings.endpoint == f"opc.tcp://{config.host}:{config.ports.opcua}"
    assert files[1].connections == ()
    (spb,) = files[2].connections
    assert (spb.protocol.name, spb.settings.group_id) == ("sparkplug", "south")
    assert spb.settings.endpoint == f"mqtts://{config.host}:{config.ports.mosquitto}"
    assert spb.settings.certificate_file == str(config.authority / "gateway-gw-3.pem")


def test_platform_file_is_what_the_tools_read(config: StackConfig) -> None:
    loaded = load(PlatformSettings, render.platform_file(config), environ={})
    assert loaded.sites == ("north", "south")
    assert loaded.kafka.bootstrap_servers == config.bootstrap_servers
    assert "passfile=" in loaded.postgres.dsn
    assert f"sslmode=verify-full sslrootcert={config.authority / 'ca.pem'}" in loaded.postgres.dsn


@pytest.mark.security("T-DB-RIGHTS", "SR 5.4", "V13.2.2")
def test_each_service_has_the_role_it_needs(config: StackConfig) -> None:
    render.render_all(config, ("telemetry", "historian"))
    maintenance = load(PlatformSettings, render.maintenance_file(config), environ={})
    historian = tomllib.loads(render.jobs_file(config, "historian").read_text())
    telemetry = tomllib.loads(render.jobs_file(config, "telemetry").read_text())
    assert "user=millrace_maintenance " in maintenance.postgres.dsn
    assert "user=millrace_historian " in historian["postgres"]["dsn"]
    assert "postgres" not in telemetry


@pytest.mark.security("V16.2.3")
def test_the_audit_log_lies_where_serving_reads_it_and_its_keys_elsewhere(config: StackConfig) -> None:
    audit = load(AuditSettings, render.audit_file(config), environ={})
    assert serving_config.load(render.serving_file(config)).audit.folder == str(audit.folder)
    assert audit.keys.is_relative_to(config.secrets)
    assert audit.copies is not None
    assert not audit.copies.is_relative_to(audit.folder)


@pytest.mark.security("T-HOST-PROC", "V13.3.2")
def test_files_with_the_password_are_private(config: StackConfig) -> None:
    for path in config.config.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name
    passwords = {path.name: path.read_text() for path in config.secrets.iterdir() if path.is_file()}
    assert {"postgres-password", "postgres-serving-password"} <= set(passwords)
    assert len(set(passwords.values())) == len(passwords)
    # Services read them in their own files when they connect: a password is replaced without anybody's restart.
    given = [postgres.password(config, role) for role in postgres.ROLES]
    texts = [path.read_text() for path in config.config.iterdir() if path.is_file()]
    assert not [text for text in texts if any(one in text for one in given)]
    assert all(path.stat().st_mode & 0o077 == 0 for path in config.secrets.iterdir())


@pytest.mark.security("T-DB-RIGHTS", "SR 5.4", "V13.2.2")
def test_serving_has_a_database_role_of_its_own(config: StackConfig) -> None:
    text = render.serving_file(config).read_text()
    assert "user=millrace_serving " in text
    assert postgres.password(config) not in text


@pytest.mark.security("V13.2.3")
def test_a_second_rendering_keeps_the_password(config: StackConfig) -> None:
    before = render.serving_file(config).read_text()
    render.render_all(config, ("telemetry",))
    assert render.serving_file(config).read_text() == before


def test_toml_of_plain_values_tables_and_arrays() -> None:
    values = {"text": 'a "b" \\ ü', "flag": True, "numbers": [1, 2], "table": {"x": 1.5}, "items": [{"y": 1}, {"y": 2}]}
    assert tomllib.loads(to_toml(values)) == values


def test_supervisord_gets_one_program_per_service(config: StackConfig) -> None:
    command = ("run", "100%", 'quo"te')
    service = Service(
        name="x",
        command=command,
        health=lambda _: READY,
        stage=1,
        stop_stage=1,
        nice=5,
        user="somebody",
        environment={"A": "1", "B": "two words"},
    )
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(render_supervisord(config, [service]))
    program = parser["program:x"]
    assert program["command"] == '"nice" "-n" "5" "run" "100%%" "quo\\"te"'
    assert program["environment"] == 'A="1",B="two words"'
    assert program["autorestart"] == "true"
    assert program["user"] == "somebody"
    assert parser["unix_http_server"]["file"] == str(config.run / "supervisor.sock")


def test_serving_has_http_on_the_loopback_interface_and_a_key_that_stays(config: StackConfig) -> None:
    path = render.serving_file(config)
    serving = serving_config.load(path)
    assert serving.http.listen == f"127.0.0.1:{config.ports.serving_http}"
    assert config.page_url == f"http://{serving.http.listen}"
    key = Path(serving.http.session_key)
    assert key.stat().st_mode & 0o777 == 0o600
    made = key.read_text()
    assert len(made) == 64
    render.render_all(config, ("telemetry",))
    assert key.read_text() == made


def test_browsers_know_the_installation_by_one_key_that_stays(config: StackConfig) -> None:
    given = serving_config.load(render.serving_file(config)).http.push_key
    signs = load(NotifierSettings, render.notifier_file(config), service="notifier").push
    assert public_key(resolve(signs.key).encode()) == given
    path = push_key.private_file(config)
    assert path.stat().st_mode & 0o777 == 0o600
    render.render_all(config, ("telemetry",))
    assert serving_config.load(render.serving_file(config)).http.push_key == given
    path.write_text("")
    with pytest.raises(StackError, match=r"push-key\.pem is no private key of P-256"):
        push_key.public_half(config)
