"""An MQTT broker of a benchmark's own that takes anybody, on the loopback interface: the stack's takes nobody without a certificate."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from base.errors import UnavailableError
from stack import mosquitto
from stack.config import StackConfig
from stack.health import probes
from stack.health.answer import Answer

_START_S = 20.0


@contextmanager
def running(config: StackConfig) -> Iterator[None]:
    """At the port where the instance's own would be, which does not run."""
    address, file = (config.host, config.ports.mosquitto), config.config / "open-mosquitto.conf"
    # As fast as the stack's.
    rows = (
        f"user {pwd.getpwuid(os.geteuid()).pw_name}",
        f"listener {address[1]} {address[0]}",
        "allow_anonymous true",
        "max_queued_messages 100000",
        "set_tcp_nodelay true",
    )
    file.write_text("\n".join(rows) + "\n")
    with (config.logs / "open-mosquitto.log").open("ab") as log:
        process = subprocess.Popen([mosquitto.command(config)[0], "-c", str(file)], stderr=log)
    try:
        deadline = time.monotonic() + _START_S
        while probes.mqtt_health(address).answer is not Answer.READY:
            if process.poll() is not None or time.monotonic() > deadline:
                msg = f"the MQTT broker did not start; {log.name} says why"
                raise UnavailableError(msg)
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)
