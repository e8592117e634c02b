"""Which certificate each server of the stack shows at its door over TLS: that it was told of a new one does not prove that it uses it."""

from __future__ import annotations

import socket
import ssl
import struct

from stack import postgres, trust
from stack.config import StackConfig

_TIMEOUT_S = 5.0
_SSL_REQUEST = struct.pack(">II", 8, 80877103)
"""What a client of PostgreSQL says before the handshake; it is answered with `S`."""


def shown(config: StackConfig, name: str) -> str:
    """Serial of the certificate that a server (one of `trust.servers`) shows; raises OSError, also without a proof."""
    port = {
        trust.KAFKA: config.ports.kafka_tls,
        postgres.CERTIFICATE: config.ports.postgres,
        trust.MOSQUITTO: config.ports.mosquitto,
        trust.ENROLMENT: config.ports.enrolment,
        trust.INGESTION: config.ports.ingestion,
    }[name]
    with socket.create_connection((config.host, port), timeout=_TIMEOUT_S) as plain:
        if name == postgres.CERTIFICATE:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                msg = "PostgreSQL takes no TLS"
                raise ConnectionError(msg)
        # The server's is checked; none of our own is shown, which TLS 1.3 tells the client after the handshake.
        context = ssl.create_default_context(cafile=trust.authority(config).root_file)
        context.set_alpn_protocols(["h2"] if name == trust.INGESTION else [])
        with context.wrap_socket(plain, server_hostname=config.host) as secure:
            found = secure.getpeercert()
            assert found is not None
            return f"{int(str(found['serialNumber']), 16):x}"
