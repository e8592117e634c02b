"""A gateway's way to the platform by the ingestion service; what is promised is in `connectors.platform`."""

from __future__ import annotations

from pathlib import Path

import grpc

from base.errors import UnavailableError
from connectors.ingestion.following import IngestionFollowing
from connectors.ingestion.ingestion_pb2 import Open
from connectors.ingestion.sender import IngestionSender
from connectors.ingestion.settings import IngestionSettings
from connectors.ingestion.wire import CLIENT_OPTIONS
from connectors.platform import PACE, OnRecords, Pace, Start


def connect(settings: IngestionSettings) -> grpc.aio.Channel:
    """A connection, with the certificate that the files have now; raises UnavailableError."""
    return grpc.aio.secure_channel(settings.address, _credentials(settings), options=CLIENT_OPTIONS)


def _credentials(settings: IngestionSettings) -> grpc.ChannelCredentials:
    try:
        found = [
            Path(name).read_bytes()
            for name in (settings.ssl_ca_location, settings.ssl_key_location, settings.ssl_certificate_location)
        ]
    except OSError as error:
        msg = f"the certificate for {settings.address} cannot be read: {error}"
        raise UnavailableError(msg) from error
    return grpc.ssl_channel_credentials(*found)


class IngestionPlatform:
    """The service, with a gateway's own certificate, which is read anew for each connection."""

    name = "ingestion"

    def __init__(self, settings: IngestionSettings) -> None:
        self._settings = settings

    def _connect(self) -> grpc.aio.Channel:
        return connect(self._settings)

    def sender(self, *, linger_ms: int, compressed: bool = True) -> IngestionSender:
        """As promised. What is on the wire is not compressed: the service does it for Kafka."""
        del compressed
        return IngestionSender(self._connect, linger_ms=linger_ms)

    def follow(
        self,
        topic: str,
        on_records: OnRecords,
        *,
        start: Start | None = None,
        pace: Pace = PACE,
    ) -> IngestionFollowing:
        """As promised."""
        opening = Open(topic=topic, in_flight=pace.in_flight, batch=pace.batch, wait_ms=pace.wait_ms)
        return IngestionFollowing(self._connect, opening, on_records, start=start)

    def look(self, timeout_s: float) -> str:
        """As promised. The connection shows that both certificates are taken, and not yet what this one may do."""
        where = self._settings.address[:200]
        with grpc.secure_channel(where, _credentials(self._settings), options=CLIENT_OPTIONS) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout_s)
            except grpc.FutureTimeoutError as error:
                msg = f"{where}: no answer within {timeout_s:g} s, or one of the two certificates is not taken"
                raise UnavailableError(msg) from error
        return f"{where} takes the certificate"
