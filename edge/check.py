"""`gateway check CONFIG`: whether a gateway could do its work with a configuration, without starting it.

Enters: the file. Leaves: rows of what was looked at, how it is, and why. Every question to something outside is bounded in time; nothing is
written but one empty file that is deleted again. Connections are asked at once, so many of them take no longer than one.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from base import key_ring, secrets, settings
from base.errors import ConfigError, UnavailableError, cause_of
from connectors.catalogue import Connection
from edge import at_rest, platforms, policy_file
from edge.config import GatewayConfig
from edge.policy_file import PolicyFile

_ANSWER_S = 5.0
_OFF = "not encrypted: at_rest.encrypt is false"
_PORTS = {"opc.tcp": 4840, "mqtt": 1883, "mqtts": 8883, "tcp": 502, "modbus": 502}


class Grade(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at."""

    what: str
    grade: Grade
    detail: str = ""


def check(path: Path) -> list[Row]:
    """Everything; one row alone when the file is wrong."""
    try:
        config = settings.load(GatewayConfig, path, service="gateway")
        policies = PolicyFile() if config.policies is None else policy_file.load(config.policies)
    except (ConfigError, OSError) as error:
        return [Row("configuration", Grade.FAILED, cause_of(error))]
    first = Row("configuration", Grade.OK, f"gateway {config.gateway_id} of site {config.site}")
    rows = [first, *_secrets(config), _state(config.state_dir), data_at_rest(config), _room(config), *_outside(config)]
    if config.policies is not None:
        counts = f"{len(policies.interlocks)} interlocks, {len(policies.rules)} rules"
        rows.insert(1, Row("policies", Grade.OK, counts))
    return rows


def failed(rows: list[Row]) -> bool:
    """Whether the gateway could not do its work."""
    return any(row.grade is Grade.FAILED for row in rows)


# --- this machine ------------------------------------------------------------------------------------------------------------


def _secrets(config: GatewayConfig) -> Iterator[Row]:
    """References that can be resolved, and files that can be read, of each connection."""
    for connection in config.connections:
        if connection.problem:
            continue  # said by `_reachable`
        for field in dataclasses.fields(connection.settings):
            value = getattr(connection.settings, field.name)
            what = f"{connection.name}: {field.name}"
            if isinstance(value, str) and value.startswith(("file:", "env:")):
                try:
                    secrets.resolve(value)
                except ConfigError as error:
                    yield Row(what, Grade.FAILED, str(error))
                else:
                    yield Row(what, Grade.OK, "can be read")
            elif value and (isinstance(value, Path) or field.name.endswith("_file")):
                readable = Path(value).is_file() and os.access(value, os.R_OK)
                yield Row(
                    what, Grade.OK if readable else Grade.FAILED, f"{value} {'can' if readable else 'cannot'} be read"
                )


def _state(folder: Path) -> Row:
    there = _nearest(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".check-"):
            pass
    except OSError as error:
        return Row("state_dir", Grade.FAILED, f"{there} cannot be written: {error.strerror}")
    return Row("state_dir", Grade.OK, f"{folder} can be written" if there == folder else f"{folder} will be made")


def data_at_rest(config: GatewayConfig) -> Row:
    """Whether buffer and journal are encrypted, and whether every key is there that something needs."""
    what, state_dir = "data at rest", config.state_dir
    reference = config.at_rest.reference(state_dir)
    path = key_ring.path_of(reference)
    try:
        uses = at_rest.uses(state_dir, notes=config.at_rest.encrypt)
        needed = {key_id: len(names) for key_id, names in uses.items() if key_id}
        if path is not None and not path.exists() and not needed:
            return _without_keys(what, config, path)
        known = {one.id: one for one in key_ring.open_keys(reference).known()}
    except (ConfigError, OSError, sqlite3.Error) as error:
        return Row(what, Grade.FAILED, cause_of(error))
    if missing := [f"{key_id} of {count} files" for key_id, count in needed.items() if key_id not in known]:
        return Row(what, Grade.FAILED, f"not in {reference}: key {', '.join(missing)}: put it back")
    if not config.at_rest.encrypt:
        return Row(what, Grade.WARNING, _OFF)
    newest = list(known.values())[-1]
    detail = f"encrypted with key {newest.id} of {newest.made}"
    if path is not None and (said := at_rest.readable_by_others(path)):
        return Row(what, Grade.WARNING, f"{detail}; {said}")
    if path is not None and path.stat().st_dev == _nearest(state_dir).stat().st_dev:
        detail += "; key and data are on one file system: who has it has both"
    return Row(what, Grade.OK, detail)


def _without_keys(what: str, config: GatewayConfig, path: Path) -> Row:
    """Nothing needs one yet."""
    if not config.at_rest.encrypt:
        return Row(what, Grade.WARNING, _OFF)
    if config.at_rest.keys:
        return Row(what, Grade.FAILED, f"{path} does not exist: `gateway key rotate` makes it")
    return Row(what, Grade.OK, f"will be encrypted; the first start makes its key in {path}")


def _room(config: GatewayConfig) -> Row:
    buffer = config.state_dir / "buffer"
    taken = sum(path.stat().st_blocks * 512 for path in buffer.glob("*.log")) if buffer.is_dir() else 0
    free = shutil.disk_usage(_nearest(config.state_dir)).free
    bound = config.buffer.max_bytes
    detail = f"the buffer's bound is {_gib(bound)}, it takes {_gib(taken)}, {_gib(free)} are free"
    if taken + free >= bound:
        return Row("disk", Grade.OK, detail)
    return Row("disk", Grade.FAILED, f"{detail}: lower buffer.max_bytes or give it a bigger disk")


def _nearest(folder: Path) -> Path:
    return next(one for one in (folder, *folder.absolute().parents) if one.is_dir())


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


# --- outside -----------------------------------------------------------------------------------------------------------------


def _outside(config: GatewayConfig) -> list[Row]:
    platform = platforms.of(config)

    def uplink() -> Row:
        try:
            return Row(platform.name, Grade.OK, platform.look(_ANSWER_S))
        except UnavailableError as error:
            return Row(platform.name, Grade.FAILED, str(error))

    def connection(one: Connection) -> Callable[[], Row]:
        return lambda: _reachable(one)

    asked = [uplink, *map(connection, config.connections)]
    if not config.connections:
        return [uplink(), Row("connections", Grade.WARNING, "none: the gateway would read nothing")]
    with ThreadPoolExecutor(max_workers=min(32, len(asked))) as threads:
        return list(threads.map(lambda ask: ask(), asked))


def _reachable(connection: Connection) -> Row:
    what = f"{connection.name} ({connection.protocol.name})"
    if connection.problem:
        return Row(what, Grade.FAILED, connection.problem)
    endpoint = str(connection.settings.endpoint)
    try:
        host, port = _address(endpoint)
        with socket.create_connection((host, port), timeout=_ANSWER_S):
            return Row(what, Grade.OK, f"{endpoint[:200]} answers")
    except (OSError, ValueError) as error:
        return Row(what, Grade.FAILED, f"{endpoint[:200]}: {cause_of(error)}")


def _address(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    port = parts.port or _PORTS.get(parts.scheme)
    if not parts.hostname or port is None:
        msg = "no host and port in it"
        raise ValueError(msg)
    return parts.hostname, port


def as_json(rows: list[Row]) -> dict[str, Any]:
    """For programs."""
    return {"ok": not failed(rows), "rows": [dataclasses.asdict(row) for row in rows]}
