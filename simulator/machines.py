"""One machine: PackML state, drive, and the signals of its tags. Pure physics: time enters through `step`, randomness through the seed.

Called by `simulation`: `step` once a tick, `read` when a tag is due, `write` when somebody commands. The same seed, steps and writes give
the same machine, whatever is read in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from base.errors import RegistryError
from schemas.definitions import DataType
from simulator.packml import MOVING, Command, PackML, State
from simulator.plant import Device, Tag
from simulator.signals import (
    KINDS,
    Analog,
    Condition,
    Cycles,
    Energy,
    LastCommand,
    Power,
    Reading,
    Scrap,
    Setpoint,
    Signal,
    approach,
)

DEFAULT_DRIVE_TAU_S = 1.5
_AS: dict[DataType, Callable[[Reading], Reading]] = {
    DataType.DOUBLE: float,
    DataType.INTEGER: round,
    DataType.BOOLEAN: bool,
}


class WriteRefusedError(Exception):
    """The machine does not take this write; the message says why. `kind` is one of the class's constants."""

    NOT_WRITABLE = "not writable"
    WRONG_TYPE = "wrong type"
    OUT_OF_RANGE = "out of range"
    WRONG_STATE = "not allowed in this state"

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class Machine:
    """A device of the plant with its physics."""

    def __init__(self, device: Device, *, seed: int, state: State = State.EXECUTE) -> None:
        self.device = device
        self.packml = PackML(state)
        self._random = Random(f"{seed}/{device.key}/process")
        self._noise = Random(f"{seed}/{device.key}/noise")
        self._signals = {tag.name: _signal(tag) for tag in device.tags}
        self._drive_tau_s = DEFAULT_DRIVE_TAU_S
        nominal = 1.0
        for tag in device.tags:
            signal = self._signals[tag.name]
            if isinstance(signal, Setpoint):
                nominal = signal.initial
            elif isinstance(signal, Energy):
                signal.power = self._power(tag, signal.of)
            if tag.simulate["kind"] == "speed":
                self._drive_tau_s = float(tag.simulate.get("tau_s", DEFAULT_DRIVE_TAU_S))
        self.condition = Condition(state=state, command=0, setpoint=nominal, nominal=nominal)
        # Cycles before scrap before energy: each looks at what the one before did in the same step.
        order = {Cycles: 0, Scrap: 1, Energy: 3}
        self._steps = sorted(self._signals.values(), key=lambda signal: order.get(type(signal), 2))
        self._start_steady()

    def step(self, dt_s: float) -> None:
        """Let `dt_s` seconds pass."""
        condition = self.condition
        self.packml.advance(dt_s)
        condition.state = self.packml.state
        target = condition.setpoint if condition.state in MOVING else 0.0
        condition.speed = approach(condition.speed, target, dt_s, self._drive_tau_s)
        condition.load = condition.speed / condition.nominal
        condition.age_s += dt_s
        for signal in self._steps:
            signal.advance(dt_s, condition, self._random)

    def read(self, tag: Tag) -> Reading:
        """What the tag's sensor shows now, as the Python type of the tag's data type."""
        return _AS[tag.data_type](self._signals[tag.name].read(self.condition, self._noise))

    def write(self, tag: Tag, value: float) -> None:
        """Carry a write out: a PackML command or a setpoint. Raises WriteRefusedError otherwise.

        A refused command leaves the command tag at 0, so that reading it back never looks like success, even when the last one accepted was
        the same. Nothing else changes.
        """
        signal = self._signals[tag.name]
        if not tag.writable:
            raise WriteRefusedError(WriteRefusedError.NOT_WRITABLE, f"{tag.path} is not writable")
        if not math.isfinite(value) or (tag.limits and not tag.limits[0] <= value <= tag.limits[1]):
            raise WriteRefusedError(WriteRefusedError.OUT_OF_RANGE, f"{value} is outside {tag.limits}")
        if tag.data_type is not DataType.DOUBLE and value != int(value):
            raise WriteRefusedError(WriteRefusedError.WRONG_TYPE, f"{value} is not a whole number")
        if isinstance(signal, LastCommand):
            self.condition.command = 0
            self.command(int(value))
            self.condition.command = int(value)
        elif isinstance(signal, Setpoint):
            self.condition.setpoint = float(value)
        else:
            kind = tag.simulate["kind"]
            raise WriteRefusedError(WriteRefusedError.NOT_WRITABLE, f"{tag.path} simulates {kind}, which has no input")

    def command(self, number: int) -> None:
        """Carry a PackML command out, without showing it as the last one commanded from outside. Raises WriteRefusedError."""
        try:
            command = Command(number)
        except ValueError:
            raise WriteRefusedError(WriteRefusedError.OUT_OF_RANGE, f"{number} is no PackML command") from None
        if not self.packml.command(command):
            state = self.packml.state.name
            raise WriteRefusedError(WriteRefusedError.WRONG_STATE, f"{command.name} is not allowed in {state}")
        self.condition.state = self.packml.state

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart of the simulator: meters and counters, state, setpoint."""
        return {
            "state": int(self.packml.state),
            "command": self.condition.command,
            "setpoint": self.condition.setpoint,
            "values": {name: s.value for name, s in self._signals.items() if isinstance(s, Cycles | Scrap | Energy)},
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continue from a snapshot; tags that it does not know start anew."""
        self.packml = PackML(State(snapshot["state"]))
        self.condition.state = self.packml.state
        self.condition.command = int(snapshot["command"])
        self.condition.setpoint = float(snapshot["setpoint"])
        for name, value in snapshot["values"].items():
            signal = self._signals.get(name)
            if isinstance(signal, Cycles | Scrap):
                signal.value = int(value)
            elif isinstance(signal, Energy):
                signal.value = float(value)
        self._start_steady()

    def _start_steady(self) -> None:
        condition = self.condition
        condition.speed = condition.setpoint if condition.state in MOVING else 0.0
        condition.load = condition.speed / condition.nominal
        for signal in self._signals.values():
            if isinstance(signal, Analog):
                signal.start_at(condition.load)

    def _power(self, tag: Tag, name: str) -> Power:
        power = self._signals.get(name)
        if not isinstance(power, Power):
            msg = f"{tag.where}: tag {tag.path} simulates the energy of {name!r}, which is no tag of kind power on this device"
            raise RegistryError(msg)
        return power


def _signal(tag: Tag) -> Signal:
    parameters = {key: value for key, value in tag.simulate.items() if key != "kind"}
    kind = KINDS.get(tag.simulate.get("kind", ""))
    if kind is None:
        msg = f"{tag.where}: simulate.kind is {tag.simulate.get('kind')!r}; known: {', '.join(sorted(KINDS))}"
        raise RegistryError(msg)
    try:
        return kind(**parameters)
    except TypeError as error:
        msg = f"{tag.where}: simulate has the wrong parameters for {tag.simulate['kind']}: {error}"
        raise RegistryError(msg) from error
