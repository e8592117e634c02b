"""A flood on a line: its frames, the looks at the calm list meanwhile, and the record afterwards.

Frames of a site of its own are made here, as its gateway would send them. Meanwhile the calm list is asked for again and again.
Afterwards a third is acknowledged, everything returns, the rest is acknowledged, and the record is compared: every machine's alarm once,
and the figures of EEMUA 191 with those made by hand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import psycopg

from base.ids import now_us, uuid7
from base.settings import KafkaSettings
from benchmarks import beside as telemetry_beside
from benchmarks import workload
from benchmarks.alarms import flood, line, record
from benchmarks.alarms.flood import BEYOND, GATEWAY, NORMAL, RULES, SITE, SPAN_S, Look, Machine, Sent
from benchmarks.alarms.oracle import Activation
from benchmarks.workload import Workload
from connectors.kafka import client as kafka
from millrace_client import AsyncClient, Connection, MillraceError, PreconditionError, UnavailableError
from schemas import frame, topics
from schemas.frame import ClockStatus, Frame, Stream
from stack import lifecycle, postgres
from stack.config import StackConfig
from stack.reporting import Progress
from stack.stand_in import StandIn

_TICK_S = 0.1
_LOOK_S = 0.1
_CALM_S = 5.0
_PATIENCE_S = 180.0
_ACKNOWLEDGED_SHARE = 1 / 3
_AT_ONCE = 200
Write = Callable[[Frame], None]


def run(*, beside: Workload | None, seed: int, progress: Progress) -> dict[str, Any]:
    """Bring the line up without machines, flood it, take it down."""
    machines = flood.plan(seed)
    whole = flood.plant(machines)
    if beside is not None:
        whole = telemetry_beside.with_site(whole, workload.plant(beside))
    with line.made_of(whole, flood.rules()) as config:
        names = tuple(
            name
            for name in telemetry_beside.services(config, beside or workload.load("smoke"))
            if not name.startswith(("gateway-", "simulator", "node-"))
        )
        lifecycle.up(config, progress, names=names)
        with telemetry_beside.telemetry(config, beside, seconds=2 * _PATIENCE_S) as sender:
            began_us = record.moment_us()
            with progress.step("flood") as details:
                done = asyncio.run(carry_out(config.serving_address, machines, _version(config), _writer(config)))
                details.append(f"{len(done.looks)} looks at the calm list")
            sent_hz = telemetry_beside.rate_hz(sender)
        found = flood.judge(machines, done.sent, done.looks)
        with progress.step("stored"):
            wrong = compare(postgres.dsn(config), machines, done, began_us)
            rows = record.stored(postgres.dsn(config), since_us=began_us, rules=RULES)
            wrong += record.unlike(rows, record.published(KafkaSettings(bootstrap_servers=config.bootstrap_servers)))
    wrong += found["critical_not_on_top"] + done.left
    if found["lines_max"] > flood.MOST_LINES:
        wrong.append(f"the calm list had {found['lines_max']} lines")
    return {
        "machines": len(machines),
        "critical": sum(one.critical for one in machines),
        "span_s": SPAN_S,
        "telemetry_per_s": round(sent_hz),
        **found,
        "wrong": len(wrong),
        "contradictions": wrong[:20],
    }


@dataclass(kw_only=True)
class Flooded:
    """What a flood came to: what was sent and seen, who was acknowledged, and what did not come, in words."""

    sent: Sent
    looks: list[Look]
    acknowledged: dict[UUID, str]
    left: list[str]


async def carry_out(
    address: str,
    machines: Sequence[Machine],
    version: int,
    write: Write,
    *,
    span_s: float = SPAN_S,
    calm_s: float = _CALM_S,
) -> Flooded:
    """Flood, look meanwhile, acknowledge a third, let all return, acknowledge the rest. `write` takes frames, in a thread of its own."""
    looks, stop, left = list[Look](), asyncio.Event(), list[str]()
    async with AsyncClient(Connection(address, name="bench-flood"), deadline_s=10) as client:
        ids = {tag.path: tag.tag_id async for tag in client.tags(f"acme/{SITE}")}
        gateway = _Gateway(machines, ids, version, write)
        looking = asyncio.create_task(_look(client, looks, stop))
        await gateway.send(calm_s, flooded=False)
        await _evaluated(client)
        sent = await gateway.send(span_s, flooded=True)
        if not await _until(client, lambda count: count == len(machines)):
            left.append(f"not all {len(machines)} alarms stood within {_PATIENCE_S:g} s")
        standing = [alarm async for alarm in client.alarms(f"acme/{SITE}")]
        some = standing[: round(len(standing) * _ACKNOWLEDGED_SHARE)]
        await _acknowledge(client, [alarm.alarm_id for alarm in some])
        stop.set()
        await looking
        await gateway.send(calm_s, flooded=False)
        await _acknowledge(client, [alarm.alarm_id for alarm in standing[len(some) :]])
        if not await _until(client, lambda count: count == 0):
            left.append(f"not all alarms were normal again within {_PATIENCE_S:g} s")
    acknowledged = {alarm.alarm_id: alarm.path for alarm in standing}
    return Flooded(sent=sent, looks=looks, acknowledged=acknowledged, left=left)


async def _look(client: AsyncClient, looks: list[Look], stop: asyncio.Event) -> None:
    while not stop.is_set():
        began_s = time.monotonic()
        try:
            calm = await client.calm_list(f"acme/{SITE}")
        except MillraceError:  # the next look says more
            await asyncio.sleep(_LOOK_S)
            continue
        lines = tuple((one.head.path, str(one.priority)) for one in calm.lines)
        looks.append(Look(at_us=now_us(), lines=lines, alarms=sum(one.alarms for one in calm.lines)))
        await asyncio.sleep(max(0.0, _LOOK_S - (time.monotonic() - began_s)))


async def _acknowledge(client: AsyncClient, ids: Sequence[UUID]) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        await client.acknowledge_alarms(list(ids[start : start + _AT_ONCE]), "the benchmark", action_id=uuid7())


async def _evaluated(client: AsyncClient) -> None:
    """Until the alarms job has completed a checkpoint behind the first values; raises what serving says when it does not."""
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            await client.calm_list(f"acme/{SITE}")
        except (PreconditionError, UnavailableError):
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(_LOOK_S)
        else:
            return


async def _until(client: AsyncClient, condition: Callable[[int], bool]) -> bool:
    """Wait for a number of standing alarms."""
    until_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until_s:
        page = await client.alarms_page(f"acme/{SITE}", page_size=1)
        if condition(sum(one.count for one in page.counts.standing)):
            return True
        await asyncio.sleep(1.0)
    return False


class _Gateway:
    """The flooded site's: one lane. In the flood each tag has one sample, so it is known which one an alarm began with."""

    def __init__(self, machines: Sequence[Machine], ids: Mapping[str, int], version: int, write: Write) -> None:
        self._write, self._version, self._sequence, self._epoch = write, version, 0, uuid7()
        self._machines = sorted(machines, key=lambda one: int(ids[one.path]))
        self._tag_id = np.array([ids[one.path] for one in self._machines], dtype=np.int32)
        self._at_s = np.array([one.at_s for one in self._machines])
        self._value = np.full(len(machines), NORMAL)

    async def send(self, seconds: float, *, flooded: bool) -> Sent:
        """Frames for so long: each tag leaves its limit at its moment, or all are normal, once a second."""
        sent, began_s, end = Sent(), time.monotonic(), round(seconds / _TICK_S)
        for tick in range(end):
            await asyncio.sleep(max(0.0, began_s + (tick + 1) * _TICK_S - time.monotonic()))
            if not flooded:
                self._value[:] = NORMAL
                if tick % round(1 / _TICK_S) == 0:
                    await self._send(np.arange(len(self._value)), now_us())
                continue
            chosen = np.flatnonzero((self._at_s < (tick + 1) * _TICK_S) & (self._value != BEYOND))
            self._value[chosen] = BEYOND
            at_us = now_us()
            await self._send(chosen, at_us)
            for index in chosen:
                path = self._machines[index].path
                sent.closed_us[path], sent.source_us[path] = at_us, at_us - 1
        return sent

    async def _send(self, chosen: np.ndarray[Any, np.dtype[np.int64]], at_us: int) -> None:
        if not len(chosen):
            return
        made = frame.build(
            gateway_id=GATEWAY,
            epoch=self._epoch,
            lane=0,
            stream=Stream.LIVE,
            sequence=self._sequence,
            closed_time_us=at_us,
            clock_status=ClockStatus.SYNCHRONISED,
            registry_version=self._version,
            tag_id=self._tag_id[chosen],
            time_us=np.full(len(chosen), at_us - 1),
            value=self._value[chosen],
            quality=np.zeros(len(chosen), dtype=np.uint16),
        )
        self._sequence += 1
        await asyncio.to_thread(self._write, made)


