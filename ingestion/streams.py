"""The streams that are open: who has them, whether they may go on, and how each is ended.

A stream is of the holder of a certificate that the service's authority issued; TLS has proved that. It ends when its holder's rights or its
certificate end, and when the service stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
from cryptography import x509

from base.errors import MillraceError, OverloadedError, PermissionDeniedError, UnavailableError
from ingestion.metrics import Metrics
from ingestion.rights import Rights
from ingestion.settings import Limits

_STATUS = {
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
}


def status_of(error: MillraceError) -> grpc.StatusCode:
    """Status that ends a stream for an error."""
    return next(
        (status for kind, status in _STATUS.items() if isinstance(error, kind)), grpc.StatusCode.INVALID_ARGUMENT
    )


@dataclass(eq=False)
class Stream:
    """One open stream."""

    principal: str
    until: datetime
    kind: str
    ended: asyncio.Future[MillraceError] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, error: MillraceError) -> None:
        """Let it end with this; the first cause counts."""
        if not self.ended.done():
            self.ended.set_result(error)


class Streams:
    """All of one process."""

    def __init__(
        self, limits: Limits, metrics: Metrics, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._limits, self._metrics, self._clock = limits, metrics, clock
        self._open: set[Stream] = set()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    def of(self, principal: str) -> int:
        """Streams of one holder."""
        return sum(one.principal == principal for one in self._open)

    def gateways(self) -> int:
        """Holders that have a stream."""
        return len({one.principal for one in self._open})

    @contextmanager
    def opened(self, kind: str, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[Stream]:
        """A stream while it lasts; raises OverloadedError, UnavailableError, PermissionDeniedError."""
        principal, until = holder(context)
        if self._stopping:
            msg = "the service is stopping; connect again"
            raise UnavailableError(msg)
        if len(self._open) >= self._limits.total_streams:
            msg = f"the service has {len(self._open)} streams, as many as it takes"
            raise OverloadedError(msg)
        if (own := self.of(principal)) >= self._limits.gateway_streams:
            msg = f"this gateway has {own} streams, as many as it may"
            raise OverloadedError(msg)
        stream = Stream(principal, until, kind)
        self._open.add(stream)
        self._metrics.streams.labels(kind).inc()
        try:
            yield stream
        finally:
            self._open.discard(stream)
            self._metrics.streams.labels(kind).dec()

    def look(self, rights: Rights) -> None:
        """End those that may not go on."""
        now = self._clock()
        for one in list(self._open):
            try:
                rights.check(one.principal)
            except MillraceError as error:
                one.end(error)
            if now >= one.until:
                one.end(PermissionDeniedError("the certificate has expired"))

    def end_all(self) -> None:
        """The service stops: streams end when what was taken is durable, and none is opened."""
        self._stopping = True
        for one in list(self._open):
            one.end(UnavailableError("the service is stopping; connect again"))


def holder(context: grpc.aio.ServicerContext[Any, Any]) -> tuple[str, datetime]:
    """The principal, as the broker calls the holder of the certificate, and the certificate's end; raises PermissionDeniedError."""
    found = list(context.auth_context().get("x509_pem_cert", ()))
    if len(found) != 1:
        msg = "there is no certificate"
        raise PermissionDeniedError(msg)
    certificate = x509.load_pem_x509_certificate(found[0])
    return f"User:{certificate.subject.rfc4514_string()}", certificate.not_valid_after_utc
