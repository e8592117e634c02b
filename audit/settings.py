"""Settings of the audit log's writer: `audit.toml`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from base.settings import EndpointSettings, KafkaSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditSettings:
    """The whole file."""

    kafka: KafkaSettings
    # Name of the log in its checkpoints and keys, like an address without scheme: plant.example/audit.
    origin: str
    # Where the log lies, and its private keys; nobody but the writer needs the keys.
    folder: Path
    keys: Path
    # Where checkpoints are copied to: a mounted folder of another machine or of an object store, on a credential that can only add.
    copies: Path | None = None
    # Entries of so long, and not more than so many, are published together.
    batch_ms: int = 200
    batch_entries: int = 4_096
    copy_every_s: float = 10.0
    metrics: EndpointSettings = field(default_factory=EndpointSettings)

    def __post_init__(self) -> None:
        if not self.origin or not self.origin.isprintable() or any(one in self.origin for one in " +"):
            msg = f"origin is {self.origin!r}; it is like an address, without blanks and +"
            raise ValueError(msg)
        for name in ("batch_entries", "copy_every_s"):
            if getattr(self, name) <= 0:
                msg = f"{name} must be above 0"
                raise ValueError(msg)
        if self.batch_ms < 0:
            msg = "batch_ms must not be below 0"
            raise ValueError(msg)
        if self.copies is not None and self.copies.resolve().is_relative_to(self.folder.resolve()):
            msg = "copies is inside folder: whoever changes the log would change them with it"
            raise ValueError(msg)
