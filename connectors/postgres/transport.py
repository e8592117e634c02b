"""Whether a connection string keeps what is sent to itself: PostgreSQL is reached on this machine, or over TLS with its name verified.

Enters: a libpq connection string or URI, and libpq's environment variables. Who calls: whoever opens connections, before the first.
"""

from __future__ import annotations

import ipaddress
from itertools import zip_longest

import psycopg
from psycopg import pq

from base.errors import ConfigError


def check(dsn: str) -> None:
    """Raise ConfigError for a string that another machine could listen to, or pose as the server of. No setting allows it."""
    try:
        given = _values(pq.Conninfo.parse(dsn.encode()))
        # What libpq takes: the string's own before the environment's before its defaults.
        found = _values(pq.Conninfo.get_defaults()) | given
    except psycopg.Error:
        # libpq's own words quote what it could not read, which may be the password.
        msg = (
            "postgres.dsn is no connection string: libpq cannot read it, and it is not shown because of its password. Write "
            "key='value' with quotes around values with spaces, or an address with % in the place of special characters"
        )
        raise ConfigError(msg) from None
    if "service" in given:
        msg = f"postgres.dsn has service={given['service']}, whose file may lead anywhere: write what it says into the string itself"
        raise ConfigError(msg)
    # An empty address leaves the name beside it.
    pairs = zip_longest(found.get("hostaddr", "").split(","), found.get("host", "").split(","), fillvalue="")
    away = [host for host in (address or name for address, name in pairs) if not _is_here(host)]
    if away and found.get("sslmode") != "verify-full":
        msg = (
            f"postgres.dsn leads to {away[0]}, over a network, with sslmode={found.get('sslmode', 'prefer')}: add sslmode=verify-full, "
            "and sslrootcert=FILE with the authority of the server's certificate (docs/security.md)"
        )
        raise ConfigError(msg)


def _values(options: list[pq.ConninfoOption]) -> dict[str, str]:
    return {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}


def _is_here(host: str) -> bool:
    """Whether it is a unix socket or the loopback interface."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