def compare(dsn: str, machines: Sequence[Machine], done: Flooded, began_us: int) -> list[str]:
    """What is stored against what was sent; the figures against those made by hand. In words; nothing where all is as it should be."""
    record.until(
        lambda: record.settled(dsn, since_us=began_us, rules=RULES, count=len(machines)), timeout_s=_PATIENCE_S
    )
    rows, source_us = record.stored(dsn, since_us=began_us, rules=RULES), done.sent.source_us
    of_path = {row.path: row for row in rows}
    found = [f"{one.path} has no alarm" for one in machines if one.path not in of_path]
    if len(rows) != len(machines):
        found.append(f"{len(rows)} alarms are stored of {len(machines)} machines")
    for row in rows:
        if row.start_us != source_us.get(row.path):
            found.append(f"{row.path} began at {row.start_us}, its sample is of {source_us.get(row.path)}")
        if row.state != "NORMAL" or row.events != record.COURSE or row.alarm_id not in done.acknowledged:
            found.append(f"{row.path} is stored as {row.state}: {', '.join(row.events)}")
    activations = [
        Activation(
            path=one.path,
            rule=RULES[one.critical],
            priority="critical" if one.critical else "medium",
            time_us=source_us[one.path],
            acknowledged_us=of_path[one.path].acknowledged_us if one.path in of_path else None,
        )
        for one in machines
    ]
    return found + record.wrong_figures(dsn, activations, began_us, record.moment_us())


def _version(config: StackConfig) -> int:
    with psycopg.connect(postgres.dsn(config)) as connection:
        row = connection.execute("SELECT version FROM registry_state").fetchone()
    assert row is not None
    return int(row[0])


def _writer(config: StackConfig) -> Write:
    producer = kafka.producer(KafkaSettings(bootstrap_servers=config.bootstrap_servers))
    stand_in = StandIn.of(config)

    def write(made: Frame) -> None:
        (value,) = stand_in.frames(made.gateway_id, [frame.encode(made)])
        kafka.send(producer, topics.FRAMES.for_site(SITE), [(made.lane_key.encode(), value)])

    return write
