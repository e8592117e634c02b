"""The report of a replay as text.

Enters: a `Report`, an `Outcome`, paths of tags. Leaves: lines for people. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from base.moments import written_ms
from historian.replay.claims import Standing
from historian.replay.frames import WHOLE
from historian.replay.run import Example, Outcome, Report

_EARLIEST_US, _LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999


def found(report: Report, paths: Mapping[int, tuple[str, str]]) -> Iterator[str]:
    """What was found, by reason and tag; `paths` gives path and unit of a tag."""
    for (reason, tag_id), group in sorted(report.groups.items()):
        path, unit = paths.get(tag_id, (f"tag {tag_id}, not in the registry", ""))
        counts = ", ".join(
            f"{group.samples[standing]} samples in {group.frames[standing]} frames {standing.value}"
            for standing in Standing
            if group.frames[standing]
        )
        yield f"{reason} {'whole records' if tag_id == WHOLE else path}: {counts}"
        yield from (f"    {_example(each, unit)}" for each in group.examples)
    for why, count in sorted((+report.kept).items()):
        yield f"{count} kept as {'it is' if count == 1 else 'they are'}, {why}"
    if not report.groups and not +report.kept:
        yield "nothing is refused for these reasons, in this time, of these tags"


def _example(one: Example, unit: str) -> str:
    suffix = "" if unit in ("", "1") else f" {unit}"
    before, after = f"{_time(one.time_us)} {one.value!r}{suffix}", f"{_time(one.new_time_us)} {one.new_value!r}{suffix}"
    return (
        before if (one.time_us, repr(one.value)) == (one.new_time_us, repr(one.new_value)) else f"{before} -> {after}"
    )


def _time(time_us: int) -> str:
    if not _EARLIEST_US <= time_us <= _LATEST_US:
        return f"{time_us} us"
    return written_ms(time_us)


def would_send(report: Report) -> str:
    """Last line of a dry run."""
    samples = sum(report.count(standing) for standing in Standing if standing.to_send)
    return f"dry run: {samples} samples would be sent ({report.correction.name}); nothing was"


def done(report: Report, outcome: Outcome | None) -> Iterator[str]:
    """What was sent and what became of it; without an outcome nobody waited."""
    if elsewhere := report.count(Standing.ELSEWHERE):
        yield f"{elsewhere} samples are under way with another correction and were left alone: repeat that one first"
    yield f"sent {report.sent_samples} samples in {len(report.sent)} frames ({report.correction.name})"
    if outcome is None or not report.sent:
        return
    yield f"arrived: {outcome.stored} stored, {outcome.suppressed} suppressed, {outcome.rejected} refused again"
    if outcome.whole:
        yield f"{outcome.whole} records were sent as they had come, and are counted with their own lanes"
    if outcome.missing_frames:
        yield f"{outcome.missing_frames} frames have not arrived yet: the same command again waits for them, and stores nothing twice"
