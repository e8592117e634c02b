"""The table `[ingestion]` of a gateway. Reads nothing and needs no library: every gateway's configuration has it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestionSettings:
    """Where the ingestion service is, `host:port`, and with which certificate a gateway goes there; PEM files."""

    address: str = ""
    ssl_ca_location: str = ""
    ssl_certificate_location: str = ""
    ssl_key_location: str = ""

    def check(self) -> None:
        """Raise ValueError when something is missing: there is no way without a certificate."""
        for field in dataclasses.fields(self):
            if not getattr(self, field.name):
                msg = f"uplink.kind is 'ingestion', and ingestion.{field.name} is missing"
                raise ValueError(msg)
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit():
            msg = f"ingestion.address is {self.address[:100]!r}, not host:port"
            raise ValueError(msg)
