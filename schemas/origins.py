"""Whether a record may speak of what it names: the topic that a gateway's record came on ends in its site.

Kafka's ACLs let a gateway write to its own site's topics alone; what a record says about itself is only a claim. Enters: the site of a
topic, the claims, and the sites of gateways and devices as the registry has them. Leaves: what is foreign, in words. What the registry does
not know is nobody's yet: a new gateway may tell of itself. Called before anything believes the record: by the telemetry job and by serving,
which have the registry in memory, and by the historian and the accounting, which have it in SQL. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Sites:
    """Where the registry has gateways and devices."""

    gateways: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[int, str] = field(default_factory=dict)

    def foreign(self, site: str, gateway_id: str, device_ids: Iterable[int] = ()) -> str:
        """What a record on a topic of `site` names and another site has, for people; empty when there is nothing."""
        if (of := self.gateways.get(gateway_id, site)) != site:
            return _words(f"gateway {gateway_id}", of, site)
        for device_id in device_ids:
            if (of := self.devices.get(device_id, site)) != site:
                return _words(f"device {device_id}", of, site)
        return ""


def _words(what: str, of: str, site: str) -> str:
    return f"{what} is of site {of}, and the record came on a topic of site {site}"
