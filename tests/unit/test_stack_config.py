"""Settings of the stack: defaults, file, environment, and what is refused."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from base.errors import ConfigError
from stack import jobs
from stack.config import PREFIX, ROOT, Ports, StackConfig, load, origins
from stack.preflight import used_ports
from stack.render import instance_environment


def test_ports_are_one_block_without_collisions() -> None:
    ports = used_ports(StackConfig())
    assert len(set(ports.values())) == len(ports)
    assert all(29000 <= port < 30000 for port in ports.values())


def test_base_moves_every_port() -> None:
    one, other = used_ports(StackConfig(ports=Ports(base=20000))), used_ports(StackConfig(ports=Ports(base=21000)))
    assert {key: port + 1000 for key, port in one.items()} == other


def test_environment_wins_over_file(tmp_path: Path) -> None:
    file = tmp_path / "millrace.toml"
    file.write_text("taskmanagers = 4\n[ports]\npostgres = 20001\nkafka = 20002\n")
    environ = {"MILLRACE_PORTS_POSTGRES": "20003", "MILLRACE_STATE": str(tmp_path / "state")}
    config = load(environ, file)
    assert (config.ports.postgres, config.ports.kafka, config.taskmanagers) == (20003, 20002, 4)
    assert config.state == tmp_path / "state"
    shown = {key: origin for key, _, origin in origins(config, environ, file)}
    assert shown["ports.postgres"] == "MILLRACE_PORTS_POSTGRES"
    assert shown["ports.kafka"] == "millrace.toml"
    assert shown["ports.opcua"] == "default"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("taskmanager = 3", "taskmanager"),
        ("[ports]\npostgres = 80", "ports.postgres"),
        ("timescaledb = 'maybe'", "timescaledb"),
        ("[memory]\nkafka_heap_mb = 'much'", "kafka_heap_mb"),
        ("[", "TOML"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "millrace.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named):
        load({}, file)


def test_taskmanagers_follow_the_jobs(tmp_path: Path) -> None:
    file = tmp_path / "millrace.toml"
    file.write_text("[parallelism]\ntelemetry = 2\nhistorian = 2\n")
    assert load({}, file).taskmanagers == 6


def test_the_alarms_job_can_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "millrace.toml"
    config = load({}, file)
    assert jobs.of(config) == jobs.JOBS
    assert config.taskmanagers == 4
    file.write_text("[parallelism]\nalarms = 0\n")
    config = load({}, file)
    assert jobs.of(config) == ("commands", "historian", "telemetry")
    assert config.taskmanagers == 3


def test_helpers_of_an_instance_see_the_same_settings(tmp_path: Path) -> None:
    config = StackConfig(state=tmp_path, ports=Ports(base=21000, kafka=22000), seed=7, owner_pid=12, timescaledb="off")
    again = load(instance_environment(config), tmp_path / "none.toml")
    assert dataclasses.asdict(again) == dataclasses.asdict(config)
    assert all(key.startswith(PREFIX) for key in instance_environment(config))


def test_sockets_stay_within_their_length(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["folder"] * 15)
    assert len(str(StackConfig(state=deep).run)) <= 80
    assert StackConfig(state=deep).run != StackConfig(state=deep / "other").run


def test_every_shell_finds_the_same_sockets(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["folder"] * 15)
    code = "from stack.config import load; print(load().run)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"MILLRACE_STATE": str(deep), "TMPDIR": str(folder)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for folder in (tmp_path, ROOT)
    }
    assert found == {f"{StackConfig(state=deep).run}\n"}


def test_blanks_in_the_state_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="blanks"):
        StackConfig(state=tmp_path / "my state")


def test_a_task_manager_too_small_for_its_heap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"memory.taskmanager_mb is 512, not 896 or more"):
        load({"MILLRACE_MEMORY_TASKMANAGER_MB": "512"}, tmp_path / "none.toml")
