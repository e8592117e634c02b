"""The commands that are under way while the line is broken, and what the simulator's journal says of each.

Every command writes a value to a machine's setpoint that no other command of the instance writes, so the journal's rows are told apart. A
caller that gets no answer says the same again with the same id, as a retry is meant to be; what was never acknowledged must not be lost or
done twice either. `plan` and `compare` are pure.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from base import ids
from benchmarks.faults.table import Fault, Suite
from millrace_client import AsyncClient, Client, MillraceError
from schemas.commands import CommandState
from stack import postgres
from stack.config import StackConfig

_TAG = "speed_setpoint"
_BEFORE_S, _AFTER_S = 1.0, 2.0
"""Commands are submitted from so long before a fault until so long after it began."""
_RETRY_S = 0.5
_DEADLINE_S = 5.0
_GIVE_UP_S = 90.0
NONE = "NONE"
"""State of a command of which there is no record."""
OUTCOMES = frozenset(
    {
        CommandState.SUCCEEDED,
        CommandState.FAILED,
        CommandState.REJECTED,
        CommandState.EXPIRED,
        CommandState.CANCELLED,
        CommandState.UNKNOWN,
    }
)
_TIMES_DONE: Mapping[str, tuple[int, int]] = {
    CommandState.SUCCEEDED: (1, 1),
    CommandState.FAILED: (0, 0),
    CommandState.REJECTED: (0, 0),
    CommandState.EXPIRED: (0, 0),
    CommandState.CANCELLED: (0, 0),
    CommandState.UNKNOWN: (0, 1),
    NONE: (0, 0),
}
"""How often the machine may have been touched, at least and at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A setpoint of a machine; values between `low` and `high` are normal."""

    device: str
    low: float
    high: float

    @property
    def journal_name(self) -> str:
        """What the simulator calls the machine."""
        parts = self.device.split("/")
        return f"{parts[1]}.{parts[-1]}"


@dataclass(kw_only=True, slots=True)
class Order:
    """One command; `at_s` is relative to the fault. `acknowledged`: the caller was told that it is durable."""

    command_id: UUID
    sort: str
    target: Target
    value: float
    at_s: float
    expires_s: float
    withdraw: bool
    acknowledged: bool = False
    tries: int = 0
    refusal: str = ""

    @property
    def name(self) -> str:
        """For people who look it up."""
        return f"{self.command_id} ({self.sort}, {self.target.device})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What became of the commands of a round. `wrong`: every contradiction, in words."""

    by_state: dict[str, int]
    unacknowledged: int
    wrong: list[str] = field(default_factory=list)


def plan(fault: Fault, suite: Suite, targets: Sequence[Target]) -> list[Order]:
    """The commands of a fault: machines, values and times drawn by its seed. Ids are made anew each time: they carry the time."""
    random = fault.random("commands")
    sorts = [(name, one) for name, one in suite.commands.items() for _ in range(one.count)]
    random.shuffle(sorts)
    found = []
    for name, one in sorts:
        target = random.choice(targets)
        share = 0.4 + 0.2 * random.random()
        order = Order(
            command_id=ids.uuid7(),
            sort=name,
            target=target,
            value=round(target.low + (target.high - target.low) * share, 9),
            at_s=random.uniform(-_BEFORE_S, _AFTER_S),
            expires_s=one.expires_s,
            withdraw=one.withdraw,
        )
        found.append(order)
    return sorted(found, key=lambda order: order.at_s)


