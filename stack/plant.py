"""The part of the plant file that the stack itself needs: which gateways there are, and at which site.

Enters: the YAML file (`sites: [{name, gateways: [{id, ...}]}]`). The registry loader reads the same file in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from stack.errors import StackError


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantGateway:
    """One gateway process of the stack."""

    id: str
    site: str


def read_gateways(path: Path) -> tuple[PlantGateway, ...]:
    """Gateways in the order of the file; empty when the file does not exist, StackError when it is malformed."""
    if not path.exists():
        return ()
    found = path.stat()
    return _read(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, _mtime_ns: int, _size: int) -> tuple[PlantGateway, ...]:
    """Once per file and change: the table of services asks many times, and 40,000 devices take seconds to parse."""
    try:
        sites = yaml.safe_load(path.read_text())["sites"]
        return tuple(
            PlantGateway(id=str(gateway["id"]), site=str(site["name"]))
            for site in sites
            for gateway in site.get("gateways", ())
        )
    except (yaml.YAMLError, KeyError, TypeError) as error:
        msg = f"plant file {path} is malformed: {error!r}; expected sites: [{{name, gateways: [{{id}}]}}]"
        raise StackError(msg) from error


def sites(gateways: tuple[PlantGateway, ...]) -> tuple[str, ...]:
    """Names of the sites, each once, in order."""
    return tuple(dict.fromkeys(gateway.site for gateway in gateways))
