"""The telemetry job on the real cluster: savepoints, a crash, another parallelism after each, and exact all the same.

One pass serves all tests: parallelism 1, savepoint, parallelism 2, cancelled without one and restored from the savepoint
before, savepoint, parallelism 3. In it, every golden case on a gateway of its own, against the same expected files as
without a cluster; and dirty input on seven lanes, each part with frames of the part before sent again, against what the
stages alone make of it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from base import ids
from base.settings import KafkaSettings
from connectors.kafka import admin as kafka_admin
from connectors.kafka import client as kafka
from historian.records import reject_identity
from schemas import codec, definitions, frame, topics
from schemas.definitions import TagDefinition
from schemas.frame import lane_key
from stack import instance, jobs, render
from stack.config import Parallelism, StackConfig
from stages.config import CatchUpConfig, TelemetryConfig
from stages.telemetry.logic import Origin, Output, TelemetryLogic
from tests.golden.runner import CASES
from tests.golden.support import (
    GATEWAY,
    SITE,
    assert_windows_equal,
    final_windows,
    make_frame,
    publish,
    singly,
    tag,
    us,
)
from tests.golden.together import PHASES, PlacedCase, Publish, Send, identities, place_all
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(900)
LANES, FRAMES = 7, 20
PARALLELISM = (1, 2, 3)
CRASHING = 1
"""Phase that is cut short and done again from the savepoint before it."""


# --- input ---------------------------------------------------------------------------------------------------------------


def dirty_plant() -> list[TagDefinition]:
    return [
        tag(2 * lane + n, device_id=lane, lane=lane, windows_s=(1, 5), limit_high=(50.0, None)[n], detector="")
        for lane in range(LANES)
        for n in (0, 1)
    ]


def dirty_part(number: int) -> list[Send]:
    """A third of the dirty input: 10 s per lane, beginning with the last frames of the third before."""
    rng = np.random.default_rng(11)
    found: list[Send] = []
    for sequence in range(FRAMES * PHASES):
        for lane in range(LANES):
            times = sequence * 0.5 + rng.uniform(-0.4, 0.0, 20)
            drawn = zip(times, rng.normal(40, 6, 20), strict=True)
            samples = [(2 * lane + n % 2, float(at), float(value)) for n, (at, value) in enumerate(drawn)]
            if FRAMES * number - 4 <= sequence < FRAMES * (number + 1):
                message = frame.encode(make_frame(samples, sequence, lane=lane, closed_s=sequence * 0.5 + 0.1))
                found.append(Send(lane_key(GATEWAY, lane).encode(), message))
    return [*found, Send(b"nobody", b"garbage %d" % number)]


@dataclass
class Alone:
    """The stages without a cluster, fed the same, frame by frame: tells when the job has done with a phase."""

    logic: TelemetryLogic = field(
        default_factory=lambda: TelemetryLogic(TelemetryConfig(catch_up=CatchUpConfig(max_wait_s=0.0)))
    )
    outputs: list[Output] = field(default_factory=list)

    def take(self, steps: Iterable[Send | Publish]) -> list[Output]:
        """Outputs of these steps."""
        before = len(self.outputs)
        for step in steps:
            if isinstance(step, Publish):
                publish(self.logic, step.tags, step.version)
                self.outputs += self.logic.on_timer(None, us(100))
            else:
                self.outputs += self.logic.on_frame(step.value, Origin(topics.FRAMES.for_site(SITE), 0, 0), us(100))
        self.outputs += self.logic.on_timer(None, us(100))
        return self.outputs[before:]


# --- the pass ------------------------------------------------------------------------------------------------------------


@dataclass
class Pass:
    """What the job made of it, and what the stages alone did."""

    cases: dict[str, PlacedCase]
    found: list[Output]
    dirty: list[Output]


@dataclass
class Cluster:
    """Words for the pass."""

    config: StackConfig
    settings: KafkaSettings
    producer: Producer

    def send(self, steps: Iterable[Send | Publish]) -> None:
        """Records to their topics; a registry is complete before anything behind it is sent."""
        for step in steps:
            if isinstance(step, Publish):
                self.publish(step.tags, step.version)
            else:
                self.producer.produce(topics.FRAMES.for_site(SITE), key=step.key, value=step.value)
        self.producer.flush()

    def publish(self, tags: Sequence[TagDefinition], version: int) -> None:
        """Definitions and the marker behind them."""
        marker = definitions.encode_version(version, tags=len(tags), time_us=ids.now_us())
        for key, value in [*map(definitions.encode_tag, tags), marker]:
            self.producer.produce(topics.TAGS.name, key=key, value=value)
        self.producer.flush()

    def start(self, parallelism: int) -> None:
        """Submit the job, from its restore point if it has one."""
        config = dataclasses.replace(self.config, parallelism=Parallelism(telemetry=parallelism))
        render.render_all(config, ["telemetry"])
        with jobs.lock(config):
            job_id = jobs.submit(config, "telemetry")
        jobs.wait_running(config, job_id)

    def stop(self) -> str:
        """Stop the job with a savepoint."""
        with jobs.lock(self.config):
            savepoint = jobs.stop(self.config, "telemetry")
        assert savepoint
        return savepoint

    def crash(self, savepoint: str) -> None:
        """End the job without a savepoint; the next start goes back to this one, whatever checkpoints there are since."""
        with jobs.lock(self.config):
            jobs.cancel(self.config, "telemetry")
            jobs.go_on_from(self.config, "telemetry", savepoint)

    def written(self, *rows: topics.Topic) -> list[Output]:
        """What the job has written so far, in the order of time."""
        found = [
            (message.timestamp()[1], Output(row.name, message.key() or b"", message.value() or b""))
            for row in rows
            for message in kafka.read_to_end(self.settings, row.name)
        ]
        return singly(output for _, output in sorted(found, key=lambda item: item[0]))

    def wait_judged(self, wanted: Iterable[Output], *, times: int = 1) -> None:
        """Until all these frames are judged, and judged that often."""
        expected = set(identities(wanted))

        def judged() -> bool:
            counts = Counter(identities(self.written(topics.VALIDATED)))
            return all(counts[identity] >= times for identity in expected)

        eventually(judged, timeout_s=120, period_s=0.5, what="all frames are judged")


@pytest.fixture(scope="module")
def done() -> Iterator[Pass]:
    cases = place_all()
    # Golden cases are of gateways that have no certificate. Who signs what is another test's (`test_signed_line`).
    with instance.temporary(taskmanagers=max(PARALLELISM), signatures="off") as running:
        config = running.require("kafka", "flink")
        settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
        kafka_admin.apply(settings, [SITE])
        cluster = Cluster(config, settings, kafka.producer(settings))
        yield Pass({case.name: case for case in cases}, *run(cluster, cases))
        del cluster  # or its producer complains about the broker that is gone in the end


def run(cluster: Cluster, cases: list[PlacedCase]) -> tuple[list[Output], list[Output]]:
    """The whole pass; outputs of the job, and of the stages alone for the dirty input."""
    first = Publish((*dirty_plant(), *(each for case in cases for each in case.first_tags)), 1)
    golden, dirty = Alone(), Alone()
    cluster.send([first])
    for alone in (golden, dirty):
        alone.take([first])
    savepoint = ""
    for phase, parallelism in enumerate(PARALLELISM):
        steps = [step for case in cases for step in case.phases[phase]]
        part = dirty_part(phase)
        cluster.start(parallelism)
        cluster.send([*steps, *part])
        wanted = golden.take(steps) + dirty.take(part)
        cluster.wait_judged(wanted)
        if phase == CRASHING:
            cluster.crash(savepoint)
            cluster.start(parallelism)
            cluster.wait_judged(wanted, times=2)
        if phase < PHASES - 1:
            savepoint = cluster.stop()
    settle(cluster, cases)
    rows = (topics.VALIDATED, topics.REJECTED, topics.AGGREGATES, topics.LATEST, topics.LANES)
    before_the_end = cluster.written(topics.LATEST, topics.LANES)
    cluster.send([step for case in cases for step in case.closing()])
    wait_for_windows(cluster, cases, dirty.outputs)
    with jobs.lock(cluster.config):
        jobs.cancel(cluster.config, "telemetry")
    return cluster.written(*rows[:3]) + before_the_end, dirty.outputs


def settle(cluster: Cluster, cases: list[PlacedCase]) -> None:
    """Until last values and progress are those of the expected files: they are written some time after the frames."""

    def told() -> bool:
        outputs = cluster.written(topics.LATEST, topics.LANES)
        for case in cases:
            found, expected = case.outcome(outputs), case.expected()
            if (found["latest"], found["progress"]) != (expected["latest"], expected["progress"]):
                return False
        return True

    eventually(told, timeout_s=60, period_s=0.5, what="last values and progress")


def wait_for_windows(cluster: Cluster, cases: list[PlacedCase], dirty: list[Output]) -> None:
    """Until the windows of every case, and those the dirty input closed, are there with all their samples."""
    expected = final_windows(dirty)
    wanted = {
        (w["tag"] + case.base, w["size_s"], w["start_s"]): w["count"]
        for case in cases
        for w in case.expected()["windows"]
    }
    wanted |= {key: row.count for key, row in expected.items()}

    def closed() -> bool:
        found = final_windows(cluster.written(topics.AGGREGATES))
        return all(key in found and found[key].count >= count for key, count in wanted.items())

    eventually(closed, timeout_s=60, period_s=0.5, what="windows are closed")


# --- what must have come out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES.names())
def test_golden_case(done: Pass, name: str) -> None:
    case = done.cases[name]
    found, expected = case.outcome(done.found), case.expected()
    for part, value in expected.items():
        assert found[part] == value, f"{part} of {name}"


def test_dirty_input_is_exact(done: Pass) -> None:
    """Judged frames byte for byte, rejects by reason and size, windows that the frames themselves closed."""
    found = dirty_outputs(done.found)
    expected = dirty_outputs(done.dirty)
    judged = {o.value for o in expected if o.topic == topics.VALIDATED.name}
    assert len(judged) == LANES * FRAMES * PHASES
    assert {o.value for o in found if o.topic == topics.VALIDATED.name} == judged
    assert rejects(found) == rejects(expected)
    assert {reason for reason, _, _ in rejects(found)} == {"OUT_OF_RANGE", "UNDECODABLE"}
    windows, closed = final_windows(found), final_windows(expected)
    assert len(closed) > 100
    assert_windows_equal({key: windows[key] for key in closed}, closed)


def dirty_outputs(outputs: Iterable[Output]) -> list[Output]:
    """Those of the dirty input's lanes, and its garbage."""

    def ours(output: Output) -> bool:
        if output.topic == topics.REJECTED.name:
            record = codec.decode(output.value)[1]
            return record["gateway_id"] == GATEWAY or (record["original"] or b"").startswith(b"garbage")
        return output.key.startswith(f"{GATEWAY}/".encode())

    return [output for output in outputs if ours(output)]


def rejects(outputs: Iterable[Output]) -> Counter[tuple[str, int, bytes]]:
    """Refusals by reason, size and original, each once."""
    rows: dict[str, dict[str, Any]] = {}
    for output in outputs:
        if output.topic == topics.REJECTED.name:
            row = codec.decode(output.value)[1]
            rows[reject_identity(row) + repr(row["original"])] = row
    return Counter((row["reason"], row["samples"], row["original"] or b"") for row in rows.values())
