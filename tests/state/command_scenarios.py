"""Commands in every state that the commands job keeps, and what is said of each afterwards.

A scenario is a command with what came of it before the state was kept and what comes after. `untimed` ones do not depend on
clocks, so they run on a cluster as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schemas import topics
from schemas.commands import CommandAck, CommandControl, CommandRequest, CommandState, ControlAction
from tests.golden.support import SITE, us

START_US, CUT_US = us(0), us(100)
FAR_US = 4_102_444_800_000_000
"""2100-01-01: nothing on a cluster expires before."""
Record = CommandRequest | CommandControl | CommandAck
_SPACING_US = 10_000


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One command. Its number is its device too. `expires_s` counts from the cut."""

    number: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    untimed: bool = True
    approval: bool = False
    expires_s: float = 600.0
    early: bool = False
    """What came before came at the start, not just before the cut: time has passed over it."""

    @property
    def command_id(self) -> UUID:
        return UUID(int=(7 << 76) | (2 << 62) | self.number)

    def record(self, word: str, *, at_us: int, expires_us: int) -> Record:
        """What a word stands for."""
        if word == "request":
            return CommandRequest(
                command_id=self.command_id,
                device_id=self.number,
                gateway_id="gw-1",
                site=SITE,
                name="set_speed",
                parameters={"speed": float(self.number)},
                submitted_by="alice",
                submitted_us=at_us,
                expires_us=expires_us,
                requires_approval=self.approval,
            )
        if word in {"cancel", "approve"}:
            action = ControlAction.CANCEL if word == "cancel" else ControlAction.APPROVE
            return CommandControl(
                command_id=self.command_id, device_id=self.number, action=action, by="bob", time_us=at_us, reason="test"
            )
        state, _, attempt = word.partition("/")
        readback = {"speed": float(self.number)} if state == "SUCCEEDED" else {}
        return CommandAck(
            command_id=self.command_id,
            attempt=int(attempt or 1),
            device_id=self.number,
            gateway_id="gw-1",
            state=CommandState(state),
            time_us=at_us,
            detail=f"word of {state}",
            readback=readback,
        )


SCENARIOS = (
    Scenario(number=1, before=("request",), after=("DELIVERED", "EXECUTING", "SUCCEEDED")),
    Scenario(number=2, before=("request",), after=("approve",), approval=True),
    Scenario(number=3, before=("request", "DELIVERED"), after=("approve",), approval=True),
    Scenario(number=4, before=("request", "DELIVERED"), after=("EXECUTING", "SUCCEEDED", "SUCCEEDED")),
    Scenario(number=5, before=("request", "DELIVERED", "EXECUTING"), after=("FAILED",)),
    Scenario(
        number=6,
        before=("request", "DELIVERED", "EXECUTING", "SUCCEEDED"),
        after=("SUCCEEDED", "FAILED", "SUCCEEDED/2"),
    ),
    Scenario(number=7, before=("DELIVERED", "EXECUTING"), after=("request",)),
    Scenario(number=8, before=("cancel",), after=("request",)),
    Scenario(number=9, before=("request", "cancel"), after=("CANCELLED",)),
    Scenario(number=10, before=("request",), after=(), untimed=False),  # sent again, then given up
    Scenario(number=11, before=("request", "approve"), after=(), approval=True, untimed=False),  # both sent again
    Scenario(number=12, before=("request", "DELIVERED", "EXECUTING"), after=(), untimed=False),  # UNKNOWN in the end
    Scenario(
        number=13, before=("request",), after=("EXECUTING", "SUCCEEDED"), untimed=False, early=True, expires_s=-50.0
    ),
    Scenario(number=14, before=("SUCCEEDED",), after=("SUCCEEDED", "FAILED"), untimed=False, early=True),  # an orphan
    Scenario(number=15, before=("request",), after=("DELIVERED/3",), untimed=False, early=True, expires_s=300.0),
)


def topic_of(record: Record) -> str:
    """Topic on which a record is said."""
    return (topics.ACKS if isinstance(record, CommandAck) else topics.REQUESTS).for_site(SITE)


def key_of(record: Record) -> bytes:
    """Kafka key of a record."""
    return str(record.command_id if isinstance(record, CommandAck) else record.device_id).encode()


def before() -> Iterator[list[Any]]:
    """Steps up to the moment when the state is kept."""
    steps = [step for scenario in SCENARIOS if scenario.early for step in _steps(scenario, scenario.before, START_US)]
    steps += [
        step for scenario in SCENARIOS if not scenario.early for step in _steps(scenario, scenario.before, CUT_US)
    ]
    yield from sorted(steps, key=lambda step: int(step[-1]))
    yield ["advance", CUT_US + 1_000_000]


def after() -> Iterator[list[Any]]:
    """Steps that go on from there. Half a minute after a start, and what nobody speaks of any more is given up in the end."""
    steps = [step for scenario in SCENARIOS for step in _steps(scenario, scenario.after, CUT_US + 5_000_000)]
    yield from sorted(steps, key=lambda step: int(step[-1]))
    for seconds in (40, 700, 8 * 86_400):
        yield ["advance", CUT_US + seconds * 1_000_000]


def _steps(scenario: Scenario, words: tuple[str, ...], from_us: int) -> Iterator[list[Any]]:
    for place, word in enumerate(words):
        now_us = from_us + _SPACING_US * (100 * place + scenario.number)
        expires_us = CUT_US + round(scenario.expires_s * 1e6)
        record = scenario.record(word, at_us=now_us, expires_us=expires_us)
        offset = 1000 * scenario.number + 10 * place + (5 if from_us > CUT_US else 0)
        yield ["row", topic_of(record), 0, offset, key_of(record), record.encode(), now_us]


EXPIRING = Scenario(number=40, before=("request",), after=(), untimed=False)
"""On a cluster: nobody speaks of it again, and it expires after the savepoint was taken. Its timer has to come back."""
EXPIRES_AFTER_S = 25


def records_before(now_us: int) -> list[tuple[str, bytes, bytes]]:
    """What the commands job on a cluster reads before its savepoint."""
    found = [_message(scenario, word, FAR_US) for scenario in SCENARIOS if scenario.untimed for word in scenario.before]
    return [*found, _message(EXPIRING, "request", now_us + EXPIRES_AFTER_S * 1_000_000)]


def records_after() -> list[tuple[str, bytes, bytes]]:
    """What it reads then. The words about one command are on one topic, so their order is fixed."""
    return [_message(scenario, word, FAR_US) for scenario in SCENARIOS if scenario.untimed for word in scenario.after]


def _message(scenario: Scenario, word: str, expires_us: int) -> tuple[str, bytes, bytes]:
    record = scenario.record(word, at_us=CUT_US, expires_us=expires_us)
    return topic_of(record), key_of(record), record.encode()
