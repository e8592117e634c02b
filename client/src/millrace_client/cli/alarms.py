"""`millrace-client alarm`: what a person must respond to, and what to do about it, in a terminal.

    alarm standing [PATH]              the calm list; --each for all, --aside for what is put aside
    alarm watch [PATH]                 changes as they come
    alarm ack ID...                    take note; of several an answer each
    alarm shelve ID --for 2h --why TEXT, alarm unshelve ID, alarm comment ID TEXT, alarm reset ID
    alarm out-of-service ID --why TEXT [--for 8h], alarm in-service ID
    alarm figures [PATH] --since 7d    whether people can live with them (EEMUA 191)

An id may be shortened to its first characters, as `standing` prints it. Exit codes as of the other verbs: 1 when something was not done.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from rich.table import Table

from millrace_client.calls import AlarmRef
from millrace_client.cli import render
from millrace_client.client import Client
from millrace_client.errors import InvalidRequestError, NotFoundError
from millrace_client.ids import now_us
from millrace_client.results import (
    Alarm,
    AlarmAnswer,
    AlarmEvaluation,
    AlarmOutcome,
    AlarmPriority,
    AlarmState,
)

_SHOWN = 8
_ASIDE = (AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE)
_EVERYTHING = (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED, *_ASIDE)
_STYLE = {AlarmPriority.CRITICAL: "bold red", AlarmPriority.HIGH: "yellow"}
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    made = verbs.add_parser(
        "alarm", help="What a person must respond to.", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    standing = actions.add_parser("standing", parents=[common], help="the calm list, the most urgent first")
    standing.add_argument("prefix", nargs="?", default="", metavar="PATH")
    standing.add_argument("--each", action="store_true", help="every alarm by itself")
    standing.add_argument("--aside", action="store_true", help="what is shelved, suppressed or out of service")
    standing.set_defaults(run=_standing)
    watch = actions.add_parser("watch", parents=[common], help="alarms as they stand, then every change")
    watch.add_argument("prefix", nargs="?", default="", metavar="PATH")
    watch.add_argument("--count", type=int, default=0, metavar="N", help="stop after N alarms")
    watch.set_defaults(run=_watch)
    ack = actions.add_parser("ack", parents=[common], help="take note of alarms")
    ack.add_argument("ids", nargs="+", metavar="ID")
    ack.add_argument("--why", default="", metavar="TEXT", help="for the record")
    ack.set_defaults(run=_ack)
    shelve = actions.add_parser("shelve", parents=[common], help="put one aside for a time")
    shelve.add_argument("id", metavar="ID")
    shelve.add_argument("--for", dest="length", default="1h", metavar="TIME", help="30min, 2h (default: %(default)s)")
    shelve.add_argument("--why", required=True, metavar="TEXT", help="why it is put aside")
    shelve.set_defaults(run=_shelve)
    off = actions.add_parser("out-of-service", parents=[common], help="switch one off, as for maintenance")
    off.add_argument("id", metavar="ID")
    off.add_argument(
        "--for", dest="length", default="", metavar="TIME", help="8h (default: until it is put in service)"
    )
    off.add_argument("--why", required=True, metavar="TEXT", help="why it is switched off")
    off.set_defaults(run=_out_of_service)
    figures = actions.add_parser(
        "figures", parents=[common], help="whether people can live with the alarms (EEMUA 191)"
    )
    figures.add_argument("prefix", nargs="?", default="", metavar="PATH")
    figures.add_argument("--since", default="1d", metavar="TIME", help="12h, 7d (default: %(default)s)")
    figures.set_defaults(run=_figures)
    for name, run, text in (
        ("in-service", _in_service, "switch one on again"),
        ("unshelve", _unshelve, "put one aside no more"),
        ("reset", _reset, "let a latched one go"),
        ("comment", _comment, "say something about one"),
    ):
        one = actions.add_parser(name, parents=[common], help=text)
        one.add_argument("id", metavar="ID")
        if name == "comment":
            one.add_argument("text", metavar="TEXT")
        one.set_defaults(run=run)


def _standing(client: Client, args: argparse.Namespace) -> int:
    out = render.console()
    if args.each or args.aside:
        found = list(client.alarms(args.prefix, states=_ASIDE if args.aside else ()))
        evaluation = client.alarms_page(args.prefix, page_size=1).evaluation
        rows = [(alarm, alarm.priority, alarm.title or alarm.rule) for alarm in found]
    else:
        calm = client.calm_list(args.prefix)
        evaluation = calm.evaluation
        rows = [(line.head, line.priority, line.text) for line in calm.lines]
    if args.json:
        for alarm, _, _ in rows:
            print(render.as_json(alarm))
    else:
        out.print(_table(rows) if rows else "no alarm stands" if not args.aside else "nothing is put aside")
    return _said(evaluation)


def _watch(client: Client, args: argparse.Namespace) -> int:
    out, told = render.console(), 0
    with client.watch_alarms(args.prefix) as changes:
        for one in changes:
            for alarm in one.alarms:
                if args.json:
                    print(render.as_json(alarm), flush=True)
                else:
                    out.print(_line(alarm), style=_STYLE.get(alarm.priority, ""))
                told += 1
                if told == args.count:
                    return 0
    return 0


def _ack(client: Client, args: argparse.Namespace) -> int:
    return _answered(client.acknowledge_alarms(_named(client, args.ids), args.why), args)


def _shelve(client: Client, args: argparse.Namespace) -> int:
    until_us = now_us() + _length(args.length) // timedelta(microseconds=1)
    return _answered([client.shelve_alarm(_id(client, args), until_us, args.why)], args)


def _unshelve(client: Client, args: argparse.Namespace) -> int:
    return _answered([client.unshelve_alarm(_id(client, args))], args)


def _out_of_service(client: Client, args: argparse.Namespace) -> int:
    until_us = now_us() + _length(args.length) // timedelta(microseconds=1) if args.length else None
    return _answered([client.take_alarm_out_of_service(_id(client, args), args.why, until=until_us)], args)


def _in_service(client: Client, args: argparse.Namespace) -> int:
    return _answered([client.return_alarm_to_service(_id(client, args))], args)


def _figures(client: Client, args: argparse.Namespace) -> int:
    found = client.alarm_figures(args.prefix, start=_length(args.since))
    if args.json:
        print(render.as_json(found))
        return _said(found.evaluation)
    out = render.console()
    if not found.scopes:
        out.print("no new alarms")
    table = Table("scope", "alarms", "in 10 min", "peak", "in flood", "answered within", box=None, header_style="bold")
    for one in found.scopes:
        took = one.time_to_acknowledge_s
        rate = f"{one.per_10_min:.2f} {one.verdict.lower().replace('_', '-')}"
        answered = "" if took is None else f"{took:.0f} s"
        table.add_row(one.scope, str(one.alarms), rate, str(one.peak_10_min), f"{one.flood_share:.1%}", answered)
    if found.scopes:
        out.print(table)
    for name, sources in (("most alarms", found.top), ("chatter", found.chattering)):
        if sources:
            out.print(f"\n{name}", style="bold")
        for each in sources:
            count = each.alarms if name == "most alarms" else each.chattering
            out.print(f"  {count:>6}  {each.title or each.rule}  {each.path}")
    if found.stale:
        out.print("\nhold for longer than a day", style="bold")
    for stale in found.stale:
        out.print(f"  {render.time_text(stale.since_us)}  {stale.title or stale.rule}  {stale.path}")
    return _said(found.evaluation)


def _reset(client: Client, args: argparse.Namespace) -> int:
    return _answered([client.reset_alarm(_id(client, args))], args)


def _comment(client: Client, args: argparse.Namespace) -> int:
    return _answered([client.comment_alarm(_id(client, args), args.text)], args)


def _answered(answers: Iterable[AlarmAnswer], args: argparse.Namespace) -> int:
    """Print what became of each; 1 when something was not done."""
    status, out = 0, render.console()
    for one in answers:
        if args.json:
            print(render.as_json(one))
        else:
            detail = f": {one.detail}" if one.detail else ""
            name = (one.alarm.title or one.alarm.rule) if one.alarm else ""
            state = f", {one.alarm.state}" if one.alarm else ""
            out.print(f"{str(one.alarm_id)[:_SHOWN]} {one.outcome}{detail} {name}{state}")
        if one.outcome not in {AlarmOutcome.DONE, AlarmOutcome.RECORDED}:
            status = 1
    return status


def _said(evaluation: AlarmEvaluation) -> int:
    """An empty list that nobody makes is not calm: say so on standard error, and with the status."""
    if evaluation.running:
        return 0
    render.console(stderr=True).print(f"alarms: {evaluation.detail}", style="yellow")
    return 1


def _id(client: Client, args: argparse.Namespace) -> AlarmRef:
    (found,) = _named(client, [args.id])
    return found


def _named(client: Client, given: list[str]) -> list[AlarmRef]:
    """What is named by its first characters, as it stands; a whole id as it is."""
    known: list[Alarm] | None = None
    found: list[AlarmRef] = []
    for text in given:
        if len(text) == len(str(UUID(int=0))):
            found.append(_whole(text))
            continue
        if known is None:
            known = list(client.alarms(states=_EVERYTHING))
        fits = [one for one in known if str(one.alarm_id).startswith(text.lower())]
        if len(fits) != 1:
            msg = f"{len(fits)} alarms have an id that begins with {text!r}; `alarm standing --each` lists them"
            raise NotFoundError(msg)
        found.append(fits[0])
    return found


def _whole(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        msg = f"{text!r} is no id of an alarm"
        raise InvalidRequestError(msg) from None


def _length(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|m|h|d)", text.strip())
    if found is None:
        msg = f"{text!r} is no length of time such as 30min or 2h"
        raise InvalidRequestError(msg)
    return timedelta(seconds=float(found[1]) * _UNITS_S[found[2]])


def _table(rows: list[tuple[Alarm, AlarmPriority, str]]) -> Table:
    table = Table("id", "priority", "state", "alarm", "where", "since", box=None, header_style="bold")
    for alarm, priority, text in rows:
        since = render.age_text(max(0, now_us() - (alarm.activated_us or alarm.updated_us)))
        place = alarm.device_path or alarm.path
        row = (str(alarm.alarm_id)[:_SHOWN], str(priority), _state(alarm), text, place, since)
        table.add_row(*row, style=_STYLE.get(priority, ""))
    return table


def _line(alarm: Alarm) -> str:
    when = render.time_text(alarm.updated_us)
    value = "" if alarm.value is None else f" {alarm.value:g} {alarm.unit}".rstrip()
    named = f"{alarm.priority} {_state(alarm)} {alarm.title or alarm.rule} {alarm.path}{value}"
    return f"{when} {str(alarm.alarm_id)[:_SHOWN]} {named}"


def _state(alarm: Alarm) -> str:
    """Its state, and how its acknowledgement stands at its machine."""
    told = alarm.at_machine
    if told is None:
        return str(alarm.state)
    return f"{alarm.state} (machine: {told.state}{f', {told.detail}' if told.detail else ''})"
