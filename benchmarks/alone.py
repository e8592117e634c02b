"""The telemetry job alone, or the pass-through in its place: a preloaded topic drained into `telemetry.validated`.

With all stages it says how much of the line is the telemetry job; `passthrough` says what the ends and Flink cost without it.
"""

from __future__ import annotations

from typing import Any

from benchmarks import cluster, outlet, processes
from benchmarks.generate import Expected
from benchmarks.line import Line
from schemas import topics


def run(line: Line, expected: Expected, *, passthrough: bool) -> dict[str, Any]:
    """Start the cluster, submit one job, measure. A duplicate passes through, and ends at the telemetry job."""
    cluster.start(line.config, line.progress)
    before = outlet.size(line.kafka, topics.VALIDATED.name)
    cluster.submit(line.config, line.progress, script="passthrough.py" if passthrough else "")
    with processes.watching(line.config) as seen:
        # The telemetry job puts small frames of a backlog together, so how many records there will be is not known.
        wanted = expected.messages if passthrough else expected.frames
        with line.progress.step("drain") as details:
            drained = outlet.follow(
                line.kafka,
                topics.VALIDATED.name,
                before=before,
                records=wanted if passthrough else None,
                quiet_s=60 if passthrough else 15,
            )
            samples = expected.distinct_samples + (expected.duplicate_samples if passthrough else 0)
            rate = drained.samples_per_s(samples)
            details.append(f"{rate / 1e6:.2f} M samples/s")
    return {
        "samples_per_s": rate,
        "frames_per_s": rate * wanted / samples,
        "samples": samples,
        "seconds": drained.curve[-1][0],
        "curve": [(at, records * samples / drained.records) for at, records in drained.curve],
        "cpu": seen.cpu(),
        **seen.as_result(),
    }
