"""What a lane does with the windows of its devices, for tests that have a single `DeviceWatch`."""

from __future__ import annotations

from stages.detection.device import DeviceWatch


def work(watch: DeviceWatch, clock_us: int | None) -> list[bytes]:
    """Score and learn what waits, as far as the device's clock allows; the Anomaly records that follow."""
    messages: list[bytes] = []
    while (found := watch.next(clock_us)) is not None:
        messages += watch.score_and_learn(*found)
    return messages
