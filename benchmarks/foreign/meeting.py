"""A connector and a foreign server with a link between them, and what is done to them: restarts, cuts, half-open links.

The connector is the gateway's own, made by the catalogue; a `Recorder` stands for the rest of the gateway. An exception that leaves the
connector is counted and the connector started again, as the gateway does.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
import time
from pathlib import Path
from typing import Any, Self

from base.ids import now_us
from benchmarks.foreign import certificates, verdict
from benchmarks.foreign.plan import NAMESPACES, NO_LIMITS, Item, Limits, Security, ServerPlan
from benchmarks.foreign.process import Foreign, ForeignError
from benchmarks.foreign.proxy import Link
from benchmarks.foreign.recorder import Recorder
from connectors.catalogue import Connection
from connectors.protocol import Context
from connectors.readings import Connector
from schemas.definitions import DataType, Historise, TagDefinition
from schemas.events import EventKind

log = logging.getLogger(__name__)

CONNECTION = "foreign"
_POLL_S = 0.02
_RESTART_PAUSE_S = 0.5
_QUIET_S = 1.0
_DATA_TYPES = {"Boolean": DataType.BOOLEAN, "Double": DataType.DOUBLE, "Float": DataType.DOUBLE}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What meets: the server's program, its items and limits, with security or without."""

    kind: str
    items: tuple[Item, ...]
    limits: Limits = NO_LIMITS
    secured: bool = False
    period_ms: int = 1000
    methods: bool = False
    request_timeout_s: float = 10.0
    """The connector's patience with the server."""


