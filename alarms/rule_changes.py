"""Who changed what is an alarm, and why: a row for each version of a rule, which is an event of the audit log (migration 63).

Enters: the versions there are, and those that are about to be published. Leaves: rows, before the topic has the versions: a change without
its event cannot be. A version that did not reach the topic is recorded again when it is tried again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import psycopg

from alarms.rules_file import GIVEN
from schemas.alarm_rules import AlarmRule

_WRITE = """
    INSERT INTO alarm_rule_changes (rule_id, version, changed_at, who, why, what, before, after)
    VALUES (%s, %s, to_time(%s), %s, %s, %s, %s, %s)
    ON CONFLICT (rule_id, version) DO UPDATE
    SET changed_at = EXCLUDED.changed_at, who = EXCLUDED.who, why = EXCLUDED.why, what = EXCLUDED.what, before = EXCLUDED.before,
        after = EXCLUDED.after"""


def record(connection: psycopg.Connection[Any], known: Iterable[AlarmRule], made: Iterable[AlarmRule]) -> None:
    """Record versions that are about to be published, in one transaction. Raises psycopg.Error."""
    before: dict[str, AlarmRule] = {}
    for rule in sorted(known, key=lambda one: one.version):
        before[rule.rule_id] = rule
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_WRITE, [_row(before.get(rule.rule_id), rule) for rule in made])


def _row(before: AlarmRule | None, rule: AlarmRule) -> tuple[object, ...]:
    fresh = {one.name: one.default for one in dataclasses.fields(AlarmRule)}
    is_, was = _plain(rule), fresh if before is None else _plain(before)
    changed = [name for name in is_ if name not in GIVEN and is_[name] != was[name]]
    what = "retire" if rule.retired else "change" if before is not None and not before.retired else "publish"
    earlier = "" if before is None else _json({name: was[name] for name in changed})
    signed = (rule.written_us, rule.author, rule.reason)
    return (rule.rule_id, rule.version, *signed, what, earlier, _json({name: is_[name] for name in changed}))


def _plain(rule: AlarmRule) -> dict[str, Any]:
    return {one.name: getattr(rule, one.name) for one in dataclasses.fields(AlarmRule)}


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, default=str, ensure_ascii=False)
