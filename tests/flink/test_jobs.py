"""The jobs' operators inside Flink: what goes in and comes out is the same as without it, whatever the parallelism."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from pyflink.common import Row
from pyflink.common.typeinfo import Types
from pyflink.datastream import DataStream

from base.settings import KafkaSettings
from historian.store import StoreUnavailable, WriteResult
from jobs import alarms, commands, historian, telemetry
from jobs.batching import BatchConfig, Message
from jobs.config import JobConfig
from jobs.flink.environment import JobEnvironment
from jobs.flink.types import key_type, record_type
from jobs.writer import Store, Writer
from schemas import codec, frame, topics
from schemas.alarm_rules import AlarmRule
from schemas.alarms import AlarmAction, AlarmActionKind, alarm_id, source_id
from schemas.commands import CommandAck, CommandRequest, CommandState
from schemas.definitions import TagDefinition
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.telemetry.logic import Origin, Output, TelemetryLogic
from tests.flink.conftest import MiniCluster
from tests.golden.support import QUIET, assert_windows_equal, final_windows, make_frame, publish, records, tag, us
from tests.operators.rows import registry_rows, row

CONFIG = JobConfig(
    kafka=KafkaSettings(bootstrap_servers="unused"), telemetry=QUIET, historian=BatchConfig(max_age_ms=20)
)
LANES = 5
NOW_US = us(1000)


def fixed_clock() -> int:
    return NOW_US


def run(env: JobEnvironment, stream: DataStream) -> list[Output]:
    """Run the job to the end of its input; what it wrote."""
    # As pickled tuples: a column of bytes would come back as a list of numbers, slowly.
    with stream.map(as_tuple, Types.PICKLED_BYTE_ARRAY()).execute_and_collect() as rows:
        return [Output(*found) for found in rows]


def as_tuple(found: Row) -> tuple[Any, ...]:
    return (found[0], found[1], found[2])


# --- telemetry ----------------------------------------------------------------------------------------------------------


def plant() -> list[TagDefinition]:
    """Two tags per lane, one with limits."""
    return [
        tag(2 * lane + n, device_id=lane, lane=lane, windows_s=(1, 10), limit_high=(50.0, None)[n])
        for lane in range(LANES)
        for n in (0, 1)
    ]


def dirty_input() -> list[Row]:
    """40 frames per lane over 20 s: bad samples, disorder within a second, duplicates, a conflict, a torn frame, garbage."""
    rng = np.random.default_rng(7)
    rows: list[Row] = []
    for lane in range(LANES):
        frames = []
        for sequence in range(40):
            times = sequence * 0.5 + rng.uniform(-0.4, 0.0, 20)
            values = rng.normal(40, 6, 20)
            samples = [
                (2 * lane + n % 2, float(t), float(v)) for n, (t, v) in enumerate(zip(times, values, strict=True))
            ]
            frames.append(frame.encode(make_frame(samples, sequence, lane=lane, closed_s=sequence * 0.5 + 0.1)))
        frames.insert(11, frames[9])
        frames.insert(20, frame.encode(make_frame([(2 * lane, 3.0, 1.0)], 5, lane=lane)))
        frames.insert(25, frames[25][:-3])
        key = frame.lane_key("gw-north", lane).encode()
        rows += [
            row("telemetry.frames.north", key, message, offset=1000 * lane + n) for n, message in enumerate(frames)
        ]
    rows += [
        row("telemetry.frames.north", b"?", b"garbage", offset=9000),
        row("telemetry.frames.north", None, None, offset=9001),
    ]
    return rows


def without_flink(rows: Iterable[Row]) -> list[Output]:
    logic = TelemetryLogic(QUIET)
    publish(logic, plant())
    outputs: list[Output] = []
    for found in rows:
        outputs += logic.on_frame(found[4] or b"", Origin(found[0], found[1], found[2]), NOW_US)
    return outputs + logic.flush_all(NOW_US)


def values(outputs: Iterable[Output], topic: topics.Topic) -> Counter[tuple[bytes, bytes]]:
    return Counter((output.key, output.value) for output in outputs if output.topic == topic.name)


def latest(outputs: Iterable[Output]) -> dict[int, tuple[int, float]]:
    """Newest value of each tag, as a cache would have it."""
    newest: dict[int, tuple[int, float]] = {}
    for batch in records(outputs, topics.LATEST):
        for tag_id, time_us, value in zip(
            *(batch[name].tolist() for name in ("tag_id", "time_us", "value")), strict=True
        ):
            newest[tag_id] = max(newest.get(tag_id, (0, 0.0)), (time_us, value))
    return newest


@pytest.mark.parametrize("parallelism", [1, 3])
def test_telemetry_is_the_same_inside_flink(minicluster: MiniCluster, parallelism: int) -> None:
    env = minicluster.environment(parallelism)
    rows = dirty_input()
    sources = telemetry.Sources(
        frames=env.stream.from_collection(rows, record_type()),
        registry=env.stream.from_collection(registry_rows(*plant()), record_type()),
    )
    found = run(env, telemetry.build(env, sources, CONFIG, clock=fixed_clock))
    expected = without_flink(rows)
    assert len(values(expected, topics.VALIDATED)) == 40 * LANES
    assert Counter(record["reason"] for record in records(expected, topics.REJECTED)).keys() == {
        "OUT_OF_RANGE",
        "IDENTITY_CONFLICT",
        "UNDECODABLE",
    }
    for topic in (topics.VALIDATED, topics.REJECTED, topics.ANOMALIES):
        assert values(found, topic) == values(expected, topic)
    assert_windows_equal(final_windows(found), final_windows(expected))
    assert latest(found) == latest(expected)


# --- historian ----------------------------------------------------------------------------------------------------------


class FileStore:
    """A database that is a file; away for the first two transactions."""

    def __init__(self, path: str) -> None:
        self._path, self._outages = Path(path), 2

    def write(self, batch: Iterable[Message]) -> WriteResult:
        if self._outages:
            self._outages -= 1
            msg = "starting up"
            raise StoreUnavailable(msg)
        with self._path.open("a") as file:
            file.writelines(f"{message.topic} {message.offset} {message.value.decode()}\n" for message in batch)
        return WriteResult()

    def close(self) -> None:
        pass


class FileWriterFactory:
    """Pickled with the operator, as the real one is."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __call__(self) -> Writer:
        return Writer(self._open, CONFIG.historian)

    def _open(self) -> Store:
        return FileStore(self.path)


