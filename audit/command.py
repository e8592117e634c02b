"""`./millrace audit`: reads the audit log, proves entries, gives them to other systems, looks after its keys.

It reads the files of the log, so it runs where they are, as somebody who may read them. It does not check them: that is `millrace-verify`,
a program of its own.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from audit import merkle, notes, search, siem, syslog
from audit.errors import AuditError
from audit.search import Wanted
from audit.settings import AuditSettings
from audit.tiles import Readable
from base import ids, tool
from base.errors import InvalidRequestError, NotFoundError
from base.moments import moment
from base.settings import load, local_config

_EXAMPLES = """examples:
  audit list --person 6f1c2a9e --since 24h          what somebody did and was denied
  audit list --path acme/north/forming --action command
  audit show 4711                                   one entry, and the others of its operation
  audit prove 4711 --out proof/                     entry and proof, for `millrace-verify inclusion`
  audit prove --since yesterday.checkpoint          that the log of today continues that one
  audit export ocsf events.jsonl --from 1000        for a SIEM; cef is the other format
  audit keys                                        public keys, for whoever verifies"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="audit.toml (default: the local stack's)"
    )
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--person", default="", metavar="SUBJECT", help="who did it, or was the second person")
    chosen.add_argument("--path", default="", help="at or under this place of the plant")
    chosen.add_argument("--action", default="", help="such as command:submit, or command for all of them")
    chosen.add_argument("--outcome", default="", choices=("", "ALLOW", "DENY", "ERROR", "DONE"), help="what came of it")
    chosen.add_argument("--since", metavar="TIME", help="ISO 8601, or 2h for two hours ago")
    chosen.add_argument("--until", metavar="TIME", help="before this")
    made = argparse.ArgumentParser(
        prog="millrace audit",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", parents=[common, chosen], help="list entries, newest first")
    listing.add_argument(
        "-n", "--limit", type=int, default=50, metavar="N", help="at most so many (default: %(default)s)"
    )
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    showing = verbs.add_parser("show", parents=[common], help="show an entry, and the others of its operation")
    showing.add_argument("entry", metavar="INDEX|ID", help="index, or id of an event, a command or an operation")
    proving = verbs.add_parser(
        "prove", parents=[common], help="prove that an entry is in the log, or that it continues an older one"
    )
    proving.add_argument("index", nargs="?", type=int, metavar="INDEX", help="of the entry")
    proving.add_argument("--since", type=Path, metavar="CHECKPOINT", help="an older checkpoint of this log")
    proving.add_argument(
        "--out", type=Path, default=Path(), metavar="FOLDER", help="where the files go (default: here)"
    )
    exporting = verbs.add_parser(
        "export", parents=[common, chosen], help="give entries to another system, oldest first"
    )
    exporting.add_argument("format", choices=sorted(siem.FORMATS), help="OCSF as JSON lines, or CEF")
    exporting.add_argument("file", nargs="?", type=Path, metavar="FILE", help="added to; nothing for standard output")
    exporting.add_argument(
        "--from", dest="start", type=int, default=0, metavar="INDEX", help="first entry (default: 0)"
    )
    exporting.add_argument("--syslog", metavar="HOST:PORT", help="over TLS instead of to a file")
    exporting.add_argument("--ca", type=Path, metavar="FILE", help="authority of the syslog server, PEM")
    exporting.add_argument(
        "--certificate", type=Path, metavar="FILE", help="ours for the syslog server, with its key, PEM"
    )
    keys = verbs.add_parser("keys", parents=[common], help="print the public keys; add or remove one")
    keys.add_argument("change", nargs="?", choices=("add", "remove"), help="the writer follows within a second")
    keys.add_argument("key_id", nargs="?", metavar="ID", help="of the key to remove")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    options = parser().parse_args(arguments)
    verbs: dict[str, Callable[[argparse.Namespace, AuditSettings], Iterable[str]]] = {
        "list": _list,
        "show": _show,
        "prove": _prove,
        "export": _export,
        "keys": _keys,
    }

    def work() -> int:
        settings = load(AuditSettings, options.config or local_config("audit.toml"), service="audit")
        try:
            for line in verbs[options.verb](options, settings):
                sys.stdout.write(f"{line}\n")
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return tool.DONE

    return tool.run("audit", work, ValueError)


def line_of(fields: dict[str, Any]) -> str:
    """An entry in a line for people."""
    time = datetime.fromtimestamp(fields.get("time_us", 0) / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
    who = str(fields.get("subject", "")) or "(not known)"
    if second := fields.get("second"):
        who += f" with {second}"
    what = str(fields.get("action", "undecodable"))
    if name := fields.get("name"):
        what += f" {name}"
    times = f" ({count} times)" if (count := fields.get("count", 1)) > 1 else ""
    why = fields.get("reason") or fields.get("detail") or ""
    parts = (
        f"{fields['index']:>8}",
        time,
        f"{fields.get('outcome', ''):<5}",
        f"{who:<20}",
        what + times,
        fields.get("path", ""),
        why,
    )
    return "  ".join(part for part in parts if part).rstrip()


def _list(options: argparse.Namespace, settings: AuditSettings) -> Iterator[str]:
    found = search.newest(Readable(settings.folder), _wanted(options))
    for fields in islice(found, max(0, options.limit)):
        yield json.dumps(fields, ensure_ascii=False) if options.json else line_of(fields)


def _show(options: argparse.Namespace, settings: AuditSettings) -> Iterator[str]:
    log = Readable(settings.folder)
    text = options.entry
    if text.isdigit():
        if int(text) >= log.size:
            msg = f"there is no entry {text}; the log has {log.size}"
            raise NotFoundError(msg)
        shown = next(search.oldest(log, Wanted(), int(text)))
        text = shown.get("operation", "")
        yield json.dumps(shown, ensure_ascii=False, indent=2)
    else:
        shown = {}
    names = ("event_id", "command_id", "operation")
    others = [
        fields
        for fields in search.newest(log, Wanted())
        if text and text in {fields.get(name) for name in names} and fields["index"] != shown.get("index")
    ]
    if not shown and not others:
        msg = f"no entry has the id {text}"
        raise NotFoundError(msg)
    for fields in reversed(others):
        yield json.dumps(fields, ensure_ascii=False, indent=2) if not shown else line_of(fields)


def _prove(options: argparse.Namespace, settings: AuditSettings) -> Iterator[str]:
    log = Readable(settings.folder)
    if (options.index is None) == (options.since is None):
        msg = "give an INDEX, or --since CHECKPOINT"
        raise InvalidRequestError(msg)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.since is not None:
        old = notes.read(options.since.read_text()).size
        steps = _base64(merkle.consistency(log.lookup, old, log.size))
        proof = options.out / f"continues-{old}.proof"
        proof.write_text(f"millrace/consistency-proof@v1\nold {old}\n{steps}")
        checkpoint = options.out / f"{log.size}.checkpoint"
        checkpoint.write_text(log.note)
        yield f"millrace-verify consistency {options.since} {checkpoint} {proof} --keys KEYS"
        return
    index = options.index
    if not 0 <= index < log.size:
        msg = f"there is no entry {index}; the log has {log.size}"
        raise NotFoundError(msg)
    entry, proof = options.out / f"{index}.json", options.out / f"{index}.proof"
    entry.write_bytes(log.entry(index))
    steps = _base64(merkle.inclusion(log.lookup, index, log.size))
    proof.write_text(f"c2sp.org/tlog-proof@v1\nindex {index}\n{steps}\n{log.note}")
    yield f"millrace-verify inclusion {proof} {entry} --keys KEYS"


def _export(options: argparse.Namespace, settings: AuditSettings) -> Iterator[str]:
    log = Readable(settings.folder)
    found = map(siem.FORMATS[options.format], search.oldest(log, _wanted(options), options.start))
    if options.syslog:
        sent = syslog.send(
            options.syslog, found, ca=options.ca, certificate=options.certificate, origin=settings.origin
        )
    else:
        with ExitStack() as stack:
            out = sys.stdout if options.file is None else stack.enter_context(options.file.open("a"))
            sent = 0
            for line in found:
                out.write(f"{line}\n")
                sent += 1
    sys.stderr.write(f"{sent} entries; go on with --from {log.size}\n")
    yield from ()


def _keys(options: argparse.Namespace, settings: AuditSettings) -> Iterator[str]:
    if options.change == "add":
        notes.new_key(settings.keys, settings.origin)
    known = notes.read_keys(settings.keys, settings.origin)
    if options.change == "remove":
        if options.key_id not in {one.key_id.hex() for one in known}:
            msg = f"no key {options.key_id}; there are {', '.join(one.key_id.hex() for one in known)}"
            raise NotFoundError(msg)
        if len(known) == 1:
            msg = "this is the only key: add another one first, and tell whoever verifies"
            raise AuditError(msg)
        (settings.keys / f"{options.key_id}.pem").unlink()
        known = tuple(one for one in known if one.key_id.hex() != options.key_id)
    for one in known:
        yield one.known_as


def _wanted(options: argparse.Namespace) -> Wanted:
    now = datetime.fromtimestamp(ids.now_us() / 1e6, UTC)
    since_us, until_us = (
        0 if given is None else int(moment(given, now).timestamp() * 1e6) for given in (options.since, options.until)
    )
    return Wanted(
        person=options.person,
        path=options.path,
        action=options.action,
        outcome=options.outcome,
        since_us=since_us,
        until_us=until_us,
    )


def _base64(hashes: Iterable[bytes]) -> str:
    return "".join(base64.b64encode(one).decode() + "\n" for one in hashes)


if __name__ == "__main__":
    sys.exit(main())
