"""Flink around an operator, without a JVM: keyed state that knows its key and copies, timers that a test fires.

`Harness` drives an operator as a TaskManager does: sets the key, calls it, collects the rows. `Harness.restored` is
a new operator on the state and timers of another, as after a failure; everything that was only in memory is gone.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

END_OF_INPUT_MS = (1 << 63) - 1


class FakeBackend:
    """All keyed state of one subtask: (state name, key) to bytes, so nothing is shared with the operator."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], bytes] = {}
        self.broadcast: dict[str, bytes] = {}
        self.key: str | None = None

    def snapshot(self) -> FakeBackend:
        """What a checkpoint holds."""
        other = FakeBackend()
        other.cells, other.broadcast = dict(self.cells), dict(self.broadcast)
        return other

    def load(self, name: str, empty: Any) -> Any:
        assert self.key is not None, f"state {name} touched without a key"
        data = self.cells.get((name, self.key))
        return empty if data is None else pickle.loads(data)

    def store(self, name: str, value: Any) -> None:
        assert self.key is not None, f"state {name} touched without a key"
        self.cells[name, self.key] = pickle.dumps(value)

    def clear(self, name: str) -> None:
        assert self.key is not None
        self.cells.pop((name, self.key), None)


class FakeState:
    def __init__(self, backend: FakeBackend, name: str) -> None:
        self._backend, self._name = backend, name

    def clear(self) -> None:
        self._backend.clear(self._name)


class FakeValueState(FakeState):
    def value(self) -> Any:
        return self._backend.load(self._name, None)

    def update(self, value: Any) -> None:
        self._backend.store(self._name, value)


class FakeListState(FakeState):
    def get(self) -> Iterator[Any]:
        yield from self._backend.load(self._name, [])

    def add(self, value: Any) -> None:
        self._backend.store(self._name, [*self._backend.load(self._name, []), value])


class FakeMapState(FakeState):
    def get(self, key: str) -> Any:
        return self._backend.load(self._name, {}).get(key)

    def put(self, key: str, value: Any) -> None:
        self._backend.store(self._name, {**self._backend.load(self._name, {}), key: value})

    def remove(self, key: str) -> None:
        self._backend.store(self._name, {k: v for k, v in self._backend.load(self._name, {}).items() if k != key})

    def items(self) -> Iterator[tuple[str, Any]]:
        yield from self._backend.load(self._name, {}).items()


class FakeBroadcastState:
    def __init__(self, backend: FakeBackend, *, writable: bool) -> None:
        self._backend, self._writable = backend, writable

    def items(self) -> Iterator[tuple[str, bytes]]:
        yield from self._backend.broadcast.items()

    def put(self, key: str, value: bytes) -> None:
        assert self._writable, "broadcast state is read-only on the keyed side"
        self._backend.broadcast[key] = value

    def remove(self, key: str) -> None:
        assert self._writable, "broadcast state is read-only on the keyed side"
        self._backend.broadcast.pop(key, None)


class FakeCounter:
    def __init__(self) -> None:
        self.value = 0

    def inc(self, n: int = 1) -> None:
        self.value += n


class FakeMetricGroup:
    """`counters` of all groups; those of a group with a key and a value as Flink names them: `key.value.name`."""

    def __init__(self, counters: dict[str, FakeCounter] | None = None, prefix: str = "") -> None:
        self.counters = {} if counters is None else counters
        self._prefix = prefix

    def add_group(self, name: str, extra: str = "") -> FakeMetricGroup:
        return FakeMetricGroup(self.counters, f"{name}.{extra}.") if extra else self

    def counter(self, name: str) -> FakeCounter:
        name = f"{self._prefix}{name}"
        assert name not in self.counters, f"counter {name} registered twice"
        return self.counters.setdefault(name, FakeCounter())


class FakeRuntimeContext:
    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend
        self.metrics = FakeMetricGroup()

    def get_state(self, descriptor: Any) -> FakeValueState:
        return FakeValueState(self._backend, descriptor.name)

    def get_list_state(self, descriptor: Any) -> FakeListState:
        return FakeListState(self._backend, descriptor.name)

    def get_map_state(self, descriptor: Any) -> FakeMapState:
        return FakeMapState(self._backend, descriptor.name)

    def get_metrics_group(self) -> FakeMetricGroup:
        return self.metrics


