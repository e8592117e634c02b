"""A running gateway, asked and told from outside: its admin pages, and the signal that makes it read its configuration again."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from base import settings
from base.errors import ConfigError, UnavailableError

_ANSWER_S = 10.0
_MAX_BYTES = 64 << 20
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Remote:
    """The admin endpoint of one gateway, `http://host:port`."""

    url: str

    def page(self, path: str) -> Any:
        """Body of an admin page, whatever its status; raises UnavailableError."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=_ANSWER_S) as answer:
                return json.loads(answer.read(_MAX_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return json.loads(error.read(_MAX_BYTES))
        except (OSError, ValueError) as error:
            msg = f"no gateway answers at {self.url}: {error}"
            raise UnavailableError(msg) from error

    def reload(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Make the gateway, a process of this machine, read its configuration again; what came of it.

        Raises UnavailableError when it does not answer, ConfigError when it is not here.
        """
        if urlsplit(self.url).hostname not in _LOOPBACK:
            msg = (
                f"{self.url} is not this machine: send SIGHUP to the gateway there (systemctl reload millrace-gateway)"
            )
            raise ConfigError(msg)
        status = self.page("/status")
        pid, before = int(status["pid"]), _done(status)
        _check_is_gateway(pid)
        os.kill(pid, signal.SIGHUP)
        deadline = time.monotonic() + timeout_s
        while _done(status := self.page("/status")) == before:
            if time.monotonic() > deadline:
                msg = f"the gateway did not answer the reload within {timeout_s:g} s"
                raise UnavailableError(msg)
            time.sleep(0.1)
        found: dict[str, Any] = status["reload"]
        return found


def find(name: str) -> list[Remote]:
    """A gateway by URL, or by its id in the stack of this machine; all of that stack when the name is empty. Raises ConfigError."""
    if "://" in name:
        return [Remote(name.rstrip("/"))]
    folder = settings.local_config("gateway.toml").parent
    files = [folder / f"gateway-{name}.toml"] if name else sorted(folder.glob("gateway-*.toml"))
    if not name and not files:
        msg = "there is no gateway in the stack of this machine: `./millrace up` starts it; a URL names another: http://host:port"
        raise ConfigError(msg)
    if not files[0].exists():
        known = (
            ", ".join(path.stem.removeprefix("gateway-") for path in sorted(folder.glob("gateway-*.toml"))) or "none"
        )
        msg = f"no gateway {name!r} in the stack of this machine (there are: {known}); a URL names another: http://host:port"
        raise ConfigError(msg)
    return [_of(path) for path in files]


def _of(path: Path) -> Remote:
    admin = settings.read_toml(path).get("admin", {})
    if not admin.get("port"):
        msg = f"{path}: [admin] has no port, so the gateway takes a free one; name its URL"
        raise ConfigError(msg)
    return Remote(f"http://{admin.get('host', '127.0.0.1')}:{admin['port']}")


def _done(status: dict[str, Any]) -> int:
    return int(status["reload"]["applied"]) + int(status["reload"]["refused"])


def _check_is_gateway(pid: int) -> None:
    """Another machine's process behind a forwarded port has a number too, and means somebody else here."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        words = []
    if b"edge" not in words:
        msg = f"process {pid} of this machine is not the gateway that answers; send SIGHUP to it where it runs"
        raise ConfigError(msg)
