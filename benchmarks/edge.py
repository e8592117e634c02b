"""What one gateway carries from machines into Kafka, by protocol: an OPC UA subscription, Sparkplug B, MQTT with JSON; and without one.

Without one (`synthetic`) the machine is a connector in the gateway's process, which shows what the protocols cost. Otherwise it is a
process of its own (`benchmarks.edge_machine`). It sends values at a rate, each with its own time; a reader takes the frames from Kafka. A
rate is carried when every value of a measured interval arrives, and its p99 latency is below two seconds. The rates are tried one after
the other, up to the first that is not carried: by the gateway, or by the machine, which is said.

With `--signatures` each rate is tried with signatures of frames too, right after, and the CPU is compared for a value and for a frame.

The CPU and the memory are of the gateway's process alone. Bytes to Kafka are those of the frames as they are on the wire, uncompressed as
the gateway sends them; bytes from the machine are what its protocol needs (payloads of MQTT; not counted for OPC UA).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from base.ids import now_us
from base.settings import KafkaSettings
from benchmarks import edge_process, edge_synthetic, open_broker
from benchmarks.edge_process import START_S, Gateway, connected, publish_tags, tag
from connectors.kafka import client as kafka
from schemas import frame, topics
from schemas.definitions import TagDefinition
from schemas.frame import Frame
from stack import instance
from stack.config import ROOT, StackConfig
from stack.reporting import Progress

SITE, NODE, DEVICE, URI = "rate", "n1", "d1", "urn:millrace:bench"
_GATEWAY = "gw-rate"
_TAGS = 2_000
_WARM_UP_S = 3.0
_LATE_S = 2.0
_READY_S, _ARRIVE_S, _QUIET_S = 120.0, 30.0, 3.0
SYNTHETIC = edge_synthetic.SYNTHETIC.name
PROTOCOLS = ("opcua", "sparkplug", "mqtt", SYNTHETIC)
_ADDRESSES = {
    "opcua": "line:nsu=" + URI + ";s=t{number}",
    "sparkplug": f"line:{SITE}/{NODE}/{DEVICE}/t{{number}}",
    "mqtt": "line:rate/t{number}#$.v;time_us=$.t",
    SYNTHETIC: "line:t{number}",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the scenario."""
    parser.add_argument("--protocols", default=",".join(PROTOCOLS), metavar="PROTOCOL,..", help="which to measure")
    parser.add_argument(
        "--rates",
        type=int,
        nargs="*",
        default=[2_000, 5_000, 10_000, 20_000, 40_000, 80_000, 120_000, 160_000],
        help="values a second",
    )
    parser.add_argument("--seconds", type=float, default=20, help="of measuring at each rate")
    parser.add_argument(
        "--signatures", action="store_true", help="each rate without and with signatures of frames; the ratio of CPU"
    )


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """All protocols, each on an instance of its own with Kafka and the MQTT broker alone."""
    tables, result = [], dict[str, Any]()
    for protocol in filter(None, options.protocols.split(",")):
        rows: list[Row] = []
        signed_rows: list[Row] = []
        for rate in options.rates:
            rows.append(_try(protocol, rate, options.seconds, progress))
            if options.signatures:
                signed_rows.append(_try(protocol, rate, options.seconds, progress, signed=True))
            if rows[-1].problem:
                break
        carried = [row for row in rows if not row.problem]
        result |= {f"{protocol}_samples_per_s": max((row.arrived_per_s for row in carried), default=None)}
        tables.append(
            {"title": f"{protocol} into Kafka", "columns": list(Row.COLUMNS), "rows": [row.cells() for row in rows]}
        )
        if signed_rows:
            result |= {f"{protocol}_{name}": value for name, value in _compared(rows, signed_rows).items()}
            tables.append(
                {
                    "title": f"{protocol} into Kafka, signed",
                    "columns": list(Row.COLUMNS),
                    "rows": [row.cells() for row in signed_rows],
                }
            )
    return {**result, "tags": _TAGS, "tables": tables}


