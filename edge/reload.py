"""Whether a running gateway can go over to a changed configuration: its connections and policies, nothing else.

A file is applied whole or not at all. Pure, but for reading the file.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base import settings
from base.errors import ConfigError
from edge.config import GatewayConfig

RELOADABLE = frozenset({"connections", "policies"})


@dataclass(slots=True)
class Reloads:
    """What came of reloads: how many were applied and refused, the last refusal's cause, what the last one applied changed."""

    applied: int = 0
    refused: int = 0
    error: str = ""
    last: str = ""

    def status(self) -> dict[str, Any]:
        """For people."""
        return dataclasses.asdict(self)


def read(path: Path, running: GatewayConfig) -> GatewayConfig:
    """The configuration in the file; raises ConfigError when it is wrong, or changes what a running gateway cannot change."""
    found = settings.load(GatewayConfig, path, service="gateway")
    # At a start a wrong connection costs itself; here the one that runs would be lost to a slip of the pen.
    if problems := [one.problem for one in found.connections if one.problem]:
        raise ConfigError("; ".join(problems))
    names = [field.name for field in dataclasses.fields(GatewayConfig) if field.name not in RELOADABLE]
    if changed := [name for name in names if getattr(found, name) != getattr(running, name)]:
        msg = f"{path}: {', '.join(changed)} cannot be changed while the gateway runs: restart it"
        raise ConfigError(msg)
    return found
