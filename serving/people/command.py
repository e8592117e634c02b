"""`./millrace privacy`: the people that records name by a subject id. It reads the directory of people, so it runs where that is.

./millrace privacy list
./millrace privacy show person-k3q7vxt2m5hd4e6n
./millrace privacy export alice --output alice.json
./millrace privacy forget alice --reason "left on 1 March; ticket 4711"
./millrace privacy begin

PERSON is a subject id, the issuer's subject, a user name, a name or a mail address.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from base import files, settings, tool
from base.errors import ConfigError, InvalidRequestError, MillraceError
from base.ids import now_us, uuid7
from connectors.kafka.client import producer, send
from privacy import forgetting
from privacy.person import Person
from privacy.store import Store, open_store
from schemas import topics
from schemas.audit import Outcome
from schemas.sign_outs import SignOut
from serving import config as configuration
from serving import tool_trail
from serving.config import ServingConfig
from serving.people import records

SERVICE = "privacy"
FORGET, EXPORT, RENEW, PUT_ASIDE = "privacy:forget", "privacy:export", "privacy:renew", "privacy:put-aside"
_WORD = re.compile(r"\w{3,}")


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="serving.toml (default: the local stack's)"
    )
    listed = argparse.ArgumentParser(add_help=False)
    listed.add_argument("--json", action="store_true", help="as JSON")
    made = argparse.ArgumentParser(
        prog="millrace privacy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", parents=[common, listed], help="who is in the directory, and what is wrong with it")
    showing = verbs.add_parser("show", parents=[common, listed], help="what the directory has of a person")
    exporting = verbs.add_parser(
        "export", parents=[common], help="everything that the installation has of a person, as JSON"
    )
    exporting.add_argument(
        "--output", type=Path, default=None, metavar="FILE", help="for its owner alone (default: standard output)"
    )
    forgetting_ = verbs.add_parser(
        "forget",
        parents=[common, listed],
        help="destroy the key of a person: nothing leads from records to it any more",
    )
    forgetting_.add_argument("--yes", action="store_true", help="do not ask")
    for each in (showing, exporting, forgetting_):
        each.add_argument("person", metavar="PERSON", help="subject id, issuer's subject, user name, name or address")
    verbs.add_parser(
        "begin",
        parents=[common],
        help="make a new directory in an empty folder whose key is there; whoever signs in is somebody new",
    )
    renewing = verbs.add_parser(
        "renew",
        parents=[common, listed],
        help="change the key that wraps people's keys, and destroy the older ones: it also ends a forgetting that was interrupted",
    )
    for each in (forgetting_, renewing):
        each.add_argument(
            "--put-aside",
            action="store_true",
            help="take files that cannot be read out of the directory, for good: who is in them becomes somebody new",
        )
    for each in (forgetting_, renewing, exporting):
        each.add_argument(
            "--reason", required=True, metavar="TEXT", help="for the audit log, without the person's name"
        )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    verbs = {"list": _list, "show": _show, "export": _export, "forget": _forget, "renew": _renew, "begin": _begin}
    return tool.run("privacy", lambda: verbs[options.verb](options))


def open_directory(config: ServingConfig) -> Store:
    """The directory of an installation, read. Raises ConfigError, UnavailableError."""
    store = _directory(config)
    store.refresh()
    return store


def _directory(config: ServingConfig) -> Store:
    store = open_store(config.privacy)
    if store is None:
        msg = "this installation has no directory of people ([privacy] in serving.toml); its records name them by the issuer's subject"
        raise ConfigError(msg)
    return store


def _begin(options: argparse.Namespace) -> int:
    config = _config(options)
    _directory(config).begin()
    _say(f"{config.privacy.folder}: a new directory of people; whoever signs in is somebody new")
    return tool.DONE


def _list(options: argparse.Namespace) -> int:
    store = open_directory(_config(options))
    unreadable, unfinished = sorted(store.unreadable), store.forgotten.unfinished
    if options.json:
        people = [person.fields() for person in store.everybody()]
        _say(json.dumps({"people": people, "unreadable": unreadable, "unfinished": unfinished}, ensure_ascii=False))
    else:
        for person in store.everybody():
            _say(f"{person.subject}  {person.shown}")
        if unreadable:
            _say(f"not readable: {', '.join(unreadable)}; their key, or the file, is not what it was")
        if unfinished:
            _say(f"{unfinished} forgotten, but older keys are not destroyed yet: `millrace privacy renew` does it")
    return tool.UNWELL if unreadable or unfinished else tool.DONE


def _show(options: argparse.Namespace) -> int:
    person = forgetting.find(open_directory(_config(options)), options.person)
    if options.json:
        _say(json.dumps(person.fields(), ensure_ascii=False))
    else:
        for name, value in person.fields().items():
            if value != "":
                _say(f"{name:<16}{value}")
    return tool.DONE


def _export(options: argparse.Namespace) -> int:
    config = _config(options)
    person = forgetting.find(open_directory(config), options.person)
    names = _names(person)
    _check_reason(options.reason, person)
    _note(config, EXPORT, Outcome.ALLOW, name=person.subject, reason=options.reason)
    with ExitStack() as stack:
        out: TextIO = sys.stdout
        if options.output is not None:
            options.output.touch(mode=files.OWNERS)
            options.output.chmod(files.OWNERS)
            out = stack.enter_context(options.output.open("w"))
        count = write_export(out, person, _records(config, names))
    sys.stderr.write(f"privacy: {count} records of {person.subject}\n")
    return tool.DONE


def write_export(out: TextIO, person: Person, found: Iterator[records.Record]) -> int:
    """`{"person": ..., "records": [...]}`, a record a line; how many there are."""
    out.write(f'{{"person": {json.dumps(person.fields(), ensure_ascii=False)},\n"records": [')
    count = 0
    for where, record in found:
        text = json.dumps({"where": where, "record": record}, ensure_ascii=False, default=str)
        out.write(f"{',' if count else ''}\n{text}")
        count += 1
    out.write("\n]}\n")
    return count


def _records(config: ServingConfig, names: tuple[str, ...]) -> Iterator[records.Record]:
    if config.postgres.dsn:
        yield from records.of_database(config.postgres.dsn, names)
    if config.audit.folder:
        yield from records.of_audit(Path(config.audit.folder), names)
    for one in records.of_browsers(config.kafka, names):
        yield (
            topics.ALARM_SUBSCRIPTIONS.name,
            {"id": str(one.subscription_id), "endpoint": one.endpoint, "renewed_us": one.renewed_us},
        )


def _forget(options: argparse.Namespace) -> int:
    config = _config(options)
    store = open_directory(config)
    person = forgetting.find(store, options.person)
    _check_reason(options.reason, person)
    if not options.yes and not _confirmed(person):
        _say("nothing was done")
        return tool.FAILED
    operation = str(uuid7())
    # The event first: nobody is forgotten without one.
    _note(config, FORGET, Outcome.ALLOW, name=person.subject, reason=options.reason, operation=operation)
    try:
        _note_aside(options, config, store)
        _end_sign_ins(config, person)
        done = forgetting.forget(store, person.subject, put_aside=options.put_aside)
    except (MillraceError, OSError) as error:
        _note(config, FORGET, Outcome.ERROR, name=person.subject, detail=type(error).__name__, operation=operation)
        raise
    _note(config, FORGET, Outcome.DONE, name=person.subject, operation=operation)
    if options.json:
        _say(json.dumps({"subject": done.subject, "rewrapped": done.rewrapped}))
    else:
        _say(f"{done.subject} is forgotten: the key is destroyed, and so is the one that opened copies of it")
        _say("take the person out of the issuer too: whoever signs in there again is entered as somebody new")
    return tool.DONE


def _renew(options: argparse.Namespace) -> int:
    config = _config(options)
    store = open_directory(config)
    _note(config, RENEW, Outcome.ALLOW, reason=options.reason)
    _note_aside(options, config, store)
    count = forgetting.destroy_older(store, put_aside=options.put_aside)
    _say(
        json.dumps({"rewrapped": count})
        if options.json
        else f"the keys of {count} people are wrapped anew, and older keys are destroyed"
    )
    return tool.DONE


def _note_aside(options: argparse.Namespace, config: ServingConfig, store: Store) -> None:
    if options.put_aside and store.unreadable:
        # Names of files are made of people, so the audit log does not get them.
        detail = f"files of {len(store.unreadable)} people, which cannot be read"
        _note(config, PUT_ASIDE, Outcome.ALLOW, detail=detail, reason=options.reason)
        if not options.json:
            _say(f"put aside: {', '.join(sorted(store.unreadable))}")


def _end_sign_ins(config: ServingConfig, person: Person) -> None:
    """Sessions and tokens are over, and browsers are told of nothing any more."""
    source = producer(config.kafka)
    ended = [(str(one.subscription_id).encode(), None) for one in records.of_browsers(config.kafka, _names(person))]
    if ended:
        send(source, topics.ALARM_SUBSCRIPTIONS.name, ended, timeout_s=tool_trail.TIMEOUT_S)
    out = SignOut(subject=person.subject, before_us=now_us(), by=SERVICE)
    send(source, topics.SIGN_OUTS.name, [(out.key, out.encode())], timeout_s=tool_trail.TIMEOUT_S)


def _note(config: ServingConfig, action: str, outcome: Outcome, **about: Any) -> None:
    tool_trail.note(config.kafka, SERVICE, action, outcome, **about)


def _check_reason(reason: str, person: Person) -> None:
    """The audit log keeps it for ever, so it may not say who that was."""
    known = (person.name, person.username, person.email, person.phone, person.issuer_subject)
    words = _words(" ".join((person.name, person.username, person.email.partition("@")[0])))
    named = any(one and one.casefold() in reason.casefold() for one in known)
    if not reason.strip() or named or words & _words(reason):
        msg = "--reason is empty or names the person; it stays in the audit log: say a number of a ticket, or why"
        raise InvalidRequestError(msg)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold().replace("_", " ")))


def _confirmed(person: Person) -> bool:
    sys.stderr.write(
        f"{person.shown} ({person.subject}) will be forgotten. Records keep the subject id; nobody can find out any more who it was.\n"
        f"Type the subject id to go on: "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip() == person.subject


def _names(person: Person) -> tuple[str, ...]:
    """Those by which records know a person: of before subject ids by the issuer's subject."""
    return (person.subject, person.issuer_subject)


def _config(options: argparse.Namespace) -> ServingConfig:
    return configuration.load(options.config or settings.local_config("serving.toml"))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