@pytest.mark.parametrize("parallelism", [1, 2])
def test_historian_writes_everything_once_before_a_bounded_input_ends(
    minicluster: MiniCluster, tmp_path: Path, parallelism: int
) -> None:
    env = minicluster.environment(parallelism)
    rows = [row(topics.VALIDATED.name, b"gw-%d/0" % (n % 30), b"%d" % n, offset=n) for n in range(500)]
    sources = historian.Sources(messages=env.stream.from_collection(rows, record_type()))
    written = tmp_path / "rows"
    refused = run(env, historian.build(env, sources, CONFIG, make_writer=FileWriterFactory(written)))
    assert refused == []
    lines = written.read_text().splitlines()
    assert sorted(lines) == sorted(f"telemetry.validated {n} {n}" for n in range(500))


# --- commands -----------------------------------------------------------------------------------------------------------


def command_rows(number: int) -> list[Row]:
    command_id = UUID(int=(7 << 76) | (2 << 62) | number)
    request = CommandRequest(
        command_id=command_id,
        device_id=number,
        gateway_id="gw-1",
        site="north",
        name="start",
        parameters={},
        submitted_by="alice",
        submitted_us=NOW_US,
        expires_us=1 << 60,
    )
    key, found = str(command_id).encode(), [row("command.requests.north", b"%d" % number, request.encode())]
    for state in (CommandState.DELIVERED, CommandState.EXECUTING, CommandState.SUCCEEDED):
        ack = CommandAck(
            command_id=command_id, attempt=1, device_id=number, gateway_id="gw-1", state=state, time_us=NOW_US
        )
        found.append(row("command.acks.north", key, ack.encode()))
    return found


@pytest.mark.parametrize("parallelism", [1, 2])
def test_commands_reach_their_outcome_whatever_the_order(minicluster: MiniCluster, parallelism: int) -> None:
    env = minicluster.environment(parallelism)
    rows = [found for number in range(50) for found in command_rows(number)] + [
        row("command.acks.north", b"k", b"garbage")
    ]
    np.random.default_rng(3).shuffle(rows)
    sources = commands.Sources(records=env.stream.from_collection(rows, record_type()))
    outputs = run(env, commands.build(env, sources, CONFIG))
    newest: dict[UUID, dict[str, Any]] = {}
    for record in sorted(records(outputs, topics.STATES), key=lambda record: record["version"]):
        newest[record["command_id"]] = record
    assert Counter(record["state"] for record in newest.values()) == {"SUCCEEDED": 50}
    (refused,) = records(outputs, topics.REJECTED)
    assert (refused["reason"], refused["original"]) == ("UNDECODABLE", b"garbage")
    assert codec.decode(next(o.value for o in outputs))[0]


# --- thread mode --------------------------------------------------------------------------------------------------------


def process_id(_: Row) -> int:
    return os.getpid()


def test_python_runs_in_the_process_of_the_taskmanager(minicluster: MiniCluster) -> None:
    env = minicluster.environment()
    rows = env.stream.from_collection([row("t", b"k", b"v")], record_type())
    stream = rows.key_by(lambda found: str(found[0]), key_type()).map(process_id, Types.LONG())
    with stream.execute_and_collect() as found:
        assert list(found) == [minicluster.jvm_pid()]


# --- alarms -------------------------------------------------------------------------------------------------------------

SITES = ("north", "south", "east", "west")


def alarm_tags() -> list[bytes]:
    """Messages of the registry: a tag at each site."""
    return [
        found[4]
        for number, site in enumerate(SITES, 1)
        for found in registry_rows(tag(number, number, name="temp", site=site, gateway_id=f"gw-{site}"), version=number)
    ]


