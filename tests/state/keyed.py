"""Keyed state of the jobs as their operators keep it, without a JVM: made, stored, and gone on from.

A stored file has the keyed state by name and key, broadcast state, timers, the clock, and the steps that follow. What goes into
Flink's state must be plain values: a pickled class of ours would tie a savepoint to the name of a module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from base import settings
from base.settings import KafkaSettings
from historian.store import WriteResult
from jobs.batching import BatchConfig
from jobs.flink.alarms import AlarmsOperator, SiteOf
from jobs.flink.commands import CommandsOperator, command_of
from jobs.flink.historian import HistorianOperator
from jobs.flink.shards import shard_of_lane, shard_of_partition
from jobs.flink.telemetry import TelemetryOperator
from schemas import topics
from stages.commands.config import CommandConfig
from stages.config import TelemetryConfig
from stages.detection.protocol import Features, Score
from stages.outputs import Output
from stages.telemetry.logic import TelemetryLogic
from tests.golden.support import SITE, us
from tests.operators.fakes import FakeBackend, Harness
from tests.operators.rows import row
from tests.state import alarm_scenarios, command_scenarios, outcome
from tests.state.workload import CUT_S, END_S, Registered, Sent, Workload, config

Step = list[Any]
"""`["row", topic, partition, offset, key, value, now_us]`, `["broadcast", topic, key, value]` or `["advance", now_us]`."""
NAMES = ("telemetry", "commands", "historian", "alarms")
SPEAKS_ONCE = b"42"
"""Key of a device of which nothing comes behind the cut: only the timer of its shard writes what was kept."""
UNUSED = KafkaSettings(bootstrap_servers="unused")


# --- state as plain values ----------------------------------------------------------------------------------------------------


def kept(bench: Harness) -> dict[str, Any]:
    """What a savepoint of this subtask would hold; raises TypeError for a value that is not plain."""
    cells = []
    for name, key in sorted(bench.backend.cells):
        bench.backend.key = key
        cells.append([name, key, _plain(bench.backend.load(name, None))])
    bench.backend.key = None
    return {
        "now_us": bench.now_us,
        "cells": cells,
        "broadcast": dict(bench.backend.broadcast),
        "timers": sorted(map(list, bench.timers)),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and type(value) is dict:
        return {name: _plain(each) for name, each in value.items()}
    if type(value) in {list, tuple}:
        return [_plain(each) for each in value]
    if type(value) not in {str, bytes, int, float, bool, type(None)}:
        msg = f"{type(value)} in Flink's state: a class of ours ties a savepoint to the name of its module"
        raise TypeError(msg)
    return value


def restored(state: dict[str, Any], operator: Callable[[Harness], Any], key_of: Callable[[Any], str]) -> Harness:
    """A subtask of the present code on that state."""
    backend = FakeBackend()
    for name, key, value in state["cells"]:
        backend.key = key
        backend.store(name, value)
    backend.key = None
    backend.broadcast = dict(state["broadcast"])
    timers = [(timestamp, key) for timestamp, key in state["timers"]]
    return Harness(operator, key_of, now_us=state["now_us"], backend=backend, timers=timers)


def drive(bench: Harness, steps: Iterable[Step]) -> list[Output]:
    """Go through steps; what came out of them."""
    before = len(bench.out)
    for kind, *step in steps:
        if kind == "broadcast":
            topic, key, value = step
            bench.broadcast(row(topic, key, value))
        else:
            now_us = step[-1]
            bench.advance(max(0, (now_us - bench.now_us) // 1000))
            if kind == "row":
                topic, partition, offset, key, value, _ = step
                record = row(topic, key, value, offset=offset)
                record[1] = partition
                bench.element(record)
    return [Output(*each) for each in bench.out[before:]]


# --- telemetry ----------------------------------------------------------------------------------------------------------------


def telemetry_steps(workload: Iterable[Registered | Sent], first_offset: int = 0) -> Iterator[Step]:
    """Input of the telemetry job as steps."""
    offset = first_offset
    for each in workload:
        if isinstance(each, Registered):
            for key, value in each.messages:
                yield ["broadcast", topics.TAGS.name, key, value]
        else:
            yield ["row", topics.FRAMES.for_site(SITE), 0, offset, each.key, each.value, each.now_us]
            offset += 1


class Scores:
    """Every window that detection scored."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []

    def __call__(
        self,
        device_id: int,
        window_s: int,
        features: Features,
        score: Score,
        news: float,
        threshold: float,
    ) -> None:
        self.rows.append([device_id, window_s, features.start_us, score.value, bool(score.grace), threshold])


