"""`./millrace gateway list`: every gateway of the plant file and every one that enrols, with its certificate and when it was last seen.

It opens files alone, and imports a broker's library only where the stack runs: it answers as fast as `status`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from base.errors import SchemaError, UnavailableError
from edge.table import render as table
from enrolment.ledger import CodeState, StoredCode
from stack import trust
from stack.config import StackConfig
from stack.mqtt_access import gateway_name
from stack.plant import read_gateways, sites
from stack.supervisor import Supervisor

_LOOKED_AT = 300
"""Newest records of each partition of a site's events, where gateways say once a second that they live."""


def run(config: StackConfig, options: argparse.Namespace) -> int:
    """Print the list; the exit status."""
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
    issued = trust.book(config)
    rows = []
    for name, site in sorted(everybody.items(), key=lambda one: (one[1], one[0])):
        entry, enrols = issued.newest(gateway_name(name)), book.gateways.get(name)
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
    if not Supervisor(config).alive():
        print(
            "note: the stack does not run, so when gateways were last seen is what they said as they enrolled",
            file=sys.stderr,
        )
        return found
    # Late: without a broker nothing of it is needed.
    from base.settings import KafkaSettings
    from connectors.kafka import client as kafka
    from schemas import events, topics

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
