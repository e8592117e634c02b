"""Settings: every error names the key and where it was read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from base.errors import ConfigError
from base.settings import KafkaSettings, PostgresSettings, load, local_config


class Mode(StrEnum):
    FAST = "fast"
    SAFE = "safe"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    number: int
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    gateway_id: str
    kafka: KafkaSettings
    age_ms: int = 200
    ratio: float = 0.5
    strict: bool = False
    mode: Mode = Mode.SAFE
    folder: Path = Path("state")
    limit: float | None = None
    sites: tuple[str, ...] = ()
    lanes: tuple[Lane, ...] = ()

    def __post_init__(self) -> None:
        if self.age_ms <= 0:
            msg = f"age_ms is {self.age_ms}, must be positive"
            raise ValueError(msg)


GOOD = """
gateway_id = "gw"
[kafka]
bootstrap_servers = "127.0.0.1:9092"
"""


def config(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return load(Config, path, service="edge", environ=environ or {})


def test_defaults_hold_and_nested_tables_are_classes(tmp_path: Path) -> None:
    read = config(tmp_path, GOOD)
    assert read == Config(gateway_id="gw", kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9092"))


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    text = """
    gateway_id = "gw"
    age_ms = 100
    ratio = 1
    strict = true
    mode = "fast"
    folder = "elsewhere"
    limit = 2.5
    sites = ["north", "south"]
    lanes = [{number = 1, devices = ["a"]}, {number = 2}]
    [kafka]
    bootstrap_servers = "h:1"
    """
    read = config(tmp_path, text)
    assert (read.age_ms, read.ratio, read.strict, read.mode, read.limit) == (100, 1.0, True, Mode.FAST, 2.5)
    assert isinstance(read.ratio, float)
    assert (read.folder, read.sites) == (Path("elsewhere"), ("north", "south"))
    assert read.lanes == (Lane(number=1, devices=("a",)), Lane(number=2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kafka]\nbootstrap_servers='x'", "gateway_id is missing"),
        ("gateway_id='gw'", "kafka is missing"),
        ("gateway_id='gw'\n[kafka]", "kafka: bootstrap_servers is missing"),
        ("gateway_id='gw'\nkafka='x'", "kafka must be a table"),
        ("gateway_id=1\n[kafka]\nbootstrap_servers='x'", "gateway_id is of the type int, not a str"),
        ("age_ms='fast'" + GOOD, "age_ms is 'fast', not a int"),
        ("age_ms=true" + GOOD, "age_ms is True, not a int"),
        ("age_ms=1.5" + GOOD, "age_ms is 1.5, not a int"),
        ("age_ms=0" + GOOD, "age_ms is 0, must be positive"),
        ("strict=1" + GOOD, "strict is 1, not a bool"),
        ("mode='warp'" + GOOD, "mode is 'warp', not one of fast, safe"),
        ("limit='x'" + GOOD, "limit is 'x', not a float"),
        ("sites='north'" + GOOD, "sites is 'north'"),
        ("sites=['north', 2]" + GOOD, r"sites\[1\] is of the type int, not a str"),
        ("lanes=[{number=1}, {devices=[]}]" + GOOD, r"lanes\[1\]: number is missing"),
        ("agems=1" + GOOD, "unknown key 'agems'; known: age_ms, "),
        (GOOD + "acks='all'", "kafka: unknown key 'acks'; known: bootstrap_servers"),
        ("= nonsense", "not valid TOML"),
    ],
    ids=lambda value: value.splitlines()[0][:30],
)
def test_errors_name_the_key_and_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        config(tmp_path, text)
    assert "gateway.toml" in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml does not exist"):
        load(PostgresSettings, tmp_path / "none.toml")


def test_a_file_that_the_local_stack_has_not_made_yet_says_who_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"platform\.toml does not exist: `\./millrace up` makes it"):
        load(PostgresSettings, local_config("platform.toml"))


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environ = {
        "MILLRACE_EDGE_AGE_MS": "50",
        "MILLRACE_EDGE_STRICT": "yes",
        "MILLRACE_EDGE_SITES": "north, south",
        "MILLRACE_EDGE_LIMIT": "",
        "MILLRACE_EDGE_MODE": "fast",
        "MILLRACE_EDGE_KAFKA_BOOTSTRAP_SERVERS": "other:9092",
        "MILLRACE_OTHER_AGE_MS": "1",
    }
    read = config(tmp_path, GOOD, environ)
    assert (read.age_ms, read.strict, read.sites, read.limit) == (50, True, ("north", "south"), None)
    assert (read.mode, read.kafka.bootstrap_servers) == (Mode.FAST, "other:9092")


@pytest.mark.parametrize(
    ("name", "value"), [("AGE_MS", "soon"), ("STRICT", "maybe"), ("RATIO", "half"), ("MODE", "warp")]
)
def test_an_error_in_the_environment_names_the_variable(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"environment variable MILLRACE_EDGE_{name} is '{value}'"):
        config(tmp_path, GOOD, {f"MILLRACE_EDGE_{name}": value})


def test_kafka_settings_become_the_clients_names_and_empty_ones_are_left_out() -> None:
    secured = KafkaSettings(bootstrap_servers="h:9093", security_protocol="SSL", ssl_ca_location="ca.pem")
    assert secured.client_config() == {
        "bootstrap.servers": "h:9093",
        "security.protocol": "SSL",
        "ssl.ca.location": "ca.pem",
    }


def test_the_environment_reaches_a_table_that_the_file_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "short.toml"
    path.write_text('gateway_id = "g"\n')
    found = load(Config, path, environ={"MILLRACE_KAFKA_BOOTSTRAP_SERVERS": "broker:9092"})
    assert found.kafka.bootstrap_servers == "broker:9092"
