"""`python -m issuer --config issuer.toml`: the issuer of the local stack."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from joserfc.jwk import ECKey

from base import logs, settings
from base.errors import ConfigError, MillraceError
from issuer import people
from issuer.app import Issuer
from issuer.grants import Client

log = logging.getLogger(__name__)

_LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientSettings:
    """A program that may send people here."""

    id: str
    redirects: tuple[str, ...] = ()
    device: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuerConfig:
    """`issuer.toml`."""

    listen: str
    audience: str
    people: str
    key: str
    """File of the signing key; made when it is not there, mode 0600."""
    clients: tuple[ClientSettings, ...]

    def __post_init__(self) -> None:
        if self.listen.rpartition(":")[0] not in _LOOPBACK:
            msg = f"listen is {self.listen}; this issuer is for development, and listens on 127.0.0.1 only"
            raise ValueError(msg)


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m issuer", description=__doc__)
    parser.add_argument("--config", required=True, metavar="FILE")
    options = parser.parse_args(arguments)
    logs.configure("issuer")
    try:
        config = settings.load(IssuerConfig, Path(options.config), service="issuer")
        issuer = Issuer(
            f"http://{config.listen}",
            audience=config.audience,
            key=signing_key(Path(config.key)),
            clients={
                one.id: Client(client_id=one.id, redirects=one.redirects, device=one.device) for one in config.clients
            },
            people=people.read(Path(config.people)),
        )
    except MillraceError as error:
        sys.stderr.write(f"issuer: {error}\n")
        return 1
    host, _, port = config.listen.rpartition(":")
    uvicorn.run(issuer.app, host=host, port=int(port), log_config=None, access_log=False, server_header=False)
    return 0


def signing_key(path: Path) -> ECKey:
    """Key of a file, made when there is none. Raises ConfigError."""
    if not path.exists():
        made = ECKey.generate_key("P-256", auto_kid=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(made.as_dict(private=True), file)
    try:
        return ECKey.import_key(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        msg = f"key {path} cannot be used: {error!r}; delete it, and another is made"
        raise ConfigError(msg) from error


if __name__ == "__main__":
    sys.exit(main())
