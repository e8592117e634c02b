"""A lane that knows when it next has to look gives, tick by tick, what one that looks at every tick gives."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from schemas import topics
from stages.config import DetectionConfig, TelemetryConfig, WindowConfig
from stages.outputs import Output
from stages.telemetry.lane import Lane
from tests.golden.support import Driver, make_frame, records, tag

CONFIG = TelemetryConfig(
    windows=WindowConfig(idle_s=3.0, forget_idle_s=20.0, close_delay_s=0.2),
    detection=DetectionConfig(snapshot_interval_s=10.0),
)
TAGS = [tag(1, windows_s=(1, 10)), tag(2, 2), tag(3, 3, limit_high=5.0)]


def play(seed: int) -> list[tuple[float, Output]]:
    """Devices that talk, fall silent and come back; four ticks a second."""
    chance = random.Random(seed)
    driver = Driver(TAGS, CONFIG)
    seen: list[tuple[float, Output]] = []
    sequence = 0
    for quarter in range(4 * 60):
        now_s = quarter / 4
        talking = [tag_id for tag_id in (1, 2, 3) if (quarter // 40 + tag_id) % 3 or quarter < 20]
        if talking and chance.random() < 0.5:
            rows = [(tag_id, now_s - 0.1 * chance.random(), float(chance.randint(0, 6))) for tag_id in talking]
            seen += ((now_s, output) for output in driver.frame(make_frame(rows, sequence, closed_s=now_s)))
            sequence += 1
        seen += ((now_s, output) for output in driver.timer(now_s + 0.01))
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_looking_when_something_can_be_due_is_looking_all_the_time(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    knowing = play(seed)
    whole = Lane.on_timer

    def always(self: Lane, now_us: int, snapshots: object) -> list[Output]:
        self._due_us = 0
        return whole(self, now_us, snapshots)  # type: ignore[arg-type]

    monkeypatch.setattr(Lane, "on_timer", always)
    assert knowing == play(seed)
    assert {output.topic for _, output in knowing} >= {topics.AGGREGATES.name, topics.LATEST.name, topics.LANES.name}


def test_windows_of_a_silent_device_come_within_a_second_of_their_time() -> None:
    driver = Driver([tag(1, windows_s=(10,))], replace(CONFIG, windows=WindowConfig(idle_s=3.0, close_delay_s=0.2)))
    driver.frame(make_frame([(1, 4.0, 1.0)], 0))
    # The clock stands at 4.0 and runs on three seconds behind: 10.2 is passed at 4.1 + 3 + 6.2.
    for quarter in range(4 * 20):
        driver.timer(4.1 + quarter / 4)
        if records(driver.outputs, topics.AGGREGATES):
            break
    assert 13.3 <= driver.now_s <= 14.6
