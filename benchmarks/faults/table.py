"""What is broken, how, and in which order: read from `benchmarks/suites/faults.yaml`. Pure, seeded.

A schedule is the same for the same seed and services, however it is cut into runs: a fault is named by its `key`.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from base import settings
from base.errors import ConfigError
from benchmarks.workload import SUITES


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """How a service is broken: killed, or stopped for `pause_s` seconds when that is above 0."""

    pause_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """So many commands of one sort in each round."""

    count: int
    expires_s: float
    withdraw: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """The file."""

    kinds: dict[str, Kind]
    not_alone: tuple[str, ...]
    together: dict[str, tuple[str, ...]]
    commands: dict[str, Orders]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault of a schedule. `services`: those that are broken, all at once."""

    seed: int
    round: int
    name: str
    kind: str
    pause_s: float
    services: tuple[str, ...] = field(default=())

    @property
    def key(self) -> tuple[int, int, str, str]:
        """Names the fault within all campaigns."""
        return (self.seed, self.round, self.name, self.kind)

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.name} {self.kind}, round {self.round}"

    def random(self, purpose: str) -> random.Random:
        """A generator of its own for one purpose of this fault."""
        return random.Random(f"{self.key} {purpose}")


@cache
def load() -> Suite:
    """The suite; raises ConfigError with the key that is wrong."""
    data: dict[str, Any] = yaml.safe_load((SUITES / "faults.yaml").read_text())
    return Suite(
        kinds={name: _parse(Kind, row, f"kinds.{name}") for name, row in data["kinds"].items()},
        not_alone=tuple(data["not_alone"]),
        together={name: tuple(members) for name, members in data["together"].items()},
        commands={name: _parse(Orders, row, f"commands.{name}") for name, row in data["commands"].items()},
    )


def _parse(kind: type[Any], row: dict[str, Any], where: str) -> Any:
    return settings.parse(kind, row, where=f"faults.yaml: {where}", prefix="", environ={})


def schedule(
    suite: Suite,
    services: Sequence[str],
    *,
    seed: int,
    rounds: int,
    only: Collection[str] = (),
    kinds: Collection[str] = (),
) -> list[Fault]:
    """Every fault of every kind once a round, each round in an order of its own.

    `services` are the instance's. `only` (names of services or groups) and `kinds` choose among them and leave the order of the rest as it
    is; raises ConfigError for a name that there is not.
    """
    names = _alternatives(suite, services)
    _check("fault", only, names)
    _check("kind", kinds, suite.kinds)
    return [
        one
        for number in range(1, rounds + 1)
        for one in _round(suite, names, seed, number)
        if (not only or one.name in only) and (not kinds or one.kind in kinds)
    ]


def _round(suite: Suite, names: dict[str, tuple[tuple[str, ...], ...]], seed: int, number: int) -> Iterator[Fault]:
    pairs = [(name, kind) for name in sorted(names) for kind in sorted(suite.kinds)]
    random.Random(f"{seed} {number} order").shuffle(pairs)
    for name, kind in pairs:
        chosen = random.Random(f"{seed} {number} {name} {kind} services").choice(names[name])
        pause_s = suite.kinds[kind].pause_s
        yield Fault(seed=seed, round=number, name=name, kind=kind, pause_s=pause_s, services=chosen)


def _alternatives(suite: Suite, services: Sequence[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """By name of the fault: the sets of services that it may break."""
    found: dict[str, tuple[tuple[str, ...], ...]] = {
        name: ((name,),) for name in services if name not in suite.not_alone
    }
    for group, members in suite.together.items():
        sets: list[tuple[str, ...]] = [()]
        for member in members:
            sets = [(*before, *more) for before in sets for more in _members(member, services)]
        found[group] = tuple(sets)
    return found


def _members(member: str, services: Sequence[str]) -> list[tuple[str, ...]]:
    how, _, name = member.rpartition(" ")
    matching = [one for one in services if one == name or (how and one.startswith(f"{name}-"))]
    if not matching:
        msg = f"faults.yaml: together names {member!r}, but there are only {', '.join(services)}"
        raise ConfigError(msg)
    return [tuple(matching)] if how == "all" else [(one,) for one in matching]


def _check(what: str, wanted: Collection[str], known: Collection[str]) -> None:
    for name in wanted:
        if name not in known:
            msg = f"no {what} {name!r}; there are {', '.join(sorted(known))}"
            raise ConfigError(msg)
