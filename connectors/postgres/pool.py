"""A few connections that asyncio code shares to read: bounded in number, in waiting and in time, quick to say that the database is away.

Enters: a libpq connection string. Leaves: rows, as tuples of Python values or of raw binary bytes. Every statement is
a transaction of its own, and read-only. A connection is held while a statement runs, never while a caller thinks: a
slow reader holds nothing. A caller that is cancelled (its deadline is over) cancels its statement in the server. When
the database cannot be reached everybody hears so at once for a second, with the cause, before the next attempt. Who
calls: `serving`, in the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import AsyncConnection, errors

from base.errors import OverloadedError
from connectors.postgres import array_loader, arrays, transport
from connectors.postgres.database import StoreUnavailable, unavailable

Row: TypeAlias = tuple[Any, ...]
_AGAIN_S = 1.0
"""How long an outage is believed before the next attempt to connect."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSettings:
    """Bounds of a pool. `waiting`: callers that may wait for a connection; `wait_s`: for how long."""

    connections: int = 4
    waiting: int = 64
    wait_s: float = 5.0
    connect_s: int = 3
    statement_s: float = 30.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) <= 0:
                msg = f"{name} must be above 0"
                raise ValueError(msg)


class ReadPool:
    """Connections are made when they are needed and kept. `observe(seconds, outcome)` is told of every statement."""

    _READ_ONLY = "on"
    _role = ""

    def __init__(
        self,
        dsn: str,
        settings: PoolSettings | None = None,
        *,
        application: str,
        observe: Callable[[float, str], None] = lambda _seconds, _outcome: None,
    ) -> None:
        """Raises ConfigError for what `transport` refuses."""
        transport.check(dsn)
        self._dsn, self._settings, self._application = dsn, settings or PoolSettings(), application
        self._observe = observe
        self._slots = asyncio.Semaphore(self._settings.connections)
        self._idle: list[AsyncConnection[Row]] = []
        self._waiting = 0
        self._outage: tuple[float, StoreUnavailable] | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that nobody uses now."""
        return len(self._idle)

    async def fetch(
        self, statement: LiteralString, parameters: Sequence[Any] | dict[str, Any] = (), *, binary: bool = False
    ) -> list[Row]:
        """All rows of one statement; `binary` asks the server for binary values.

        Raises StoreUnavailable when the database cannot be reached, OverloadedError when no connection is free in time or the statement
        takes longer than it may.
        """
        if not self._dsn:
            msg = "no database is configured (postgres.dsn)"
            raise StoreUnavailable(msg)
        began_s, outcome = time.monotonic(), "cancelled"
        try:
            async with self._slot():
                rows = await self._attempts(statement, parameters, binary=binary)
            outcome = "ok"
        except StoreUnavailable:
            outcome = "unavailable"
            raise
        except OverloadedError:
            outcome = "overloaded"
            raise
        except psycopg.Error:
            outcome = "failed"
            raise
        finally:
            self._observe(time.monotonic() - began_s, outcome)
        return rows

    async def close(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    async def _attempts(self, statement: LiteralString, parameters: Any, *, binary: bool) -> list[Row]:
        while True:
            kept = await self._kept()
            connection = kept or await self._connect()
            try:
                rows = await _run(connection, statement, parameters, binary=binary)
            except errors.ObjectNotInPrerequisiteState:
                raise  # of a function's own: psycopg counts it as operational
            except errors.QueryCanceled as error:
                msg = f"the database took longer than {self._settings.statement_s:g} s; ask for less: fewer tags, a shorter range"
                raise OverloadedError(msg) from error
            except psycopg.OperationalError as error:
                if not connection.broken:
                    raise unavailable(error) from error
                if (lost := self._lost(error, kept=kept is not None)) is not None:
                    raise lost from error
                continue
            except errors.InsufficientPrivilege as error:
                raise unavailable(error) from error
            except errors.UndefinedTable as error:
                msg = "the database has no tables of Millrace: it is not migrated"
                raise StoreUnavailable(msg) from error
            finally:
                await self._give_back(connection)
            return rows

    async def _kept(self) -> AsyncConnection[Row] | None:
        """A connection that nobody uses."""
        return self._idle.pop() if self._idle else None

    def _lost(self, error: psycopg.OperationalError, *, kept: bool) -> StoreUnavailable | None:
        """What a lost connection means; None: one that lay idle was dead since the server was restarted, so once more on a new one."""
        return None if kept else unavailable(error)

    async def _connect(self) -> AsyncConnection[Row]:
        if self._outage is not None and time.monotonic() < self._outage[0]:
            raise StoreUnavailable(str(self._outage[1]))
        try:
            connection = await AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                # Plans for the parameters at hand: of hundreds of partitions a statement opens the few it needs.
                prepare_threshold=None,
                connect_timeout=self._settings.connect_s,
                application_name=f"millrace-{self._application}",
                options=f"-c default_transaction_read_only={self._READ_ONLY}{self._role} -c timezone=UTC -c jit=off "
                f"-c statement_timeout={int(self._settings.statement_s * 1000)}",
                keepalives_idle=5,
                keepalives_interval=5,
                keepalives_count=2,
                tcp_user_timeout=15_000,
            )
        except psycopg.Error as error:
            outage = unavailable(error)
            self._outage = (time.monotonic() + _AGAIN_S, outage)
            raise outage from error
        self._outage = None
        arrays.register(connection)
        array_loader.register(connection)
        return connection

    async def _give_back(self, connection: AsyncConnection[Row]) -> None:
        if self._closed or connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            await connection.close()
        else:
            self._idle.append(connection)

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None, None]:
        if self._closed:
            msg = "the server is stopping"
            raise StoreUnavailable(msg)
        if self._slots.locked() and self._waiting >= self._settings.waiting:
            msg = f"{self._waiting} calls wait for the database already"
            raise OverloadedError(msg)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.wait_s):
                await self._slots.acquire()
        except TimeoutError:
            msg = f"all {self._settings.connections} connections to the database were busy for {self._settings.wait_s:g} s"
            raise OverloadedError(msg) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()


async def _run(
    connection: AsyncConnection[Row], statement: LiteralString, parameters: Any, *, binary: bool
) -> list[Row]:
    async with connection.cursor(binary=binary) as cursor:
        await cursor.execute(statement, parameters)
        return await cursor.fetchall()


class WritePool(ReadPool):
    """As `ReadPool`, for statements that change something, as a role that may change that and nothing else.

    A statement is never tried twice: when its connection is lost, nobody can say whether it took effect, and the error says so.
    """

    _READ_ONLY = "off"

    def __init__(self, dsn: str, settings: PoolSettings | None = None, *, role: str, **options: Any) -> None:
        super().__init__(dsn, settings, **options)
        self._role = f" -c role={role}"

    async def _kept(self) -> AsyncConnection[Row] | None:
        """A connection that lay idle may be dead since the server was restarted: it is asked first."""
        while (connection := await super()._kept()) is not None:
            try:
                await connection.execute("SELECT")
            except psycopg.Error:
                await connection.close()
            else:
                break
        return connection

    def _lost(self, error: psycopg.OperationalError, *, kept: bool) -> StoreUnavailable | None:  # noqa: ARG002
        return StoreUnavailable(
            f"{unavailable(error)}; whether it was entered is not known: send it again with its request_id, or look first"
        )
