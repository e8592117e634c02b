"""Lines to a syslog server over TLS (RFC 5425, messages as RFC 5424). Raises UnavailableError; what was sent before is not sent back."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from base.errors import ConfigError, UnavailableError

_LOG_AUDIT, _NOTICE = 13, 5
_TIMEOUT_S = 20.0


def send(address: str, lines: Iterable[str], *, ca: Path | None, certificate: Path | None, origin: str) -> int:
    """Send lines; returns how many. `ca`: of the server (the system's without one); `certificate`: ours, with its key."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        msg = f"--syslog is {address!r}, not host:port"
        raise ConfigError(msg)
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate)
        sent = 0
        with (
            socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            for line in lines:
                connection.sendall(framed(line, origin))
                sent += 1
            with suppress(OSError):  # everything is sent; not every server says goodbye
                connection.unwrap()
    except OSError as error:
        msg = f"syslog server {address} does not take events: {error}"
        raise UnavailableError(msg) from error
    return sent


def framed(line: str, origin: str) -> bytes:
    """A message with its length in front."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = (
        f"<{_LOG_AUDIT * 8 + _NOTICE}>1 {now} {origin.split('/', maxsplit=1)[0]} millrace - audit - {line}".encode()
    )
    return f"{len(message)} ".encode() + message
