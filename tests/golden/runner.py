"""Runs a golden case: a JSON file of tags and steps; leaves what the case expects, in a form that people can read and write.

Steps: `frame` (see support.make_frame), `again` (the frame of an earlier step, by its place among the frames), `bytes`
(hex), `timer` (second), `registry` (tags and version), `checkpoint`, `crash` (back to the last checkpoint), `flush`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas import topics
from schemas.frame import Frame
from stages.config import TelemetryConfig, WindowConfig
from stages.outputs import Output
from tests.golden.files import Cases
from tests.golden.support import (
    QUIET,
    Driver,
    emissions,
    final_windows,
    make_frame,
    records,
    seconds,
    tag,
    validated_frames,
    verdict_name,
)

CASES = Cases(Path(__file__).parent / "cases")


def run(name: str, *, crashing: bool = False) -> dict[str, Any]:
    """What comes out of a case; `crashing` restores the logic from its state after every step."""
    return readable(outputs_of(name, crashing=crashing))


def outputs_of(name: str, *, crashing: bool = False) -> list[Output]:
    """The same as the records themselves."""
    case = CASES.load(name)
    config = TelemetryConfig(
        **{field: getattr(QUIET, field) for field in ("validation", "hold", "detection")},
        windows=WindowConfig(**{"close_delay_s": 0.0, **case.get("windows", {})}),
    )
    driver = Driver([tag(**each) for each in case["tags"]], config, crashing=crashing)
    frames: list[Frame] = []
    checkpoint = driver.checkpoint()
    for step in case["steps"]:
        if "frame" in step:
            frames.append(make_frame(**step["frame"]))
            driver.frame(frames[-1], now_s=step.get("now_s"))
        elif "again" in step:
            driver.frame(frames[step["again"]], now_s=step.get("now_s"))
        elif "bytes" in step:
            driver.message(bytes.fromhex(step["bytes"]))
        elif "timer" in step:
            driver.timer(step["timer"])
        elif "registry" in step:
            driver.publish([tag(**each) for each in step["registry"]["tags"]], step["registry"]["version"])
        elif "checkpoint" in step:
            checkpoint = driver.checkpoint()
        elif "crash" in step:
            driver.crash(checkpoint)
        else:
            driver.flush()
    return driver.outputs


def readable(outputs: Sequence[Output]) -> dict[str, Any]:
    """Outputs as JSON-able values: what a case file expects."""
    progress = {each["lane"]: each for each in records(outputs, topics.LANES)}
    latest = {each["lane"]: each for each in records(outputs, topics.LATEST)}
    counts = ("frames", "samples", "duplicate_frames", "duplicate_samples", "identity_conflicts")
    return {
        "validated": [
            {
                "frame": [each.stream.name, each.sequence],
                "verdicts": [verdict_name(code) for code in ([] if each.verdict is None else each.verdict.tolist())],
            }
            for each in validated_frames(outputs)
        ],
        "rejected": [
            {
                "reason": each["reason"],
                "frame": None if each["sequence"] is None else [each["stream"], each["sequence"]],
                "positions": None if each["position"] is None else each["position"].tolist(),
            }
            for each in records(outputs, topics.REJECTED)
        ],
        "emitted": [[*key, row.count] for key, row in emissions(outputs)],
        "windows": [
            {"tag": key[0], "size_s": key[1], "start_s": key[2], **_numbers(row._asdict())}
            for key, row in sorted(final_windows(outputs).items())
        ],
        "latest": {name: value for _, batch in sorted(latest.items()) for name, value in _latest(batch).items()},
        "progress": [
            {"lane": lane, **{name: each[name] for name in counts}, "held": len(each["held"])}
            for lane, each in sorted(progress.items())
        ],
    }


def _latest(batch: dict[str, Any]) -> dict[str, Any]:
    columns = zip(batch["tag_id"].tolist(), batch["time_us"].tolist(), batch["value"].tolist(), strict=True)
    return {str(tag_id): [seconds(time_us), None if math.isnan(value) else value] for tag_id, time_us, value in columns}


def _numbers(row: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 9) for name, value in row.items()}


def dump(found: dict[str, Any]) -> str:
    """Expected file of an outcome: one line per record."""
    parts = []
    for name, value in found.items():
        if isinstance(value, list) and value:
            lines = ",\n    ".join(json.dumps(each) for each in value)
            parts.append(f'  "{name}": [\n    {lines}\n  ]')
        else:
            parts.append(f'  "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"
