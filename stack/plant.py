"""The part of the plant that the stack itself needs: which gateways there are, and at which site."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from base.errors import RegistryError
from registry.plant import GatewaySpec
from registry.plant_file import read_plant
from stack.errors import StackError


def read_gateways(path: Path) -> tuple[GatewaySpec, ...]:
    """Gateways in the order of the file; empty when the file does not exist, StackError when it is malformed."""
    return _found(path)[1]


def read_enterprise(path: Path) -> str:
    """Where paths begin; empty when the file does not exist, StackError when it is malformed."""
    return _found(path)[0]


def _found(path: Path) -> tuple[str, tuple[GatewaySpec, ...]]:
    if not path.exists():
        return "", ()
    found = path.stat()
    return _read(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, _mtime_ns: int, _size: int) -> tuple[str, tuple[GatewaySpec, ...]]:
    """Once per file and change: the table of services asks many times, and 40,000 devices take seconds to parse."""
    try:
        plant = read_plant(path)
        return plant.enterprise, plant.gateways
    except RegistryError as error:
        raise StackError(str(error)) from error


def sites(gateways: tuple[GatewaySpec, ...]) -> tuple[str, ...]:
    """Names of the sites, each once, in order."""
    return tuple(dict.fromkeys(gateway.site for gateway in gateways))
