"""`python -m edge enrol`: from an empty folder to a gateway that may speak to the platform.

The code is asked for, or taken from where `--code` says (`file:PATH`, `env:NAME`): on the command line every user of the machine could read
it. The key is made here and stays here. In the folder lie then `identity.pem` (key and certificate), `authority.pem` (whom the gateway
believes), `signatures.toml` (whether the platform wants signatures), `gateway.toml` and the gateway's copy of the registry, which is read
with the new certificate: it shows that it opens what it should. A file `gateway.toml` that is there stays as it is. What was interrupted
may be done again with the same code.

Exit statuses: 0 done, 1 refused, 2 wrong arguments, 3 the platform does not answer, or its broker does not yet.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import getpass
import os
import sys
from pathlib import Path
from typing import Any

from base import files, secrets, settings, tool
from base.errors import ConfigError, MillraceError, UnavailableError
from base.toml import to_toml
from connectors.enrolment import messages
from connectors.enrolment.client import Client, check_server
from connectors.enrolment.code import Code
from connectors.enrolment.messages import Grant
from edge import platforms
from edge.config import GatewayConfig, is_name
from edge.identity import Identity
from edge.registry_cache import RegistryCache, RegistryView
from edge.uplink import Way

_REGISTRY_S = 20.0
_AGAIN_S = 0.5


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = argparse.ArgumentParser(
        prog="python -m edge enrol",
        description="Get this gateway's certificate, configuration and registry from the platform.",
    )
    made.add_argument("--server", required=True, metavar="URL", help="the platform's enrolment, https://host:port")
    made.add_argument("--gateway", required=True, metavar="ID", help="what the gateway is called")
    made.add_argument("--site", required=True, help="its site")
    made.add_argument("--folder", type=Path, required=True, metavar="DIR", help="where everything of the gateway lies")
    made.add_argument(
        "--uplink",
        choices=[one.value for one in Way],
        default=None,
        help="the way to the platform: kafka, or the ingestion service where Kafka may not be opened (default: what the platform says)",
    )
    made.add_argument(
        "--code", default="", metavar="REFERENCE", help="file:PATH or env:NAME with the code; otherwise it is asked for"
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Exit status; the cause is on standard error."""
    options = parser().parse_args(arguments)
    return tool.run("enrol", lambda: _enrol(options))


def _enrol(options: argparse.Namespace) -> int:
    folder: Path = options.folder.absolute()
    server: str = options.server.rstrip("/")
    _check(options, server)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(folder, options.gateway, options.site)
    code = _code(options.code)
    identity, client = Identity.of(folder), Client(server)
    key = identity.next_key()
    authority = client.authority(code)
    grant = client.enrol(code, authority, key, gateway=options.gateway, site=options.site)
    identity.take(key, dataclasses.replace(grant, authority=authority))
    file = folder / "gateway.toml"
    if kept := file.exists():
        print(f"{file}: kept as it is")
    else:
        values = configuration(
            grant,
            identity,
            way(grant, options.uplink),
            gateway=options.gateway,
            site=options.site,
            server=server,
            folder=folder,
        )
        text = "# Written by `python -m edge enrol`; it is yours to edit.\n" + to_toml(values)
        files.replace_durably(file, text, mode=files.OWNERS)
    config = settings.load(GatewayConfig, file, service="gateway")
    until = f"{identity.certificate().not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    print(f"gateway {config.gateway_id} of site {config.site} has its certificate until {until}")
    if kept and Path(config.identity[0]) != identity.file:
        table = config.uplink.kind
        print(
            f"note: {file} does not use it: {table}.ssl_certificate_location and ssl_key_location are to be {identity.file}"
        )
    try:
        view = asyncio.run(registry(config))
    except UnavailableError as error:
        msg = f"the gateway is enrolled, but its registry could not be read: {error}. It reads it when it runs and Kafka answers"
        raise UnavailableError(msg) from error
    identity.settle()
    print(f"registry version {view.version}: {len(view.tags)} tags of this gateway")
    print(f"next: python -m edge check --config {file}, then run it: python -m edge --config {file}")
    return tool.DONE


def _check(options: argparse.Namespace, server: str) -> None:
    try:
        check_server(server)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    for what in ("gateway", "site"):
        if not is_name(getattr(options, what)):
            msg = f"--{what} is not made of letters, digits, '_' and '-'"
            raise ConfigError(msg)


