"""The database of the stack and the roles that log in to it: made where they are missing. Steps of `up`, and of what restores."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
from psycopg import sql

from base import files
from stack import postgres
from stack.config import StackConfig


def create_database(config: StackConfig) -> str:
    """Create role and database when missing and set the password; says what it did."""
    postgres.reload(config)  # one that ran already has not read what was written for it
    with psycopg.connect(postgres.superuser_dsn(config), autocommit=True) as connection:
        # CREATEROLE: migrations make the analysts' roles. pg_monitor: `status` and `top` look at backends.
        role = _login(connection, config, postgres.OWNER, "CREATEROLE")
        connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(role))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (postgres.DATABASE,)).fetchone():
            return "database exists"
        # Not from template1: TimescaleDB's launcher looks into that at times, and then it cannot be copied.
        create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0")
        connection.execute(create.format(sql.Identifier(postgres.DATABASE), role))
    if postgres.uses_timescaledb(config.timescaledb):
        with psycopg.connect(postgres.superuser_dsn(config, dbname=postgres.DATABASE), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION timescaledb")
        return "database created, with TimescaleDB"
    return "database created"


def create_service_roles(config: StackConfig) -> str:
    """Create the roles of services when missing, and set their passwords; after the migrations, which make the groups they are in.

    A database of an older version, just restored, has not all of the groups.
    """
    done = list[str]()
    with psycopg.connect(postgres.superuser_dsn(config), autocommit=True) as connection:
        for name, group in postgres.GROUPS.items():
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (group,)).fetchone():
                done.append(f"{name} waits for {group}, which `./millrace up` makes")
                continue
            role = _login(connection, config, name, "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS")
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), role))
            done.append(f"{name} is a {group}")
    return ", ".join(done)


def replace_password(config: StackConfig, name: str) -> None:
    """Another password for a role that is there, in its files too; sessions go on. Raises psycopg.Error: it keeps the one it has."""
    with psycopg.connect(postgres.superuser_dsn(config)) as connection:
        new = postgres.new_password()
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(new)))
        # Before the commit, so that files and server differ for a moment alone; whoever connects in it tries again. The next `up` puts
        # right what is killed here.
        files.replace_durably(postgres.password_file(config, name), new, mode=files.OWNERS)
        postgres.dsn(config, role=name, with_password=False)


def _login(
    connection: psycopg.Connection[Any], config: StackConfig, name: str, rights: LiteralString
) -> sql.Identifier:
    """Make a role that may log in with its password, or give it its password and rights again."""
    role = sql.Identifier(name)
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    statement = sql.SQL("{} ROLE {} LOGIN {} PASSWORD {}").format(
        sql.SQL("ALTER" if known else "CREATE"), role, sql.SQL(rights), sql.Literal(postgres.password(config, name))
    )
    connection.execute(statement)
    return role