def compare(
    orders: Sequence[Order],
    recorded: Mapping[UUID, str],
    served: Mapping[UUID, str],
    done: Mapping[UUID, int],
) -> Findings:
    """Compare the record (SQL), what serving says, and how often each machine was touched. Pure."""
    wrong, states = [], Counter[str]()
    for one in orders:
        state, times = recorded.get(one.command_id, NONE), done.get(one.command_id, 0)
        states[state] += 1
        least, most = _TIMES_DONE.get(state, (0, 0))
        if state not in _TIMES_DONE:
            wrong.append(f"{one.name} has no outcome, it is {state}")
        elif not least <= times <= most:
            wrong.append(f"{one.name} is {state} and was carried out {times} times")
        if state == NONE and one.acknowledged:
            wrong.append(f"{one.name} was acknowledged and is not in the record")
        if one.command_id in served and served[one.command_id] != state:
            wrong.append(f"{one.name} is {state} in the record and {served[one.command_id]} to callers")
    silent = sum(not one.acknowledged for one in orders)
    return Findings(by_state=dict(sorted(states.items())), unacknowledged=silent, wrong=wrong)


class Caller:
    """Submits the commands of one fault from a thread of its own: `start`, break something, `join`."""

    def __init__(self, config: StackConfig, orders: Sequence[Order], fault_s: float) -> None:
        self._config, self._orders, self._fault_s = config, orders, fault_s
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="caller")

    def start(self) -> None:
        """Begin; the first command goes out `_BEFORE_S` before the fault."""
        self._thread.start()

    def join(self) -> None:
        """Return when every command is acknowledged or given up."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._submit_all())
        except Exception as error:  # noqa: BLE001 - raised by `join`
            self._failure = error

    async def _submit_all(self) -> None:
        address = self._config.serving_address
        async with AsyncClient(address, deadline_s=_DEADLINE_S) as client, asyncio.TaskGroup() as group:
            for order in self._orders:
                group.create_task(self._submit(client, order))

    async def _submit(self, client: AsyncClient, order: Order) -> None:
        await asyncio.sleep(max(0.0, self._fault_s + order.at_s - time.monotonic()))
        until_s = time.monotonic() + _GIVE_UP_S
        while not order.acknowledged and time.monotonic() < until_s:
            order.tries += 1
            try:
                await client.submit(
                    order.target.device,
                    "write",
                    {_TAG: order.value},
                    command_id=order.command_id,
                    expires_ms=int(order.expires_s * 1000),
                )
                order.acknowledged = True
                if order.withdraw:
                    await client.cancel(order.command_id, "the benchmark withdraws it")
            except MillraceError as error:  # serving, or what it needs, is away; or the command is past being withdrawn
                order.refusal = str(error)
                await asyncio.sleep(_RETRY_S)


def targets(config: StackConfig) -> list[Target]:
    """Every machine that takes a setpoint."""
    with Client(config.serving_address) as client:
        return [
            Target(device=tag.path.rpartition("/")[0], low=tag.eu_low, high=tag.eu_high)
            for tag in client.tags()
            if tag.name == _TAG and tag.eu_low is not None and tag.eu_high is not None
        ]


def served(config: StackConfig, orders: Sequence[Order]) -> dict[UUID, str]:
    """What callers are told of the commands."""
    found = {}
    with Client(config.serving_address, deadline_s=_DEADLINE_S) as client:
        for one in orders:
            command = client.command(one.command_id)
            found[one.command_id] = f"{command.state} (provisional)" if command.provisional else str(command.state)
    return found


def recorded(config: StackConfig, orders: Sequence[Order]) -> dict[UUID, str]:
    """Newest state of each command in the record; those without a record are left out."""
    query = "SELECT command_id, state FROM command WHERE command_id = ANY (%s)"
    with psycopg.connect(postgres.dsn(config)) as connection:
        rows = connection.execute(query, ([one.command_id for one in orders],)).fetchall()
    return {uuid.UUID(str(command_id)): str(state) for command_id, state in rows}


def carried_out(config: StackConfig, orders: Sequence[Order]) -> dict[UUID, int]:
    """How often each command touched its machine, by the simulator's journal."""
    journal = config.data / "simulator" / "journal.sqlite"
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(
            "SELECT device, value, count(*) FROM actuated WHERE tag = ? GROUP BY device, value", (_TAG,)
        ).fetchall()
    times = {(device, value): count for device, value, count in rows}
    return {one.command_id: times.get((one.target.journal_name, one.value), 0) for one in orders}
