"""What a protocol says of itself to whoever lists protocols: its settings, its addresses, how a connection is made.

Each protocol's `protocol.py` makes one `MachineProtocol` and imports no protocol library: the plant file, the docs and the gateway's
configuration know all protocols without having their libraries. `make` imports what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base.ids import Clock
from connectors.readings import Connector, Sink


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a gateway gives each of its connections. `state_dir` is a folder of the connection's own, `shared_dir` one for all.

    Both are made by who needs them.
    """

    gateway_id: str
    sink: Sink
    clock: Clock
    state_dir: Path
    shared_dir: Path


def _no_warning(_address: str) -> str:
    return ""


def _all_but_the_last_level(address: str) -> str:
    return address.rpartition("/")[0] or address


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineProtocol:
    """One protocol. Addresses are without the connection's name.

    `settings` is a flat frozen dataclass with `endpoint` first. Its fields are str, int, float, bool, Path, enumerations of texts, or
    tuples of those; its `__post_init__` raises ValueError. `check_address` raises ValueError with the cause, `warn_address` says what is
    unwise about an address that is allowed. `machine_of` is the part of an address that names the machine: tags that have it in common
    are one device's, when nobody says otherwise. `make` takes the connection's name, its settings and the context.
    """

    name: str
    settings: type[Any]
    check_address: Callable[[str], None]
    make: Callable[[str, Any, Context], Connector]
    warn_address: Callable[[str], str] = _no_warning
    machine_of: Callable[[str], str] = _all_but_the_last_level
