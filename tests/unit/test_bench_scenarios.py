"""The command line of the benchmarks, and the parts of scenarios that need nothing to run."""

from __future__ import annotations

import io
from pathlib import Path

import fastavro
import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks import recovery, switches, workload
from benchmarks.generate import Expected, generate
from benchmarks.peers import flat
from benchmarks.processes import Usage, Watched
from benchmarks.recovery import Kill
from benchmarks.scenarios import SCENARIOS
from jobs import config


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_smoke_argument_is_one_of_the_scenario(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for argument in SCENARIOS[name].smoke:
        assert f"--{argument.replace('_', '-')}" in text
    assert "--json FILE" in text


def test_a_lag_is_back_when_it_stays_at_its_level() -> None:
    kill = Kill(at_s=100.0, victim="taskmanager-2", job="telemetry", level=50)
    looks = [
        (100.2, 40),
        (100.8, 45),
        (104, 900),
        (112, 2_000),
        (115, 49),
        (115.2, 60),
        (116, 48),
        (116.5, 30),
        (116.7, 20),
    ]
    done = [at for at, lag in looks if recovery.settle(kill, at, lag)]
    assert done == [116.7]
    assert kill.recovered_s == pytest.approx(16.0)
    assert kill.peak == 2_000


def test_a_kill_that_no_lag_shows_is_recovered_at_once_but_looked_at_for_a_while() -> None:
    kill = Kill(at_s=0.0, victim="taskmanager-2", job="telemetry", level=50)
    assert not any(recovery.settle(kill, at, 10) for at in (1.0, 5.0, 9.0))
    assert not recovery.settle(kill, 11.0, 10)
    assert recovery.settle(kill, 12.0, 10)
    assert kill.recovered_s == 0


def test_the_level_is_the_largest_of_the_seconds_before() -> None:
    assert recovery.level_before([(1, 999), (85, 10), (95, 30), (99, 20)], 100) == 30
    assert recovery.level_before([], 100) == 0


def test_cpu_is_taken_between_readings_and_starts_again_with_a_new_process() -> None:
    seen = Watched(
        readings=[
            (at, {"kafka": Usage(cpu_s=cpu_s, memory_mb=memory_mb)})
            for at, cpu_s, memory_mb in ((0, 10, 100), (2, 11, 101), (4, 0.5, 50), (6, 1.5, 52))
        ]
    )
    assert seen.cpu_over_time() == {"kafka": [(2, 0.5), (6, 0.5)]}
    assert seen.cpu() == {"kafka": 0.5}
    assert seen.memory_slopes(2.5) == {"kafka": pytest.approx(60.0)}


def test_a_job_submitted_without_detection_has_none(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text('[kafka]\nbootstrap_servers = "127.0.0.1:1"\n')
    arguments = ["--config", str(file)]
    with switches.job_settings(["detection"]):
        assert not config.from_arguments("telemetry", arguments).telemetry.detection.enabled
    assert config.from_arguments("telemetry", arguments).telemetry.detection.enabled
    with switches.job_settings(["copy"]):
        assert config.from_arguments("telemetry", arguments).telemetry.detection.enabled


def test_flat_records_hold_the_samples_of_the_frames() -> None:
    chosen, dirt = workload.load("smoke"), workload.load_dirt("none")
    tags = {chosen.gateway_id(n): np.arange(chosen.lane_tags, dtype=np.int32) + n * 100 for n in range(chosen.gateways)}
    expected = Expected.of(200, 0, 2)
    made = generate(chosen, dirt, tag_ids=tags, seconds=2, start_us=0, seed=1, expected=expected)
    records = [flat.decode(flat.SAMPLE, value) for _, value in flat.records(made)]
    assert len(records) == expected.distinct_samples
    assert {record["tag_id"] for record in records} == set(np.concatenate(list(tags.values())).tolist())


def test_the_schema_of_the_peers_is_what_flink_derives() -> None:
    # Flink names the record of a table `record`; fields without NULL are plain types, so the bodies have no union branches.
    body = flat.encode(flat.WINDOW, {"tag_id": 1, "start_ms": 2, "n": 3, "mean": 4.0, "low": 5.0, "high": 6.0})
    assert len(body) == 3 + 3 * 8
    assert fastavro.schemaless_reader(io.BytesIO(body), flat.WINDOW, None)["n"] == 3
