"""`python -m edge certificate`: the gateway's OPC UA certificate, and which servers' certificates it trusts.

A running gateway sees what is done here at its next attempt to connect.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from base import settings
from base.errors import ConfigError
from connectors.opcua import certificates, revocation
from connectors.opcua.certificates import CertificateStore, Identity
from edge.config import GatewayConfig

DONE, FAILED = 0, 1


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    found = argparse.ArgumentParser(prog="millrace certificate", description=__doc__)
    commands = found.add_subparsers(dest="command", required=True)
    for name, text in (
        ("show", "Show the gateway's own certificate; make it if there is none"),
        ("renew", "Make another certificate and key; servers have to trust it anew"),
        ("list", "List the servers' certificates: trusted, and rejected; and the revocation lists"),
        ("trust", "Trust a rejected certificate, by its fingerprint or the beginning of it"),
    ):
        one = commands.add_parser(name, help=text, description=text)
        where = one.add_mutually_exclusive_group(required=True)
        where.add_argument("--config", type=Path, help="TOML file of the gateway")
        where.add_argument("--pki", type=Path, help="folder of certificates, <state_dir>/pki of the gateway")
        if name == "renew":
            one.add_argument(
                "--application-uri", default="", help="default: as before, at first urn:millrace:<gateway>"
            )
        if name == "trust":
            one.add_argument(
                "fingerprint", help="SHA-256 or SHA-1 in hexadecimal; 8 digits are enough if they are unique"
            )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 1 with the cause on standard error."""
    options = parser().parse_args(arguments)
    try:
        for line in _answer(options):
            sys.stdout.write(f"{line}\n")
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return DONE


def _answer(options: argparse.Namespace) -> list[str]:
    store = _store(options)
    match options.command:
        case "show":
            return _shown(store, store.own())
        case "renew":
            return [
                *_shown(store, store.renew(options.application_uri)),
                "tell every server that trusts the one before",
            ]
        case "trust":
            return [f"trusted: {certificates.describe(store.trust(options.fingerprint))}"]
        case _:
            trusted = [f"trusted: {certificates.describe(one)}" for one in store.trusted()]
            lists = [f"revocation list: {revocation.describe(one)}" for one in store.revocation_lists()]
            rejected = [f"rejected: {certificates.describe(one)}" for one in store.rejected()]
            return [*trusted, *lists, *rejected]


def _shown(store: CertificateStore, own: Identity) -> list[str]:
    return [
        f"application URI: {own.uri}",
        f"certificate: {certificates.describe(own.certificate)}",
        f"SHA-1: {certificates.thumbprint(own.certificate)}",
        f"file: {store.certificate_file}",
    ]


def _store(options: argparse.Namespace) -> CertificateStore:
    if options.pki is not None:
        # Without the gateway's name only what is there can be worked with.
        if not options.pki.is_dir():
            msg = f"{options.pki} is no folder"
            raise ConfigError(msg)
        return CertificateStore(options.pki, options.pki.absolute().parent.name)
    config = settings.load(GatewayConfig, options.config, service="gateway")
    return CertificateStore(config.state_dir / "pki", config.gateway_id)


if __name__ == "__main__":
    sys.exit(main())
