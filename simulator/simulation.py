"""The whole plant in time: which tag is sampled when, with which timestamp, and what faults make of it. Pure: the clock is a parameter.

Enters: `advance(until_us)`, `write`, faults. Leaves: `Step`s, one a tick, each with its samples in the order of their due times. Called by
`service`, which hands the samples to the servers.

A tag's sampling instants lie on a grid of its period with a phase of its own, so load is even and a restart goes on along the same grid. A
sample's source timestamp is its instant: strictly increasing for each tag as long as its clock is right, in whole microseconds on OPC
UA and whole milliseconds on Sparkplug (the protocol has no finer). A simulation that is late catches up, up to `max_lag_us`; beyond, it
skips.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas import quality
from simulator.fault_effects import Reading, reported
from simulator.fault_kinds import FaultKind
from simulator.faults import Faults
from simulator.machines import Machine, WriteRefusedError
from simulator.packml import Command
from simulator.plant import Device, Protocol, Tag
from simulator.rhythm import Operator, Rhythm

QUANTUM_US = {Protocol.OPCUA: 1, Protocol.SPARKPLUG: 1000}
DEFAULT_TICK_US = 50_000


class Sample(NamedTuple):
    """One emitted value. `fault` names the faults that touched it, joined by `+`; the Python type of `value` is the type on the wire."""

    tag: Tag
    time_us: int
    value: float | int | bool | None
    quality: int
    fault: str = ""


@dataclass(slots=True)
class Step:
    """What one tick brought: devices that were lost or came back (in that case before their samples), then samples."""

    time_us: int
    connections: list[tuple[Device, bool]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteOutcome:
    """What a write came to. `sample` shows the tag as it is now; it is to be emitted at once. None when the device is not reachable."""

    applied: bool
    refused: str = ""
    detail: str = ""
    sample: Sample | None = None


class Simulation:
    """Machines, crews, faults and the sampling schedule of one plant."""

    def __init__(
        self,
        devices: Iterable[Device],
        *,
        seed: int,
        start_us: int,
        rhythm: Rhythm | None = None,
        tick_us: int = DEFAULT_TICK_US,
        max_lag_us: int = 5_000_000,
    ) -> None:
        self.devices = tuple(devices)
        self.faults = Faults(self.devices, seed=seed)
        self.machines = {device.key: Machine(device, seed=seed) for device in self.devices}
        self.paused = False
        self.skipped_us = 0
        rhythm = rhythm or Rhythm(enabled=False)
        self._crews = {
            device.key: Operator(rhythm, seed=seed, line=device.line, device=device.key) for device in self.devices
        }
        self._tick_us = tick_us
        self._max_lag_us = max_lag_us
        self._now_us = start_us // tick_us * tick_us
        self._device_of = {tag.index: device for device in self.devices for tag in device.tags}
        self._tags = [tag for device in self.devices for tag in device.tags]
        self._phase_us = {tag.index: _phase_us(tag, seed) for tag in self._tags}
        self._last_us = {tag.index: 0 for tag in self._tags}
        self._lost: set[str] = set()
        self._due: list[tuple[int, int, Tag]] = []
        self._schedule()

    @property
    def now_us(self) -> int:
        """How far the simulation has come."""
        return self._now_us

    def lost(self, device: Device) -> bool:
        """Whether the device is offline."""
        return device.key in self._lost

    def prime(self) -> list[Sample]:
        """A first sample of every tag, so that servers have something to show before the first period is over."""
        return [self._sample(tag, _quantise(self._now_us, tag)) for tag in self._tags]

    def advance(self, until_us: int) -> Iterator[Step]:
        """Steps of all ticks that end at or before `until_us`. Take them all: the simulation moves while they are taken."""
        lag_us = until_us - self._now_us
        if lag_us > self._max_lag_us:
            self.skipped_us += lag_us
            self.skip(until_us)
        while self._now_us + self._tick_us <= until_us:
            yield self._tick()

    def skip(self, to_us: int) -> None:
        """Go on from `to_us`: machines stand still and nothing is sampled until then."""
        self._now_us = max(to_us // self._tick_us * self._tick_us, self._now_us)
        self._schedule()

    def write(self, tag: Tag, value: float, now_us: int) -> WriteOutcome:
        """Somebody outside writes a tag at `now_us`."""
        device = self._device_of[tag.index]
        if device.key in self._lost:
            return WriteOutcome(applied=False, refused="offline", detail=f"{device.key} is offline")
        machine = self.machines[device.key]
        applied, refused, detail = True, "", ""
        if self.faults.active(device, FaultKind.REFUSE_WRITES, now_us):
            applied, refused, detail = False, "refused", "a fault refuses writes"
        elif self.faults.active(device, FaultKind.IGNORE_WRITES, now_us):
            applied, detail = False, "a fault ignores writes"
        else:
            try:
                machine.write(tag, value)
            except WriteRefusedError as error:
                applied, refused, detail = False, error.kind, str(error)
            else:
                if tag.simulate["kind"] == "command":
                    self._crews[device.key].overruled(Command(int(value)))
        time_us = max(_quantise(now_us, tag), self._last_us[tag.index] + QUANTUM_US[tag.protocol])
        return WriteOutcome(applied=applied, refused=refused, detail=detail, sample=self._sample(tag, time_us))

    def pause(self) -> None:
        """Emit no more cyclic samples. Machines go on; a write still shows its effect, as one sample."""
        self.paused = True

    def resume(self) -> None:
        """Emit again, from now on: what was not sampled is not made up for."""
        if self.paused:
            self.paused = False
            self._schedule()

    def _tick(self) -> Step:
        dt_s = self._tick_us / 1e6
        self._now_us += self._tick_us
        step = Step(self._now_us)
        for device in self.devices:
            machine = self.machines[device.key]
            command = self._crews[device.key].decide(self._now_us, machine.packml.state, dt_s)
            if command is not None:
                machine.command(command)
            machine.step(dt_s)
        self._connections(step)
        if not self.paused:
            self._sample_due(step)
        return step

    def _connections(self, step: Step) -> None:
        for device in self.devices:
            lost = self.faults.active(device, FaultKind.OFFLINE, self._now_us) is not None
            if lost == (device.key in self._lost):
                continue
            step.connections.append((device, not lost))
            if not lost:
                self._lost.discard(device.key)
                continue
            self._lost.add(device.key)
            if device.protocol is Protocol.OPCUA:
                gone = Reading(None, quality.BAD_NO_COMMUNICATION)
                for tag in device.tags:
                    time_us = max(_quantise(self._now_us, tag), self._last_us[tag.index] + 1)
                    step.samples.append(self._emit(tag, gone, FaultKind.OFFLINE, time_us))

    def _sample_due(self, step: Step) -> None:
        due = self._due
        while due and due[0][0] <= self._now_us:
            due_us, index, tag = due[0]
            heapq.heapreplace(due, (due_us + tag.period_us, index, tag))
            # A write may have shown the tag after this instant already; time does not go back.
            if due_us > self._last_us[index] and tag.device not in self._lost:
                step.samples.append(self._sample(tag, due_us))

    def _sample(self, tag: Tag, time_us: int) -> Sample:
        reading = reported(tag, Reading(self.machines[tag.device].read(tag)))
        reading, fault = self.faults.apply(tag, reading, time_us)
        return self._emit(tag, reading, fault, time_us)

    def _emit(self, tag: Tag, reading: Reading, fault: str, time_us: int) -> Sample:
        self._last_us[tag.index] = time_us
        clock = self.faults.active(self._device_of[tag.index], FaultKind.WRONG_CLOCK, time_us)
        if clock is not None:
            time_us += clock.clock_offset_us(tag, QUANTUM_US[tag.protocol])
            fault = f"{fault}+{clock.kind}" if fault else clock.kind
        return Sample(tag, time_us, reading.value, reading.quality, fault)

    def _schedule(self) -> None:
        self._due = [(_next_us(self._now_us, tag, self._phase_us[tag.index]), tag.index, tag) for tag in self._tags]
        heapq.heapify(self._due)


def _phase_us(tag: Tag, seed: int) -> int:
    return _quantise(zlib.crc32(f"{seed}/{tag.path}".encode()) % tag.period_us, tag)


def _next_us(after_us: int, tag: Tag, phase_us: int) -> int:
    """First instant of the tag's grid later than `after_us`."""
    return ((after_us - phase_us) // tag.period_us + 1) * tag.period_us + phase_us


def _quantise(time_us: int, tag: Tag) -> int:
    quantum_us = QUANTUM_US[tag.protocol]
    return time_us // quantum_us * quantum_us
