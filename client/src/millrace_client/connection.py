"""Where the server is and how to speak to it: address, TLS, token.

Environment variables, read by `Connection.from_environment`: MILLRACE_GRPC (address), MILLRACE_GRPC_CA (a CA in PEM; its presence means
TLS), MILLRACE_GRPC_TLS (1: TLS with the CAs that grpc ships), MILLRACE_GRPC_CERT and MILLRACE_GRPC_KEY (own certificate), MILLRACE_TOKEN.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

import grpc

from millrace_client.errors import ConfigError

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Connection:
    """An address, and for TLS files in PEM.

    `ca`: whom to trust, its presence means TLS; `tls` without it trusts what grpc ships. `cert` and `key`: own certificate, where the
    server asks for one. `token` is sent over TLS only, or on the loopback interface. `name` tells callers apart on a server without tokens.
    """

    address: str
    tls: bool = field(default=False, kw_only=True)
    ca: str = field(default="", kw_only=True)
    cert: str = field(default="", kw_only=True)
    key: str = field(default="", kw_only=True)
    token: str = field(default="", kw_only=True, repr=False)
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not self.address:
            msg = "a connection needs an address: host:port"
            raise ConfigError(msg)
        if bool(self.cert) != bool(self.key):
            msg = "cert and key belong together; one of them is missing"
            raise ConfigError(msg)
        if (self.cert or (self.token and not _is_loopback(self.address))) and not self.encrypted:
            what = "a token is only sent" if self.token else "a certificate is only shown"
            msg = f"{what} over TLS: name the server's CA (ca, MILLRACE_GRPC_CA), or say tls (MILLRACE_GRPC_TLS=1)"
            raise ConfigError(msg)

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        address: str = "",
        tls: bool | None = None,
        ca: str = "",
        cert: str = "",
        key: str = "",
        token: str = "",
        name: str = "",
    ) -> Self:
        """Connection of what is given (empty or None means not given) and the environment. Raises ConfigError naming what is missing."""
        environ = os.environ if environ is None else environ
        address = address or environ.get("MILLRACE_GRPC", "")
        if not address:
            msg = "no server address: give one (--address), or set MILLRACE_GRPC to host:port"
            raise ConfigError(msg)
        return cls(
            address,
            tls=_truth("MILLRACE_GRPC_TLS", environ) if tls is None else tls,
            ca=ca or environ.get("MILLRACE_GRPC_CA", ""),
            cert=cert or environ.get("MILLRACE_GRPC_CERT", ""),
            key=key or environ.get("MILLRACE_GRPC_KEY", ""),
            token=token or environ.get("MILLRACE_TOKEN", ""),
            name=name,
        )

    @property
    def encrypted(self) -> bool:
        """Whether it uses TLS."""
        return self.tls or bool(self.ca)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        found = [("authorization", f"Bearer {self.token}")] if self.token else []
        return tuple([*found, ("millrace-principal", self.name)] if self.name else found)

    @property
    def options(self) -> list[tuple[str, str | int]]:
        """Options of the channel."""
        return [
            ("grpc.primary_user_agent", f"millrace-client/{_version()}"),
            # A watch can be silent for long; a dead server is noticed within 40 s.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # Found again soon after it came back.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        ]

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Credentials of the channel, None without TLS. Raises ConfigError for files that cannot be read."""
        if not self.encrypted:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca) if self.ca else None,
            private_key=_read(self.key) if self.key else None,
            certificate_chain=_read(self.cert) if self.cert else None,
        )


def resolve(connection: Connection | str | None) -> Connection:
    """Connection of what a client is given."""
    if connection is None:
        return Connection.from_environment()
    return Connection(connection) if isinstance(connection, str) else connection


def _truth(name: str, environ: Mapping[str, str]) -> bool:
    text = environ.get(name, "").lower()
    if text not in _TRUE + _FALSE:
        msg = f"{name} is {text!r}, not 1 or 0"
        raise ConfigError(msg)
    return text in _TRUE


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        msg = f"TLS file {path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from error


def _version() -> str:
    try:
        return version("millrace-client")
    except PackageNotFoundError:  # used from its source tree
        return "0"


def _is_loopback(address: str) -> bool:
    """Whether an address is this machine, which nobody listens in on."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
