"""The past of a line: a week (`simulator.week`) that an edge node has stored and sends late, as Sparkplug's historical values.

Enters: the devices of one edge node, the end of the week. Leaves: messages for `SparkplugNode.send_past`, each of one
device and in order of time. Called by `service`, which paces them: at QoS 0 a broker drops what its reader cannot take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from schemas import quality
from schemas.definitions import DataType
from simulator.plant import Device
from simulator.simulation import Sample
from simulator.week import LINE, make
from simulator.week.model import HOUR_US

__all__ = ["LINE", "MESSAGES_PER_S", "MESSAGE_SAMPLES", "messages", "plays"]

MESSAGE_SAMPLES = 250
MESSAGES_PER_S = 40


def messages(devices: Sequence[Device], end_us: int, days: int) -> Iterator[tuple[Device, list[Sample]]]:
    """What the machines of the line sent in the `days` before `end_us`, hour by hour."""
    week = make(datetime.fromtimestamp(end_us // 1_000_000, UTC), days=days)
    found: dict[tuple[int, Device], list[Sample]] = {}
    for device in devices:
        tags = {tag.name: tag for tag in device.tags}
        for name, series in week.samples.get(device.path, {}).items():
            tag = tags[name]
            whole = tag.data_type is DataType.INTEGER
            for time_us, value, bad in zip(
                series.time_us.tolist(), series.value.tolist(), series.bad.tolist(), strict=True
            ):
                code = quality.BAD if bad else quality.GOOD
                sample = Sample(tag, time_us, int(value) if whole else value, code, "past")
                found.setdefault((time_us // HOUR_US, device), []).append(sample)
    for (_, device), samples in sorted(found.items(), key=lambda item: (item[0][0], item[0][1].path)):
        samples.sort(key=lambda sample: sample.time_us)
        yield from ((device, samples[n : n + MESSAGE_SAMPLES]) for n in range(0, len(samples), MESSAGE_SAMPLES))


def plays(devices: Sequence[Device]) -> bool:
    """Whether these are machines of the line."""
    return any(device.path.startswith(f"{LINE}/") for device in devices)