def _telemetry_operator(tables: dict[str, Any], scores: Scores, bench: Harness) -> TelemetryOperator:
    parsed = settings.parse(TelemetryConfig, tables, where="fixture")
    return TelemetryOperator(parsed, clock=bench.clock, logic=partial(TelemetryLogic, on_score=scores))


def make_telemetry() -> tuple[dict[str, Any], list[Output]]:
    """State after the first part of the workload and the steps that follow; and the outputs until then."""
    workload, tables = Workload(), config()
    operator = partial(_telemetry_operator, tables["telemetry"], Scores())
    bench = Harness(operator, shard_of_lane, now_us=us(0))
    outputs = drive(bench, telemetry_steps(workload.first()))
    follow = [*telemetry_steps([*workload.second(), *workload.closing()], 10_000), ["advance", us(END_S + 20)]]
    stored = {"config": tables, "begun_before_us": us(CUT_S), "state": kept(bench), "steps": follow}
    return stored, outputs


def resume_telemetry(stored: dict[str, Any]) -> tuple[dict[str, Any], list[Output]]:
    """Outcome of going on from stored state with the present code; and the outputs."""
    scores = Scores()
    operator = partial(_telemetry_operator, stored["config"]["telemetry"], scores)
    bench = restored(stored["state"], operator, shard_of_lane)
    outputs = drive(bench, stored["steps"])
    found = outcome.telemetry(outputs, begun_before_us=stored["begun_before_us"])
    found["scores"] = sorted(scores.rows)
    found["failed"] = sum(bench.count(name) for name in ("failed_frames", "failed_ticks", "failed_registry_messages"))
    return found, outputs


# --- commands -----------------------------------------------------------------------------------------------------------------


def _commands_operator(bench: Harness) -> CommandsOperator:
    return CommandsOperator(CommandConfig(), clock=bench.clock)


def commands_bench() -> Harness:
    """A commands operator that knows nothing yet."""
    return Harness(_commands_operator, command_of, now_us=command_scenarios.START_US)


def make_commands() -> dict[str, Any]:
    """Commands in every state, and the words that follow."""
    bench = commands_bench()
    drive(bench, command_scenarios.before())
    return {"state": kept(bench), "steps": list(command_scenarios.after())}


def command_states() -> tuple[list[tuple[str, bytes, bytes]], list[tuple[str, bytes, bytes]]]:
    """States that the job says of these commands, before the moment when its state is kept and after it."""
    bench = commands_bench()
    said = (drive(bench, command_scenarios.before()), drive(bench, command_scenarios.after()))
    first, second = (
        [(topic, key, value) for topic, key, value in outputs if topic == topics.STATES.name] for outputs in said
    )
    return first, second


def resume_commands(stored: dict[str, Any]) -> dict[str, Any]:
    """Outcome of going on from stored state with the present code."""
    bench = restored(stored["state"], _commands_operator, command_of)
    return outcome.commands(drive(bench, stored["steps"]), times=True)


# --- historian ----------------------------------------------------------------------------------------------------------------


class KeepingWriter:
    """A writer of the historian that writes to a list; `away` while its database is."""

    outage = False
    retries = 0

    def __init__(self, *, away: bool) -> None:
        self.away = away
        self.written: list[Any] = []
        self._batch: list[Any] | None = None

    def start(self, batch: list[Any]) -> None:
        self._batch = batch

    def collect(self, wait_s: float = 0.0) -> WriteResult | None:
        if self._batch is None or self.away:
            return None
        self.written += self._batch
        self._batch = None
        return WriteResult()

    def close(self) -> None:
        pass


