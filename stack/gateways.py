"""`./millrace gateway`: gateways of the local stack (enrol, revoke, list), and the gateway's own tools beside them (`edge.command`).

Exit statuses are those of docs/command-line.md: 0, 1 failed, 2 wrong arguments, 3 nobody answers, 4 the gateway is not well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from base import tool
from base.account import os_user
from base.errors import ConfigError, SchemaError, UnavailableError
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from edge import command
from edge.config import is_name
from edge.table import render as table
from enrolment.ledger import LIFE, LONGEST, CodeState, StoredCode
from enrolment.outbox import Outbox
from enrolment.signer import PREFIX, SERVICE
from schemas import events, topics
from schemas.audit import Outcome, by_tool
from stack import config as configuration
from stack import doors, renewal, trust
from stack.config import ROOT, StackConfig
from stack.errors import StackError
from stack.plant import read_enterprise, read_gateways, sites
from stack.supervisor import Supervisor

_LOOKED_AT = 300
"""Newest records of each partition of a site's events, where gateways say once a second that they live."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one tool."""
    options = parser().parse_args(arguments)
    return tool.run("gateway", lambda: int(options.run(options)), StackError)


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace gateway",
        description="Enrol, revoke and list gateways of the local stack; check, watch and reload any.",
    )
    tools = made.add_subparsers(required=True, metavar="TOOL")
    enrolling = tools.add_parser(
        "enrol", help="a code, good once and for minutes, with which a gateway gets its certificate"
    )
    enrolling.add_argument("site", metavar="SITE")
    enrolling.add_argument("--name", default="", metavar="ID", help="the gateway; default: the only one of the site")
    enrolling.add_argument(
        "--minutes",
        type=int,
        default=int(LIFE.total_seconds() // 60),
        help="how long the code is good (default: %(default)s)",
    )
    enrolling.add_argument(
        "--hand-over", action="store_true", help="of a gateway that this stack runs: it does not run it any more"
    )
    enrolling.add_argument("--json", action="store_true", help="one JSON object")
    enrolling.set_defaults(run=_with_config(_enrol))
    revoking = tools.add_parser(
        "revoke", help="a gateway's certificate and codes count nothing from now on, on open connections too"
    )
    revoking.add_argument("name", metavar="ID")
    revoking.add_argument("--why", default="", help="for the audit log")
    revoking.set_defaults(run=_with_config(_revoke))
    listing = tools.add_parser("list", help="name, site, state, end of the certificate, last seen")
    listing.add_argument("--json", action="store_true", help="one JSON object")
    listing.set_defaults(run=_with_config(_list))
    command.add_tools(tools)
    return made


def _with_config(run: Callable[[StackConfig, argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def with_config(options: argparse.Namespace) -> int:
        # The front door calls this in the caller's folder; paths of the stack's settings are meant from the checkout, as for `up`.
        with contextlib.chdir(ROOT):
            return run(configuration.load(), options)

    return with_config


# --- enrol ---------------------------------------------------------------------------------------------------------------


def _enrol(config: StackConfig, options: argparse.Namespace) -> int:
    life = timedelta(minutes=options.minutes)
    if not timedelta(minutes=1) <= life <= LONGEST:
        msg = f"--minutes is {options.minutes}, not between 1 and {LONGEST // timedelta(minutes=1)}"
        raise ConfigError(msg)
    name = _chosen(config, options.site, options.name)
    is_here = any(one.id == name for _, one in trust.gateways_here(config))
    if is_here and not options.hand_over:
        msg = (
            f"this stack runs gateway {name} itself: with --hand-over it stops, and the gateway that enrols takes its place;"
            " with --name you name another one"
        )
        raise ConfigError(msg)
    issued = trust.authority(config)
    if not issued.root_file.exists():
        msg = f"there is no authority in {config.authority} yet: start the stack with `./millrace up`"
        raise StackError(msg)
    root = x509.load_pem_x509_certificate(issued.root_file.read_bytes()).public_bytes(Encoding.DER)
    until, by = datetime.now(UTC) + life, os_user()
    note(config, "gateway:code", name, options.site, detail=f"good until {until:%Y-%m-%d %H:%M} UTC")
    code = trust.ledger(config).make(name, options.site, root_der=root, by=by, life=life)
    if is_here:
        _hand_over(config, name)
    try:
        doors.shown(config, trust.ENROLMENT)
    except OSError as error:
        print(f"note: nothing answers at {config.enrolment_url} ({error}); `./millrace up` starts it", file=sys.stderr)
    if options.json:
        shown = {"code": code.text, "gateway": name, "site": options.site, "server": config.enrolment_url}
        print(json.dumps(shown | {"expires": until.isoformat()}))
        return 0
    print(
        f"Code for gateway {name} of site {options.site}, good once, until {until:%H:%M} UTC ({options.minutes} minutes):\n"
    )
    print(f"    {code.text}\n")
    print("On the gateway's machine, which asks for the code:\n")
    where = f"--server {config.enrolment_url} --gateway {name} --site {options.site}"
    print(f"    python -m edge enrol {where} --folder /var/lib/millrace")
    return 0


def _chosen(config: StackConfig, site: str, name: str) -> str:
    """The gateway that is meant; raises ConfigError."""
    gateways = read_gateways(config.plant)
    if site not in (known := sites(gateways)):
        msg = f"{config.plant} has no site {site!r} with a gateway; there are {', '.join(known) or 'none'}"
        raise ConfigError(msg)
    everybody = trust.sites_of_gateways(config)
    own = sorted(one for one, its in everybody.items() if its == site)
    if not name:
        if len(own) != 1:
            msg = f"site {site} has {len(own)} gateways: name one of them, or a new one, with --name; there are {', '.join(own)}"
            raise ConfigError(msg)
        return own[0]
    if everybody.get(name, site) != site:
        msg = f"gateway {name} is of site {everybody[name]}, and a gateway never changes its site: choose another name"
        raise ConfigError(msg)
    if not is_name(name) or len(name) > 64 - len(PREFIX):
        msg = f"--name is up to {64 - len(PREFIX)} letters, digits, '_' and '-'"
        raise ConfigError(msg)
    return name


def _hand_over(config: StackConfig, name: str) -> None:
    supervisor = Supervisor(config)
    stopped = supervisor.alive() and supervisor.stop(f"{PREFIX}{name}")
    print(
        f"this stack {'has stopped' if stopped else 'does not run'} gateway {name}, and leaves it to the one that enrols",
        file=sys.stderr,
    )


def take_back(config: StackConfig, name: str) -> None:
    """A name that enrolled, and is revoked, is this stack's again, before a certificate is issued here; others stay. Raises ConfigError."""
    gateway, book = name.removeprefix(PREFIX), trust.ledger(config)
    if not name.startswith(PREFIX) or gateway not in book.read().gateways:
        return
    entry = book.authority.newest(name)
    if entry is not None and entry.revoked is None:
        msg = f"gateway {gateway} has enrolled and makes its keys itself: `./millrace gateway revoke {gateway}` comes first"
        raise ConfigError(msg)
    if any(one.id == gateway for one in read_gateways(config.plant)):
        note(config, "gateway:take-back", gateway, book.read().gateways[gateway].site)
        book.forget(gateway)


# --- revoke --------------------------------------------------------------------------------------------------------------


def _revoke(config: StackConfig, options: argparse.Namespace) -> int:
    try:
        revoke(config, options.name.removeprefix(PREFIX), why=options.why)
    except UnavailableError as error:
        msg = f"{error}; the revocation is written down and counts there with the next `./millrace up`"
        raise UnavailableError(msg) from error
    return 0


def revoke(config: StackConfig, name: str, *, why: str = "") -> None:
    """Nothing of a gateway counts any more: certificate, connections, codes. Raises UnavailableError when a broker could not be told."""
    book = trust.ledger(config)
    known = trust.sites_of_gateways(config)
    entry = book.authority.newest(f"{PREFIX}{name}")
    if entry is None and name not in known:
        msg = f"there is no gateway {name[:100]!r}; there are {', '.join(sorted(known)) or 'none'}"
        raise ConfigError(msg)
    with book.authority.held():
        before, outbox = entry.subject if entry else "", Outbox(book.authority)
        note(config, "gateway:revoke", name, known.get(name, ""), why=why, before=before, outbox=outbox)
        book.withdraw(name)
        if entry is not None:
            entry = book.authority.revoke(entry.name)
    print(
        f"{PREFIX}{name}: revoked, {entry.subject if entry else 'it had no certificate yet; its codes are withdrawn'}"
    )
    renewal.tell_brokers(config, renewal.restart_mosquitto)
    print("the brokers refuse it from now on, on open connections too")


# --- list ----------------------------------------------------------------------------------------------------------------


def _list(config: StackConfig, options: argparse.Namespace) -> int:
    rows = gateways(config)
    if options.json:
        print(json.dumps({"gateways": rows}, indent=2))
        return 0
    head = ("gateway", "site", "key", "state", "certificate until", "last seen")
    shown = [
        (one["id"], one["site"], one["key"], one["state"], _minute(one["expires"]), _minute(one["seen"]))
        for one in rows
    ]
    print(table(head, shown))
    return 0


def gateways(config: StackConfig) -> list[dict[str, Any]]:
    """Every gateway of the plant file and every one that enrols."""
    now, book = datetime.now(UTC), trust.ledger(config).read()
    everybody = trust.sites_of_gateways(config)
    seen = _seen(config, sites(read_gateways(config.plant)))
    issued = trust.authority(config)
    rows = []
    for name, site in sorted(everybody.items(), key=lambda one: (one[1], one[0])):
        entry, enrols = issued.newest(f"{PREFIX}{name}"), book.gateways.get(name)
        times = [one for one in (seen.get(name), enrols.seen if enrols else None) if one is not None]
        waiting = next(
            (one for one in book.codes.values() if one.gateway == name and one.state(now) is CodeState.OPEN), None
        )
        rows.append(
            {
                "id": name,
                "site": site,
                "key": "its own" if enrols else "this stack's",
                "state": _state(entry.state(now) if entry else "", waiting),
                "expires": entry and entry.expires.isoformat(),
                "seen": max(times).isoformat(timespec="seconds") if times else None,
            }
        )
    return rows


def _state(of_certificate: str, code: StoredCode | None) -> str:
    if code is None:
        return of_certificate or "none"
    waits = f"waits until {code.expires:%H:%M} UTC"
    return f"{of_certificate}, {waits}" if of_certificate else waits


def _seen(config: StackConfig, names: Sequence[str]) -> dict[str, datetime]:
    """When each gateway last said something, by the newest records of its site's events."""
    found: dict[str, datetime] = {}
    settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    for site in names:
        try:
            for message in kafka.read_to_end(settings, topics.EVENTS.for_site(site), last=_LOOKED_AT, timeout_s=10):
                with contextlib.suppress(SchemaError):  # whose it is cannot be read
                    gateway = events.decode(message.value() or b"").gateway_id
                    at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
                    found[gateway] = max(at, found.get(gateway, at))
        except UnavailableError as error:
            print(f"note: when gateways of site {site} were last seen is not known: {error}", file=sys.stderr)
    return found


def _minute(text: str | None) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}" if text else "-"


# --- audit ---------------------------------------------------------------------------------------------------------------


def note(
    config: StackConfig,
    action: str,
    name: str,
    site: str,
    *,
    why: str = "",
    detail: str = "",
    before: str = "",
    outbox: Outbox | None = None,
) -> None:
    """An event of the audit log, of whoever runs this; the signer sends it. `outbox`: that of somebody who holds the authority's lock."""
    path = f"{read_enterprise(config.plant)}/{site}" if site else ""
    event = by_tool(SERVICE, action, Outcome.DONE, name=name, path=path, reason=why, detail=detail, before=before)
    (outbox or trust.outbox(config)).put(event)


if __name__ == "__main__":
    sys.exit(main())
