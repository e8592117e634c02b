"""Outage drill of one gateway: Kafka goes away, the gateway is killed meanwhile, Kafka comes back; every sample is accounted for.

Three trials: a minute, ten minutes, and longer than a small buffer holds. The machine is a publisher over MQTT at QoS 1: nothing is
acknowledged before it is on the gateway's disk, and the broker keeps what comes while the gateway is away, so its journal says what must
arrive end to end. A reader takes the frames as they arrive: latency of LIVE frames (from the newest sample in them), before the outage and
of those that are made while the backlog is sent; rate of the backlog.

`lost`: in the journal, not in Kafka, and in no gap event of the gateway. `doubled`: a (tag, time) in two frames of different identity.
`told`: samples in gap events; beyond the bound it is exactly what is missing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import gmqtt
import numpy as np
from confluent_kafka import Message
from gmqtt.mqtt.constants import MQTTv311

from base.ids import now_us
from base.settings import KafkaSettings
from benchmarks import open_broker
from benchmarks.edge_process import START_S, Gateway, connected, publish_tags, tag
from connectors.kafka import client as kafka
from schemas import events, frame, topics
from schemas.definitions import TagDefinition
from schemas.events import EventKind, Gap
from schemas.frame import Stream
from stack import instance, lifecycle
from stack.config import StackConfig
from stack.reporting import Progress
from stack.services import select
from stack.supervisor import Supervisor

_SITE, _GATEWAY = "drill", "gw-drill"
_TAGS = 100
_DRAIN_S = 600.0
_RECONNECT_MS = 250
_AFTERWARDS_US = 10_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One outage. `kill_at`: parts of the outage at which the gateway is killed. `max_bytes` of the buffer."""

    name: str
    outage_s: float
    max_bytes: int
    kill_at: tuple[float, ...] = (0.5,)
    beyond: bool = False


def trials(*, short_s: float, long_s: float, beyond_s: float) -> list[Trial]:
    """The drill."""
    return [
        Trial(name="short", outage_s=short_s, max_bytes=2 << 30),
        Trial(name="long", outage_s=long_s, max_bytes=2 << 30, kill_at=(0.3, 0.8)),
        Trial(name="beyond", outage_s=beyond_s, max_bytes=4 << 18, kill_at=(0.7,), beyond=True),
    ]


# --- the machine -------------------------------------------------------------------------------------------------------------


class Machine:
    """Publishes `rate` values a second over all tags, each with its own time, and remembers them: (tag number, time in µs) -> value."""

    def __init__(self, config: StackConfig, rate: float) -> None:
        self.journal: dict[tuple[int, int], float] = {}
        self._config, self._rate = config, rate
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="machine")

    def __enter__(self) -> Machine:
        """Begin to publish."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and raise what went wrong."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _main(self) -> None:
        try:
            asyncio.run(self._publish())
        except BaseException as error:  # noqa: BLE001 - raised again where it is stopped
            self._failure = error

    async def _publish(self) -> None:
        client = gmqtt.Client(f"drill-{uuid4().hex[:8]}")
        await client.connect(
            self._config.host, self._config.ports.mosquitto, version=MQTTv311
        )  # version 5 allows few at once
        begun_s = time.monotonic()
        for number in itertools.count():
            if self._stop.is_set():
                break
            # Also when it is behind: acknowledgements are read in between.
            await asyncio.sleep(max(0.0, number / self._rate - (time.monotonic() - begun_s)))
            tag, at_us, value = number % _TAGS, now_us(), float(number)
            client.publish(f"drill/{tag}", json.dumps({"t": at_us, "v": value}), qos=1)
            self.journal[tag, at_us] = value
        await asyncio.sleep(1)
        await client.disconnect()


def _drained(status: dict[str, Any]) -> bool:
    return bool(status["uplink"]["live"]) and not any(
        lane["buffered_samples"] for lane in status["lanes"] if lane["stream"] != "LIVE"
    )


# --- what arrives ------------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """Frames by identity, and when they arrived."""

    rows: dict[tuple[int, int], int] = field(default_factory=dict)
    """How many identities a (tag id, time) is in."""
    live: list[tuple[int, int]] = field(default_factory=list)
    """Arrival and newest sample of LIVE frames."""
    backlog: list[tuple[int, int]] = field(default_factory=list)
    """Arrival and samples of BACKFILL frames."""
    duplicates: int = 0
    wrong: int = 0
    gaps: list[Gap] = field(default_factory=list)


class Reader:
    """Takes everything of the site as it arrives, in a thread."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.seen = Seen()
        self._settings = settings
        self._identities: dict[Any, int] = {}
        self._next: dict[tuple[str, int], int] = {}
        self._stop = threading.Event()
        self._frames, self._events = topics.FRAMES.for_site(_SITE), topics.EVENTS.for_site(_SITE)
        self._thread = threading.Thread(target=self._main, name="reader")
        self._thread.start()

    def close(self) -> Seen:
        """What was seen, up to the ends of the topics now."""
        self._stop.set()
        self._thread.join()
        for name in (self._frames, self._events):
            for message in kafka.read_to_end(self._settings, name):
                self._take(message)
        return self.seen

    def _main(self) -> None:
        # It finds the broker before the gateway does: how long it looks is no latency of the gateway's.
        reader = kafka.Reader(self._settings, [self._frames, self._events], reconnect_backoff_max_ms=_RECONNECT_MS)
        for batch in reader.batches(self._stop):
            for message in batch:
                self._take(message)

    def _take(self, message: Message) -> None:
        partition, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        if offset < self._next.get(partition, 0):
            return
        self._next[partition] = offset + 1
        take = self._frame if partition[0] == self._frames else self._event
        take(bytes(message.value() or b""))

    def _frame(self, data: bytes) -> None:
        seen, arrived_us, one = self.seen, now_us(), frame.decode(data)
        identity = (one.epoch, one.lane, one.stream, one.sequence)
        if (known := self._identities.get(identity)) is not None:
            seen.duplicates += 1
            seen.wrong += known != one.checksum
            return
        self._identities[identity] = one.checksum
        for row in zip(one.tag_id.tolist(), one.time_us.tolist(), strict=True):
            seen.rows[row] = seen.rows.get(row, 0) + 1
        if one.stream is Stream.LIVE:
            seen.live.append((arrived_us, int(one.time_us.max())))
        else:
            seen.backlog.append((arrived_us, one.samples))

    def _event(self, data: bytes) -> None:
        event = events.decode(data)
        if event.kind is EventKind.GAP and event.gap is not None and event.gap.first_sequence is not None:
            self.seen.gaps.append(event.gap)


