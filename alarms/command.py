"""`./millrace alarms check | try | load | list | defaults | report`: the rules of alarms as a file, and what came of them.

Enters: arguments, `platform.toml`. Leaves: findings, a table, rules on `alarm.rules`; progress on standard error. Exit status as in
docs/command-line.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from alarms import report, rule_changes, rules_file, trial
from alarms.defaults import default_rules
from base import ids
from base.account import os_user
from base.errors import InvalidRequestError, NotFoundError
from base.moments import moment
from base.settings import KafkaSettings, PlatformSettings, load, local_config
from connectors.kafka import client as kafka
from connectors.postgres import tool
from connectors.postgres.database import connect
from registry import edit
from registry.changes import Change
from schemas import codec, topics
from schemas.alarm_rules import AlarmRule
from schemas.definitions import TagDefinition
from stages.alarms.rule_book import MAX_VERSIONS

_ABOUT = """\
Rules of alarms: a YAML file with a list `rules`. `check` says what is wrong in it and how many devices each rule comes to, `try` says
what a rule would have raised in the past, `load` makes the file hold from now on. `defaults` prints the rules that definitions alone
give: normal ranges, silence, aborted machines, commands of unknown outcome. `up` loads them, unless there is a file beside the plant's.
`report` says whether people can live with the alarms (EEMUA 191), and which delays and deadbands would have changed that."""
_EXAMPLES = """\
examples:
  alarms check alarms.yaml
  alarms try oil-hot --since 7d --file alarms.yaml      one rule on the last week
  alarms try --since 1d --events                        all published rules, event by event
  alarms load alarms.yaml --why "the new oil may be hotter"
  alarms report --since 7d
  alarms defaults > alarms.yaml                         to begin a file of your own"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace alarms",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="say what is wrong in a file, and what its rules come to")
    check.add_argument("file", type=Path, metavar="FILE", help="file of rules")
    check.add_argument("--offline", action="store_true", help="look at the file alone, not at what is registered")
    tried = actions.add_parser("try", help="say what rules would have raised")
    tried.add_argument("rule", nargs="?", default="", metavar="RULE", help="name of a rule (default: all)")
    tried.add_argument("--file", type=Path, metavar="FILE", help="file of rules (default: those that are published)")
    tried.add_argument(
        "--since", default="1d", metavar="TIME", help="start: ISO 8601, or 7d for a week ago (default: 1d)"
    )
    tried.add_argument("--until", default="", metavar="TIME", help="end, exclusive (default: now)")
    tried.add_argument("--events", action="store_true", help="print every event")
    loaded = actions.add_parser(
        "load", help="publish a file: what is new or different holds from now on, what is gone is retired"
    )
    loaded.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="file of rules (default: what definitions give)"
    )
    loaded.add_argument(
        "--missing", action="store_true", help="publish only rules that never were; change and retire none"
    )
    loaded.add_argument("--who", default="", help="who changes the rules (default: the user of the system)")
    loaded.add_argument("--why", default="", help="why; kept with each version, and in the audit log")
    listed = actions.add_parser("list", help="list the rules that hold")
    given = actions.add_parser("defaults", help="print a file of the rules that definitions give")
    reported = actions.add_parser("report", help="say whether people can live with the alarms, and what would help")
    reported.add_argument(
        "--since", default="1d", metavar="TIME", help="start: ISO 8601, or 7d for a week ago (default: 1d)"
    )
    reported.add_argument("--until", default="", metavar="TIME", help="end, exclusive (default: now)")
    reported.add_argument(
        "--proposals",
        type=int,
        default=3,
        metavar="N",
        help="try other delays and deadbands of the N busiest rules (default: 3)",
    )
    for one in (check, tried, loaded, listed, given, reported):
        one.add_argument("--config", type=Path, metavar="FILE", help="platform.toml (default: the local stack's)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parser().parse_args(arguments)
    actions = {"check": _check, "try": _try, "load": _load, "list": _list, "defaults": _defaults, "report": _report}
    return tool.run("alarms", lambda: actions[args.action](args))


def _check(args: argparse.Namespace) -> int:
    file = rules_file.read(args.file)
    if args.offline:
        sys.stdout.write(f"{len(file.rules)} rules; what they come to was not looked at\n")
        return 0
    tags = _tags(_platform(args))
    rules = file.resolved(tags)
    points, problems = trial.reach(tags, rules)
    for problem in problems:
        line = file.lines.get((problem.rule_id, problem.key), file.lines.get((problem.rule_id, "")))
        sys.stdout.write(f"{args.file}:{f'{line}:' if line else ''} error: {problem}\n")
    for rule in rules:
        if not points[rule.name]:
            sys.stdout.write(f"{args.file}: warning: {rule.rule_id} comes to nothing that is registered\n")
        else:
            sys.stdout.write(f"{rule.rule_id:<40} {rule.priority:<9} {points[rule.name]:>6}\n")
    sys.stdout.write(f"{len(rules)} rules, {sum(points.values())} places, {len(problems)} errors\n")
    return 1 if problems else 0


def _try(args: argparse.Namespace) -> int:
    platform = _platform(args)
    tags = _tags(platform)
    rules = rules_file.read(args.file).resolved(tags) if args.file else published(platform.kafka)
    since, until = _span(args)
    if not rules:
        msg = (
            f"{args.file} has no rules"
            if args.file
            else "no rules are published: name a file with --file, or publish one with `alarms load`"
        )
        raise NotFoundError(msg)
    # A rule is tried with those that it depends on: a parent mutes, whichever is asked for.
    shown = [rule for rule in rules if args.rule in ("", rule.name)]
    if not shown:
        known = ", ".join(sorted({rule.name for rule in rules})) or "none"
        msg = f"no rule {args.rule!r}; there are: {known}"
        raise NotFoundError(msg)
    span = _microseconds(since, until)
    with connect(platform.postgres.dsn, application="alarms") as connection:
        done = trial.run(connection, tags, _timeless(rules), *span, tell=sys.stderr.write)
    for problem in done.problems:
        sys.stderr.write(f"alarms: {problem}\n")
    for name in trial.untried(shown):
        sys.stderr.write(f"alarms: {name} was not tried: health of gateways is not stored\n")
    names = {rule.name for rule in shown}
    if args.events:
        sys.stdout.writelines(_event_lines(done, names))
    sys.stdout.write(
        f"{'rule':<28}{'priority':<10}{'raised':>8}{'places':>8}{'chatter':>9}{'fleeting':>10}{'muted':>7}{'standing':>10}\n"
    )
    for one in trial.summaries(done, shown):
        sys.stdout.write(
            f"{one.rule:<28}{one.priority:<10}{one.raised:>8}{one.devices:>8}{one.chattering:>9}{one.fleeting:>10}{one.suppressed:>7}{one.standing:>10}\n"
        )
    floods = sum(event.kind == "FLOOD_BEGAN" for event in done.events)
    hours = (span[1] - span[0]) / 3.6e9
    sys.stdout.write(f"{done.samples:,} samples of {hours:,.1f} h; floods: {floods}\n")
    return 0


def _event_lines(done: trial.Trial, names: set[str]) -> Iterator[str]:
    for event in done.events:
        if event.rule in names or not event.rule:
            at = datetime.fromtimestamp(event.time_us / 1e6, UTC).isoformat(timespec="milliseconds")
            yield f"{at} {event.kind:<13} {event.state:<24} {event.rule:<20} {event.path} {event.detail}\n"


def _load(args: argparse.Namespace) -> int:
    platform = _platform(args)
    tags = _tags(platform)
    file = rules_file.read(args.file) if args.file else rules_file.RulesFile([], defaults=True)
    rules = file.resolved(tags)
    if problems := trial.reach(tags, rules).problems:
        msg = f"{problems[0]} (and {len(problems) - 1} more: `alarms check` shows all)" if problems[1:] else problems[0]
        raise InvalidRequestError(msg)
    known = published(platform.kafka, every=True)
    now_us = ids.now_us()
    change = Change(who=args.who or os_user(), why=args.why, what="alarms load")
    made = rules_file.missing(known, file, tags, now_us) if args.missing else rules_file.changes(known, rules, now_us)
    made = [dataclasses.replace(rule, author=change.who, written_us=now_us, reason=change.why) for rule in made]
    with connect(platform.postgres.dsn, application="alarms", autocommit=True) as connection:
        rule_changes.record(connection, known, made)
    records: list[tuple[bytes | None, bytes | None]] = [(rule.key, rule.encode()) for rule in made]
    newest = {rule.rule_id: rule.version for rule in made}
    records += [(rule.key, None) for rule in known if rule.version <= newest.get(rule.rule_id, 0) - MAX_VERSIONS]
    kafka.send(kafka.producer(platform.kafka), topics.ALARM_RULES.name, records)
    retired = sum(rule.retired for rule in made)
    sys.stdout.write(f"{len(made) - retired} rules published, {retired} retired, {len(rules)} in all\n")
    return 0


def _defaults(args: argparse.Namespace) -> int:
    sys.stdout.write(rules_file.dump(default_rules(_tags(_platform(args)))))
    return 0


def _list(args: argparse.Namespace) -> int:
    for rule in sorted(published(_platform(args).kafka), key=lambda one: (one.priority.rank, one.rule_id)):
        since = datetime.fromtimestamp(rule.valid_from_us / 1e6, UTC).isoformat(timespec="seconds")
        signed = f"  (by {rule.author}{f': {rule.reason}' if rule.reason else ''})" if rule.author else ""
        sys.stdout.write(
            f"{rule.rule_id:<44} {rule.priority:<9} {rule.kind:<12} v{rule.version:<4} since {since}  {rule.title}{signed}\n"
        )
    return 0


def _report(args: argparse.Namespace) -> int:
    platform, (since, until) = _platform(args), _span(args)
    with connect(platform.postgres.dsn, application="alarms") as connection:
        found = report.collect(connection, since, until)
        sys.stdout.writelines(report.text(found))
        if not found.top or args.proposals < 1:
            return 0
        tags, rules = _tags(platform), published(platform.kafka)
        busiest = report.busiest(found, tags, rules)[: args.proposals]
        if busiest:
            sys.stdout.write("\nwhat would have halved it\n")
        for number, rule in enumerate(busiest, 1):
            sys.stderr.write(f"trying {rule.rule_id}, {number} of {len(busiest)}\n")
            raised = report.proposals(connection, tags, rules, rule, _microseconds(since, until))
            sys.stdout.writelines(report.proposal_text(rule, *raised))
    return 0


def _span(args: argparse.Namespace) -> tuple[datetime, datetime]:
    now = datetime.fromtimestamp(ids.now_us() / 1e6, UTC)
    since, until = moment(args.since, now), moment(args.until, now) if args.until else now
    if since >= until:
        msg = f"since {since.isoformat()} is not before until {until.isoformat()}"
        raise InvalidRequestError(msg)
    return since, until


def _microseconds(since: datetime, until: datetime) -> tuple[int, int]:
    return round(since.timestamp() * 1e6), round(until.timestamp() * 1e6)


def published(settings: KafkaSettings, *, every: bool = False) -> list[AlarmRule]:
    """Rules on `alarm.rules`: the newest version of each that is not retired, or every version."""
    # What cannot be read is raised: whoever takes a rule for one that never was would publish its versions a second time.
    found = kafka.read_newest(
        settings, topics.ALARM_RULES.name, lambda value: AlarmRule.from_record(codec.decode(value, "AlarmRule")[1])
    )
    if every:
        return list(found.values())
    newest: dict[str, AlarmRule] = {}
    for rule in sorted(found.values(), key=lambda one: one.version):
        newest[rule.rule_id] = rule
    return [rule for rule in newest.values() if not rule.retired]


def _timeless(rules: Sequence[AlarmRule]) -> list[AlarmRule]:
    """The same, as if they had always held."""
    return [dataclasses.replace(rule, valid_from_us=0) for rule in rules]


def _tags(platform: PlatformSettings) -> list[TagDefinition]:
    with connect(platform.postgres.dsn, application="alarms", autocommit=True) as connection:
        return edit.definitions(connection)[0]


def _platform(args: argparse.Namespace) -> PlatformSettings:
    return load(PlatformSettings, args.config or local_config("platform.toml"))


if __name__ == "__main__":
    sys.exit(main())
