"""Where the server is and how to speak to it.

Enters: arguments, the environment, the local stack's `serving.toml`; the first that says something wins. Leaves: a
`Connection` and the channel made from it. Variables: MILLRACE_GRPC (address), MILLRACE_GRPC_CA (its presence means
TLS), MILLRACE_GRPC_CERT, MILLRACE_GRPC_KEY, MILLRACE_TOKEN.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from base.errors import ConfigError
from base.settings import local_config
from client.service_config import SERVICE_CONFIG


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """An address, and files in PEM for TLS. `name` tells callers apart on a server without tokens."""

    address: str
    ca: str = ""
    cert: str = ""
    key: str = ""
    token: str = ""
    name: str = ""

    def channel(self) -> grpc.aio.Channel:
        """New channel; nothing is connected before the first call. Raises ConfigError for files that cannot be read."""
        options = (
            ("grpc.service_config", SERVICE_CONFIG),
            ("grpc.enable_retries", 1),
            # A watch can be silent for long; a dead server is noticed within 40 s.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.max_reconnect_backoff_ms", 5_000),
        )
        if not self.ca:
            if self.token:
                msg = "a token is only sent over TLS: name the server's CA (--ca or MILLRACE_GRPC_CA)"
                raise ConfigError(msg)
            return grpc.aio.insecure_channel(self.address, options=options)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca),
            private_key=_read(self.key) if self.key else None,
            certificate_chain=_read(self.cert) if self.cert else None,
        )
        return grpc.aio.secure_channel(self.address, credentials, options=options)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        found = [("authorization", f"Bearer {self.token}")] if self.token else []
        return tuple([*found, ("millrace-principal", self.name)] if self.name else found)


def local_connection(*, environ: Mapping[str, str] | None = None, **given: str) -> Connection:
    """Connection of what is given (empty means not given), the environment and the local stack. Raises ConfigError."""
    environ = os.environ if environ is None else environ
    address = given.get("address") or environ.get("MILLRACE_GRPC", "") or _stack_address(environ)
    return Connection(
        address=address,
        ca=given.get("ca") or environ.get("MILLRACE_GRPC_CA", ""),
        cert=given.get("cert") or environ.get("MILLRACE_GRPC_CERT", ""),
        key=given.get("key") or environ.get("MILLRACE_GRPC_KEY", ""),
        token=given.get("token") or environ.get("MILLRACE_TOKEN", ""),
        name=given.get("name", ""),
    )


def _stack_address(environ: Mapping[str, str]) -> str:
    path = local_config("serving.toml", environ)
    try:
        return str(tomllib.loads(path.read_text())["listen"])
    except FileNotFoundError:
        msg = f"no server address: give --address, set MILLRACE_GRPC, or start the stack here (./millrace up writes {path.name})"
        raise ConfigError(msg) from None
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        msg = f"{path} names no address ({error!r}); give --address or set MILLRACE_GRPC"
        raise ConfigError(msg) from error


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        msg = f"TLS file {path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
