"""What machines name and the registry does not know: listed, accepted as tags, or refused.

Gateways send a PROPOSAL event for each address that a birth or a message names for the first time; the historian stores it, and the view
`proposal` says which are open. Accepting makes tags of them: they are put into a plant file of their own, which has to pass the rules
that every plant file passes, and are added as a load would. What was refused, alone or by a pattern, is not open any more. Who calls:
`registry.proposals_command`, tests.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.rows import class_row

from base.errors import RegistryError
from registry.changes import Change
from registry.load import LoadReport, add_devices
from registry.plant import DeviceSpec
from registry.proposal_plan import Connection, Into, Proposal, planned
from registry.rows import lock

MOST_AT_ONCE = 10_000
MOST_RULES = 10_000
"""Rules that accept, and rules that refuse."""


def found(
    connection: Connection,
    patterns: Sequence[str] = (),
    *,
    gateway: str = "",
    refused: bool = False,
    limit: int = MOST_AT_ONCE,
) -> tuple[list[Proposal], int]:
    """Open proposals, or refused ones, that match one of the patterns (all without), by address; and how many more there are."""
    asked = {"refused": refused, "gateway": gateway, "patterns": list(patterns), "limit": limit}
    with connection.cursor(row_factory=class_row(Proposal)) as cursor:
        rows = cursor.execute(
            f"SELECT {_COLUMNS} FROM proposal {_MATCHING} ORDER BY gateway_id, address LIMIT %(limit)s".encode(), asked
        ).fetchall()
    total = connection.execute(f"SELECT count(*) FROM proposal {_MATCHING}".encode(), asked).fetchone()
    assert total is not None
    return rows, int(total[0]) - len(rows)


def accept(
    connection: Connection, proposals: Sequence[Proposal], into: Into, change: Change
) -> tuple[LoadReport, list[DeviceSpec]]:
    """Make tags of proposals, in one version of the registry; returns what was made. Raises RegistryError, and then nothing was."""
    with connection.transaction():
        lock(connection)
        devices = planned(connection, proposals, into)
        report = add_devices(connection, devices, change)
        connection.execute(
            """DELETE FROM refused_proposals r USING unnest(%s::text[], %s::text[]) a (gateway_id, address)
               WHERE r.pattern = a.address AND r.gateway_id IN ('', a.gateway_id)""",
            ([one.gateway_id for one in proposals], [one.address for one in proposals]),
        )
    return report, devices


def refuse(connection: Connection, patterns: Sequence[str], change: Change, *, gateway: str = "") -> None:
    """Remember that addresses, or what matches patterns, are not wanted: they are not open, now and whenever they come again."""
    with connection.transaction():
        lock(connection)
        for pattern in patterns:
            check_pattern(pattern)
            connection.execute(
                """INSERT INTO refused_proposals (gateway_id, pattern, who, why) VALUES (%s, %s, %s, %s)
                   ON CONFLICT (gateway_id, pattern) DO UPDATE SET who = EXCLUDED.who, why = EXCLUDED.why, refused_at = now()""",
                (gateway, pattern, change.who, change.why),
            )
        row = connection.execute("SELECT count(*) FROM refused_proposals").fetchone()
        if row is not None and row[0] > MOST_RULES:
            msg = f"more than {MOST_RULES} refusals are remembered: refuse a pattern, such as 'spb:north/line-9/*', and withdraw others"
            raise RegistryError(msg)


def check_pattern(pattern: str) -> None:
    """Raise RegistryError for a text that cannot be a rule."""
    if not pattern or len(pattern) > 1000 or "\x00" in pattern:
        msg = "a pattern has 1 to 1000 characters and no NUL"
        raise RegistryError(msg)


def withdraw(connection: Connection, patterns: Sequence[str], *, gateway: str = "") -> int:
    """Forget refusals, each by the text it was made with; returns how many there were."""
    return connection.execute(
        "DELETE FROM refused_proposals WHERE gateway_id = %s AND pattern = ANY (%s)", (gateway, list(patterns))
    ).rowcount


_MATCHING = """
WHERE (refused_by IS NOT NULL) = %(refused)s AND %(gateway)s IN ('', gateway_id)
  AND (%(patterns)s::text[] = '{}' OR EXISTS (SELECT FROM unnest(%(patterns)s::text[]) p WHERE address_matches(address, p)))"""
_COLUMNS = """
gateway_id, coalesce(connection, '') AS connection, address, coalesce(name, '') AS name, coalesce(data_type, '') AS data_type,
coalesce(unit, '') AS unit, coalesce(unreadable, '') AS unreadable, times_seen, attributes,
to_char(first_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS first_seen,
to_char(last_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_seen,
coalesce(refused_by, '') AS refused_by, coalesce(refused_why, '') AS refused_why"""