def alarm_definitions() -> list[bytes]:
    """The same, and a rule."""
    about = {"name": "hot", "kind": "LIMIT", "level": "HI", "tag": "temp", "limit": 80.0, "device_class": "press"}
    return [*alarm_tags(), AlarmRule.from_record({**about, "severity": "MAJOR", "response": "SOON"}).encode()]


def expressed_definitions() -> list[bytes]:
    """The same, and rules by expressions: their library is native, and in one interpreter with the JVM."""
    about = {"kind": "EXPRESSION", "device_class": "press", "severity": "MINOR", "response": "SOON"}
    texts = {"warm": "tag.temp > 82 - deadband", "long": "mean_40s.temp > 77 && age_s.temp < 60"}
    rules = [AlarmRule.from_record({**about, "name": name, "expression": text}) for name, text in texts.items()]
    return [*alarm_definitions(), *(one.encode() for one in rules)]


def alarm_row(tag_id: int, value: float, second: int) -> Row:
    """A last value of a site's tag."""
    batch = {
        "gateway_id": f"gw-{SITES[tag_id - 1]}",
        "lane": 0,
        "closed_time_us": us(second),
        "tag_id": np.array([tag_id], dtype=np.int32),
        "time_us": np.array([us(second)]),
        "value": np.array([value]),
        "quality": np.zeros(1, dtype=np.uint16),
    }
    key = f"{batch['gateway_id']}/0".encode()
    return row(topics.LATEST.name, key, codec.encode("LatestBatch", batch), offset=second)


def alarm_rows() -> list[Row]:
    """Values that cross the limit again and again, in turn over the sites; garbage; a gateway that nobody knows."""
    rows = [alarm_row(number % len(SITES) + 1, 70.0 + number % 17, number) for number in range(200)]
    rows.append(row(topics.LATEST.name, b"gw-nowhere/0", rows[0][4], offset=900))
    return [*rows, row("device.events.north", b"1", b"garbage", offset=901)]


@pytest.mark.parametrize("parallelism", [1, 3])
def test_alarms_are_the_same_inside_flink(minicluster: MiniCluster, parallelism: int) -> None:
    env = minicluster.environment(parallelism)
    rows = alarm_rows()
    sources = alarms.Sources(
        records=env.stream.from_collection(rows, record_type()),
        definitions=env.stream.from_collection([row(topics.TAGS.name, b"1", alarm_tags()[0])], record_type()),
    )
    stream = alarms.build(env, sources, CONFIG, clock=fixed_clock, tags=alarm_tags, snapshot=expressed_definitions)
    found = run(env, stream)
    logic, expected = AlarmLogic(AlarmConfig(), NOW_US), list[Output]()
    for message in expressed_definitions():
        if codec.schema_of(message).name == "AlarmRule":
            logic.apply_rule(AlarmRule.from_record(codec.decode(message)[1]))
        else:
            logic.apply_registry(message)
    for number in range(200):
        step = logic.on_record(SITES[number % len(SITES)], "LatestBatch", codec.decode(rows[number][4])[1], NOW_US)
        expected += [Output(topics.ALARM_EVENTS.name, event.key, event.encode()) for event in step.events]
        expected += [Output(topics.ALARMS.name, alarm.key, alarm.encode()) for alarm in step.alarms]
    assert len(values(expected, topics.ALARMS)) > 50
    for topic in (topics.ALARMS, topics.ALARM_EVENTS):
        assert values(found, topic) == values(expected, topic)
    assert [record["reason"] for record in records(found, topics.REJECTED)] == ["UNDECODABLE"]


def test_tombstones_of_alarms_leave_flink(minicluster: MiniCluster) -> None:
    env = minicluster.environment(1)
    rows, ids = [], []
    for number, second in enumerate((10, 110)):
        ids.append(alarm_id(source_id("north", "hot@1"), us(second)))
        action = AlarmAction(
            action_id=UUID(int=number),
            kind=AlarmActionKind.ACKNOWLEDGE,
            site="north",
            rule="hot",
            device_id=1,
            alarm_id=ids[-1],
            by="anna",
            time_us=us(second + 1),
        )
        rows += [
            alarm_row(1, 90.0, second),
            row(topics.ALARM_ACTIONS.name, action.key, action.encode(), offset=number),
            alarm_row(1, 70.0, second + 20),
        ]
    sources = alarms.Sources(
        records=env.stream.from_collection(rows, record_type()),
        definitions=env.stream.from_collection([row(topics.TAGS.name, b"1", alarm_tags()[0])], record_type()),
    )
    config = dataclasses.replace(CONFIG, alarms=AlarmConfig(most_ended=1))
    stream = alarms.build(env, sources, config, clock=fixed_clock, tags=alarm_tags, snapshot=alarm_definitions)
    forgotten = [output for output in run(env, stream) if output.value is None]
    assert [(output.topic, output.key) for output in forgotten] == [
        (topics.ALARMS.name, str(one).encode()) for one in ids
    ]
