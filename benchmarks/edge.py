"""What one gateway carries from machines into Kafka, by protocol: an OPC UA subscription, Sparkplug B, MQTT with JSON; and without one.

Without one (`synthetic`) the machine is a connector in the gateway's process, which shows what the protocols cost. Otherwise it is a
process of its own (`benchmarks.edge_machine`), or several with `--machines`, which share the tags and the rate: one simulated machine needs
more CPU than the gateway, and over OPC UA a core of it is full before the gateway is. It sends values at a rate, each with its own time; a
reader takes the frames from Kafka. A rate is carried when every value of a measured interval arrives, and its p99 latency is below two
seconds. The rates are tried one after the other, up to the first that is not carried: by the gateway, or by the machine, which is said.

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

SITE, DEVICE, URI = "rate", "d1", "urn:millrace:bench"
_GATEWAY = "gw-rate"
_TAGS = 2_000
_WARM_UP_S = 3.0
_LATE_S = 2.0
_READY_S, _ARRIVE_S, _QUIET_S = 120.0, 30.0, 3.0
SYNTHETIC = edge_synthetic.SYNTHETIC.name
PROTOCOLS = ("opcua", "sparkplug", "mqtt", SYNTHETIC)
_ADDRESSES = {
    "opcua": "line-{machine}:nsu=" + URI + ";s=t{number}",
    "sparkplug": f"line-0:{SITE}/{{node}}/{DEVICE}/t{{number}}",
    "mqtt": "line-0:rate/t{number}#$.v;time_us=$.t",
    SYNTHETIC: "line-0:t{number}",
}
_MOST_MACHINES = 8


def node(first: int) -> str:
    """Name of the Sparkplug node of the machine whose tags begin with this number."""
    return f"n{first}"


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
        "--machines",
        type=int,
        default=1,
        choices=range(1, _MOST_MACHINES + 1),
        metavar="N",
        help=f"simulated machines that share tags and rate, at most {_MOST_MACHINES}; `{SYNTHETIC}` has one (default 1)",
    )
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
            load = Load(protocol=protocol, machines=1 if protocol == SYNTHETIC else options.machines, rate=rate)
            rows.append(_try(load, options.seconds, progress))
            if options.signatures:
                signed_rows.append(_try(load, options.seconds, progress, signed=True))
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
    return {**result, "tags": _TAGS, "machines": options.machines, "tables": tables}


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What the gateway is given: values a second of a protocol, from so many machines together."""

    protocol: str
    machines: int
    rate: float

    def numbers(self, machine: int) -> range:
        """Tags of a machine."""
        return range(machine * _TAGS // self.machines, (machine + 1) * _TAGS // self.machines)

    def tags(self) -> list[TagDefinition]:
        """Of all machines."""
        return [_tag(self.protocol, machine, number, self.numbers(machine).start)
            for machine in range(self.machines) for number in self.numbers(machine)]  # fmt: skip

    def endpoints(self, config: StackConfig) -> list[str]:
        """Of the gateway's connections: a server each, or one broker."""
        if self.protocol == "opcua":
            return [f"opc.tcp://{config.host}:{config.ports.base + 998 - machine}" for machine in range(self.machines)]
        return [f"mqtt://{config.host}:{config.ports.mosquitto}"]


def _try(load: Load, seconds: float, progress: Progress, *, signed: bool = False) -> Row:
    """One rate, on an instance of its own."""
    title = f"{load.protocol} at {load.rate}/s{', signed' if signed else ''}"
    with instance.temporary() as running, progress.step(title) as details:
        config = running.require("kafka")
        with open_broker.running(config):
            found = _measure(config, load, seconds, signed=signed)
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


class _Machines:
    """Of a protocol: processes beside the gateway, that send when they are told to."""

    def __init__(self, load: Load, endpoints: list[str]) -> None:
        self._processes = []
        for machine in range(load.machines):
            tags, endpoint = load.numbers(machine), endpoints[machine % len(endpoints)]
            command = [
                sys.executable, "-m", "benchmarks.edge_machine", load.protocol, endpoint, str(tags.start), str(len(tags)),
                str(load.rate * len(tags) / _TAGS),
            ]  # fmt: skip
            self._processes.append(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        # OPC UA and Sparkplug say every value first: until then not all is subscribed.
        self.says_first = 0 if load.protocol == "mqtt" else _TAGS

    def wait(self) -> None:
        """Until all can be connected to."""
        self._heard()

    def go(self) -> None:
        """Begin."""
        self._tell("go")

    def sent(self, from_us: int, to_us: int) -> int:
        """Stop; how many values had times in the span."""
        self._tell(f"stop {from_us} {to_us}")
        return sum(map(int, self._heard()))

    def end(self) -> None:
        """Kill them."""
        for process in self._processes:
            process.kill()
            process.communicate()  # closes its pipes too

    def _heard(self) -> list[str]:
        return [process.stdout.readline() for process in self._processes if process.stdout is not None]

    def _tell(self, order: str) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{order}\n")
            process.stdin.flush()


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


def _measure(config: StackConfig, load: Load, seconds: float, *, signed: bool = False) -> Row:
    settings = publish_tags(config, SITE, load.tags())
    endpoints, journal = load.endpoints(config), config.state / "synthetic.journal"
    own: dict[str, dict[str, Any]] = {
        "sparkplug": {"group_id": SITE},
        "opcua": {"reconnect_max_s": 1.0},
        SYNTHETIC: {"rate": float(load.rate), "journal": str(journal)},
    }
    gateway = Gateway(
        config, config.state / "rate", gateway_id=_GATEWAY, site=SITE,
        connections=[
            {"name": f"line-{number}", "protocol": load.protocol, "endpoint": endpoint, **own.get(load.protocol, {})}
            for number, endpoint in enumerate(endpoints)
        ],
        program="benchmarks.edge_synthetic" if load.protocol == SYNTHETIC else "edge",
        **(edge_process.signing(config, _GATEWAY) if signed else {}),
    )  # fmt: skip
    arrived, stop = Arrived(), threading.Event()
    reader = threading.Thread(target=_read, args=(settings, stop, arrived), name="reader")
    machine = _Within(journal) if load.protocol == SYNTHETIC else _Machines(load, endpoints)
    try:
        machine.wait()
        gateway.start()
        gateway.until(connected, "connected", START_S)
        gateway.until(
            lambda status: sum(one["samples"] for one in status["connectors"]) >= machine.says_first,
            "all values seen once",
            _READY_S,
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
    return judge(arrived, sent, (from_us, to_us), load.rate, cores=cores, memory_mb=memory_mb)


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


def _tag(protocol: str, machine: int, number: int, first: int) -> TagDefinition:
    address = _ADDRESSES[protocol].format(machine=machine, number=number, node=node(first))
    # Not even for OPC UA does a server sample: it tells of each value that is set.
    return tag(number + 1, f"t{number}", address, gateway_id=_GATEWAY, site=SITE, period_ms=10)
