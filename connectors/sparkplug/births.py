"""What a birth declares: metrics by name, names by alias, and what of it cannot be used. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from connectors.sparkplug import payload
from connectors.sparkplug.nodes import Device, KnownMetric
from connectors.sparkplug.payload import Metric, Payload
from schemas.definitions import TagDefinition

_CONTROL = "Node Control/"


def is_own(metric: Metric) -> bool:
    """Whether a metric is the plant's, not Sparkplug's own."""
    return bool(metric.name) and metric.name != payload.BDSEQ_METRIC and not metric.name.startswith(_CONTROL)


def declared(message: Payload, prefix: str, tags: Mapping[str, TagDefinition]) -> Device:
    """The device of a birth, online; `prefix` is what stands before a metric's name in its address.

    An alias that several metrics have stands for none of them; their names do.
    """
    device = Device(online=True)
    own = [metric for metric in message.metrics if is_own(metric)]
    counts = Counter(metric.alias for metric in own if metric.alias is not None)
    device.ambiguous = frozenset(alias for alias, count in counts.items() if count > 1)
    for metric in own:
        address = prefix + metric.name
        device.metrics[metric.name] = KnownMetric(
            address, metric.name, metric.data_type, part=metric.part, tag=tags.get(address)
        )
        device.types[metric.name] = metric.data_type
        if metric.alias is not None and metric.alias not in device.ambiguous:
            device.names[metric.alias] = metric.name
    for alias, name in message.structures.items():
        device.names.setdefault(alias, name)
    return device