# --- a trial -----------------------------------------------------------------------------------------------------------------


def run(chosen: list[Trial], progress: Progress, *, rate: float, calm_s: float) -> dict[str, Any]:
    """All trials, each on an instance of its own with broker and MQTT broker alone."""
    results = {}
    for trial in chosen:
        with instance.temporary() as running:
            config = running.require("kafka")
            with progress.step(f"outage {trial.name}") as details, open_broker.running(config):
                results[trial.name] = found = _run(trial, config, rate=rate, calm_s=calm_s)
                details.append(f"{found['lost']} lost, {found['doubled']} doubled")
    totals = {name: sum(one[name] for one in results.values()) for name in ("produced", "lost", "doubled", "told")}
    replays = [one["replay_samples_per_s"] / rate for one in results.values() if one["replay_samples_per_s"]]
    live_of_calm = [
        one["live_p99_replay_s"] / one["live_p99_calm_s"]
        for one in results.values()
        if one["live_p99_replay_s"] and one["live_p99_calm_s"]
    ]
    return {
        "trials": results,
        "rate": rate,
        **totals,
        "replay_of_live": min(replays, default=None),
        "live_of_calm": max(live_of_calm, default=None),
        "passed": all(one["passed"] for one in results.values()),
    }


def _run(trial: Trial, config: StackConfig, *, rate: float, calm_s: float) -> dict[str, Any]:
    settings = publish_tags(config, _SITE, [_tag(number) for number in range(_TAGS)])
    endpoint = f"mqtt://{config.host}:{config.ports.mosquitto}"
    gateway = Gateway(
        config,
        config.state / "drill",
        gateway_id=_GATEWAY,
        site=_SITE,
        connections=[{"name": "mqtt", "protocol": "mqtt", "endpoint": endpoint, "reconnect_max_s": 1.0}],
        buffer={"segment_bytes": 1 << 18, "max_bytes": trial.max_bytes},
    )
    reader = Reader(settings)
    try:
        gateway.start()
        gateway.until(connected, "connected", START_S)
        with Machine(config, rate) as machine:
            time.sleep(calm_s)
            away_us, back_us = _outage(trial, config, gateway)
            gateway.until(_drained, "backlog sent", _DRAIN_S + trial.outage_s)
            over_us = now_us()
            time.sleep(calm_s)
        status = gateway.until(lambda s: _drained(s) and _all_sent(s), "all sent", _DRAIN_S)
        gateway.stop()
    finally:
        gateway.stop()
        seen = reader.close()
    return _judge(trial, machine.journal, seen, status, (away_us, back_us, over_us))


