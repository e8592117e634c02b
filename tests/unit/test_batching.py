"""When the historian writes, and the thread that does: generations, retries, closing."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from historian.store import Poisoned, StoreUnavailable, WriteResult
from jobs.batching import BatchConfig, Buffer, Message, retry_delay_s
from jobs.writer import Writer
from schemas.verdicts import RecordReject

CONFIG = BatchConfig(
    max_age_ms=200, target_bytes=1_000, bound_bytes=2_000, leak_bytes_per_s=1_000, retry_first_ms=1, retry_max_ms=2
)
DEADLINE_S = 10.0


def message(value: bytes = b"x") -> Message:
    return Message("topic", 0, 1, b"key", value)


def test_generations_follow_one_another() -> None:
    buffer = Buffer(CONFIG)
    assert buffer.add(message(), 0) == 0
    assert buffer.start_batch() == [message()]
    assert buffer.add(message(), 0) == 1
    assert buffer.start_batch() is None, "one in flight at a time"
    assert buffer.done == -1
    buffer.finished()
    assert buffer.done == 0
    assert buffer.messages == 1


def test_a_batch_is_due_by_age_or_size_and_never_during_a_write() -> None:
    buffer = Buffer(CONFIG)
    assert not buffer.due(0)
    buffer.add(message(), 0)
    assert not buffer.due(199_999)
    assert buffer.due(200_000)
    buffer.add(message(bytes(1000)), 0)
    assert buffer.due(0)
    buffer.start_batch()
    buffer.add(message(bytes(1000)), 0)
    assert not buffer.due(10**9)


def test_beyond_the_bound_messages_trickle() -> None:
    buffer = Buffer(CONFIG)
    buffer.add(message(bytes(3000)), 0)
    assert buffer.pause_s(message()) == 0, "nothing in flight: it can be written"
    buffer.start_batch()
    buffer.add(message(bytes(3000)), 0)
    assert buffer.pause_s(message(bytes(397))) == 0.5
    assert buffer.pause_s(message(bytes(10**6))) == 2.0
    assert buffer.size > 6000


def test_retries_back_off_to_a_bound() -> None:
    config = BatchConfig(retry_first_ms=100, retry_max_ms=5_000)
    assert [retry_delay_s(config, attempt) for attempt in (1, 2, 3, 8, 1000)] == [0.1, 0.2, 0.4, 5.0, 5.0]


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="bound_bytes is 0"):
        BatchConfig(bound_bytes=0)


class FakeStore:
    """Unavailable `outages` times."""

    def __init__(self, *, outages: int = 0) -> None:
        self.outages = outages
        self.stored: list[bytes] = []
        self.closed = threading.Event()
        self.tried = threading.Event()
        self.hold = threading.Event()
        self.hold.set()

    def write(self, batch: Sequence[Message]) -> WriteResult:
        assert self.hold.wait(DEADLINE_S)
        self.tried.set()
        if self.outages:
            self.outages -= 1
            msg = "no route to host"
            raise StoreUnavailable(msg)
        self.stored += [m.value for m in batch]
        return WriteResult(poisoned=[torn(m) for m in batch if m.value == b"torn"], frames=len(batch))

    def close(self) -> None:
        self.closed.set()


def torn(message: Message) -> Poisoned:
    return Poisoned(message=message, reason=RecordReject.UNDECODABLE, detail="torn")


def writer(store: FakeStore) -> Writer:
    return Writer(lambda: store, CONFIG)


def test_a_batch_is_written_and_collected_once() -> None:
    store = FakeStore()
    thread = writer(store)
    thread.start([message(b"1"), message(b"torn")])
    expected = WriteResult(poisoned=[torn(message(b"torn"))], frames=2)
    assert thread.collect(DEADLINE_S) == expected
    assert thread.collect() is None
    thread.start([message(b"2")])
    assert thread.collect(DEADLINE_S) == WriteResult(frames=1)
    thread.close()
    assert store.stored == [b"1", b"torn", b"2"]
    assert store.closed.is_set()


def test_the_caller_does_not_wait_for_the_database() -> None:
    store = FakeStore()
    store.hold.clear()
    thread = writer(store)
    thread.start([message()])
    assert thread.collect() is None
    assert thread.collect(0.01) is None
    store.hold.set()
    assert thread.collect(DEADLINE_S) == WriteResult(frames=1)
    thread.close()


def test_an_outage_is_waited_out() -> None:
    store = FakeStore(outages=5)
    thread = writer(store)
    thread.start([message(b"1")])
    assert thread.collect(DEADLINE_S) == WriteResult(frames=1)
    assert (store.stored, thread.retries, thread.outage) == ([b"1"], 5, False)
    thread.close()


def test_a_store_that_cannot_be_opened_is_an_outage_too() -> None:
    attempts = []

    def open_store() -> FakeStore:
        attempts.append(1)
        if len(attempts) < 3:
            msg = "refused"
            raise StoreUnavailable(msg)
        return FakeStore()

    thread = Writer(open_store, CONFIG)
    thread.start([message()])
    assert thread.collect(DEADLINE_S) == WriteResult(frames=1)
    assert len(attempts) == 3
    thread.close()


def test_closing_ends_an_outage_without_an_outcome() -> None:
    store = FakeStore(outages=10**9)
    thread = writer(store)
    thread.start([message()])
    assert store.tried.wait(DEADLINE_S)
    thread.close()
    assert thread.collect() is None
    assert store.closed.is_set()


def test_a_dead_thread_is_heard_of() -> None:
    class DyingStore(FakeStore):
        def write(self, batch: Sequence[Message]) -> WriteResult:
            raise SystemExit

    thread = writer(DyingStore())
    thread.start([message()])
    with pytest.raises(RuntimeError, match="writer thread ended"):
        thread.collect(DEADLINE_S)
