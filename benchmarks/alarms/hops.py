"""Where the time of an alarm goes: from the frame that shows it to a person, by hop. `table` is pure.

Enters: excursions, frames of their sites, and the records of the alarms job. Leaves: milliseconds by hop. All clocks are the machine's
own. The frame that shows an alarm is the first that has a sample of its tag beyond the limit, whether or not that sample became the
alarm's start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from base.settings import KafkaSettings
from benchmarks import figures
from benchmarks.alarms.excursions import Excursion
from connectors.kafka import client as kafka
from schemas import frame, topics

HOPS = {
    "closed_to_seen": ("closed", "seen"),
    "closed_to_page_feed": ("closed", "stream"),
    "source_to_seen": ("source", "seen"),
    "source_to_closed": ("source", "closed"),
    "closed_to_produced": ("closed", "produced"),
    "produced_to_recorded": ("produced", "recorded"),
    "recorded_to_sent": ("recorded", "sent"),
    "sent_to_seen": ("sent", "seen"),
    "acknowledge_asked_to_answered": ("asked", "answered"),
    "acknowledge_asked_to_seen": ("asked", "acknowledged"),
    "over_to_normal_seen": ("over", "normal"),
}
"""Hop: from which time to which. `source`, `closed` and `produced` are the frame's, `recorded` is the job's, `sent` serving's, the rest the
operator's."""


class Shown(NamedTuple):
    """The frame that shows an excursion: source time of its sample, its close, and when it was in Kafka; microseconds since 1970."""

    source_us: int
    closed_us: int
    produced_us: int


def shown_by(excursions: Sequence[Excursion], messages: Iterable[tuple[bytes, int]]) -> dict[int, Shown]:
    """By number of the excursion. Messages are frames of its site in any order, each with its time in Kafka."""
    of_tag: dict[int, list[Excursion]] = {}
    for one in excursions:
        of_tag.setdefault(one.target.tag_id, []).append(one)
    watched = np.array(sorted(of_tag), dtype=np.int64)
    found: dict[int, Shown] = {}
    for value, produced_us in messages:
        made = frame.decode(value)
        tag_id, time_us, values = made.tag_id, made.time_us, made.value
        for row in np.flatnonzero(np.isin(tag_id, watched)):
            for one in of_tag[int(tag_id[row])]:
                beyond = values[row] > one.target.limit and one.put_us <= time_us[row] <= (one.over_us or time_us[row])
                if beyond and (one.number not in found or time_us[row] < found[one.number].source_us):
                    found[one.number] = Shown(int(time_us[row]), made.closed_time_us, produced_us)
    return found


def read_frames(settings: KafkaSettings, excursions: Sequence[Excursion]) -> dict[int, Shown]:
    """`shown_by`, from the topics of a line."""
    found = dict[int, Shown]()
    for site in sorted({one.target.site for one in excursions}):
        mine = [one for one in excursions if one.target.site == site]
        frames = kafka.read_to_end(settings, topics.FRAMES.for_site(site))
        found |= shown_by(mine, ((one.value() or b"", one.timestamp()[1] * 1000) for one in frames))
    return found


def table(
    excursions: Iterable[Excursion], shown: Mapping[int, Shown], recorded: Mapping[UUID, tuple[int, int]]
) -> dict[str, Any]:
    """Quantiles of each hop, over the excursions that have both of its ends."""
    steps = []
    for one in excursions:
        by, record = shown.get(one.number), recorded.get(one.alarm_id) if one.alarm_id else None
        steps.append(
            {
                "source": by.source_us if by else 0,
                "closed": by.closed_us if by else 0,
                "produced": by.produced_us if by else 0,
                "recorded": record[0] if record else 0,
                "sent": one.sent_us,
                "seen": one.seen_us,
                "stream": one.stream_us,
                "asked": one.asked_us,
                "answered": one.answered_us,
                "acknowledged": one.acknowledged_seen_us,
                "over": one.over_us,
                "normal": one.normal_seen_us,
            }
        )
    return {
        hop: figures.percentiles([(step[end] - step[start]) / 1000 for step in steps if step[start] and step[end]])
        for hop, (start, end) in HOPS.items()
    }


def rows(hops: Mapping[str, Mapping[str, float]]) -> list[list[Any]]:
    """For a table of a report."""
    return [
        [hop.replace("_", " "), *(found.get(f"{name}_ms") for name in ("p50", "p95", "p99", "max"))]
        for hop, found in hops.items()
    ]


COLUMNS = ["hop", "p50 ms", "p95 ms", "p99 ms", "max ms"]
