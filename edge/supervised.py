"""One connector under supervision: whatever it raises ends itself alone, and it is made anew.

Enters: how to make the connector (`ConnectionSpec`), the tags, writes. Leaves: its readings and notices to the gateway's sink, STATE events
of its failures, DEATH events of its devices, numbers for people. Who calls: `edge.connections`.

What costs a connector its connection: an exception of `run`, of `update`, of a callback after append, or readings no frame can carry.
`status` and `write` cost nothing else when they raise: the error is shown, and the samples go on. Pauses between attempts grow;
what only an edit of the configuration mends (ConfigError, a file that cannot be read) is tried again slowly. A connector is made anew only
when all it handed over is appended, so that the next one knows the last samples; one that does not end is cut off from the sink.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from base.errors import ConfigError, cause_of
from base.ids import Clock
from connectors.readings import Acknowledges, Connector, Notice, Readings, Seen, Sink, Write, WriteResult, WriteStatus
from schemas import quality
from schemas.definitions import TagDefinition
from schemas.events import EventKind

log = logging.getLogger(__name__)

CONFIGURATION = (ConfigError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""What only a person can mend."""
_WRITE_GRACE_S = 0.5
_SAY_AGAIN_S = 3600.0
_INT32 = 1 << 31


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionSpec:
    """A connection as configured. `settings` are compared to see whether it changed; `make` may raise anything."""

    name: str
    settings: Any
    make: Callable[[Sink], Connector] = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Pauses between attempts, in seconds. A connector that ran for `max_s` begins again with `min_s`."""

    min_s: float = 0.5
    max_s: float = 60.0
    configuration_s: float = 30.0
    stop_s: float = 10.0


class _Tap:
    """The sink of one connector: counts, refuses readings no frame can carry, and lets nothing through once it is cut."""

    def __init__(self, sink: Sink, counts: Counter[str], fail: Callable[[Exception], None]) -> None:
        self._sink, self._counts, self._fail = sink, counts, fail
        self._cut = False

    def cut(self) -> None:
        """Nothing more passes; what is not acknowledged will come again."""
        self._cut = True

    def readings(self, readings: Readings, on_appended: Callable[[], None] | None = None) -> None:
        if self._cut:
            self._counts["after_end"] += len(readings)
            return
        if problem := _unsound(readings):
            error = ValueError(f"readings that no frame can carry: {problem}")
            self._fail(error)
            raise error
        self._counts["samples"] += len(readings)
        self._sink.readings(readings, None if on_appended is None else lambda: self._appended(on_appended))

    def notice(self, notice: Notice) -> None:
        if not self._cut:
            self._counts[notice.kind.value.lower()] += 1
            self._sink.notice(notice)

    def last_seen(self, tag_id: int) -> Seen:
        return self._sink.last_seen(tag_id)

    def _appended(self, on_appended: Callable[[], None]) -> None:
        """Called by the pipeline, which one connector's error must not end."""
        if not self._cut:
            try:
                on_appended()
            except Exception as error:  # noqa: BLE001 - a library's
                self._fail(error)


