"""`plant proposals list | accept | refuse | rules`: what it does, and what is printed. Who calls: `registry.installed`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg

from base.errors import InvalidRequestError, NotFoundError, RegistryError
from registry import proposal_plan, proposals, standing
from registry.changes import Change
from registry.plant import DeviceSpec
from registry.proposal_plan import Into, Proposal

Connection = psycopg.Connection[Any]


def run(args: argparse.Namespace, connection: Connection, change: Callable[[str], Change]) -> tuple[str, bool]:
    """Do it; returns the last line of output, and whether the registry changed."""
    if args.verb == "rules":
        return _rules(args, connection), False
    if args.connection:
        args.patterns.append(f"{args.connection}:*")
    if args.verb == "list":
        return _list(args, connection), False
    if not args.patterns:
        msg = (
            f"say what to {args.verb}: addresses, patterns, or --connection; `plant proposals list` shows what is open"
        )
        raise InvalidRequestError(msg)
    if args.verb == "accept":
        return _accept(args, connection, change("proposals accept"))
    if args.withdraw:
        count = proposals.withdraw(connection, args.patterns, gateway=args.gateway)
        if not count:
            msg = f"no refusal was made with {args.patterns[0][:200]!r}; `plant proposals list --refused` shows what is refused"
            raise NotFoundError(msg)
        return f"{count} refusals withdrawn", False
    proposals.refuse(connection, args.patterns, change("proposals refuse"), gateway=args.gateway)
    _, hidden = proposals.found(connection, args.patterns, gateway=args.gateway, refused=True, limit=0)
    return f"refused: {hidden} proposals, and what comes", False


def _list(args: argparse.Namespace, connection: Connection) -> str:
    if args.limit < 1:
        msg = f"--limit is {args.limit}, not above 0"
        raise InvalidRequestError(msg)
    rows, more = proposals.found(
        connection, args.patterns, gateway=args.gateway, refused=args.refused, limit=args.limit
    )
    if args.json:
        sys.stdout.writelines(json.dumps(dataclasses.asdict(row)) + "\n" for row in rows)
        return ""
    sys.stdout.writelines(_line(row) + "\n" for row in rows)
    kind = "refused" if args.refused else "open"
    return f"{len(rows) + more} {kind}" + (f", {more} of them not shown (--limit)" if more else "")


def _rules(args: argparse.Namespace, connection: Connection) -> str:
    rules = standing.listed(connection)
    if args.json:
        sys.stdout.writelines(json.dumps(dataclasses.asdict(rule)) + "\n" for rule in rules)
        return ""
    sys.stdout.writelines(_rule(rule) + "\n" for rule in rules)
    return f"{len(rules)} rules"


def _rule(rule: standing.Rule) -> str:
    text = f"{rule.verb}  {rule.gateway_id or '*'}  {rule.pattern[:200]:<40} since {rule.since} by {rule.who}"
    if rule.why:
        text += f": {rule.why[:200]}"
    if rule.verb == "accept":
        where = " ".join(f"{key}={value}" for key, value in rule.placement.items() if value)
        text += f"  into {where}  {rule.tags_made} tags" + (f", the last {rule.last_made}" if rule.last_made else "")
    return text + (f"  {rule.problem[:300]}" if rule.problem else "")


def _line(row: Proposal) -> str:
    text = (
        f"{row.gateway_id}  {row.address[:200]:<60} {row.data_type:<9} {row.unit[:16] or '-':<8} {row.first_seen} .. {row.last_seen}"
        f"  {row.times_seen} times"
    )
    if row.refused_by:
        text += f"  refused by {row.refused_by}" + (f": {row.refused_why[:200]}" if row.refused_why else "")
    elif problem := row.cannot_be_a_tag():
        text += f"  cannot be a tag: {problem[:200]}"
    return text


def _accept(args: argparse.Namespace, connection: Connection, change: Change) -> tuple[str, bool]:
    if args.withdraw:
        count = standing.withdraw(connection, args.patterns, gateway=args.gateway)
        if not count:
            msg = f"no rule accepts {args.patterns[0][:200]!r}; `plant proposals rules` shows them"
            raise NotFoundError(msg)
        return f"{count} rules withdrawn", False
    names = (field.name for field in dataclasses.fields(Into))
    into = Into(**{name: getattr(args, name) for name in names})
    if args.rule and not args.dry_run:
        standing.accept(connection, args.patterns, into, change, gateway=args.gateway)
        made = standing.Standing().apply(connection)
        mine = [rule for rule in standing.listed(connection) if rule.verb == "accept" and rule.pattern in args.patterns]
        sys.stdout.writelines(f"{rule.pattern[:200]}: {rule.problem}\n" for rule in mine if rule.problem)
        return f"accepted: {made} tags made, and what comes", made > 0
    chosen = _chosen(args, connection)
    if args.dry_run:
        sys.stdout.writelines(_lines(proposal_plan.planned(connection, chosen, into)))
        return "nothing was changed", False
    report, devices = proposals.accept(connection, chosen, into, change)
    sys.stdout.writelines(_lines(devices))
    return str(report), True


def _chosen(args: argparse.Namespace, connection: Connection) -> list[Proposal]:
    """Proposals that were named: a refused one by its address only; of a pattern those that can be tags."""
    rows, more = proposals.found(connection, args.patterns, gateway=args.gateway)
    if more:
        msg = f"{len(rows) + more} proposals match; at most {proposals.MOST_AT_ONCE} at a time: narrow the pattern"
        raise RegistryError(msg)
    exact = set(args.patterns)
    refused, _ = proposals.found(connection, args.patterns, gateway=args.gateway, refused=True)
    rows += [row for row in refused if row.address in exact]
    for row in rows:
        if row.address not in exact and (problem := row.cannot_be_a_tag()):
            sys.stderr.write(f"left out: {row.address[:200]}: {problem[:200]}\n")
    rows = [row for row in rows if row.address in exact or not row.cannot_be_a_tag()]
    if not rows:
        msg = f"nothing that is proposed matches {args.patterns[0][:200]!r}; `plant proposals list` shows what is open"
        raise NotFoundError(msg)
    return rows


def _lines(devices: Sequence[DeviceSpec]) -> Iterable[str]:
    for device in devices:
        for tag in device.tags:
            yield f"+ tag {device.cell_path}/{device.name}/{tag.name}  {device.address(tag.name)}  {tag.data_type.value}  {tag.unit}\n"
