"""The gateway's numbers for Prometheus.

Enters: `GatewayNumbers`, asked of the gateway at each scrape, so nothing is counted twice and nothing costs a sample anything. Leaves:
metric families, all with the label `gateway`. Counters of samples are those of the durable buffer: they survive a restart, and begin
again with a new buffer (epoch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from schemas.events import LaneHealth

Labels = tuple[str, ...]

_CONNECTION_COUNTERS = (
    ("connector_restarts", "restarts", "Times a connector was made anew after a failure"),
    ("connector_errors", "errors", "Failures of a connector, those that cost it nothing else among them"),
    ("connector_samples", "samples", "Samples a connector handed over since the start, before deadbands"),
    ("connector_gaps", "gaps", "Gap events of a connection since the start"),
)
_NOT_OWN = {"tags", *(key for _, key, _ in _CONNECTION_COUNTERS)}


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayNumbers:
    """What the gateway knows of itself at one moment.

    `connections`: status of each, as `edge.supervised` has it. `outcomes`: commands by final state.
    """

    gateway_id: str
    healthy: bool
    lanes: Sequence[LaneHealth]
    suppressed: int
    buffer_bytes: int
    oldest_age_s: float
    disk_full: bool
    live: bool
    outstanding_bytes: int
    registry_version: int
    tags: int
    connections: Sequence[Mapping[str, Any]]
    reloads: Mapping[str, int]
    refusals: int
    rules_fired: int
    commands_waiting: int
    commands_damaged: int
    outcomes: Mapping[str, int]
    refused_segments: int


class GatewayCollector(Collector):
    """Makes metric families of what `ask` answers; `ask` is called in the endpoint's thread."""

    def __init__(self, ask: Callable[[], GatewayNumbers]) -> None:
        self._ask = ask

    def describe(self) -> Iterator[Metric]:
        """Nothing: the gateway does not run yet when it is registered."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """The families, now."""
        now = self._ask()
        yield from _lanes(now)
        for name, text, value in (
            ("healthy", "1 when /health answers 200", now.healthy),
            ("buffer_bytes", "Bytes of the durable buffer on disk", now.buffer_bytes),
            ("buffer_oldest_age_seconds", "Age of the oldest entry that Kafka does not have", now.oldest_age_s),
            ("refused_segments", "Plain segments that an encrypted buffer did not take", now.refused_segments),
            ("disk_full", "1 while the buffer cannot be written", now.disk_full),
            ("uplink_live", "1 while Kafka takes what is appended", now.live),
            ("uplink_outstanding_bytes", "Bytes sent to Kafka and not confirmed", now.outstanding_bytes),
            ("registry_version", "Version of the registry in use", now.registry_version),
            ("tags", "Tags that the gateway reads", now.tags),
            ("commands_waiting", "Commands received and not begun", now.commands_waiting),
        ):
            yield _gauge(now, name, text, {(): float(value)})
        yield from _connections(now)
        reloads: dict[Labels, int] = {(name,): count for name, count in now.reloads.items()}
        yield _counter(now, "reloads", "Reloads of the configuration since the start", reloads, "outcome")
        yield _counter(now, "policy_refusals", "Commands that interlocks refused since the start", {(): now.refusals})
        yield _counter(now, "policy_rules_fired", "Rules that fired since the start", {(): now.rules_fired})
        outcomes: dict[Labels, int] = {(name,): count for name, count in now.outcomes.items()}
        yield _counter(now, "commands", "Commands by outcome since the start", outcomes, "outcome")
        text = "Times a command was asked for whose row is damaged, or plain in an encrypted journal, since the start"
        yield _counter(now, "commands_damaged", text, {(): now.commands_damaged})
        text = "Samples that deadbands held back since the start"
        yield _counter(now, "samples_suppressed", text, {(): now.suppressed})


def _lanes(now: GatewayNumbers) -> Iterator[Metric]:
    appended: dict[Labels, int] = {}
    dropped: dict[Labels, int] = {}
    waiting: dict[Labels, float] = {}
    for one in now.lanes:
        # Streams of an earlier epoch that still wait in the buffer count along.
        labels = (str(one.lane), one.stream.name)
        appended[labels] = appended.get(labels, 0) + one.produced_samples
        dropped[labels] = dropped.get(labels, 0) + one.dropped_samples
        waiting[labels] = waiting.get(labels, 0.0) + one.buffered_samples
    yield _counter(now, "samples", "Samples appended to the durable buffer", appended, "lane", "stream")
    yield _counter(now, "samples_dropped", "Samples dropped from the full buffer", dropped, "lane", "stream")
    yield _gauge(now, "buffered_samples", "Samples that Kafka does not have yet", waiting, "lane", "stream")


def _connections(now: GatewayNumbers) -> Iterator[Metric]:
    """Of each connection; a connector's own numbers (rebirths requested, refused items, ...) under the names of its status page."""
    for name, key, text in (
        ("connector_connected", "connected", "1 while a connector has its connection"),
        ("connector_tags", "tags", "Tags that the registry gives to a connection"),
    ):
        levels: dict[Labels, float] = {(one["name"],): float(one[key]) for one in now.connections if key in one}
        yield _gauge(now, name, text, levels, "connector")
    for name, key, text in _CONNECTION_COUNTERS:
        counts: dict[Labels, int] = {(one["name"],): int(one[key]) for one in now.connections}
        yield _counter(now, name, text, counts, "connector")
    own: dict[Labels, float] = {
        (str(one["name"]), key): float(value)
        for one in now.connections
        for key, value in one.items()
        if type(value) in (int, float) and key not in _NOT_OWN
    }
    yield _gauge(
        now, "connector_status", "A connector's own numbers, by their names on /status", own, "connector", "number"
    )


def _counter(now: GatewayNumbers, name: str, text: str, values: Mapping[Labels, int], *labels: str) -> Metric:
    family = CounterMetricFamily(f"millrace_gateway_{name}", text, labels=("gateway", *labels))
    for key, value in values.items():
        family.add_metric((now.gateway_id, *key), value)
    return family


def _gauge(now: GatewayNumbers, name: str, text: str, values: Mapping[Labels, float], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"millrace_gateway_{name}", text, labels=("gateway", *labels))
    for key, value in values.items():
        family.add_metric((now.gateway_id, *key), value)
    return family
