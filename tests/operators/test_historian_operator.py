"""The historian operator over a writer of the test's own: what is kept, for how long, and what an outage does."""

from __future__ import annotations

from typing import Any

from historian.store import Poisoned, WriteResult
from jobs.batching import BatchConfig, Message
from jobs.flink.historian import HistorianOperator
from jobs.flink.shards import shard_of_partition
from schemas import codec, topics
from schemas.verdicts import RecordReject
from tests.operators.fakes import Harness
from tests.operators.rows import START_US, row


class ManualWriter:
    """A writer whose batches are done when the test says so."""

    def __init__(self) -> None:
        self.started: list[list[Message]] = []
        self.waits: list[float] = []
        self.outcome: WriteResult | None = None
        self.outage = False
        self.retries = 0
        self.automatic = False
        self.closed = False
        self.in_flight = False

    def start(self, batch: list[Message]) -> None:
        assert not self.in_flight
        self.in_flight = True
        self.started.append(batch)

    def collect(self, wait_s: float = 0.0) -> WriteResult | None:
        if wait_s:
            self.waits.append(wait_s)
        outcome, self.outcome = WriteResult() if self.automatic and self.in_flight else self.outcome, None
        self.in_flight = self.in_flight and outcome is None
        return outcome

    def close(self) -> None:
        self.closed = True

    def written(self) -> list[bytes]:
        return [message.value for batch in self.started for message in batch]


CONFIG = BatchConfig(max_age_ms=200, target_bytes=10_000, bound_bytes=20_000, leak_bytes_per_s=1_000)


def harness(writer: ManualWriter) -> Harness:
    def operator(bench: Harness) -> Any:
        make: Any = lambda: writer  # noqa: E731
        return HistorianOperator(CONFIG, make, clock=bench.clock)

    return Harness(operator, shard_of_partition, now_us=START_US)


def message(number: int, *, size: int = 10, topic: str = topics.VALIDATED.name) -> Any:
    return row(topic, b"gw-%d/0" % (number % 40), b"%d" % number + bytes(size), partition=number % 40)


def stored(bench: Harness) -> int:
    """Messages in keyed state."""
    total = 0
    for name, key in list(bench.backend.cells):
        bench.backend.key = key
        total += len(bench.backend.load(name, []))
    return total


def test_a_batch_of_all_shards_is_written_when_its_age_is_up() -> None:
    writer = ManualWriter()
    bench = harness(writer)
    for number in range(40):
        bench.element(message(number))
    bench.advance(100)
    assert writer.started == []
    bench.advance(200)
    assert len(writer.started) == 1
    assert len(writer.started[0]) == 40


def test_a_full_batch_is_written_at_once() -> None:
    writer = ManualWriter()
    bench = harness(writer)
    bench.element(message(0, size=20_000))
    assert len(writer.started) == 1


def test_what_comes_during_a_write_is_the_next_batch() -> None:
    writer = ManualWriter()
    bench = harness(writer)
    bench.element(message(0))
    bench.advance(300)
    for number in range(1, 6):
        bench.element(message(number))
        bench.advance(300)
    assert len(writer.started) == 1
    writer.outcome = WriteResult()
    bench.advance(300)
    assert [len(batch) for batch in writer.started] == [1, 5]


def test_state_is_held_until_the_commit_and_cleared_by_every_shard_after_it() -> None:
    writer = ManualWriter()
    bench = harness(writer)
    for number in range(40):
        bench.element(message(number))
    bench.advance(300)
    assert stored(bench) == 40
    writer.outcome = WriteResult()
    bench.advance(2 * CONFIG.max_age_ms)  # a round of all shards and the rest of the one before
    assert stored(bench) == 0
    assert bench.level("held_messages") == 0


