"""The part of the plant that the stack itself needs: which gateways there are, and at which site.

A plant file takes a third of a second to check, and one of 40,000 devices seconds; every command asks for its gateways. So they are kept in
`.millrace/plants`, under a name that says of which content they are, and which code found it good.
"""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from base import files
from base.errors import RegistryError
from base.files import Stamp
from registry.plant import ConnectionSpec, GatewaySpec
from stack.config import ROOT, TOOLS
from stack.errors import StackError

KEPT = TOOLS / "plants"
_MOST_KEPT = 8
_READERS = ("registry/plant*.py", "connectors/*.py", "connectors/*/*.py")
"""Whose change may make another thing of the same file."""


def read_gateways(path: Path) -> tuple[GatewaySpec, ...]:
    """Gateways in the order of the file; empty when the file does not exist, StackError when it is malformed."""
    return _found(path)[1]


def read_enterprise(path: Path) -> str:
    """Where paths begin; empty when the file does not exist, StackError when it is malformed."""
    return _found(path)[0]


def _found(path: Path) -> tuple[str, tuple[GatewaySpec, ...]]:
    if not path.exists():
        return "", ()
    return _read(path, files.stamp(path))


@lru_cache(maxsize=4)
def _read(path: Path, _stamp: Stamp) -> tuple[str, tuple[GatewaySpec, ...]]:
    """Once per file and change: the table of services asks many times."""
    kept = KEPT / f"{sha256(_code() + path.read_bytes()).hexdigest()}.json"
    # What cannot be read, because it is not there or torn, is made anew.
    with suppress(OSError, ValueError, KeyError, TypeError):
        return _unpacked(json.loads(kept.read_text()))
    from registry.plant_file import read_plant  # late: it brings the model of the whole file

    try:
        plant = read_plant(path)
    except RegistryError as error:
        raise StackError(str(error)) from error
    # A checkout that nobody may write to is read all the same.
    with suppress(OSError):
        _keep(kept, plant.enterprise, plant.gateways)
    return plant.enterprise, plant.gateways


@cache
def _code() -> bytes:
    """What tells one state of the code that reads plant files from another."""
    found = sorted(file for pattern in _READERS for file in ROOT.glob(pattern))
    rows = [(str(file.relative_to(ROOT)), *files.stamp(file)) for file in found]
    return json.dumps(rows).encode()


def _keep(file: Path, enterprise: str, gateways: tuple[GatewaySpec, ...]) -> None:
    text = json.dumps({"enterprise": enterprise, "gateways": [dataclasses.asdict(one) for one in gateways]})
    file.parent.mkdir(parents=True, exist_ok=True)
    files.replace(file, text)
    for old in sorted(file.parent.glob("*.json"), key=lambda one: -one.stat().st_mtime_ns)[_MOST_KEPT:]:
        old.unlink(missing_ok=True)


def _unpacked(found: dict[str, Any]) -> tuple[str, tuple[GatewaySpec, ...]]:
    gateways = [
        GatewaySpec(**one | {"connections": tuple(ConnectionSpec(**each) for each in one["connections"])})
        for one in found["gateways"]
    ]
    return found["enterprise"], tuple(gateways)


def sites(gateways: tuple[GatewaySpec, ...]) -> tuple[str, ...]:
    """Names of the sites, each once, in order."""
    return tuple(dict.fromkeys(gateway.site for gateway in gateways))
