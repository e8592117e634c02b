"""The telemetry operator: `stages.telemetry.logic.TelemetryLogic` between records, keyed state and the broadcast registry.

Enters: rows of frames (`types.record_type`) keyed by shard, and the rows of `registry.tags` and `anomaly.labels`, broadcast. Leaves:
rows of `types.output_type`. The live objects are in the logic; what changed is written through to a map per shard,
`lane NUL part` to bytes, behind every frame and tick, and read back when a shard is first touched after a start. A
record on which the logic fails becomes a Rejected record and its lane goes back to the state before it.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from base import ids, logs
from base.errors import UnavailableError
from jobs.flink.metrics import Metrics
from jobs.flink.shards import SHARD_NAMES, lane_of, shard_of
from jobs.flink.timers import END_OF_INPUT_MS, register_end_of_input, register_tick
from jobs.flink.types import KEY, OFFSET, PARTITION, TOPIC, VALUE, key_type, state_bytes_type
from jobs.flink.unsigned import UnsignedGateways
from jobs.heap_trim import HeapTrimmer
from jobs.signing_keys import Keys, no_keys
from schemas import topics
from stages import rejects
from stages.config import TelemetryConfig
from stages.intake.signatures import FrameGuard
from stages.telemetry.logic import MicroBatchError, Origin, Output, TelemetryLogic

log = logging.getLogger(__name__)

TICK_MS = 250
_GC_THRESHOLDS = (20_000, 20, 50)
_SEPARATOR = "\x00"


def registry_descriptor() -> MapStateDescriptor:
    """Broadcast state: Kafka key of `registry.tags` or `anomaly.labels` to its newest message. Tags are numbers, labels UUIDs."""
    return MapStateDescriptor("registry", key_type(), state_bytes_type())


Snapshot = Callable[[], Iterable[bytes]]


def no_snapshot() -> Iterable[bytes]:
    """The registry comes by broadcast alone; until it does, frames wait within the bounds of `HoldConfig`."""
    return ()


class TelemetryOperator(KeyedBroadcastProcessFunction):
    """The telemetry logic behind Flink's interface, one per subtask; `clock` gives microseconds UTC.

    `snapshot` gives the messages of `registry.tags` there are when the operator opens; what is broadcast are the changes
    since. Without it a job that starts on a backlog would meet thousands of frames before the first definition, more
    than may wait. `keys` and `unsigned_until_us`: see `FrameGuard`.
    """

    def __init__(
        self,
        config: TelemetryConfig,
        *,
        clock: ids.Clock = ids.now_us,
        logic: Callable[[TelemetryConfig], TelemetryLogic] = TelemetryLogic,
        snapshot: Snapshot = no_snapshot,
        keys: Keys = no_keys,
        unsigned_until_us: int = 0,
    ) -> None:
        self._config, self._clock, self._make_logic, self._snapshot = config, clock, logic, snapshot
        self._make_keys, self._unsigned_until_us = keys, unsigned_until_us

    def open(self, runtime_context: RuntimeContext) -> None:
        """Nothing is restored yet: keyed state can be read only under a key."""
        logs.configure("telemetry")
        self._metrics = Metrics(runtime_context)
        self._trimmer = HeapTrimmer()
        self._logic = self._make_logic(self._config)
        if (keys := self._make_keys()) is not None:
            keys.open()
            unsigned = UnsignedGateways(self._metrics)
            self._logic.guard = FrameGuard(
                keys.find, unsigned_until_us=self._unsigned_until_us, on_unsigned=unsigned.seen
            )
        self._keys = keys
        for message in self._snapshot():
            self._apply_registry("snapshot", message)
        # A large plant's definitions and detectors stay: to look through them for garbage would stop the line for half a second, often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        self._parts = runtime_context.get_map_state(MapStateDescriptor("lane-parts", key_type(), state_bytes_type()))
        self._registry = registry_descriptor()
        self._registry_known = False
        self._kept: Any = None
        self._lanes: dict[str, set[str]] = {}
        self._failed_ticks: dict[str, int] = {}
        self._metrics.level("lanes", lambda: sum(map(len, self._lanes.values())))
        self._metrics.level("tags_not_calculated", lambda: self._logic.tags_not_calculated)
        self._metrics.level("tags_waiting", lambda: self._logic.tags_waiting)
        if (table := keys) is not None:
            self._metrics.level("signing_keys_age_s", lambda: table.age_s)
        for name in self._logic.counters:
            self._metrics.level(name, partial(self._logic.counters.__getitem__, name))

    def close(self) -> None:
        """Stop following the keys."""
        if self._keys is not None:
            self._keys.close()

    def process_element(self, value: Row, ctx: Any) -> list[Row]:
        """One frame."""
        lane = lane_of(value)
        lanes = self._touch(shard_of(lane.encode()), ctx)
        message, origin = value[VALUE] or b"", Origin(value[TOPIC], value[PARTITION], value[OFFSET])
        try:
            outputs: Iterable[Output] = self._process(lane, message, origin)
            if self._write_through(lane):  # a key that was never a lane's leaves nothing behind
                lanes.add(lane)
        except UnavailableError:
            raise  # whether it is signed cannot be known now: the task fails, and the frame is judged after its restart
        except Exception as error:
            log.exception("frame failed", extra={"lane": lane, **origin._asdict()})
            outputs = [self._failed(error, lane.encode(), message, origin)]
            self._reload([lane])
        return list(self._rows(outputs))

    def _process(self, lane: str, message: bytes, origin: Origin) -> list[Output]:
        try:
            return self._logic.on_frame(message, origin, self._clock())
        except MicroBatchError:  # this frame need not be to blame: it is one of several
            log.exception("micro-batch failed", extra={"lane": lane})
            self._metrics.count("failed_together")
            self._reload([lane])
            return self._logic.on_frame(message, origin, self._clock())

    def process_broadcast_element(self, value: Row, ctx: Any) -> list[Row]:
        """One message of the registry. Flink snapshots the broadcast state; the logic has its own view of it."""
        self._read_registry(ctx)
        key, message = (value[KEY] or b"").decode(errors="backslashreplace"), value[VALUE]
        if message is not None:
            if self._kept is None:  # looking it up takes longer than the rest, and a plant has many tags
                self._kept = ctx.get_broadcast_state(self._registry)
            self._kept.put(key, message)
            self._apply_registry(key, message)
        return []

    def on_timer(self, timestamp: int, ctx: Any) -> list[Row]:
        """The shard's tick, or the end of a bounded input."""
        shard, outputs = ctx.get_current_key(), list[Output]()
        lanes = self._touch(shard, ctx)
        if timestamp == END_OF_INPUT_MS:
            # The first shard flushes all; each keeps its own lanes' changes.
            outputs += self._logic.flush_all(self._clock())
            for lane in lanes:
                self._write_through(lane)
        else:
            _register_tick(shard, ctx)
            now_us = self._clock()
            self._trimmer.tick(now_us)
            self._metrics.tick(now_us)
            for lane in sorted(lanes):
                if self._logic.due(lane, now_us):
                    outputs += self._tick(lane, now_us)
        return list(self._rows(outputs))

    def _tick(self, lane: str, now_us: int) -> list[Output]:
        try:
            outputs = self._logic.on_timer([lane], now_us)
            self._write_through(lane)
        except Exception:
            # It may fail again four times a second, so it is logged at powers of two.
            failures_so_far = self._failed_ticks[lane] = self._failed_ticks.get(lane, 0) + 1
            if failures_so_far & (failures_so_far - 1) == 0:
                log.exception("tick failed", extra={"lane": lane, "times": failures_so_far})
            self._metrics.count("failed_ticks")
            self._reload([lane])
            return []
        return outputs

    def _touch(self, shard: str, ctx: Any) -> set[str]:
        """Lanes of the current shard, restored when this is its first touch; from then on it ticks.

        Nothing of Flink is asked after that: a call costs a tenth of what a small frame does.
        """
        lanes = self._lanes.get(shard)
        if lanes is None:
            self._read_registry(ctx)
            register_end_of_input(ctx.timer_service())
            _register_tick(shard, ctx)
            stored = self._stored()
            for lane, parts in stored.items():
                self._logic.restore(lane, parts)
            lanes = self._lanes[shard] = set(stored)
        return lanes

    def _stored(self) -> dict[str, dict[str, bytes]]:
        found: dict[str, dict[str, bytes]] = {}
        for name, part in self._parts.items():
            lane, _, part_name = name.partition(_SEPARATOR)
            found.setdefault(lane, {})[part_name] = part
        return found

    def _write_through(self, lane: str) -> bool:
        """Keep what changed of a lane; whether anything did."""
        changes = self._logic.drain_changes(lane)
        for part, data in changes.items():
            if data is None:
                self._parts.remove(f"{lane}{_SEPARATOR}{part}")
            else:
                self._parts.put(f"{lane}{_SEPARATOR}{part}", data)
        return bool(changes)

    def _reload(self, lanes: Iterable[str]) -> None:
        """Back to what the state holds: what a failed call left half done is forgotten."""
        stored = self._stored()
        for lane in lanes:
            self._logic.restore(lane, stored.get(lane, {}))
            self._logic.drain_changes(lane)

    def _read_registry(self, ctx: Any) -> None:
        """Give the logic what the broadcast state was restored with; with a `snapshot` it knows that already."""
        if self._registry_known:
            return
        self._registry_known = True
        entries = dict(ctx.get_broadcast_state(self._registry).items())
        version = entries.pop(topics.REGISTRY_VERSION_KEY.decode(), None)
        for key, message in entries.items():
            self._apply_registry(key, message)
        if version is not None:  # the marker says that all before it is complete
            self._apply_registry("version", version)

    def _apply_registry(self, key: str, message: bytes) -> None:
        try:
            self._logic.apply_registry(message)
        except Exception:
            log.exception("registry message failed", extra={"key": key})
            self._metrics.count("failed_registry_messages")

    def _failed(self, error: Exception, key: bytes, message: bytes, origin: Origin) -> Output:
        self._metrics.count("failed_frames")
        return rejects.processing_failed(message, origin, self._clock(), error)._replace(key=key)

    def _rows(self, outputs: Iterable[Output]) -> Iterator[Row]:
        for output in outputs:
            yield Row(*(output if len(output.value) <= topics.MAX_RECORD_BYTES else self._oversized(output)))

    def _oversized(self, output: Output) -> Output:
        self._metrics.count("oversized_outputs")
        return rejects.oversized(output, self._clock())


def _register_tick(shard: str, ctx: Any) -> None:
    """Shards tick one after the other, not all at once."""
    register_tick(ctx.timer_service(), TICK_MS, SHARD_NAMES.index(shard) * TICK_MS // len(SHARD_NAMES))
