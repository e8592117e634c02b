"""A server's key and certificate, which change on disk while it runs: connections that are made afterwards get the new ones.

Enters: the files of `[tls]`. Leaves: credentials for gRPC, a TLS context for HTTP. Both look at the files when somebody connects; a pair
that does not fit together (its writer is not done, or was wrong) is said once and left alone.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from base import files
from base.errors import ConfigError

if TYPE_CHECKING:
    import grpc

log = logging.getLogger(__name__)

T = TypeVar("T")
Stamp = tuple[files.Stamp, ...]


class TlsFiles(Protocol):
    """The table `[tls]` of a server: PEM files. `client_ca`: whose certificates callers must have; empty: they need none."""

    @property
    def cert(self) -> str:
        """Its certificate."""

    @property
    def key(self) -> str:
        """The key of it."""

    @property
    def client_ca(self) -> str:
        """The authority of the callers' certificates."""


class _Pair:
    """The files as one reader has taken them last. It is made before they are read the first time."""

    def __init__(self, tls: TlsFiles) -> None:
        self._tls = tls
        self._taken = self._refused = self._stamp()

    def take(self, load: Callable[[], T]) -> T | None:
        """Load another pair than the one before, when there is one and it can be used. What fails is tried again, and said once."""
        stamp = self._stamp()  # of what is there before it is read: a change meanwhile is another one
        if stamp == self._taken:
            return None
        try:
            check(self._tls)
            found = load()
        except (ConfigError, OSError) as error:
            if stamp != self._refused:
                log.error("the server goes on with its certificate before", extra={"error": str(error)})
            self._refused = stamp
            return None
        self._taken = stamp
        log.info("the server uses another certificate", extra={"certificate": self._tls.cert})
        return found

    def _stamp(self) -> Stamp:
        # A secret of Kubernetes is a link that is moved: its target has another inode.
        try:
            return tuple(files.stamp(Path(name)) for name in (self._tls.cert, self._tls.key))
        except OSError:
            return ()


def check(tls: TlsFiles) -> None:
    """Raise ConfigError for a key and certificate that cannot be read or do not belong together."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert, tls.key)
    except OSError as error:  # an ssl.SSLError too
        msg = f"tls.cert {tls.cert} and tls.key {tls.key} cannot be used: {error}; both are PEM, and the key is the certificate's"
        raise ConfigError(msg) from error


def grpc_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """For a port of the gRPC server; raises ConfigError."""
    import grpc  # not every server that has a certificate has gRPC

    pair = _Pair(tls)
    check(tls)
    authority = Path(tls.client_ca).read_bytes() if tls.client_ca else None

    def read() -> grpc.ServerCertificateConfiguration:
        chain = (Path(tls.key).read_bytes(), Path(tls.cert).read_bytes())
        return grpc.ssl_server_certificate_configuration([chain], root_certificates=authority)

    def look() -> grpc.ServerCertificateConfiguration:
        return pair.take(read)  # type: ignore[return-value]  # None: no other than before

    return grpc.dynamic_ssl_server_credentials(read(), look, require_client_authentication=authority is not None)


def refreshed(tls: TlsFiles) -> Callable[[object, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    """Uvicorn's `ssl_context_factory`: its own context, TLS 1.2 or newer, which takes over files that changed."""

    def factory(_config: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        pair = _Pair(tls)
        check(tls)
        made = default()
        made.minimum_version = ssl.TLSVersion.TLSv1_2

        def look(_connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            # This connection has its certificate by now; the next one gets the new one.
            pair.take(lambda: made.load_cert_chain(tls.cert, tls.key))

        made.sni_callback = look
        return made

    return factory
