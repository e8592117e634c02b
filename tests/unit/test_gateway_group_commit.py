"""Calls of the journal that share a write to disk: order, results, and what a failure costs whom."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from edge.command_journal import CommandJournal
from edge.group_commit import GroupCommit
from schemas.commands import CommandState
from tests.unit.test_gateway_commands import request

pytestmark = pytest.mark.unit


class Disk:
    """Counts the writes; `held` keeps the thread at its work; `full` refuses what is written together."""

    def __init__(self) -> None:
        self.writes: list[int] = []
        self.released = threading.Event()
        self.done: list[int] = []
        self.full = False

    @contextmanager
    def together(self) -> Iterator[None]:
        before = len(self.done)
        yield
        if self.full:
            msg = "database or disk is full"
            raise sqlite3.OperationalError(msg)
        self.writes.append(len(self.done) - before)

    def call(self, number: int) -> int:
        if number == 0:
            assert self.released.wait(10)
        self.done.append(number)
        return number * 10


async def started(disk: Disk, group: GroupCommit, count: int) -> list[asyncio.Task[Any]]:
    """Calls 0 to count, of which 0 is being carried out and the others wait."""
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(group.run(partial(disk.call, number))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return tasks


async def test_what_comes_during_a_write_shares_the_next() -> None:
    disk = Disk()
    group = GroupCommit(disk.together)
    tasks = await started(disk, group, 5)
    disk.released.set()
    assert await asyncio.gather(*tasks) == [0, 10, 20, 30, 40]
    assert disk.done == [0, 1, 2, 3, 4]
    assert disk.writes == [4]  # the first was alone, and makes its own transaction
    ended: list[bool] = []
    await group.close(lambda: ended.append(True))
    assert ended == [True]


async def test_a_write_that_fails_fails_all_that_were_in_it() -> None:
    disk = Disk()
    disk.full = True
    group = GroupCommit(disk.together)
    tasks = await started(disk, group, 3)
    disk.released.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == 0
    assert [type(one) for one in results[1:]] == [sqlite3.OperationalError] * 2
    await group.close(lambda: None)


async def test_a_caller_that_has_gone_holds_up_nobody() -> None:
    disk = Disk()
    group = GroupCommit(disk.together)
    tasks = await started(disk, group, 3)
    tasks[1].cancel()
    disk.released.set()
    assert await tasks[2] == 20
    assert disk.done == [0, 1, 2]
    await group.close(lambda: None)


def test_in_a_journal_a_call_that_raises_undoes_itself_alone(tmp_path: Path) -> None:
    journal = CommandJournal(tmp_path / "j", clock=lambda: 1_000)
    first, second = UUID(int=1), UUID(int=2)
    broken: Any = ("topic", 0)  # a position without its offset
    with journal.together():
        journal.receive([request(command_id=first)], [("t", 0, 5)])
        with pytest.raises(sqlite3.ProgrammingError):
            journal.receive([request(command_id=second)], [broken])
        assert journal.intend(first)
    journal.close()
    again = CommandJournal(tmp_path / "j", clock=lambda: 1_000)
    found = again.find(first)
    assert found is not None
    assert found.state is CommandState.EXECUTING
    assert again.find(second) is None
    assert again.positions() == {("t", 0): 5}
    again.close()