def _historian(writer: KeepingWriter) -> Callable[[Harness], HistorianOperator]:
    def make(bench: Harness) -> HistorianOperator:
        writers: Any = lambda: writer  # noqa: E731
        return HistorianOperator(BatchConfig(), writers, clock=bench.clock)

    return make


def historian_steps(messages: Iterable[tuple[str, bytes, bytes]], first_offset: int, now_us: int) -> Iterator[Step]:
    """Input of the historian as steps, 20 ms apart. The device that speaks once has a partition of its own."""
    for number, (topic, key, value) in enumerate(messages):
        partition = int(key == SPEAKS_ONCE)
        yield ["row", topic, partition, first_offset + number, key, value, now_us + 20_000 * number]


def make_historian(first: list[tuple[str, bytes, bytes]], second: list[tuple[str, bytes, bytes]]) -> dict[str, Any]:
    """Messages of two generations that are not in the database, and the messages that follow."""
    start_us, cut_us = us(CUT_S), us(CUT_S + 100)
    bench = Harness(_historian(KeepingWriter(away=True)), shard_of_partition, now_us=start_us)
    drive(bench, historian_steps(first, 0, start_us))
    steps = [*historian_steps(second, 1000, cut_us), ["advance", us(CUT_S + 200)]]
    return {"state": kept(bench), "steps": steps}


def resume_historian(stored: dict[str, Any]) -> dict[str, Any]:
    """Outcome of going on from stored state with the present code."""
    writer = KeepingWriter(away=False)
    bench = restored(stored["state"], _historian(writer), shard_of_partition)
    refused = drive(bench, stored["steps"])
    left = [name for name, _ in bench.backend.cells]
    return outcome.messages(writer.written) | {"refused": len(refused), "left": left}


# --- alarms -------------------------------------------------------------------------------------------------------------------


def _alarms_operator(bench: Harness) -> AlarmsOperator:
    return AlarmsOperator(alarm_scenarios.CONFIG, clock=bench.clock)


def make_alarms() -> dict[str, Any]:
    """Alarms in every state, and what follows. `registry` places records that do not say their site."""
    known = [value for _, value in alarm_scenarios.registry()]
    bench = Harness(_alarms_operator, SiteOf(lambda: known), now_us=us(0))
    drive(bench, alarm_scenarios.before())
    bench.advance(max(0, (us(alarm_scenarios.CUT_S) - bench.now_us) // 1000))
    return {"registry": known, "state": kept(bench), "steps": list(alarm_scenarios.after())}


def resume_alarms(stored: dict[str, Any]) -> dict[str, Any]:
    """Outcome of going on from stored state with the present code."""
    bench = restored(stored["state"], _alarms_operator, SiteOf(lambda: stored["registry"]))
    return outcome.alarms(drive(bench, stored["steps"]))


def resume(name: str, stored: dict[str, Any]) -> dict[str, Any]:
    """Outcome of one of NAMES."""
    if name == "telemetry":
        return resume_telemetry(stored)[0]
    return {"commands": resume_commands, "historian": resume_historian, "alarms": resume_alarms}[name](stored)


def with_losses(stored: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same with one thing of the state gone, and its name: a cell, a kind of part of a map, the timers, the broadcast state."""
    state = stored["state"]
    cells = state["cells"]
    maps = [cell for cell in cells if isinstance(cell[2], dict)]
    for lost in sorted({_kind(name) for _, _, parts in maps for name in parts}):
        left = [
            [state_name, key, {name: part for name, part in parts.items() if _kind(name) != lost}]
            for state_name, key, parts in maps
        ]
        yield lost, stored | {"state": state | {"cells": left}}
    for place, cell in enumerate(cells):
        if cell not in maps:
            left = cells[:place] + cells[place + 1 :]
            yield f"{cell[0]} of {cell[1]}", stored | {"state": state | {"cells": left}}
    for name, nothing in (("timers", []), ("broadcast", {})):
        if state[name]:
            yield name, stored | {"state": state | {name: nothing}}


def _kind(part: str) -> str:
    """Kind of a lane's part. Of those that exist per stream, each stream is one of its own; so is each part of an alarms' site."""
    kind = part.partition("\x00")[2]
    if not kind:
        return part
    return kind if kind.startswith(("dedup", "memory")) else kind.partition("/")[0]
