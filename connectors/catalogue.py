"""The protocols that machines are read with, each once: what else wants to know them reads this table.

Who reads it: the plant file, the gateway's configuration, the gateway, the tests of all connectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from base import settings as base_settings
from base.errors import ConfigError
from connectors.modbus.protocol import MODBUS
from connectors.mqtt.protocol import MQTT
from connectors.opcua.protocol import OPCUA
from connectors.protocol import Context, MachineProtocol
from connectors.readings import Connector
from connectors.sparkplug.protocol import SPARKPLUG

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

PROTOCOLS: dict[str, MachineProtocol] = {one.name: one for one in (OPCUA, SPARKPLUG, MODBUS, MQTT)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection(base_settings.FromTable):
    """One `[[connections]]` table of a gateway: name, protocol, and the protocol's own settings beside them.

    `problem` says why the settings cannot be used. It costs this connection alone: the gateway runs, and the others read.
    """

    name: str
    protocol: MachineProtocol
    settings: Any
    problem: str = ""

    @classmethod
    def from_table(cls, table: Mapping[str, Any], *, where: str) -> Self:
        """Connection of a table of plain values; raises ConfigError when it has no usable name or protocol."""
        own = dict(table)
        name, protocol = own.pop("name", None), own.pop("protocol", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            msg = f"{where}: name is {name!r}, not up to 63 letters, digits, '-' and '_'"
            raise ConfigError(msg)
        if protocol not in PROTOCOLS:
            msg = f"{where}: protocol is {protocol!r}; known: {', '.join(PROTOCOLS)}"
            raise ConfigError(msg)
        found, settings, problem = PROTOCOLS[protocol], None, ""
        try:
            settings = base_settings.parse(found.settings, own, where=f"{where} {name}")
        except ConfigError as error:
            problem = str(error)
        return cls(name=name, protocol=found, settings=settings, problem=problem)

    def make(self, context: Context) -> Connector:
        """The connector, not yet running; raises ConfigError when the settings cannot be used."""
        if self.problem:
            raise ConfigError(self.problem)
        return self.protocol.make(self.name, self.settings, context)