def _check_folder(folder: Path, gateway: str, site: str) -> None:
    """What lies there is of the same gateway, or nothing does."""
    if not os.access(folder, os.W_OK):
        msg = f"{folder} cannot be written: name another folder, or run this as the user who runs the gateway"
        raise ConfigError(msg)
    for name in ("buffer", "commands.sqlite"):
        if (folder / name).exists():
            msg = (
                f"{folder} is the state of a gateway that exists ({name} lies there), which another configuration would leave"
                " behind: name a folder of its own, for example one in it, and take over kafka.* or ingestion.*, and [enrolment], from the"
                " gateway.toml that is written there"
            )
            raise ConfigError(msg)
    file = folder / "gateway.toml"
    if file.exists():
        found = settings.read_toml(file)
        if (found.get("gateway_id"), found.get("site")) != (gateway, site):
            msg = f"{file} is of another gateway: name another folder, or delete the file"
            raise ConfigError(msg)


def _code(reference: str) -> Code:
    if reference:
        try:
            return Code.parse(secrets.resolve(reference))
        except ValueError:
            msg = "--code is file:PATH or env:NAME, never the code itself: other users of this machine would read it"
            raise ConfigError(msg) from None
    if sys.stdin.isatty():
        return Code.parse(getpass.getpass("enrolment code (it is not shown): "))
    return Code.parse(sys.stdin.readline())


def way(grant: Grant, wanted: str | None) -> Way:
    """How the gateway reaches the platform; raises ConfigError for a way that the platform does not have."""
    found = Way(wanted) if wanted else Way.KAFKA if grant.kafka else Way.INGESTION
    if not (grant.ingestion if found is Way.INGESTION else grant.kafka):
        cause = (
            "no ingestion service runs there" if found is Way.INGESTION else "it wants this gateway to go by ingestion"
        )
        msg = f"the platform does not say where the gateway would reach it by {found}: {cause}; with --uplink you name the other way"
        raise ConfigError(msg)
    return found


def configuration(
    grant: Grant, identity: Identity, uplink: Way, *, gateway: str, site: str, server: str, folder: Path
) -> dict[str, Any]:
    """Tables of `gateway.toml`."""
    own = {messages.CERTIFICATE: str(identity.file), messages.AUTHORITY: str(identity.authority_file)}
    files_of = {
        "ssl_ca_location": str(identity.authority_file),
        "ssl_certificate_location": str(identity.file),
        "ssl_key_location": str(identity.file),
    }
    reached: dict[str, Any] = {
        "kafka": {"bootstrap_servers": grant.kafka, "security_protocol": "SSL", **files_of},
    }
    if uplink is Way.INGESTION:
        reached = {"uplink": {"kind": uplink.value}, "ingestion": {"address": grant.ingestion, **files_of}}
    return {
        "gateway_id": gateway,
        "site": site,
        "state_dir": str(folder / "state"),
        **reached,
        "enrolment": {"server": server},
        "connections": [
            {key: own.get(value, value) if isinstance(value, str) else value for key, value in table.items()}
            for table in grant.connections
        ],
    }


async def registry(config: GatewayConfig, timeout_s: float = _REGISTRY_S) -> RegistryView:
    """The newest version of the topic, also on disk where the gateway looks for it; raises UnavailableError."""
    cache = RegistryCache(
        config.state_dir / "registry.cache", gateway_id=config.gateway_id, site=config.site, on_view=lambda _: None
    )
    config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    cause: BaseException | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while not cache.current.is_set():
                cause = await _follow(cache, config) or cause
                if not cache.current.is_set():
                    await asyncio.sleep(_AGAIN_S)  # rights that were given a moment ago
    except TimeoutError:
        where = config.ingestion.address if config.uplink.kind is Way.INGESTION else config.kafka.bootstrap_servers
        msg = f"{where} did not give it within {timeout_s:g} s" + (f": {cause}" if cause else "")
        raise UnavailableError(msg) from cause
    return cache.view


async def _follow(cache: RegistryCache, config: GatewayConfig) -> BaseException | None:
    """Until it is current, or the following ends; why it ended."""
    following = asyncio.create_task(cache.run(platforms.of(config)))
    current = asyncio.create_task(cache.current.wait())
    try:
        await asyncio.wait({following, current}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        following.cancel()
        current.cancel()
        ended = await asyncio.gather(following, current, return_exceptions=True)
    error = ended[0]
    if isinstance(error, BaseException) and not isinstance(error, (MillraceError, asyncio.CancelledError)):
        raise error
    return error if isinstance(error, MillraceError) else None


if __name__ == "__main__":
    sys.exit(main())
