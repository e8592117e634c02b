"""Who changes the registry, and why; and the dated history of definitions that every change writes.

`record` is called at the end of a transaction that made a version: the definitions that carry it become the present ones, from now on, and
those before them end now. Nothing is overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from base.errors import RegistryError

Connection = psycopg.Connection[Any]
_LONGEST = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Who makes a change, why, and with which command."""

    who: str
    why: str = ""
    what: str = ""

    def __post_init__(self) -> None:
        for name in ("who", "why", "what"):
            text = getattr(self, name)
            if len(text) > _LONGEST or "\x00" in text:
                msg = f"{name} is longer than {_LONGEST} characters or contains a NUL character"
                raise RegistryError(msg)
        if not self.who:
            msg = "who is empty: a change has somebody who makes it"
            raise RegistryError(msg)


def record(connection: Connection, version: int, change: Change) -> None:
    """Date what this version changed; within the transaction that made it."""
    # A clock that was set back must not end a definition before it began.
    row = connection.execute(
        """SELECT greatest(clock_timestamp(), (SELECT max(changed_at) + interval '1 microsecond' FROM registry_changes))"""
    ).fetchone()
    assert row is not None
    (now,) = row
    connection.execute(
        "INSERT INTO registry_changes (version, changed_at, who, why, what) VALUES (%s, %s, %s, %s, %s)",
        (version, now, change.who, change.why, change.what),
    )
    connection.execute(
        """UPDATE tag_history h SET valid_to = %s FROM tags t
           WHERE t.tag_id = h.tag_id AND t.registry_version = %s AND h.valid_to = 'infinity'""",
        (now, version),
    )
    connection.execute(
        """INSERT INTO tag_history (tag_id, valid_from, registry_version, definition)
           SELECT tag_id, %s, registry_version, to_jsonb(d) FROM tag_definition d WHERE registry_version = %s""",
        (now, version),
    )