def test_levels_are_told_once_a_second_and_when_all_is_quiet() -> None:
    writer = ManualWriter()
    bench = harness(writer)
    asked: list[int] = []

    def level() -> int:
        asked.append(bench.now_us)
        return 0

    bench.operator._metrics.level("asked", level)
    for number in range(40):
        bench.element(message(number))
    bench.advance(3_000)  # the write takes that long, and every shard ticks many times
    assert 2 <= len(asked) <= 4
    assert bench.count("held_messages") == 40
    writer.outcome = WriteResult()
    bench.advance(900)
    assert bench.count("held_messages") == 0, "it was the last tick"
    assert not bench.timers


def test_an_idle_operator_has_no_timers() -> None:
    writer = ManualWriter()
    writer.automatic = True
    bench = harness(writer)
    for number in range(40):
        bench.element(message(number))
    bench.advance(1000)
    assert bench.timers == set()


def test_after_a_failure_everything_uncommitted_is_written_again() -> None:
    first = ManualWriter()
    bench = harness(first)
    for number in range(10):
        bench.element(message(number))
    bench.advance(300)
    for number in range(10, 20):
        bench.element(message(number))
    second = ManualWriter()
    bench._make = harness(second)._make
    other = bench.restored()
    other.advance(600)
    second.outcome = WriteResult()
    other.advance(600)
    assert sorted(second.written()) == sorted(value[4] for value in map(message, range(20)))
    second.outcome = WriteResult()
    other.advance(600)
    assert stored(other) == 0


def test_messages_that_come_after_a_restore_are_not_cleared_with_older_ones() -> None:
    first = ManualWriter()
    bench = harness(first)
    bench.element(message(0))
    bench.advance(300)
    bench.element(message(40))  # of the same shard, in the next generation
    second = ManualWriter()
    bench._make = harness(second)._make
    other = bench.restored()
    other.element(message(80))
    other.advance(600)
    other.element(message(120))
    second.outcome = WriteResult()
    other.advance(50)
    assert stored(other) >= 1
    last = ManualWriter()
    other._make = harness(last)._make
    final = other.restored()
    final.advance(600)
    assert message(120)[4] in last.written()


def test_an_outage_bounds_what_is_taken_and_loses_nothing() -> None:
    writer = ManualWriter()
    bench = harness(writer)
    for number in range(400):
        bench.element(message(number, size=1000))
    assert len(writer.started) == 1
    assert len(writer.waits) > 300, "beyond the bound every message waits"
    assert all(0.9 < wait < 1.5 for wait in writer.waits), "1.1 KB at 1 KB/s"
    writer.automatic = True
    bench.advance(2000)
    assert len(writer.written()) == 400
    assert bench.level("held_bytes") == 0


def test_what_the_database_refuses_goes_to_rejected_whole() -> None:
    writer = ManualWriter()
    bench = harness(writer)
    poison = message(1)
    bench.element(poison)
    bench.advance(300)
    writer.outcome = WriteResult(
        poisoned=[Poisoned(message=writer.started[0][0], reason=RecordReject.UNDECODABLE, detail="torn")]
    )
    ((topic, key, value),) = bench.advance(100)
    _, record = codec.decode(value, "Rejected")
    assert (topic, key) == (topics.REJECTED.name, poison[3])
    assert (record["reason"], record["detail"], record["original"]) == ("UNDECODABLE", "torn", poison[4])
    assert (record["source_topic"], record["source_offset"]) == (poison[0], poison[2])


def test_a_refused_rejected_record_does_not_go_round_in_circles() -> None:
    writer = ManualWriter()
    bench = harness(writer)
    bench.element(message(1, topic=topics.REJECTED.name))
    bench.advance(300)
    writer.outcome = WriteResult(
        poisoned=[Poisoned(message=writer.started[0][0], reason=RecordReject.UNDECODABLE, detail="torn")]
    )
    assert bench.advance(100) == []
    assert bench.count("refused_messages") == 1


def test_the_end_of_a_bounded_input_waits_for_the_last_commit() -> None:
    writer = ManualWriter()
    writer.automatic = True
    bench = harness(writer)
    for number in range(5):
        bench.element(message(number))
    bench.end()
    assert len(writer.written()) == 5
    bench.close()
    assert writer.closed
