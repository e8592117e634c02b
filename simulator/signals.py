"""What the sensors of a machine measure: one class per `simulate.kind`.

A signal is advanced with the machine (`advance`) and read when its tag is due (`read`). Process state and measurement noise are apart:
reading more often does not change what the machine does. A signal's parameters are the keys of `simulate` beside `kind`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Protocol

from simulator.packml import State

SECONDS_PER_HOUR = 3600.0
Reading = float | int | bool


@dataclass(slots=True)
class Condition:
    """What all signals of a machine have in common at one moment.

    `load` is speed over nominal speed; `speed` and `setpoint` have the setpoint's unit; `finished` counts the cycles that ended in this
    step.
    """

    state: State
    command: int
    setpoint: float
    nominal: float
    speed: float = 0.0
    load: float = 0.0
    finished: int = 0
    age_s: float = 0.0


class Signal(Protocol):
    """One measured quantity."""

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Let `dt_s` seconds pass under `condition`; `random` is the machine's."""

    def read(self, condition: Condition, noise: Random) -> Reading:
        """Value a sensor shows now; `noise` is the sensors' own generator."""


def approach(value: float, target: float, dt_s: float, tau_s: float) -> float:
    """First-order lag: where `value` is after `dt_s` on its way to `target`. Exact for any step."""
    return target + (value - target) * math.exp(-dt_s / tau_s) if tau_s > 0 else target


class Analog:
    """First-order lag towards `idle` at rest and `running` at nominal load, plus Gaussian noise of a fixed deviation."""

    def __init__(self, *, idle: float, running: float, tau_s: float, noise: float = 0.0) -> None:
        self._idle, self._swing, self._tau_s, self._noise = idle, running - idle, tau_s, noise
        self.value = idle

    def target(self, load: float) -> float:
        """Steady state at a load."""
        return self._idle + self._swing * load

    def start_at(self, load: float) -> None:
        """Start as if the machine had been running like this for long."""
        self.value = self.target(load)

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Move towards the target of the present load."""
        self.value = approach(self.value, self.target(condition.load), dt_s, self._tau_s)

    def read(self, condition: Condition, noise: Random) -> float:
        """Value plus noise."""
        return self.value + noise.gauss(0.0, self._noise) if self._noise else self.value


class Thermal(Analog):
    """Temperature: the same lag, minutes long."""


class Power(Analog):
    """Active power; never negative in itself, the sensor's noise may be."""


class Vibration(Analog):
    """RMS vibration: grows with speed, and so does its scatter; never negative."""

    def read(self, condition: Condition, noise: Random) -> float:
        """Value plus noise that has half its strength at rest."""
        return abs(self.value + noise.gauss(0.0, self._noise * (0.5 + 0.5 * condition.load)))


class Speed:
    """Measured speed. `tau_s` belongs to the drive, which the machine owns."""

    def __init__(self, *, noise: float = 0.0, tau_s: float = 0.0) -> None:
        self._noise = noise

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Nothing: the drive is the machine's."""

    def read(self, condition: Condition, noise: Random) -> float:
        """Speed plus noise."""
        return condition.speed + noise.gauss(0.0, self._noise)


class Energy:
    """Integral of the machine's power, kilowatt hours. Never falls."""

    def __init__(self, *, of: str, initial: float = 0.0) -> None:
        self.of = of
        self.value = initial
        self.power: Power | None = None

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Add the power that the machine draws at the end of the step."""
        if self.power is not None:
            self.value += max(self.power.value, 0.0) * dt_s / SECONDS_PER_HOUR

    def read(self, condition: Condition, noise: Random) -> float:
        """Meter reading."""
        return self.value


class Cycles:
    """Finished cycles: `per_minute` cycles at nominal load, only in EXECUTE and in proportion to speed. `per_cycle` products each."""

    def __init__(self, *, per_minute: float = 12.0, per_cycle: int = 1) -> None:
        self._per_s, self._per_cycle = per_minute / 60.0, per_cycle
        self.progress = 0.0
        self.value = 0

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Move the cycle on; says in `condition.finished` how many ended."""
        condition.finished = 0
        if condition.state is not State.EXECUTE:
            return
        self.progress += self._per_s * condition.load * dt_s
        finished = int(self.progress)
        self.progress -= finished
        condition.finished = finished
        self.value += finished * self._per_cycle

    def read(self, condition: Condition, noise: Random) -> int:
        """Counter."""
        return self.value


class Scrap:
    """Products scrapped: each finished cycle is bad with `probability`."""

    def __init__(self, *, probability: float) -> None:
        self._probability = probability
        self.value = 0

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Judge the cycles that ended in this step."""
        self.value += sum(random.random() < self._probability for _ in range(condition.finished))

    def read(self, condition: Condition, noise: Random) -> int:
        """Counter."""
        return self.value


class Switch:
    """A contact that is closed for the first `duty` of every `period_s` seconds of running, and open at rest."""

    def __init__(self, *, duty: float, period_s: float) -> None:
        self._duty, self._period_s = duty, period_s
        self._phase_s = 0.0

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Move on while the machine works."""
        if condition.state is State.EXECUTE:
            self._phase_s = (self._phase_s + dt_s * condition.load) % self._period_s

    def read(self, condition: Condition, noise: Random) -> bool:
        """Closed or open."""
        return condition.state is State.EXECUTE and self._phase_s < self._duty * self._period_s


class Heartbeat:
    """Counts seconds up to `modulus`, whatever the machine does: shows that its controller is alive."""

    def __init__(self, *, modulus: int) -> None:
        self._modulus = modulus

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Nothing: the machine's age says it all."""

    def read(self, condition: Condition, noise: Random) -> int:
        """Whole seconds since start, modulo."""
        return int(condition.age_s) % self._modulus


class Setpoint:
    """The commanded speed, as last written. `initial` is also the nominal speed."""

    def __init__(self, *, initial: float) -> None:
        self.initial = initial

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Nothing: it changes by writes only."""

    def read(self, condition: Condition, noise: Random) -> float:
        """Setpoint."""
        return condition.setpoint


class StateCurrent:
    """PackML state."""

    def advance(self, dt_s: float, condition: Condition, random: Random) -> None:
        """Nothing: the machine's."""

    def read(self, condition: Condition, noise: Random) -> int:
        """Number of the state."""
        return int(condition.state)


class LastCommand(StateCurrent):
    """PackML command last accepted; 0 before the first, and after one that was refused."""

    def read(self, condition: Condition, noise: Random) -> int:
        """Number of the command."""
        return condition.command


KINDS: dict[str, type[Signal]] = {
    "analog": Analog,
    "boolean": Switch,
    "command": LastCommand,
    "cycles": Cycles,
    "energy": Energy,
    "heartbeat": Heartbeat,
    "power": Power,
    "scrap": Scrap,
    "setpoint": Setpoint,
    "speed": Speed,
    "state": StateCurrent,
    "thermal": Thermal,
    "vibration": Vibration,
}
"""`simulate.kind` of the plant file."""