class FakeTimers:
    """Timers of all keys, a set as in Flink: the same timer twice is one timer."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness

    def current_processing_time(self) -> int:
        return self._harness.now_us // 1000

    def register_processing_time_timer(self, timestamp: int) -> None:
        assert self._harness.backend.key is not None
        self._harness.timers.add((timestamp, self._harness.backend.key))

    def register_event_time_timer(self, timestamp: int) -> None:
        assert self._harness.backend.key is not None
        self._harness.event_timers.add((timestamp, self._harness.backend.key))


class FakeContext:
    def __init__(self, harness: Harness, *, keyed: bool = True) -> None:
        self._harness, self._keyed = harness, keyed

    def get_current_key(self) -> str:
        assert self._keyed
        assert self._harness.backend.key is not None
        return self._harness.backend.key

    def timer_service(self) -> FakeTimers:
        assert self._keyed, "no timers on the broadcast side"
        return FakeTimers(self._harness)

    def get_broadcast_state(self, descriptor: Any) -> FakeBroadcastState:
        return FakeBroadcastState(self._harness.backend, writable=not self._keyed)


class Harness:
    """One subtask. `key_of` is the job's key selector; `now_us` is every clock.

    `backend` and `timers` are those of an earlier subtask, kept elsewhere.
    """

    def __init__(
        self,
        operator: Callable[[Harness], Any],
        key_of: Callable[[Any], str],
        *,
        now_us: int,
        backend: FakeBackend | None = None,
        timers: Iterable[tuple[int, str]] = (),
    ) -> None:
        self.backend, self.now_us = backend or FakeBackend(), now_us
        self.timers = set(timers)
        self.event_timers: set[tuple[int, str]] = set()
        self.out: list[tuple[str, bytes, bytes]] = []
        self._make, self._key_of = operator, key_of
        self._open()

    def clock(self) -> int:
        return self.now_us

    def restored(self) -> Harness:
        """Another subtask from this one's checkpoint, which goes on by itself."""
        other = copy.copy(self)
        other.backend, other.out = self.backend.snapshot(), []
        other.timers, other.event_timers = set(self.timers), set(self.event_timers)
        other._open()
        return other

    def count(self, name: str) -> int:
        """Value of a counter."""
        counter = self.context.metrics.counters.get(name)
        return counter.value if counter else 0

    def level(self, name: str) -> int:
        """Value of a level, as Flink is told it now."""
        self.operator._metrics.refresh()
        return self.count(name)

    def element(self, row: Any) -> list[tuple[str, bytes, bytes]]:
        """A record of the keyed input."""
        return self._call(self._key_of(row), lambda: self.operator.process_element(row, FakeContext(self)))

    def broadcast(self, row: Any) -> list[tuple[str, bytes, bytes]]:
        """A record of the broadcast input."""
        context = FakeContext(self, keyed=False)
        return self._call(None, lambda: self.operator.process_broadcast_element(row, context))

    def advance(self, ms: int) -> list[tuple[str, bytes, bytes]]:
        """Let processing time pass and fire what is due, in order."""
        end_ms, before = self.now_us // 1000 + ms, len(self.out)
        while due := sorted(timer for timer in self.timers if timer[0] <= end_ms):
            timestamp, key = due[0]
            self.timers.remove(due[0])
            self.now_us = max(self.now_us, timestamp * 1000)
            self._call(key, lambda at=timestamp: self.operator.on_timer(at, FakeContext(self)))  # type: ignore[misc]
        self.now_us = end_ms * 1000
        return self.out[before:]

    def end(self) -> list[tuple[str, bytes, bytes]]:
        """The input is over: the last watermark fires the event-time timers, processing-time timers do not fire any more."""
        before = len(self.out)
        for timestamp, key in sorted(self.event_timers):
            self._call(key, lambda at=timestamp: self.operator.on_timer(at, FakeContext(self)))  # type: ignore[misc]
        return self.out[before:]

    def close(self) -> None:
        """The task ends."""
        self.operator.close()

    def _open(self) -> None:
        self.context = FakeRuntimeContext(self.backend)
        self.operator = self._make(self)
        self.backend.key = None
        self.operator.open(self.context)

    def _call(self, key: str | None, call: Callable[[], Any]) -> list[tuple[str, bytes, bytes]]:
        self.backend.key = key
        rows = [(row[0], row[1], row[2]) for row in call()]
        self.backend.key = None
        self.out += rows
        return rows
