"""`./millrace backup`: make a backup, list and verify backups, restore one."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from connectors.postgres import tool
from stack import config as configuration
from stack import recover, standby
from stack.backup import actions, state
from stack.config import StackConfig
from stack.errors import StackError
from stack.reporting import Progress

_LOST = 4


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status says whether it worked."""
    options = parser().parse_args(arguments)
    return tool.run("backup", lambda: int(options.run(configuration.load(), options)), StackError)


def _take(config: StackConfig, options: argparse.Namespace) -> int:
    actions.take(config, "full" if options.full else "incremental", _progress())
    return 0


def _list(config: StackConfig, options: argparse.Namespace) -> int:
    found = actions.listing(config)
    if options.json:
        print(actions.as_json(found))
        return 0
    for backup in found:
        print(actions.described(backup))
    print(state.find(config).text())
    return 0


def _verify(config: StackConfig, _: argparse.Namespace) -> int:
    actions.verify(config, _progress())
    return 0


def _restore(config: StackConfig, options: argparse.Namespace) -> int:
    point = f"{options.to:%Y-%m-%d %H:%M:%S} UTC" if options.to else "the end of the archive"
    question = f"Restore the database of {config.state} to {point}, and give up everything newer in it? [y/N] "
    if not options.yes and input(question).strip().lower() not in ("y", "yes"):
        return 1
    report = actions.restore(config, _progress(), to=options.to)
    print("\n".join(report.lines()))
    return _LOST if report.lost else 0


def _off(config: StackConfig, _: argparse.Namespace) -> int:
    actions.turn_off(config)
    _say("the write-ahead log is not archived any more; what is in the repository stays")
    return 0


def _recover(config: StackConfig, options: argparse.Namespace) -> int:
    report = recover.look(config) if options.dry_run else recover.recover(config, _progress())
    print("\n".join(report.lines()))
    return _LOST if report.lost else 0


def _standby_create(config: StackConfig, options: argparse.Namespace) -> int:
    standby.create(config, _progress(), synchronous=options.synchronous)
    return 0


def _standby_promote(config: StackConfig, options: argparse.Namespace) -> int:
    question = f"Stop the primary of {config.state} for good and let the standby take over? [y/N] "
    if not options.yes and input(question).strip().lower() not in ("y", "yes"):
        return 1
    report = standby.promote(config, _progress())
    print("\n".join(report.lines()))
    return _LOST if report.lost else 0


def _standby_drop(config: StackConfig, _: argparse.Namespace) -> int:
    if not standby.exists(config):
        msg = "there is no standby"
        raise StackError(msg)
    standby.drop(config)
    _say("the standby is deleted")
    return 0


def _progress() -> Progress:
    return Progress(sink=_say)


def _say(line: str) -> None:
    print(line, flush=True)


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{text!r} is no time like 2026-05-01T06:00 or 2026-05-01T06:00+02:00"
        raise argparse.ArgumentTypeError(msg) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="millrace", description="Backups of the database, and a standby for it.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    backup = commands.add_parser(
        "backup",
        help="make a backup, list and verify backups, restore one",
        description="Without a word more: a backup. The first turns the archive of the write-ahead log on, and is full.",
    )
    kinds = backup.add_mutually_exclusive_group()
    kinds.add_argument("--full", action="store_true", help="everything, and expire what is older than backup.keep_full")
    kinds.add_argument(
        "--incremental", action="store_true", help="what has changed since the newest backup (the default)"
    )
    backup.set_defaults(run=_take)
    what = backup.add_subparsers(metavar="ACTION")
    listing = what.add_parser("list", help="backups in the repository, and how far the archive is")
    listing.add_argument("--json", action="store_true", help="for programs, as pgBackRest has it")
    listing.set_defaults(run=_list)
    verify = what.add_parser("verify", help="read every file of the repository, and send a segment there")
    verify.set_defaults(run=_verify)
    restore = what.add_parser(
        "restore",
        help="bring the database back, and let the historian read again what it lacks",
        epilog="exit status: 0 nothing is lost, 4 Kafka no longer has a part, which is named",
    )
    restore.add_argument(
        "--to", type=_time, metavar="TIME", help="a point in time, UTC unless it says; default: the newest"
    )
    restore.add_argument("--yes", action="store_true", help="do not ask")
    restore.set_defaults(run=_restore)
    off = what.add_parser("off", help="archive no more; the backups stay")
    off.set_defaults(run=_off)

    again = commands.add_parser(
        "recover",
        help="after a restore or a takeover by hand: let the historian read again what the database lacks",
        epilog="exit status: 0 nothing is lost, 4 Kafka no longer has a part, which is named",
    )
    again.add_argument("--dry-run", action="store_true", help="only say what would be read again, and what is lost")
    again.set_defaults(run=_recover)

    second = commands.add_parser("standby", help="a second database that follows the first and can take over")
    actions_of = second.add_subparsers(required=True, metavar="ACTION")
    create = actions_of.add_parser(
        "create", help="copy the database and let the copy follow; one that is there is made anew"
    )
    create.add_argument("--synchronous", action="store_true", help="commits wait for it, except those of the historian")
    create.set_defaults(run=_standby_create)
    promote = actions_of.add_parser("promote", help="fence the primary and let the standby take its place")
    promote.add_argument("--yes", action="store_true", help="do not ask")
    promote.set_defaults(run=_standby_promote)
    dropped = actions_of.add_parser("drop", help="end the standby and delete it")
    dropped.set_defaults(run=_standby_drop)
    return made


if __name__ == "__main__":
    sys.exit(main())
