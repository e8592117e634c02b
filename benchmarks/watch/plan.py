"""Who publishes what when, and what readers must have seen: the arithmetic of `bench watch`. Pure.

Machines of some tags each, ten to a lane. Each lane is published once a period, one lane after the other, and every value has the time at
which its frame was due: its age at a reader is the time from frame closed to client. A reader watches one machine. What it shows is
judged by frames: a frame is shown with its own values or newer ones of the same tags, so a value that is left out on the way makes its
frame late, not invisible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.edge_process import tag
from schemas.definitions import TagDefinition

SITE, GATEWAY = "watched", "gw-watched"
PLANT = f"acme/{SITE}"
SETPOINT = "setpoint"
MACHINES_A_LANE, MACHINES_A_LINE = 10, 50
MACHINES = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Machines with so many tags each; the values of all change once in `period_us`."""

    machines: int = MACHINES
    tags: int = 20
    period_us: int = 1_000_000

    @property
    def lanes(self) -> int:
        """Lanes of all machines."""
        return -(-self.machines // MACHINES_A_LANE)

    def path(self, machine: int) -> str:
        """Path of a machine."""
        return f"{self.line(machine // MACHINES_A_LINE)}/cell/machine-{machine}"

    @property
    def lines(self) -> int:
        """Production lines of all machines."""
        return -(-self.machines // MACHINES_A_LINE)

    def line(self, number: int) -> str:
        """Path of a production line."""
        return f"{PLANT}/area/line-{number}"

    def definitions(self) -> Iterator[TagDefinition]:
        """Tags of all machines; the first one of each is its setpoint."""
        for machine in range(self.machines):
            for number in range(self.tags):
                name = SETPOINT if number == 0 else f"value-{number}"
                yield tag(
                    self.tag_id(machine, number), name, f"mqtt:{machine}/{name}", gateway_id=GATEWAY, site=SITE,
                    device_id=machine + 1, path=f"{self.path(machine)}/{name}", lane=machine // MACHINES_A_LANE,
                    writable=number == 0, eu_low=0.0, eu_high=1e9,
                )  # fmt: skip

    def tag_id(self, machine: int, number: int) -> int:
        """Id of a machine's tag."""
        return 1_000 + machine * self.tags + number

    def tag_ids(self, lane: int) -> NDArray[np.int32]:
        """Ids of all tags of a lane."""
        first = lane * MACHINES_A_LANE
        last = min(self.machines, first + MACHINES_A_LANE)
        return np.arange(self.tag_id(first, 0), self.tag_id(last, 0), dtype=np.int32)

    def offset_us(self, lane: int) -> int:
        """When in each period a lane is due."""
        return lane * self.period_us // self.lanes

    def due(self, start_us: int) -> Iterator[tuple[int, int]]:
        """For ever (time due, lane), in order."""
        beat = 0
        while True:
            for lane in range(self.lanes):
                yield start_us + beat * self.period_us + self.offset_us(lane), lane
            beat += 1


@dataclass(frozen=True, slots=True)
class Shown:
    """What readers have shown of the frames that were due in a window."""

    late_ms: NDArray[np.float64]
    """Per reader and frame that was shown: from due to shown."""
    expected: int
    """Readers times frames."""

    @property
    def share(self) -> float:
        """Of what was due, how much was shown at all."""
        return len(self.late_ms) / self.expected if self.expected else 0.0


def shown(
    reader: NDArray[np.int64],
    received_us: NDArray[np.int64],
    newest_us: NDArray[np.int64],
    *,
    offsets_us: Sequence[int],
    start_us: int,
    period_us: int,
    window_us: tuple[int, int],
) -> Shown:
    """Judge messages of readers: which reader, when it came, and the newest time in it.

    `offsets_us`: of each reader's lane; frames are due at `start_us` + offset + n periods. Frames that were due in the window count; one
    that is shown after it counts with the time that it took.
    """
    offset = np.asarray(offsets_us, np.int64)
    first = -(-(window_us[0] - start_us - offset) // period_us)
    last = -(-(window_us[1] - start_us - offset) // period_us)
    expected = int(np.maximum(last - first, 0).sum())
    order = np.lexsort((received_us, reader))
    reader, received_us, newest_us = reader[order], received_us[order], newest_us[order]
    frame = (newest_us - start_us - offset[reader]) // period_us
    # One running maximum serves all readers: the frames of each are lifted above those of the one before.
    newest = np.maximum.accumulate(frame + reader * _APART) - reader * _APART
    before = np.full(len(frame), -1)
    same = reader[1:] == reader[:-1]
    before[1:][same] = newest[:-1][same]
    low, high = np.maximum(before + 1, first[reader]), np.minimum(frame + 1, last[reader])
    count = np.maximum(high - low, 0)
    message = np.repeat(np.arange(len(frame)), count)
    within = np.arange(len(message)) - np.repeat(np.cumsum(count) - count, count)
    due_us = start_us + offset[reader[message]] + (low[message] + within) * period_us
    return Shown(late_ms=(received_us[message] - due_us) / 1000, expected=expected)


_APART = 1 << 40