class Supervised:
    """A connection: one connector after the other, until cancelled."""

    def __init__(
        self, spec: ConnectionSpec, *, sink: Sink, clock: Clock, settled: Callable[[], Awaitable[None]], pace: Pace
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.restarts = 0
        self.last_error = ""
        self.counts: Counter[str] = Counter()
        self._sink, self._clock, self._settled, self._pace = sink, clock, settled, pace
        self._connector: Connector | None = None
        self._tags: Mapping[str, TagDefinition] | None = None
        self._foreign: frozenset[str] = frozenset()
        self._broken: asyncio.Future[Exception] | None = None
        self._retry = asyncio.Event()
        self._problem = "starting"
        self._said: dict[str, float] = {}
        self._stale_at = 0

    # --- life ------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connector running until cancelled."""
        pause_s = self._pace.min_s
        while True:
            started_s = time.monotonic()
            error = await self._one_life()
            if time.monotonic() - started_s > self._pace.max_s:
                pause_s = self._pace.min_s
            wait_s = self._pace.configuration_s if isinstance(error, CONFIGURATION) else pause_s
            self._failed(error, wait_s)
            await self._wait(wait_s * random.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, self._pace.max_s)
            await self._settled()
            self.restarts += 1

    def retry(self) -> None:
        """Do not wait any longer before the next attempt."""
        self._retry.set()

    async def _one_life(self) -> BaseException:
        """Make a connector and run it; returns what ended it."""
        self._broken = asyncio.get_running_loop().create_future()
        tap = _Tap(self._sink, self.counts, self._break)
        task: asyncio.Task[None] | None = None
        try:
            connector = self.spec.make(tap)
            if self._tags is not None:
                connector.update(self._tags, self._foreign)
            self._connector, self._problem = connector, ""
            task = asyncio.create_task(connector.run(), name=self.name)
            either: set[asyncio.Future[Any]] = {task, self._broken}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return self._broken.result() if self._broken.done() else _ending(task)
        except Exception as error:  # noqa: BLE001 - whatever a library raises ends this connection alone
            return error
        finally:
            self._connector = None
            tap.cut()
            if task is not None:
                await end(task, self._pace.stop_s)

    async def _wait(self, wait_s: float) -> None:
        self._retry.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._retry.wait()
        except TimeoutError:
            return

    def _break(self, error: Exception) -> None:
        """Something of the connector failed outside its `run`."""
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(error)

    # --- what the gateway asks -------------------------------------------------------------------------------------------

    def serves(self, address: str) -> bool:
        """Whether an address of the registry belongs to this connection: it begins with its name."""
        return address.startswith(f"{self.name}:")

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:
        """Take over the tags by address; a connector that cannot is made anew."""
        self._tags, self._foreign = tags, foreign
        if self._connector is not None:
            try:
                self._connector.update(tags, foreign)
            except Exception as error:  # noqa: BLE001
                self._break(error)

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Write through the connector; never raises, and ends soon after the timeout even when the connector does not."""
        return await self._carried_out(lambda connector: connector.write(writes, timeout_s), timeout_s)

    async def acknowledge(self, condition: str, seen_us: int, comment: str, timeout_s: float) -> WriteResult:
        """Acknowledge a condition of the connector's machines; as `write` does."""

        def call(connector: Connector) -> Coroutine[Any, Any, WriteResult]:
            return connector.acknowledge(condition, seen_us, comment, timeout_s)  # type: ignore[attr-defined, no-any-return]

        if self._connector is not None and not isinstance(self._connector, Acknowledges):
            return WriteResult(status=WriteStatus.REFUSED, detail=f"{self.name} has no conditions")
        return await self._carried_out(call, timeout_s)

    async def _carried_out(
        self, call: Callable[[Connector], Coroutine[Any, Any, WriteResult]], timeout_s: float
    ) -> WriteResult:
        connector = self._connector
        if connector is None:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=f"{self.name} is not running: {self._problem}")
        task = asyncio.create_task(call(connector))
        try:
            await asyncio.wait({task}, timeout=timeout_s + _WRITE_GRACE_S)
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_ending)
        if not task.done():
            error: BaseException = TimeoutError(f"a write did not end within {timeout_s + _WRITE_GRACE_S:g} s")
        elif task.cancelled() or task.exception() is not None:
            error = _ending(task)
        else:
            result: Any = task.result()
            if isinstance(result, WriteResult):
                return result
            error = TypeError(f"a write answered with a {type(result).__name__}")
        self._note("write", error)
        return WriteResult(status=WriteStatus.UNKNOWN, detail=cause_of(error))

    def status(self) -> dict[str, Any]:
        """Numbers and states for people, the supervisor's among them."""
        found: dict[str, Any] = {}
        connector, problem = self._connector, self._problem
        if connector is not None:
            try:
                found = dict(connector.status())
                problem = str(found.get("problem", ""))
            except Exception as error:  # noqa: BLE001
                self._note("status", error)
                problem = f"its status cannot be had: {cause_of(error)}"
        return {
            **found,
            "name": self.name,
            "connected": bool(found.get("connected", False)),
            "problem": problem,
            "restarts": self.restarts,
            "last_error": self.last_error,
            "samples": self.counts["samples"],
            "gaps": self.counts["gap"],
            "errors": self.counts["errors"],
        }

    def devices_are_stale(self, why: str) -> None:
        """Tell of every device of this connection that it cannot be reached."""
        self._stale_at = self.counts["samples"]
        devices = {tag.device_id: tag for address, tag in (self._tags or {}).items() if self.serves(address)}
        for device_id, tag in devices.items():
            attributes = {"connector": self.name, "quality": f"0x{quality.BAD_NO_COMMUNICATION:04x}"}
            self._tell(EventKind.DEATH, device_id, f"{tag.device_path} cannot be reached: {why}", attributes)

    # --- failures --------------------------------------------------------------------------------------------------------

    def _failed(self, error: BaseException, wait_s: float) -> None:
        cause = cause_of(error)
        kind = "configuration" if isinstance(error, CONFIGURATION) else "failure"
        self._problem = self.last_error = cause
        self.counts["errors"] += 1
        log.error(
            "a connection failed and is tried again", exc_info=error,
            extra={"connection": self.name, "kind": kind, "wait_s": wait_s},
        )  # fmt: skip
        self._say(f"{kind}: {cause}", f"connection {self.name} failed: {cause}", {"wait_s": f"{wait_s:g}"})
        if self.counts["samples"] > self._stale_at:
            # Something was heard since the devices were last said to be stale.
            self.devices_are_stale(cause)

    def _note(self, what: str, error: BaseException) -> None:
        """An error that costs the connection nothing else."""
        cause = f"{what}: {cause_of(error)}"
        self.counts["errors"] += 1
        self.last_error = cause
        if self._say(cause, f"connection {self.name}: {cause}", {}):
            log.error("a connection's %s failed", what, exc_info=error, extra={"connection": self.name})

    def _say(self, cause: str, text: str, attributes: Mapping[str, str]) -> bool:
        """An event, once an hour for the same cause."""
        now_s = time.monotonic()
        if now_s - self._said.get(cause, -_SAY_AGAIN_S) < _SAY_AGAIN_S:
            return False
        if len(self._said) >= 100:
            self._said.clear()
        self._said[cause] = now_s
        self._tell(EventKind.STATE, 0, text, {"connector": self.name, "error": cause, **attributes})
        return True

    def _tell(self, kind: EventKind, device_id: int, text: str, attributes: Mapping[str, str]) -> None:
        self._sink.notice(
            Notice(kind=kind, device_id=device_id, time_us=self._clock(), text=text, attributes=attributes)
        )


