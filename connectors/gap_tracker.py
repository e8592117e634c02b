"""Gaps in tags' data: opened where samples may be missing, closed by the first new sample of the same tag.

Used by the machine connectors. How many samples are missing cannot be known (`samples` -1): they were lost before they
reached the gateway. A gap has the bounds of each tag: from its last sample before the loss to its first one after it.

A silence of at most one and a half sampling periods of the tag is no gap where the samples on both sides of it keep one beat: nothing fits
in between. It is a gap, however short, when the loss is `proven` (a sequence number, an overflow bit, a notification that did not arrive),
and when there is no beat to measure it by: the source did not go on but began anew (`resumed` is false), whose first values come when it
starts; a bad sample on one side alone, which comes when something breaks or is mended; a value that is older than the one before, or a
clock that was set back: the gap ends with the first sample behind its beginning.

Open gaps need not survive a restart. A gap is reported before the readings that close it are handed over, so it is durable with them at the
latest; until then `Sink.last_seen` still says where it begins. That no beat excuses it is what a connector has to know after a restart, or
to assume: `doubted` is called when there is such a gap, `doubtful` says whether there is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from connectors.readings import Readings, Seen
from schemas.definitions import TagDefinition
from schemas.events import Gap, GapItem
from schemas.quality import is_bad

_PERIODS_US = 1500
"""One and a half periods, in microseconds for each millisecond of the period."""


@dataclass(slots=True)
class _Open:
    """`code` is the quality of the sample it begins with, if it is `sampled`; `resumed`: the source keeps its tags' periods across it."""

    from_us: int
    code: int
    cause: str
    proven: bool
    resumed: bool
    sampled: bool

    @property
    def counts_anyway(self) -> bool:
        """Whether it counts however short it is."""
        return self.proven or not self.resumed

    @property
    def doubtful(self) -> bool:
        """Whether that has to be known after a restart, which goes on from the sample."""
        return self.counts_anyway and self.sampled

    def counts(self, time_us: int, code: int, period_ms: int) -> bool:
        """Whether samples may be missing before this one."""
        broke_or_mended = code != self.code and (is_bad(code) or is_bad(self.code))
        if self.counts_anyway or broke_or_mended:
            return True
        return not 0 <= time_us - self.from_us <= _PERIODS_US * period_ms


def _ignored() -> None:
    """For connectors that assume the worst after a restart."""


class GapTracker:
    """`report` is called with (device id, gap): one gap for each device and cause, with the bounds of each tag in `items`."""

    def __init__(self, report: Callable[[int, Gap], None], doubted: Callable[[], None] = _ignored) -> None:
        self._report, self._doubted = report, doubted
        self._open: dict[int, _Open] = {}

    def __len__(self) -> int:
        """Tags with an open gap."""
        return len(self._open)

    @property
    def doubtful(self) -> bool:
        """Whether a gap is open that begins with a sample and counts however short it is."""
        return any(gap.doubtful for gap in self._open.values())

    def open(
        self,
        tag: TagDefinition,
        last: Seen,
        cause: str,
        *,
        proven: bool = False,
        resumed: bool = True,
        sampled: bool = True,
    ) -> None:
        """Samples of the tag after its `last` one may be missing; without one nothing is.

        `resumed`: the source goes on as before, as far as is known. `sampled`: the `last` one is a sample, and not only a time. A gap that
        is open keeps its beginning. A proven cause takes the place of one that is not.
        """
        gap = self._open.get(tag.tag_id)
        if not last.time_us:
            return
        if gap is None:
            gap = self._open[tag.tag_id] = _Open(last.time_us, last.quality, cause, proven, resumed, sampled)
        gap.resumed = gap.resumed and resumed
        if proven and not gap.proven:
            gap.cause, gap.proven = cause, True
        if gap.doubtful:
            self._doubted()

    def repeated(self, tag: TagDefinition) -> None:
        """The tag's value is the one that was seen before: none of its samples is missing."""
        self._open.pop(tag.tag_id, None)

    def forget(self, tag: TagDefinition) -> bool:
        """The tag is no longer read. Whether its gap was open and doubtful."""
        gap = self._open.pop(tag.tag_id, None)
        return gap is not None and gap.doubtful

    def heard(self, readings: Readings, tags: Mapping[int, TagDefinition], *, resumed: bool = True) -> None:
        """Close and report the gaps that end with these readings; call it before they are handed over. `tags` by tag id.

        `resumed` is false for the first values of a source that began anew.
        """
        if self._open.keys().isdisjoint(readings.tag_id):
            return
        closed: defaultdict[str, list[tuple[TagDefinition, int, int]]] = defaultdict(list)
        for tag_id, time_us, code in zip(readings.tag_id, readings.time_us, readings.quality, strict=True):
            gap, tag = self._open.get(tag_id), tags.get(tag_id)
            if gap is not None and tag is not None and time_us < gap.from_us:
                # An older value, or a clock that was set back: the silence ends with the first sample behind its beginning.
                gap.resumed = False
                if gap.doubtful:
                    self._doubted()
                continue
            self._open.pop(tag_id, None)
            if gap is None or tag is None:
                continue
            if not resumed or gap.counts(time_us, code, tag.period_ms):
                closed[gap.cause].append((tag, gap.from_us, time_us))
        for cause, spans in closed.items():
            self.lost(spans, cause)

    def lost(self, spans: Iterable[tuple[TagDefinition, int, int]], cause: str) -> None:
        """Report a loss whose bounds are known: (tag, last time before it, first time after it), in microseconds."""
        devices: defaultdict[int, list[tuple[TagDefinition, int, int]]] = defaultdict(list)
        for span in spans:
            devices[span[0].device_id].append(span)
        for device_id, mine in devices.items():
            items = tuple(
                GapItem(tag_id=tag.tag_id, from_us=min(from_us or to_us, to_us), to_us=max(from_us, to_us))
                for tag, from_us, to_us in sorted(mine, key=lambda span: span[0].tag_id)
            )
            gap = Gap(
                lane=mine[0][0].lane,
                from_us=min(item.from_us for item in items),
                to_us=max(item.to_us for item in items),
                cause=cause,
                items=items,
            )
            self._report(device_id, gap)
