"""From the metrics of a message to samples of tags, with the gaps between them.

Enters: messages that were read whole, of devices that were born. Leaves, to a `Sink`: readings, live and historical apart.
Births repeat current values: the same value with the same time is not a new sample, another value with the same time is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from base.ids import Clock
from connectors.gap_tracker import GapTracker
from connectors.readings import Readings, Seen, Sink
from connectors.sparkplug.names import Topic
from connectors.sparkplug.nodes import Device
from connectors.sparkplug.notices import Notices
from connectors.sparkplug.payload import Metric, Payload, Value
from schemas import quality
from schemas.definitions import TagDefinition


class Samples:
    """Samples of one connector's tags. `on_value` sees every (tag id, value) that is new."""

    def __init__(self, sink: Sink, clock: Clock, notices: Notices, on_value: Callable[[int, Value], None]) -> None:
        self._sink, self._clock, self._notices, self._on_value = sink, clock, notices, on_value
        self._tags: dict[str, TagDefinition] = {}
        self._by_id: dict[int, TagDefinition] = {}
        self._last: dict[int, Seen] = {}
        self._gaps = GapTracker(notices.gap)
        self.repeats = 0

    def update(self, tags: Mapping[str, TagDefinition]) -> None:
        """Take over the tags by address."""
        by_id = {tag.tag_id: tag for tag in tags.values()}
        for tag_id, tag in self._by_id.items():
            if tag_id not in by_id:
                self._gaps.forget(tag)
        self._tags, self._by_id = dict(tags), by_id
        for tag in tags.values():
            if tag.tag_id not in self._last:
                seen = self._last[tag.tag_id] = self._sink.last_seen(tag.tag_id)
                self._gaps.open(tag, seen, "the gateway was not running")

    def lost(self, tags: Iterable[TagDefinition], cause: str, *, proven: bool = False) -> None:
        """Samples of the tags may be missing, or are when it is `proven`, from their last ones on."""
        for tag in tags:
            self._gaps.open(tag, self._last[tag.tag_id], cause, proven=proven)

    def take(self, topic: Topic, prefix: str, device: Device, message: Payload, *, birth: bool = False) -> None:
        """Hand over the values of a message; `prefix` and a metric's name are its address."""
        live, historical = Readings(), Readings(historical=True)
        for metric in message.metrics:
            known = device.metrics.get(metric.name)
            tag = known.tag if known is not None else self._tags.get(prefix + metric.name)
            if tag is None:
                continue
            if metric.refused:
                self._notices.refuse(str(topic), f"{metric.name}: {metric.refused}", tag.device_id)
            elif metric.historical:
                self._add(historical, tag, metric, message)
            elif birth and self._is_repeated(tag, metric, message):
                self.repeats += 1
                self._gaps.repeated(tag)
            else:
                self._add(live, tag, metric, message)
                self._last[tag.tag_id] = Seen.of(live.time_us[-1], metric.value, live.quality[-1])
                self._on_value(tag.tag_id, metric.value)
        if len(live):
            # Many nodes give the values of a birth its time.
            self._gaps.heard(live, self._by_id, resumed=not birth)
            self._sink.readings(live)
        if len(historical):
            self._sink.readings(historical)

    def _add(self, readings: Readings, tag: TagDefinition, metric: Metric, message: Payload) -> None:
        code = quality.from_sparkplug(metric.quality)
        readings.add(tag.tag_id, self._time_us(metric, message), metric.value, code)

    def _time_us(self, metric: Metric, message: Payload) -> int:
        """Time of the metric, then of the message, then the gateway's."""
        time_ms = message.time_ms if metric.time_ms is None else metric.time_ms
        return time_ms * 1000 if time_ms else self._clock()

    def _is_repeated(self, tag: TagDefinition, metric: Metric, message: Payload) -> bool:
        last = self._last.get(tag.tag_id)
        if last is None or last.time_us != self._time_us(metric, message):
            return False
        return last.repeats(metric.value, quality.from_sparkplug(metric.quality))
