"""Values for `bench watch`, from a process of its own: each lane's batch goes to Kafka at its time, whatever readers do (open loop).

It writes `telemetry.latest` as the telemetry job does; the source time of every value is the time at which its frame was due. How late
the source was itself is its result: what it is late, readers are late too.
"""

from __future__ import annotations

import numpy as np

from base import ids
from base.settings import KafkaSettings
from benchmarks.watch.plan import GATEWAY, Plan
from benchmarks.watch.worker import Signals
from connectors.kafka import client as kafka
from schemas import codec, topics
from schemas.frame import lane_key

_LOOK_S = 0.05


def run(plan: Plan, settings: KafkaSettings, start_us: int, signals: Signals) -> list[tuple[int, float]]:
    """Publish until told to stop; of each batch when it was due, and milliseconds until it was handed to the producer."""
    producer = kafka.producer(settings, linger_ms=0)
    outbox = kafka.Outbox(producer, topics.LATEST.name)
    tag_ids = [plan.tag_ids(lane) for lane in range(plan.lanes)]
    behind = []
    for due_us, lane in plan.due(start_us):
        while not signals.stopped and (left_s := (due_us - ids.now_us()) / 1e6) > 0:
            producer.poll(min(left_s, _LOOK_S))
        if signals.stopped:
            break
        tags = tag_ids[lane]
        record = {
            "gateway_id": GATEWAY, "lane": lane, "closed_time_us": due_us, "tag_id": tags, "time_us": np.full(len(tags), due_us),
            "value": np.full(len(tags), float(due_us // plan.period_us)), "quality": np.zeros(len(tags), np.uint16),
        }  # fmt: skip
        behind.append((due_us, (ids.now_us() - due_us) / 1000))
        outbox.put(lane_key(GATEWAY, lane).encode(), codec.encode("LatestBatch", record))
    outbox.wait(30)
    return behind
