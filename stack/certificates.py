"""`./millrace certificates`: what the stack's authority has issued; issue, revoke and renew by hand.

`up` issues and renews by itself what the services need. Revoking a gateway counts at the broker at once, on open connections too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from authority.book import Entry, Usage
from base import tool
from base.errors import ConfigError, UnavailableError
from enrolment.signer import PREFIX
from stack import config as configuration
from stack import gateway_trust, renewal, trust
from stack.config import StackConfig
from stack.errors import StackError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0, 1 failed, 2 wrong settings, 3 the broker does not answer."""
    options = parser().parse_args(arguments)
    return tool.run("certificates", lambda: _run(options), StackError)


def _run(options: argparse.Namespace) -> int:
    try:
        options.run(configuration.load(), options)
    except UnavailableError as error:
        msg = f"{error}; what is written down counts at the broker with the next `./millrace up`"
        raise UnavailableError(msg) from error
    return tool.DONE


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace certificates", description="Certificates of the local stack: list, issue, revoke, renew."
    )
    verbs = made.add_subparsers(required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="names, what they are for, until when, and which are revoked")
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.set_defaults(run=_list)
    issuing = verbs.add_parser(
        "issue", help="another key and certificate; lets a revoked name in again, as somebody new"
    )
    issuing.add_argument("name", help="for example gateway-gw-north-1")
    issuing.set_defaults(run=_issue)
    revoking = verbs.add_parser("revoke", help="a client's certificate, and all before it, count nothing from now on")
    revoking.add_argument("name")
    revoking.set_defaults(run=_revoke)
    renewing = verbs.add_parser("renew", help="another key and certificate for the same name and rights")
    renewing.add_argument("name")
    renewing.set_defaults(run=_renew)
    return made


def _list(config: StackConfig, options: argparse.Namespace) -> None:
    now, entries = datetime.now(UTC), trust.authority(config).entries()
    if options.json:
        print(json.dumps({"certificates": [_json(one, now) for one in entries]}, indent=2))
        return
    if not entries:
        print(f"no certificates yet in {config.authority}; `./millrace up` makes them")
    for one in entries:
        until = one.revoked or one.expires
        print(f"{one.name:<28}{one.usage:<8}{one.state(now):<9}{until:%Y-%m-%d %H:%M}  {one.subject}")


def _json(entry: Entry, now: datetime) -> dict[str, object]:
    return {
        "name": entry.name,
        "usage": entry.usage,
        "state": entry.state(now),
        "subject": entry.subject,
        "addresses": entry.addresses,
        "serial": entry.serial,
        "expires": entry.expires.isoformat(),
        "revoked": entry.revoked and entry.revoked.isoformat(),
    }


def _issue(config: StackConfig, options: argparse.Namespace) -> None:
    gateway_trust.take_back(config, options.name)
    holders = trust.holders(config)
    if options.name not in holders:
        there = ", ".join(sorted(holders))
        msg = f"{options.name} is neither a server of the stack, nor a gateway or simulated node of {config.plant}; there are {there}"
        raise ConfigError(msg)
    usage, addresses = holders[options.name]
    entry = trust.authority(config).issue(options.name, usage, addresses)
    _say(config, entry, "issued")
    renewal.tell_brokers(config, renewal.tell_mosquitto)


def _revoke(config: StackConfig, options: argparse.Namespace) -> None:
    issuing = trust.authority(config)
    entry = issuing.newest(options.name)
    if entry is not None and entry.usage is Usage.SERVER:
        msg = (
            f"{options.name} is a server, and its clients look at no list: to replace a stolen key of a server stop the stack,"
            f" delete {config.authority}, and start it again with another authority"
        )
        raise ConfigError(msg)
    if options.name.startswith(PREFIX):
        gateway_trust.revoke(config, options.name.removeprefix(PREFIX))
        return
    entry = issuing.revoke(options.name)
    print(f"{entry.name}: revoked, {entry.subject}")
    renewal.tell_brokers(config, renewal.restart_mosquitto)
    print("the brokers refuse it from now on, on open connections too")


def _renew(config: StackConfig, options: argparse.Namespace) -> None:
    if options.name.removeprefix(PREFIX) in trust.ledger(config).read().gateways:
        msg = f"{options.name} has enrolled: it makes its keys itself, and renews its certificate when a third of its life is left"
        raise ConfigError(msg)
    _say(config, trust.authority(config).renew(options.name), "renewed")


def _say(config: StackConfig, entry: Entry, what: str) -> None:
    print(f"{entry.name}: {what}, good until {entry.expires:%Y-%m-%d %H:%M} UTC, {config.authority / entry.name}.pem")
    if entry.usage is Usage.SERVER:
        in_use = renewal.reload(config, entry.name)
        print(f"it is in use from {'now on; connections that are open go on' if in_use else 'its next start on'}")
        return
    service = "simulator" if entry.name in trust.nodes(config) else entry.name
    print(f"a service that runs takes it with `./millrace service restart {service}`")


if __name__ == "__main__":
    sys.exit(main())