class Meeting:
    """Used as a context: inside, the server runs and the connector is at it."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.setting, self._folder = setting, folder
        self._foreign = Foreign(setting.kind, folder)
        self._tags = {item.key: _tag(item, setting.period_ms) for item in setting.items}
        self.recorder = Recorder(self._tags)
        self.journal = folder / "journal.jsonl"
        self._order: tuple[str, ...] = NAMESPACES
        self._absent: set[int] = {item.key for item in setting.items if item.absent}
        self._port = free_port()
        self._link = Link(self._port)
        self._security = _security(folder) if setting.secured else None
        self._running: asyncio.Task[None] | None = None
        self.connector: Connector | None = None
        self.crashes: list[str] = []
        self._away: list[tuple[int, int]] = []

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().set_exception_handler(self._unheeded)
        try:
            await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _begin(self) -> None:
        await self._foreign.start(self._plan().dumps())
        await self._link.start()
        self.connector = self._make()
        self.connector.update({tag.address: tag for tag in self._tags.values()}, frozenset())
        self._running = asyncio.create_task(self._supervise(self.connector))

    async def __aexit__(self, *_: object) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._link.stop()
        await self._foreign.kill()
        asyncio.get_running_loop().set_exception_handler(None)

    @property
    def url(self) -> str:
        """The server's endpoint, past the link."""
        return f"opc.tcp://127.0.0.1:{self._port}"

    # --- what is done ------------------------------------------------------------------------------------------------------

    async def restart(self, *, swapped: bool, sudden: bool, timeout_s: float) -> float:
        """Restart the server, with the namespaces in the other order or not; seconds from its return to the last item heard."""
        gone_us = now_us()
        await (self._foreign.kill() if sudden else self._foreign.stop())
        if swapped:
            self._order = tuple(reversed(self._order))
        await self._foreign.start(self._plan().dumps())
        return await self._back(gone_us, 0.0, timeout_s)

    async def cut(self, timeout_s: float) -> float:
        """Reset the connection; seconds until all items are heard again."""
        self._link.cut()
        return await self._back(now_us(), 0.0, timeout_s)

    async def freeze(self, timeout_s: float) -> float:
        """Leave the connection half open; seconds until all items are heard again."""
        self._link.freeze()
        return await self._back(now_us(), self.setting.period_ms / 1000, timeout_s)

    async def _back(self, gone_us: int, after_s: float, timeout_s: float) -> float:
        """Wait until every item is heard that many seconds from now; seconds until then."""
        found = after_s + await self.heard(time.monotonic() + after_s, timeout_s)
        self._away.append((gone_us, now_us()))
        return found

    async def order(self, what: str, **details: Any) -> None:
        """Order the server about; an item that is deleted is not waited for."""
        await self._foreign.order(what, **details)
        if what == "delete":
            self._absent.add(details["item"])
        elif what == "create":
            self._absent.discard(details["item"])

    async def heard(self, since_s: float, timeout_s: float) -> float:
        """Seconds from `since_s` until every item that is there has been heard; raises ForeignError that names those that were not."""
        deadline = since_s + timeout_s
        while silent := self.recorder.silent_since(since_s) - self._absent:
            if time.monotonic() > deadline:
                names = [
                    next(item.name for item in self.setting.items if item.key == key) for key in sorted(silent)[:5]
                ]
                status = self.connector.status() if self.connector is not None else {}
                msg = f"{len(silent)} items are silent for {timeout_s:g} s, {', '.join(names)} among them; connector: {status}"
                raise ForeignError(msg[:2000])
            await asyncio.sleep(_POLL_S)
        return time.monotonic() - since_s

    async def judge(self) -> verdict.Verdict:
        """Stop the items changing, take what is under way, and compare with the journal."""
        await self._foreign.order("pause")
        rows = -1
        while rows != self.recorder.count():
            rows = self.recorder.count()
            await asyncio.sleep(_QUIET_S)
        with self.journal.open() as lines:
            journal = verdict.read_journal(lines)
        line = verdict.Line(away=self._away, period_us=self.setting.period_ms * 1000)
        return verdict.judge(journal, self.recorder.rows, self.recorder.gaps, line)

    def counts(self) -> dict[str, int]:
        """Events by kind, and crashes of the connector."""
        return {kind.value: count for kind in EventKind if (count := self.recorder.of(kind))} | {
            "crashes": len(self.crashes)
        }

    # --- parts -------------------------------------------------------------------------------------------------------------

    def _plan(self) -> ServerPlan:
        return ServerPlan(
            port=self._port, journal=str(self.journal), items=self.setting.items, namespaces=self._order,
            limits=self.setting.limits, security=self._security, period_ms=self.setting.period_ms, methods=self.setting.methods,
        )  # fmt: skip

    def _make(self) -> Connector:
        table: dict[str, Any] = {
            "name": CONNECTION,
            "protocol": "opcua",
            "endpoint": f"opc.tcp://127.0.0.1:{self._link.port}",
            "request_timeout_s": self.setting.request_timeout_s,
        }
        if self._security is not None:
            table |= secured(self._security, self._folder)
        state = self._folder / "state"
        context = Context(gateway_id="gw1", sink=self.recorder, clock=now_us, state_dir=state, shared_dir=state)
        return Connection.from_table(table, where="connections").make(context)

    def _unheeded(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody waited for counts as a crash."""
        self.crashes.append(f"{context['message']}: {context.get('exception')!r}"[:500])

    async def _supervise(self, connector: Connector) -> None:
        while True:
            try:
                await connector.run()
            except Exception as error:
                log.warning("the connector ended", exc_info=error)
                self.crashes.append(f"{type(error).__name__}: {error}"[:500])
            await asyncio.sleep(_RESTART_PAUSE_S)


def secured(security: Security, folder: Path) -> dict[str, Any]:
    """Keys of a connection that signs and encrypts, with a user name, and accepts this server only."""
    password = folder / "password"
    password.write_text(security.password)
    return {
        "security_policy": security.policy,
        "security_mode": "SignAndEncrypt",
        "server_certificate": security.certificate,
        "username": security.username,
        "password": f"file:{password}",
    }


def _security(folder: Path) -> Security:
    certificate, key = certificates.make(folder, "server", "urn:foreign:machines")
    return Security(
        policy="Basic256Sha256", certificate=str(certificate), private_key=str(key),
        username="reader", password="right",
    )  # fmt: skip


def _tag(item: Item, period_ms: int) -> TagDefinition:
    device = int(item.folder.rpartition("-")[2])
    return TagDefinition(
        tag_id=item.key, device_id=device, registry_version=1, path=f"acme/foreign/a/l/c/{item.folder}/{item.name}",
        name=item.name, site="foreign", device_class="machine", tag_class="process", description=item.description,
        data_type=_DATA_TYPES.get(item.type, DataType.INTEGER), unit="1", eu_low=None, eu_high=None, limit_low=None,
        limit_high=None, max_rate=None, stuck_after_s=None, period_ms=period_ms, deadband=0.0, windows_s=(10, 60),
        detector="", historise=Historise.ALL, gateway_id="gw1", lane=0, address=f"{CONNECTION}:{item.tag_address}",
        writable=item.writable, retired=False,
    )  # fmt: skip


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