async def end(task: asyncio.Task[Any], timeout_s: float) -> None:
    """Cancel a task and wait for its end, at most so long; libraries swallow a cancellation now and then, so there is a second one."""
    for _ in range(2):
        task.cancel()
        await asyncio.wait({task}, timeout=timeout_s / 2)
        if task.done():
            _ending(task)
            return
    log.error("a task does not end when it is cancelled; it is left alone", extra={"task": task.get_name()})
    task.add_done_callback(_ending)


def _ending(task: asyncio.Task[Any]) -> BaseException:
    """Why a connector's task ended."""
    if task.cancelled():
        return RuntimeError("it was cancelled from within")
    return task.exception() or RuntimeError("it ended without an error")


def _unsound(readings: Readings) -> str:
    """What is wrong with the columns; about 0.1 µs a reading."""
    columns = {"tag_id": readings.tag_id, "time_us": readings.time_us, "quality": readings.quality}
    if len({len(readings.value), *map(len, columns.values())}) != 1:
        return "columns of different lengths"
    for name, column in columns.items():
        if odd := set(map(type, column)) - {int}:
            return f"{name} holds a {odd.pop().__name__}"
    if readings.tag_id and not 0 <= min(readings.tag_id) <= max(readings.tag_id) < _INT32:
        return "a tag_id outside 32 bits"
    if readings.quality and not 0 <= min(readings.quality) <= max(readings.quality) <= 0xFFFF:
        return "a quality outside 16 bits"
    return ""