def _try(protocol: str, rate: float, seconds: float, progress: Progress, *, signed: bool = False) -> Row:
    """One rate, on an instance of its own."""
    title = f"{protocol} at {rate}/s{', signed' if signed else ''}"
    with instance.temporary() as running, progress.step(title) as details:
        config = running.require("kafka")
        with open_broker.running(config):
            found = _measure(config, protocol, rate, seconds, signed=signed)
        details.append(found.said())
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One rate. `problem`: why it is not carried."""

    COLUMNS = (
        "offered/s", "arrived/s", "lost", "gateway's CPU (cores)", "µs of CPU a value", "memory MB", "bytes a value to Kafka",
        "latency p50 ms", "p99 ms", "values a frame", "problem",
    )  # fmt: skip

    offered_per_s: float
    arrived_per_s: float
    lost: int
    cores: float
    memory_mb: float
    bytes_per_sample: float
    p50_ms: float
    p99_ms: float
    problem: str
    samples_per_frame: float = 0.0

    @property
    def us_per_sample(self) -> float:
        """CPU of the gateway for a value, microseconds."""
        return self.cores * 1e6 / self.arrived_per_s if self.arrived_per_s else 0.0

    def cells(self) -> list[Any]:
        """In the order of COLUMNS."""
        return [
            round(self.offered_per_s), round(self.arrived_per_s), self.lost, round(self.cores, 2), round(self.us_per_sample, 1),
            round(self.memory_mb), round(self.bytes_per_sample, 1), round(self.p50_ms), round(self.p99_ms),
            round(self.samples_per_frame), self.problem,
        ]  # fmt: skip

    def said(self) -> str:
        """For people who wait."""
        return f"{self.arrived_per_s:.0f}/s at {self.cores:.2f} cores{f', {self.problem}' if self.problem else ''}"


@dataclass
class Arrived:
    """Frames as they came: source times, latencies in seconds, and bytes."""

    time_us: list[Any] = field(default_factory=list)
    latency_s: list[Any] = field(default_factory=list)
    lengths: list[tuple[int, int]] = field(default_factory=list)

    def take(self, data: bytes, one: Frame, at_us: int) -> None:
        """A frame that arrived at `at_us`."""
        self.time_us.append(one.time_us)
        self.latency_s.append((at_us - one.time_us) / 1e6)
        self.lengths.append((len(data), one.samples))


def judge(arrived: Arrived, sent: int, span: tuple[int, int], wanted: float, *, cores: float, memory_mb: float) -> Row:
    """What of the values with times in `span` (µs) arrived; `sent` is how many there were, `wanted` the rate that was asked for. Pure."""
    seconds = (span[1] - span[0]) / 1e6
    times = np.concatenate(arrived.time_us) if arrived.time_us else np.empty(0)
    inside = (times >= span[0]) & (times < span[1])
    latency = (np.concatenate(arrived.latency_s) if arrived.latency_s else np.empty(0))[inside]
    count, size, samples = int(inside.sum()), sum(n for n, _ in arrived.lengths), sum(n for _, n in arrived.lengths)
    p50, p99 = (float(np.percentile(latency, q)) for q in (50, 99)) if count else (0.0, 0.0)
    problem = ""
    if sent < 0.95 * wanted * seconds:
        problem = f"the machine sent {sent / seconds:.0f} a second only"
    elif count < sent:
        problem = f"{sent - count} of {sent} did not arrive"
    elif p99 > _LATE_S:
        problem = f"p99 is {p99:.1f} s"
    return Row(
        offered_per_s=sent / seconds, arrived_per_s=count / seconds, lost=sent - count, cores=cores, memory_mb=memory_mb,
        bytes_per_sample=size / samples if samples else 0.0, p50_ms=p50 * 1000, p99_ms=p99 * 1000, problem=problem,
        samples_per_frame=samples / len(arrived.lengths) if arrived.lengths else 0.0,
    )  # fmt: skip


def _compared(plain: list[Row], signed: list[Row]) -> dict[str, float]:
    """Medians over the rates that both carry: the ratio of the CPU of a value, and what a signed frame costs more, microseconds."""
    pairs = [both for both in zip(plain, signed, strict=True) if not any(one.problem for one in both)]
    ratios = [with_it.us_per_sample / without.us_per_sample for without, with_it in pairs]
    more_us = [
        (with_it.us_per_sample - without.us_per_sample) * with_it.samples_per_frame for without, with_it in pairs
    ]
    if not pairs:
        return {}
    return {"signed_cpu_ratio": float(np.median(ratios)), "signed_us_per_frame": float(np.median(more_us))}


class _Machine:
    """Of a protocol: a process of its own beside the gateway, that sends when it is told to."""

    def __init__(self, protocol: str, endpoint: str, rate: float) -> None:
        command = [sys.executable, "-m", "benchmarks.edge_machine", protocol, endpoint, str(_TAGS), str(rate)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # OPC UA and Sparkplug say every value first: until then not all is subscribed.
        self.says_first = 0 if protocol == "mqtt" else _TAGS

    def wait(self) -> None:
        """Until it can be connected to."""
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def go(self) -> None:
        """Begin."""
        self._tell("go")

    def sent(self, from_us: int, to_us: int) -> int:
        """Stop; how many values had times in the span."""
        self._tell(f"stop {from_us} {to_us}")
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()  # closes its pipes too

    def _tell(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()


class _Within:
    """The synthetic machine, which is a part of the gateway's process and sends from its start on."""

    says_first = 1

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def wait(self) -> None:
        """Nothing to wait for."""

    def go(self) -> None:
        """It goes already."""

    def sent(self, from_us: int, to_us: int) -> int:
        """How many values had times in the span; it ends with the gateway."""
        return edge_synthetic.sent(self._journal, from_us, to_us)

    def end(self) -> None:
        """It ends with the gateway."""


