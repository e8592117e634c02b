"""What gateways may do: the broker's own ACLs, read again every second while somebody is connected.

There is no table here and no list of revoked certificates: who may write a topic at the broker may write it through this service, and a
revocation counts here as it counts there. What was read more than `VALID_S` ago counts no more, so nothing is done on old rights while the
broker does not answer: a revoked gateway can do nothing after 5 s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from base.errors import PermissionDeniedError, UnavailableError, cause_of
from connectors.kafka.acls import Granted
from schemas.topics import Access

log = logging.getLogger(__name__)

PERIOD_S, IDLE_PERIOD_S = 1.0, 10.0
VALID_S = 4.0
_AGAIN_S = 0.5
_PATIENCE_S = 10.0


class Rights:
    """The newest rights. `read` asks the broker and blocks; `changed` is called in the event loop after each reading."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, Granted]],
        *,
        changed: Callable[[], None],
        needed: Callable[[], bool],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._changed, self._needed, self._clock_s = read, changed, needed, clock_s
        self._granted: Mapping[str, Granted] = {}
        # When what is known was asked for: it may have changed while the answer came.
        self._asked_s = float("-inf")
        self._wanted, self._answered = asyncio.Event(), asyncio.Event()
        self.problem = "not yet read"

    @property
    def age_s(self) -> float:
        """How old they are."""
        return self._clock_s() - self._asked_s

    def check(self, principal: str) -> None:
        """Raise PermissionDeniedError for who may do nothing, UnavailableError when nothing is known for certain."""
        if self.age_s > VALID_S:
            msg = f"what gateways may do is not known: {self.problem}"
            raise UnavailableError(msg)
        found = self._granted.get(principal)
        if found is None or found.nothing:
            msg = "this certificate is revoked, or nothing is allowed to its holder"
            raise PermissionDeniedError(msg)

    def may(self, principal: str, access: Access, topic: str) -> bool:
        """Whether it may; raises as `check`."""
        self.check(principal)
        return self._granted[principal].may(access, topic)

    async def fresh(self, principal: str) -> None:
        """The same as `check`, of rights that were asked for now unless they are a second old; for who connects."""
        if self.age_s > PERIOD_S:
            self._answered.clear()
            self._wanted.set()
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._answered.wait()
            except TimeoutError:
                pass  # said by `check`
        self.check(principal)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            self._wanted.clear()
            asked_s = self._clock_s()
            try:
                self._granted = await asyncio.to_thread(self._read)
            except Exception as error:  # noqa: BLE001 - said, with its cause; nothing is allowed meanwhile
                if self.problem != (cause := cause_of(error)):
                    log.warning("what gateways may do cannot be read", extra={"cause": cause})
                self.problem = cause
                await asyncio.sleep(_AGAIN_S)
                continue
            self._asked_s, self.problem = asked_s, ""
            self._answered.set()
            self._changed()
            await self._until_next()

    async def _until_next(self) -> None:
        if self._needed():
            await asyncio.sleep(PERIOD_S)
            return
        try:
            async with asyncio.timeout(IDLE_PERIOD_S):
                await self._wanted.wait()
        except TimeoutError:
            return
