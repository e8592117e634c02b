"""supervisord's XML-RPC interface on a unix socket: one call. By itself: its libraries take longer to import than most commands take."""

from __future__ import annotations

import http.client
import xmlrpc.client
from functools import partial
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport, UnixStreamHTTPConnection

from stack.errors import SupervisorError


def call(socket: Path, timeout_s: float, method: str, *arguments: Any) -> Any:
    """What supervisord answers; raises SupervisorError for what it refuses, OSError (TimeoutError among them) where it does not answer."""
    try:
        with xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(socket, timeout_s)) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)
    except xmlrpc.client.Fault as fault:
        raise SupervisorError(fault.faultCode, fault.faultString) from fault
    except http.client.HTTPException as error:
        msg = f"supervisord ended in the middle of an answer: {error or type(error).__name__}"
        raise ConnectionError(msg) from error


class _Connection(UnixStreamHTTPConnection):  # type: ignore[misc]
    """Supervisor's own, and gives up: a supervisord that was stopped takes connections and never answers."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.timeout)


def _connect(path: Path, timeout_s: float) -> _Connection:
    connection = _Connection("localhost", timeout=timeout_s)
    connection.socketfile = str(path)
    return connection


class _Transport(SupervisorTransport):  # type: ignore[misc]
    """Supervisor's own, over connections with a time limit."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__(serverurl=f"unix://{path}")
        self._get_connection = partial(_connect, path, timeout_s)