def _outage(trial: Trial, config: StackConfig, gateway: Gateway) -> tuple[int, int]:
    """Take Kafka away, kill the gateway meanwhile, bring Kafka back; when it went and came."""
    away_us, begun_s = now_us(), time.monotonic()
    Supervisor(config).stop("kafka")
    for part in trial.kill_at:
        time.sleep(max(0.0, begun_s + part * trial.outage_s - time.monotonic()))
        gateway.kill()
        gateway.start()
        gateway.until(lambda s: all(one["connected"] for one in s["connectors"]), "started without Kafka", START_S)
    time.sleep(max(0.0, begun_s + trial.outage_s - time.monotonic()))
    lifecycle.start(config, Progress(sink=lambda _: None), select(config, ("kafka",)))
    return away_us, now_us()


def _all_sent(status: dict[str, Any]) -> bool:
    return not any(lane["buffered_samples"] for lane in status["lanes"])


def _judge(
    trial: Trial, journal: dict[tuple[int, int], float], seen: Seen, status: dict[str, Any], at: tuple[int, int, int]
) -> dict[str, Any]:
    away_us, back_us, over_us = at
    arrived = {(tag_id - 1, time_us) for tag_id, time_us in seen.rows}
    missing = [row for row in journal if row not in arrived]
    told = sum(gap.samples for gap in seen.gaps)
    spans = [(gap.from_us, gap.to_us) for gap in seen.gaps]
    silent = [row for row in missing if not any(start <= row[1] <= end for start, end in spans)]
    rate = _rate(seen.backlog)
    doubled = sum(count > 1 for count in seen.rows.values())
    lost = len(silent) + abs(len(missing) - told)
    return {
        "produced": len(journal),
        "lost": lost,
        "doubled": doubled,
        "told": told,
        "gap_events": len(seen.gaps),
        "duplicate_frames": seen.duplicates,
        "wrong_frames": seen.wrong,
        "dropped_by_the_gateway": sum(lane["dropped_samples"] for lane in status["lanes"]),
        "backlog_samples": sum(samples for _, samples in seen.backlog),
        "replay_samples_per_s": rate,
        **live(seen.live, away_us=away_us, back_us=back_us, over_us=over_us),
        "drain_s": (over_us - back_us) / 1e6,
        "passed": lost == 0 and doubled == 0 and seen.wrong == 0 and (told > 0) == trial.beyond,
    }


def live(frames: list[tuple[int, int]], *, away_us: int, back_us: int, over_us: int) -> dict[str, float | int | None]:
    """Latency of LIVE frames, each its arrival and its newest sample, before the outage and while the backlog is sent.

    A frame that closed before Kafka was back waited for Kafka: it says how long the outage was, not what the backlog costs the frames
    beside it. Such frames are counted apart, as `live_held`. A short backlog is sent before a frame is live again: ten seconds count at
    least. `live_again_s`: from Kafka's return to the first live frame of afterwards.
    """
    until_us = max(over_us, back_us + _AFTERWARDS_US)
    calm = [arrived_us - newest_us for arrived_us, newest_us in frames if arrived_us < away_us]
    held = [newest_us for arrived_us, newest_us in frames if arrived_us >= away_us and newest_us < back_us]
    after = [(arrived_us, newest_us) for arrived_us, newest_us in frames if newest_us >= back_us]
    replay = [arrived_us - newest_us for arrived_us, newest_us in after if newest_us <= until_us]
    return {
        "live_p99_calm_s": _p99(calm),
        "live_p99_replay_s": _p99(replay),
        "live_replay_frames": len(replay),
        "live_held": len(held),
        "live_again_s": (min(arrived_us for arrived_us, _ in after) - back_us) / 1e6 if after else None,
    }


def _rate(backlog: list[tuple[int, int]]) -> float | None:
    """Samples a second between the first and the last frame of the backlog."""
    if len(backlog) < 2 or backlog[-1][0] == backlog[0][0]:
        return None
    return sum(samples for _, samples in backlog) / ((backlog[-1][0] - backlog[0][0]) / 1e6)


def _p99(latencies_us: list[int]) -> float | None:
    return float(np.percentile(latencies_us, 99)) / 1e6 if latencies_us else None


def _tag(number: int) -> TagDefinition:
    address = f"mqtt:drill/{number}#$.v;time_us=$.t"
    return tag(number + 1, f"t{number}", address, gateway_id=_GATEWAY, site=_SITE)