def _measure(config: StackConfig, protocol: str, rate: float, seconds: float, *, signed: bool = False) -> Row:
    settings = publish_tags(config, SITE, [_tag(protocol, number) for number in range(_TAGS)])
    endpoint, journal = _endpoint(config, protocol), config.state / "synthetic.journal"
    own: dict[str, dict[str, Any]] = {
        "sparkplug": {"group_id": SITE},
        "opcua": {"reconnect_max_s": 1.0},
        SYNTHETIC: {"rate": float(rate), "journal": str(journal)},
    }
    gateway = Gateway(
        config, config.state / "rate", gateway_id=_GATEWAY, site=SITE,
        connections=[{"name": "line", "protocol": protocol, "endpoint": endpoint, **own.get(protocol, {})}],
        program="benchmarks.edge_synthetic" if protocol == SYNTHETIC else "edge",
        **(edge_process.signing(config, _GATEWAY) if signed else {}),
    )  # fmt: skip
    arrived, stop = Arrived(), threading.Event()
    reader = threading.Thread(target=_read, args=(settings, stop, arrived), name="reader")
    machine = _Within(journal) if protocol == SYNTHETIC else _Machine(protocol, endpoint, rate)
    try:
        machine.wait()
        gateway.start()
        gateway.until(connected, "connected", START_S)
        gateway.until(
            lambda status: status["connectors"][0]["samples"] >= machine.says_first, "all values seen once", _READY_S
        )
        reader.start()
        machine.go()
        time.sleep(_WARM_UP_S)
        process = psutil.Process(gateway.pid)
        before, from_us = process.cpu_times(), now_us()
        time.sleep(seconds)
        after, to_us = process.cpu_times(), now_us()
        memory_mb = process.memory_full_info().pss / (1 << 20)
        sent = machine.sent(from_us, to_us)
        _settle(arrived, to_us)
    finally:
        machine.end()
        gateway.stop()
        stop.set()
        if reader.ident is not None:
            reader.join()
    cores = (after.user + after.system - before.user - before.system) / ((to_us - from_us) / 1e6)
    return judge(arrived, sent, (from_us, to_us), rate, cores=cores, memory_mb=memory_mb)


def _settle(arrived: Arrived, to_us: int) -> None:
    """Wait until nothing of before a time has come for three seconds, within a bound."""
    deadline = time.monotonic() + _ARRIVE_S
    frames, since = -1, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < _QUIET_S:
        if (found := sum(int(times[0]) < to_us for times in list(arrived.time_us))) != frames:
            frames, since = found, time.monotonic()
        time.sleep(0.1)


def _read(settings: KafkaSettings, stop: threading.Event, arrived: Arrived) -> None:
    for batch in kafka.Reader(settings, [topics.FRAMES.for_site(SITE)]).batches(stop):
        for message in batch:
            data = bytes(message.value() or b"")
            arrived.take(data, frame.decode(data), now_us())


def _tag(protocol: str, number: int) -> TagDefinition:
    address = _ADDRESSES[protocol].format(number=number)
    # Not even for OPC UA does a server sample: it tells of each value that is set.
    return tag(number + 1, f"t{number}", address, gateway_id=_GATEWAY, site=SITE, period_ms=10)


def _endpoint(config: StackConfig, protocol: str) -> str:
    if protocol == "opcua":
        return f"opc.tcp://{config.host}:{config.ports.base + 998}"
    return f"mqtt://{config.host}:{config.ports.mosquitto}"
