"""A Mosquitto of a test's own, which can be stopped, started and made to ask for certificates and passwords."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.integration.gateway_support import free_port


class Broker:
    """Mosquitto in a folder, on a port of its own, without persistence unless `keeps` says so."""

    def __init__(self, folder: Path, *, keeps: bool = False, options: tuple[str, ...] = ()) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert program, "mosquitto is not installed; ./millrace setup installs it"
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        access = options or ("allow_anonymous true",)
        kept = (
            ("persistence true", f"persistence_location {folder}/", "autosave_interval 1")
            if keeps
            else ("persistence false",)
        )
        # Started by root it would become another user, who may not read the folder.
        me = f"user {getpass.getuser()}"
        self._config.write_text("\n".join((me, f"listener {self.port} 127.0.0.1", *access, *kept)) + "\n")
        self._command = (program, "-c", str(self._config))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Endpoint of a connection without TLS."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Run it, and wait until it takes connections."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "mosquitto does not listen"
                assert self._process.poll() is None, "mosquitto has ended"
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """End it; everybody's connections break."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
