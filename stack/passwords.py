"""`./millrace passwords renew`: other passwords for the roles of the local stack's database, while everything runs.

Services have the name of a file in their configuration, which libpq reads at each connect (`postgres.dsn`): what is connected goes on,
and who connects next has the new password. People and programs that were given one are to be given the new one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import psycopg

from base import tool
from base.errors import ConfigError, UnavailableError
from stack import config as configuration
from stack import postgres, postgres_roles
from stack.errors import StackError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0, 1 failed, 2 an unknown role, 3 the database does not answer."""
    options = parser().parse_args(arguments)
    return tool.run("passwords", lambda: _renew(options.roles), StackError)


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace passwords", description="Passwords of the roles of the local stack's database."
    )
    verbs = made.add_subparsers(required=True, metavar="VERB")
    renewing = verbs.add_parser("renew", help="another password for each of these roles; without names for all of them")
    renewing.add_argument("roles", nargs="*", metavar="ROLE", help=", ".join(postgres.ROLES))
    return made


def _renew(roles: Sequence[str]) -> int:
    config = configuration.load()
    if unknown := sorted(set(roles) - set(postgres.ROLES)):
        msg = f"there is no role {unknown[0][:100]!r} of the local stack; there are {', '.join(postgres.ROLES)}"
        raise ConfigError(msg)
    for role in roles or postgres.ROLES:
        try:
            postgres_roles.replace_password(config, role)
        except psycopg.OperationalError as error:
            msg = f"{role}: no other password, the database does not answer: {error}; `./millrace up` starts it"
            raise UnavailableError(msg) from error
        except psycopg.Error as error:
            msg = f"{role}: no other password: {error.diag.message_primary or error}; `./millrace up` makes roles that are missing"
            raise StackError(msg) from error
        print(f"{role}: another password, in {postgres.password_file(config, role)}")
    return tool.DONE


if __name__ == "__main__":
    sys.exit(main())
