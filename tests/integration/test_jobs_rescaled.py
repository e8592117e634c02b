"""The telemetry job on the real cluster: savepoints, another parallelism after each, and exact all the same.

Dirty input in three parts, each with frames of the part before sent again: what is judged, rejected and windowed is
what the stages alone make of the same records.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from connectors import kafka, kafka_admin
from schemas import codec, frame, ids, registry, topics
from schemas.frame import lane_key
from schemas.registry import TagDefinition
from schemas.settings import KafkaSettings
from stack import instance, jobs, render
from stack.config import Parallelism, StackConfig
from stages.telemetry import Origin, Output, TelemetryLogic
from tests.golden.support import assert_windows_equal, final_windows, make_frame, publish, records, tag, us
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(900)
LANES, PARTS, FRAMES = 7, 3, 20
PARALLELISM = (1, 2, 3)


def plant() -> list[TagDefinition]:
    return [
        tag(2 * lane + n, device_id=lane, lane=lane, windows_s=(1, 5), limit_high=(50.0, None)[n], detector="")
        for lane in range(LANES)
        for n in (0, 1)
    ]


def part(number: int) -> list[tuple[bytes, bytes]]:
    """Key and value of a third of the input: 10 s per lane, beginning with the last frames of the third before."""
    rng = np.random.default_rng(11)
    found: list[tuple[bytes, bytes]] = []
    for sequence in range(FRAMES * PARTS):
        for lane in range(LANES):
            times = sequence * 0.5 + rng.uniform(-0.4, 0.0, 20)
            drawn = zip(times, rng.normal(40, 6, 20), strict=True)
            samples = [(2 * lane + n % 2, float(at), float(value)) for n, (at, value) in enumerate(drawn)]
            if FRAMES * number - 4 <= sequence < FRAMES * (number + 1):
                message = frame.encode(make_frame(samples, sequence, lane=lane, closed_s=sequence * 0.5 + 0.1))
                found.append((lane_key("gw-north", lane).encode(), message))
    return [*found, (b"nobody", b"garbage %d" % number)]


def by_the_stages_alone(parts: Iterable[list[tuple[bytes, bytes]]]) -> list[Output]:
    logic, now_us = TelemetryLogic(), us(100)
    publish(logic, plant())
    messages = [message for each in parts for _, message in each]
    origin = Origin(topics.FRAMES.for_site("north"), 0, 0)
    outputs = [output for message in messages for output in logic.on_frame(message, origin, now_us)]
    return outputs + logic.on_timer(None, now_us)


@pytest.fixture(scope="module")
def cluster() -> Iterator[StackConfig]:
    with instance.temporary(taskmanagers=max(PARALLELISM)) as running:
        config = running.require("kafka", "flink")
        settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
        kafka_admin.apply(settings, ["north"])
        producer = kafka.producer(settings)
        marker = registry.encode_version(1, tags=2 * LANES, time_us=ids.now_us())
        for key, value in [*map(registry.encode_tag, plant()), marker]:
            producer.produce(topics.TAGS.name, key=key, value=value)
        producer.flush()
        del producer  # or it complains about the broker that is gone in the end
        yield config


def written(config: StackConfig, *rows: topics.Topic) -> list[Output]:
    """What the job has written so far."""
    settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    return [
        Output(row.name, message.key() or b"", message.value() or b"")
        for row in rows
        for message in kafka.read_to_end(settings, row.name)
    ]


def identities(outputs: Iterable[Output]) -> Counter[tuple[int, int]]:
    """Judged frames by lane and sequence."""
    return Counter((record["lane"], record["sequence"]) for record in records(outputs, topics.VALIDATED))


def wait_for(config: StackConfig, expected: list[Output]) -> None:
    """All frames judged, each once, and at least these windows closed."""
    frames, windows = identities(expected), final_windows(expected).keys()
    eventually(
        lambda: identities(written(config, topics.VALIDATED)) == frames,
        timeout_s=120,
        period_s=0.5,
        what="all frames judged once",
    )
    eventually(
        lambda: windows <= final_windows(written(config, topics.AGGREGATES)).keys(),
        timeout_s=120,
        period_s=0.5,
        what="windows closed",
    )


def test_exact_through_savepoints_and_other_parallelisms(cluster: StackConfig) -> None:
    settings = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers)
    producer, parts = kafka.producer(settings), [part(number) for number in range(PARTS)]
    for number, parallelism in enumerate(PARALLELISM):
        config = dataclasses.replace(cluster, parallelism=Parallelism(telemetry=parallelism))
        render.render_all(config, ["telemetry"])
        with jobs.lock(config):
            job_id = jobs.submit(config, "telemetry")
        jobs.wait_running(config, job_id)
        for key, message in parts[number]:
            producer.produce(topics.FRAMES.for_site("north"), key=key, value=message)
        producer.flush()
        wait_for(cluster, by_the_stages_alone(parts[: number + 1]))
        with jobs.lock(config):
            assert jobs.stop(config, "telemetry")
    found = written(cluster, topics.VALIDATED, topics.REJECTED, topics.AGGREGATES)
    check(found, by_the_stages_alone(parts))
    del producer


def check(found: list[Output], expected: list[Output]) -> None:
    """Judged frames byte for byte, rejects by reason and size, windows that the frames themselves closed."""
    assert Counter(o.value for o in found if o.topic == topics.VALIDATED.name) == Counter(
        o.value for o in expected if o.topic == topics.VALIDATED.name
    )

    def rejects(outputs: list[Output]) -> Counter[tuple[str, int, bytes]]:
        rows = [codec.decode(o.value)[1] for o in outputs if o.topic == topics.REJECTED.name]
        return Counter((row["reason"], row["samples"], row["original"] or b"") for row in rows)

    assert rejects(found) == rejects(expected)
    assert {reason for reason, _, _ in rejects(found)} == {"OUT_OF_RANGE", "UNDECODABLE"}
    windows, closed = final_windows(found), final_windows(expected)
    assert len(closed) > 100
    assert_windows_equal({key: windows[key] for key in closed}, closed)
