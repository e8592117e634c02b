"""Standing rules for what machines propose: accepted or refused by a pattern, also what comes later.

A refusal holds by itself, in the view `proposal`. What is accepted is made a tag by `apply`, which maintenance calls every few seconds and
the tool at once; a refusal has precedence over a rule that accepts, and of two that accept the older one counts. A rule makes tags in the
name of who made it. What it cannot make says why in the rule, machine by machine, and is tried again when the registry has changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from base.errors import RegistryError
from registry import proposal_plan, proposals
from registry.changes import Change
from registry.proposal_plan import Into, Proposal
from registry.proposals import MOST_RULES, check_pattern
from registry.rows import lock

Connection = psycopg.Connection[Any]
_LONGEST = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule. `verb` is accept or refuse; `since` and `last_made` are ISO 8601, UTC. Of a refusal there is no more than its text."""

    verb: str
    gateway_id: str
    pattern: str
    since: str
    who: str
    why: str
    placement: dict[str, Any] = field(default_factory=dict)
    tags_made: int = 0
    last_made: str = ""
    problem: str = ""


def listed(connection: Connection) -> list[Rule]:
    """All rules, those that refuse first, each kind by age."""
    with connection.cursor(row_factory=class_row(Rule)) as cursor:
        return cursor.execute(_LISTED).fetchall()


def has_rules(connection: Connection) -> bool:
    """Whether any rule accepts."""
    return connection.execute("SELECT FROM accepted_proposals LIMIT 1").fetchone() is not None


def accept(connection: Connection, patterns: Sequence[str], into: Into, change: Change, *, gateway: str = "") -> None:
    """Make rules; one with the same text is made anew."""
    with connection.transaction():
        lock(connection)
        for pattern in patterns:
            check_pattern(pattern)
            connection.execute(
                """INSERT INTO accepted_proposals (gateway_id, pattern, who, why, placement) VALUES (%s, %s, %s, %s, %s)
                   ON CONFLICT (gateway_id, pattern) DO UPDATE
                   SET who = EXCLUDED.who, why = EXCLUDED.why, placement = EXCLUDED.placement, accepted_at = now(), problem = ''""",
                (gateway, pattern, change.who, change.why, Jsonb(dataclasses.asdict(into))),
            )
        row = connection.execute("SELECT count(*) FROM accepted_proposals").fetchone()
        if row is not None and row[0] > MOST_RULES:
            msg = f"more than {MOST_RULES} rules accept: make one with a pattern, such as 'spb:north/line-9/*', and withdraw others"
            raise RegistryError(msg)


def withdraw(connection: Connection, patterns: Sequence[str], *, gateway: str = "") -> int:
    """Forget rules that accept, each by its text; the tags that they made stay. Returns how many there were."""
    return connection.execute(
        "DELETE FROM accepted_proposals WHERE gateway_id = %s AND pattern = ANY (%s)", (gateway, list(patterns))
    ).rowcount


@dataclass
class Standing:
    """Applies the rules again and again. What failed is remembered until the registry changes."""

    _failed: dict[tuple[str, ...], str] = field(default_factory=dict)
    """By rule and proposal: what one rule cannot place another may."""
    _version: int = -1

    def apply(self, connection: Connection) -> int:
        """Make tags of all that is proposed and accepted by a rule; returns how many. Raises psycopg.Error."""
        rules = [rule for rule in listed(connection) if rule.verb == "accept"]
        if not rules:
            return 0
        version = _version(connection)
        if version != self._version:
            self._failed.clear()
        made = sum(self._apply(connection, rule) for rule in rules)
        self._version = _version(connection) if made else version
        return made

    def _apply(self, connection: Connection, rule: Rule) -> int:
        found, _ = proposals.found(connection, [rule.pattern], gateway=rule.gateway_id)
        # A newer version may know more of where tags go.
        known = {one.name for one in dataclasses.fields(Into)} & rule.placement.keys()
        into, made = Into(**{name: rule.placement[name] for name in known}), 0
        retired = _retired(connection, [one.address for one in found])
        new = [
            one for one in found if _key(rule, one) not in self._failed and (one.gateway_id, one.address) not in retired
        ]
        change = Change(who=rule.who, why=rule.why, what=f"proposals rule {rule.pattern}"[:_LONGEST])
        for machine in proposal_plan.by_machine(connection, [one for one in new if not one.cannot_be_a_tag()], into):
            try:
                report, _ = proposals.accept(connection, machine, into, change)
            except (RegistryError, psycopg.DataError, psycopg.IntegrityError) as error:
                # Whatever is wrong with one machine must not keep maintenance from its other work.
                self._failed |= {_key(rule, one): str(error) for one in machine}
            else:
                made += report.added_tags
        left = [self._failed[key] for one in found if (key := _key(rule, one)) in self._failed]
        strange = [f"{one.address}: {problem}" for one in found if (problem := one.cannot_be_a_tag())]
        back = [
            f"{one.address}: its tag was retired; `plant proposals accept` brings it back"
            for one in found
            if (one.gateway_id, one.address) in retired
        ]
        problems = [*left, *strange, *back]
        problem = f"{len(problems)} are no tags, the first: {problems[0]}"[:_LONGEST] if problems else ""
        if made or problem != rule.problem:
            connection.execute(
                """UPDATE accepted_proposals SET tags_made = tags_made + %(made)s, problem = %(problem)s,
                   last_made_at = CASE WHEN %(made)s > 0 THEN now() ELSE last_made_at END
                   WHERE gateway_id = %(gateway)s AND pattern = %(pattern)s""",
                {"made": made, "problem": problem, "gateway": rule.gateway_id, "pattern": rule.pattern},
            )
        return made


def _key(rule: Rule, one: Proposal) -> tuple[str, ...]:
    return rule.gateway_id, rule.pattern, one.gateway_id, one.address


def _retired(connection: Connection, addresses: list[str]) -> set[tuple[str, str]]:
    """Gateways and addresses of tags that were taken away: that was a person's word, and no rule is above it."""
    rows = connection.execute(
        "SELECT d.gateway_id, t.address FROM tags t JOIN devices d USING (device_id) WHERE t.address = ANY (%s)",
        (addresses,),
    )
    return {(gateway, address) for gateway, address in rows}


def _version(connection: Connection) -> int:
    row = connection.execute("SELECT version FROM registry_state").fetchone()
    assert row is not None  # the migration made it
    return int(row[0])


_ISO = """'YYYY-MM-DD"T"HH24:MI:SS"Z"'"""
_LISTED = f"""
SELECT verb, gateway_id, pattern, to_char(made_at AT TIME ZONE 'UTC', {_ISO}) AS since, who, why, placement, tags_made,
       coalesce(to_char(last_made_at AT TIME ZONE 'UTC', {_ISO}), '') AS last_made, problem
FROM (
    SELECT 'refuse' AS verb, gateway_id, pattern, refused_at AS made_at, who, why, '{{}}'::jsonb AS placement, 0 AS tags_made,
           NULL::timestamptz AS last_made_at, '' AS problem
    FROM refused_proposals
    UNION ALL
    SELECT 'accept', gateway_id, pattern, accepted_at, who, why, placement, tags_made, last_made_at, problem
    FROM accepted_proposals
) rules
ORDER BY verb DESC, made_at, gateway_id, pattern""".encode()
