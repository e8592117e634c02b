"""What makes a batch fail is found, and the rest is stored."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.database import StoreUnavailable
from historian.batch import Batch, WriteResult
from historian.poison import write_isolated
from jobs.batching import Message
from schemas.verdicts import RecordReject


def batch_of(numbers: range) -> Batch:
    batch = Batch()
    for number in numbers:
        message = Message("telemetry.anomalies", 0, number, b"", b"")
        batch.records.setdefault("Anomaly", []).append(({"number": number}, message))
    return batch


@dataclass
class Table:
    """Takes a batch whole or not at all; refuses those that hold some number in `poison`."""

    poison: frozenset[int]
    error: type[Exception] = KeyError
    transactions: int = 0
    stored: tuple[int, ...] = ()

    def write(self, batch: Batch) -> WriteResult:
        self.transactions += 1
        numbers = [message.offset for message in batch.messages()]
        if self.poison & set(numbers):
            msg = "column of the wrong length"
            raise self.error(msg)
        self.stored += tuple(numbers)
        return WriteResult(records={"Anomaly": len(numbers)})


@given(st.integers(1, 130), st.frozensets(st.integers(0, 129), max_size=4))
def test_what_makes_a_batch_fail_is_found_and_the_rest_is_stored(size: int, poison: frozenset[int]) -> None:
    table = Table(poison)
    result = write_isolated(batch_of(range(size)), table.write)
    found = {each.message.offset for each in result.poisoned}
    assert found == {number for number in poison if number < size}
    assert sorted(table.stored) == [number for number in range(size) if number not in poison]
    assert result.records.get("Anomaly", 0) == len(table.stored)
    assert {each.reason for each in result.poisoned} <= {RecordReject.PROCESSING_FAILED}
    assert table.transactions <= 1 + 2 * 8 * len(poison)


def test_a_defect_of_ours_is_told_with_its_name() -> None:
    (poisoned,) = write_isolated(batch_of(range(1)), Table(frozenset({0}), ArithmeticError).write).poisoned
    assert poisoned.detail == "ArithmeticError: column of the wrong length"


def test_an_outage_is_nobodys_fault() -> None:
    table = Table(frozenset({3}), StoreUnavailable)
    with pytest.raises(StoreUnavailable):
        write_isolated(batch_of(range(8)), table.write)
    assert table.transactions == 1
