"""Mosquitto of the stack: the MQTT broker between the simulated Sparkplug nodes and the gateways.

One listener, TLS 1.3, for certificates of the stack's authority; what a caller may do hangs on the certificate's subject (`mqtt_access`).
Beside it a unix socket for the question whether it lives, whose callers may read and write nothing. Nothing is persisted: Sparkplug
rebuilds its sessions with births.
"""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from base import files
from stack import mqtt_access, trust
from stack.config import StackConfig
from stack.errors import PreflightError
from stack.health import probes
from stack.health.answer import Health
from stack.plant import read_gateways

_NOBODY = "# Rendered by `python -m stack`; edits are overwritten. Nobody may do anything.\n"


def config_file(config: StackConfig) -> Path:
    """Where the broker's configuration is rendered."""
    return config.config / "mosquitto.conf"


def access_file(config: StackConfig) -> Path:
    """Where it is written who may do what."""
    return config.config / "mosquitto.acl"


def socket_file(config: StackConfig) -> Path:
    """Where it is asked whether it lives."""
    return config.run / "mosquitto.sock"


def command(config: StackConfig) -> tuple[str, ...]:
    """The broker in the foreground."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        msg = "mosquitto is not installed; `./millrace setup` installs it"
        raise PreflightError(msg)
    return (program, "-c", str(config_file(config)))


def prepare(config: StackConfig) -> None:
    """Write the configuration; its certificate was issued."""
    issued = trust.book(config)
    nobody = config.config / "mosquitto-nobody.acl"
    files.replace(nobody, _NOBODY, mode=files.OWNERS)
    rows = (
        "# Rendered by `python -m stack`; edits are overwritten.",
        # Started by root it would become somebody who may not read its key.
        f"user {pwd.getpwuid(os.geteuid()).pw_name}",
        "per_listener_settings true",
        "persistence false",
        "log_dest stderr",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        # A full buffer of Sparkplug data must wait in the gateway's socket, not be dropped at the default of 1000.
        "max_queued_messages 100000",
        # A machine's answer to a command is one small message: without this it waits for the acknowledgement of the one before, 40 ms.
        "set_tcp_nodelay true",
        "",
        f"listener {config.ports.mosquitto} {config.host}",
        "allow_anonymous false",
        "tls_version tlsv1.3",
        f"cafile {issued.root_file}",
        f"certfile {issued.file(trust.MOSQUITTO)}",
        f"keyfile {issued.file(trust.MOSQUITTO)}",
        "require_certificate true",
        "use_subject_as_username true",
        # Nobody takes over another's session by naming its client id.
        "use_username_as_clientid true",
        f"acl_file {access_file(config)}",
        "",
        f"listener 0 {socket_file(config)}",
        "allow_anonymous true",
        f"acl_file {nobody}",
    )
    files.replace(config_file(config), "\n".join(rows) + "\n", mode=files.OWNERS)
    write_access(config)


def write_access(config: StackConfig) -> None:
    """Write down who may do what by now; a broker that runs reads it when it is told to."""
    issuing = trust.authority(config)
    with issuing.held():  # what was read before a revocation must not be written after it
        subjects = {one.name: one.subject for one in issuing.entries() if one.revoked is None}
        text = mqtt_access.access_list(read_gateways(config.plant), subjects)
        files.replace(access_file(config), text, mode=files.OWNERS)


def health(config: StackConfig) -> Health:
    """Whether the broker takes a client."""
    return probes.mqtt_health(str(socket_file(config)))
