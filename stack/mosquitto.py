"""Mosquitto of the stack: the MQTT broker between the simulated Sparkplug nodes and the gateways.

Anonymous, and on the loopback interface only. Nothing is persisted: Sparkplug rebuilds its sessions with births.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from stack.config import StackConfig
from stack.errors import PreflightError
from stack.health import probes
from stack.health.answer import Health


def config_file(config: StackConfig) -> Path:
    """Where the broker's configuration is rendered."""
    return config.config / "mosquitto.conf"


def command(config: StackConfig) -> tuple[str, ...]:
    """The broker in the foreground."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        msg = "mosquitto is not installed; `./millrace setup` installs it"
        raise PreflightError(msg)
    return (program, "-c", str(config_file(config)))


def prepare(config: StackConfig) -> None:
    """Write the configuration."""
    rows = (
        "# Rendered by `python -m stack`; edits are overwritten.",
        f"listener {config.ports.mosquitto} {config.host}",
        "allow_anonymous true",
        "persistence false",
        "log_dest stderr",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        # A full buffer of Sparkplug data must wait in the gateway's socket, not be dropped at the default of 1000.
        "max_queued_messages 100000",
    )
    config_file(config).write_text("\n".join(rows) + "\n")


def health(config: StackConfig) -> Health:
    """Whether the broker takes a client."""
    return probes.mqtt_health(config.host, config.ports.mosquitto)
