"""What the writer of the audit log keeps up with: events in Kafka, entries that a signed checkpoint speaks of.

The writer is a process of its own, as on the line, beside a broker; nothing else runs. First events come at a steady rate: an event's
delay is from its own time until a checkpoint has it. Then many wait already, and the writer takes them as fast as it can. At the end the
verifier checks the whole log, which has to have every event.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from audit import entries, notes
from audit.errors import AuditError
from audit.tiles import Readable
from base import ids
from base.settings import KafkaSettings
from benchmarks.figures import percentiles
from connectors.kafka import admin
from connectors.kafka import client as kafka
from millrace_verify import log as verifier
from millrace_verify.note import Key
from schemas import topics
from schemas.audit import AuditEvent, Outcome
from stack import instance, render
from stack.config import ROOT, StackConfig
from stack.reporting import Progress

_TICK_S, _PATIENCE_S = 0.02, 120.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the scenario."""
    parser.add_argument("--rate", type=int, default=1_000, help="events a second, steady")
    parser.add_argument("--seconds", type=float, default=30, help="of steady events")
    parser.add_argument("--waiting", type=int, default=60_000, help="events that wait for the writer")


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """On an instance of its own with Kafka alone."""
    with instance.temporary() as running:
        with progress.step("broker") as details:
            config = running.require("kafka")
            settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
            admin.apply(settings, ())
            details.append(config.bootstrap_servers)
        bench = _Bench(config, settings)
        with progress.step(f"{options.rate} events/s for {options.seconds:g} s") as details, bench.writer() as writer:
            before = writer.cpu_times()
            delays_ms = bench.steady(options.rate, options.seconds)
            after = writer.cpu_times()
            cpu_s = after.user + after.system - before.user - before.system
            memory_mb = writer.memory_info().rss / 1e6
            details.append(f"{len(delays_ms)} events")
        with progress.step(f"{options.waiting} events wait") as details:
            bench.send(options.waiting)
            with bench.writer():
                # Starting it is not writing.
                bench.wait(bench.sent - options.waiting + 1)
                first, began_s = bench.published(), time.monotonic()
                bench.wait(bench.sent)
                per_s = (bench.sent - first) / (time.monotonic() - began_s)
            details.append(f"{per_s:,.0f} events/s")
        with progress.step("verified") as details:
            exact = bench.exact()
            details.append(f"{bench.sent} events, {'exact' if exact else 'NOT exact'}")
    return {
        "rate_per_s": options.rate,
        **percentiles(delays_ms),
        "cores": cpu_s / options.seconds,
        "memory_mb": memory_mb,
        "drain_events_per_s": per_s,
        "events": bench.sent,
        "exact": exact,
    }


class _Bench:
    """Events that are sent, and how far the log has them."""

    def __init__(self, config: StackConfig, settings: KafkaSettings) -> None:
        self._config = config
        self._producer = kafka.producer(settings)
        self.folder, self.sent = config.data / "audit", 0
        render.write(
            render.audit_file(config), render.audit(config) | {"kafka": {"bootstrap_servers": config.bootstrap_servers}}
        )

    @contextmanager
    def writer(self) -> Iterator[psutil.Process]:
        """The writer, until the end of the block."""
        command = [sys.executable, "-m", "audit", "--config", str(render.audit_file(self._config))]
        with (
            (self._config.logs / "audit.log").open("ab") as log,
            subprocess.Popen(command, cwd=ROOT, stderr=log) as process,
        ):
            try:
                self.wait(self.published())
                yield psutil.Process(process.pid)
            finally:
                process.terminate()

    def send(self, count: int) -> None:
        """Send events; returns when the broker has them."""
        events = (_event(self.sent + number) for number in range(count))
        kafka.send(
            self._producer, topics.AUDIT.name, ((one.key, one.encode()) for one in events), timeout_s=_PATIENCE_S
        )
        self.sent += count

    def steady(self, rate: int, seconds: float) -> list[float]:
        """Send at a rate; milliseconds from each event's time until a checkpoint speaks of it, as seen every 20 ms."""
        times_us: list[int] = []
        delays_ms: list[float] = []
        began_s = time.monotonic()
        count, before = int(rate * seconds), self.sent
        while len(delays_ms) < count:
            if time.monotonic() - began_s > seconds + _PATIENCE_S:
                msg = f"{count - len(delays_ms)} of {count} events are not in the log after {_PATIENCE_S:g} s"
                raise AuditError(msg)
            due = min(count, int((time.monotonic() - began_s) * rate))
            for number in range(len(times_us), due):
                event = _event(self.sent + number)
                times_us.append(event.time_us)
                self._producer.produce(topics.AUDIT.name, value=event.encode(), key=event.key)
            self._producer.poll(_TICK_S)
            there, now_us = self.published() - before, ids.now_us()
            delays_ms += [(now_us - at_us) / 1e3 for at_us in times_us[len(delays_ms) : there]]
        self.sent += count
        return delays_ms

    def published(self) -> int:
        """Events that the newest checkpoint speaks of; the first entry is the key."""
        try:
            return Readable(self.folder).size - 1
        except AuditError:
            return 0

    def wait(self, count: int) -> None:
        """Until so many events are published."""
        ends_s = time.monotonic() + _PATIENCE_S
        while self.published() < count:
            if time.monotonic() > ends_s:
                msg = f"{self.published()} of {count} events are in the log after {_PATIENCE_S:g} s"
                raise AuditError(msg)
            time.sleep(_TICK_S)

    def exact(self) -> bool:
        """Whether the verifier holds the log, and each event is in it once, in its order."""
        origin = str(render.audit(self._config)["origin"])
        keys = [Key.parse(one.known_as) for one in notes.read_keys(self._config.secrets / "audit", origin)]
        verifier.check(self.folder, keys, [self._config.data / "audit-copies"])
        said = map(entries.fields_of, (entry for _, entry in Readable(self.folder).oldest_first()))
        names = [fields["name"] for fields in said if entries.OWN not in fields]
        return names == [f"event {number}" for number in range(self.sent)]


def _event(number: int) -> AuditEvent:
    """As large as one of a command."""
    return AuditEvent(
        service="bench",
        action="command:submit",
        outcome=Outcome.ALLOW,
        subject="6f1c2a9e-0b07-4d55",
        credential="issuer",
        amr=("pwd", "otp"),
        method="CommandService/SubmitCommand",
        name=f"event {number}",
        path="acme/north/forming/line-1/blanking/press-01",
        policies=("command-where-granted", "one-person-is-enough-unless-a-policy-says-otherwise"),
        policy_version="9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab",
        reason="a new mould",
        before='{"speed_setpoint":12.5}',
        after='{"parameters":{"speed_setpoint":20.0},"requires_approval":false}',
    )
