"""Samples as Sparkplug metrics: with name, alias, type and properties in a birth, with the alias alone in data."""

from __future__ import annotations

from connectors.sparkplug import payload
from connectors.sparkplug.payload import DataType, Metric
from schemas import definitions, quality
from simulator.plant import Tag
from simulator.simulation import Sample

DATA_TYPES = {
    definitions.DataType.DOUBLE: DataType.DOUBLE,
    definitions.DataType.INTEGER: DataType.INT64,
    definitions.DataType.BOOLEAN: DataType.BOOLEAN,
}
_QUALITY = {quality.GOOD: payload.QUALITY_GOOD, quality.UNCERTAIN_LAST_USABLE: payload.QUALITY_STALE}


class NodeMetric:
    """A tag with its alias, its newest sample, and that sample's number in the journal while nobody could see it."""

    __slots__ = ("alias", "newest", "tag", "unseen")

    def __init__(self, tag: Tag, alias: int) -> None:
        self.tag = tag
        self.alias = alias
        self.newest: Sample | None = None
        self.unseen: int | None = None


def birth_metric(metric: NodeMetric, sample: Sample) -> Metric:
    """The metric of a birth certificate."""
    tag = metric.tag
    properties: dict[str, payload.Value] = {"engUnit": tag.unit}
    if tag.eu is not None:
        properties |= {"engLow": tag.eu[0], "engHigh": tag.eu[1]}
    return Metric(
        name=tag.name,
        alias=metric.alias,
        time_ms=sample.time_us // 1000,
        data_type=DATA_TYPES[tag.data_type] if not _mistyped(sample) else DataType.DOUBLE,
        value=sample.value,
        properties=properties | _quality_property(sample),
    )


def data_metric(alias: int, sample: Sample, *, historical: bool = False) -> Metric:
    """The metric of a data message; a historical one was stored and is sent late."""
    return Metric(
        historical=historical,
        alias=alias,
        time_ms=sample.time_us // 1000,
        data_type=DataType.DOUBLE if _mistyped(sample) else DataType.UNKNOWN,
        value=sample.value,
        properties=_quality_property(sample),
    )


def _mistyped(sample: Sample) -> bool:
    """A fault sends a double where an integer or a boolean belongs."""
    return isinstance(sample.value, float) and sample.tag.data_type is not definitions.DataType.DOUBLE


def _quality_property(sample: Sample) -> dict[str, payload.Value]:
    if sample.quality == quality.GOOD:
        return {}
    return {payload.QUALITY_PROPERTY: _QUALITY.get(sample.quality, payload.QUALITY_BAD)}
