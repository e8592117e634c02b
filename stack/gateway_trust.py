"""Which gateways the stack trusts: `./millrace gateway enrol` and `revoke`, and the events of both in the audit log."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from base.account import os_user
from base.errors import ConfigError, UnavailableError
from edge.config import is_name
from enrolment.ledger import LONGEST
from enrolment.outbox import Outbox
from enrolment.signer import PREFIX, SERVICE
from schemas.audit import Outcome, by_tool
from stack import doors, renewal, trust
from stack.config import StackConfig
from stack.errors import StackError
from stack.plant import read_enterprise, read_gateways, sites
from stack.supervisor import Supervisor


def run_enrol(config: StackConfig, options: argparse.Namespace) -> int:
    """`gateway enrol`: a code for a gateway, printed once; the exit status."""
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


def run_revoke(config: StackConfig, options: argparse.Namespace) -> int:
    """`gateway revoke`; the exit status."""
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
