"""Settings of the directory of people: the table `[privacy]` of `serving.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from base.secrets import check_reference


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivacySettings:
    """Where names of people are. Empty `folder`: nowhere, and records name people by the issuer's subject."""

    folder: str = ""
    """One for all processes of the installation, for their user alone; kept out of backups that are older than a person may be known."""
    keys: str = ""
    """Where the key is that wraps people's keys: `file:PATH`, not inside `folder`, or `vault:https://HOST:PORT/MOUNT/KEY`."""
    token: str = ""
    """A reference to Vault's token, read at each request."""
    ca: str = ""
    """File of the authority that signed Vault's certificate; empty: those the system trusts."""

    def __post_init__(self) -> None:
        if bool(self.folder) != bool(self.keys):
            msg = "privacy.folder and privacy.keys belong together; one of them is missing"
            raise ValueError(msg)
        check_reference("privacy.token", self.token)
        if self.keys.startswith("vault:") != bool(self.token):
            msg = "privacy.token belongs to keys in Vault (privacy.keys = vault:…), as file:PATH or env:NAME"
            raise ValueError(msg)
        if self.keys.startswith("file:") and Path(self.keys.removeprefix("file:")).absolute().is_relative_to(
            Path(self.folder).absolute()
        ):
            msg = "privacy.keys is inside privacy.folder: a copy of the folder would bring the key along that opens it"
            raise ValueError(msg)
