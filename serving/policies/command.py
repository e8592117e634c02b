"""`./millrace access check`, `explain` and `sign-out`: whether policies hold together, which of them decides a case, and who is out.

./millrace access check policies/
./millrace access explain ann command acme/north/forming/line-1/blanking/press-01 --grant command@acme/north --name clear
./millrace access sign-out ann --reason "lost her tablet"
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from pathlib import Path

from audit.tiles import Readable
from base import settings
from base.account import os_user
from base.errors import ConfigError, MillraceError, NotFoundError
from base.ids import now_us
from connectors.kafka.client import producer, send
from privacy.forgetting import find
from privacy.store import open_store
from schemas import topics
from schemas.audit import Outcome
from schemas.command_rules import PACKML_TAG, PACKML_VERBS
from schemas.sign_outs import SignOut
from serving import config as configuration
from serving import tool_trail
from serving.config import ServingConfig
from serving.policies import engine, names
from serving.policies.engine import AlarmAsk, Ask, Place, Policies
from serving.principals import Principal, grants_of
from serving.tokens import read_tokens
from serving.trail import SERVICE

DENIED = 3
_LOOKED_AT = 100_000
"""Entries of the audit log in which a name is looked for."""


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace access", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser("check", help="hold the policies against the schema")
    check.add_argument(
        "folder",
        nargs="?",
        default="",
        metavar="FOLDER",
        help="of *.cedar files; without one the built-in policies alone",
    )
    check.add_argument(
        "--config",
        type=Path,
        default=None,
        metavar="FILE",
        help="serving.toml, for the names in policies (default: the local stack's, where there is one)",
    )
    explain = verbs.add_parser(
        "explain", help=f"say what would be decided, and by which policy; exit status {DENIED} when denied"
    )
    explain.add_argument("principal", help="name; its grants come from the tokens file, or from --grant")
    explain.add_argument("action", choices=engine.ACTIONS, help="actAlone: without a second person")
    explain.add_argument("path", help="of the device")
    explain.add_argument(
        "--policies", default="", metavar="FOLDER", help="the installation's policies (default: as in serving.toml)"
    )
    explain.add_argument("--tokens", default="", metavar="FILE", help="tokens file (default: as in serving.toml)")
    explain.add_argument(
        "--grant", action="append", default=[], metavar="PERMISSION[@PATH]", help="instead of the tokens file (repeat)"
    )
    explain.add_argument(
        "--amr", action="append", default=[], metavar="METHOD", help="how it signed in: pwd, otp, mfa (repeat)"
    )
    explain.add_argument(
        "--signed-in", type=int, default=None, metavar="S", help="seconds since it signed in at an issuer"
    )
    explain.add_argument("--device-class", default="", help="of the device")
    explain.add_argument("--packml-state", default="", metavar="STATE", help="such as EXECUTE")
    explain.add_argument("--name", default="write", help="of the command (default: %(default)s)")
    explain.add_argument("--rule", default="", metavar="NAME", help="of the alarm")
    explain.add_argument("--priority", default="LOW", help="of the alarm (default: %(default)s)")
    explain.add_argument(
        "--for-s",
        type=int,
        default=0,
        metavar="S",
        help=f"that it is put aside, seconds; {engine.NO_END_S}: without an end",
    )
    explain.add_argument(
        "--tag", action="append", default=[], metavar="NAME", help="that it writes (repeat; default: that of the verb)"
    )
    explain.add_argument("--reason", default="", help="that is given")
    explain.add_argument(
        "--submitter",
        default="",
        help="of the command that is approved or cancelled (default: the principal, for command)",
    )
    explain.add_argument(
        "--age-ms", type=int, default=0, metavar="MS", help="age of the values that it writes; -1: none known"
    )
    explain.add_argument("--json", action="store_true", help="as a JSON object")
    out = verbs.add_parser("sign-out", help="end all sessions of somebody, and what an issuer gave out before")
    out.add_argument(
        "principal", help="name: a person of the directory of people, the issuer's subject, or one in the tokens file"
    )
    out.add_argument("--anyway", action="store_true", help="a name that neither the tokens file nor the audit log has")
    out.add_argument("--reason", default="", help="for the audit log")
    out.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="serving.toml (default: the local stack's)"
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    try:
        return {"check": _check, "explain": _explain, "sign-out": _sign_out}[options.verb](options)
    except (MillraceError, ValueError) as error:
        sys.stderr.write(f"millrace: {error}\n")
        return 1


def _check(options: argparse.Namespace) -> int:
    policies = Policies(Path(options.folder) if options.folder else None)
    _say(f"{len(policies.ids)} policies hold: {', '.join(policies.ids)}")
    path = options.config or settings.local_config("serving.toml")
    if not options.folder or not (options.config or path.exists()):
        return 0
    if found := names.nobodys(Path(options.folder), configuration.load(path)):
        msg = (
            f"principals that nobody is; people are named by subject ids (`millrace privacy list`): {'; '.join(found)}"
        )
        raise ConfigError(msg)
    return 0


def _explain(options: argparse.Namespace) -> int:
    folder = options.policies or _configured("policies")
    policies = Policies(Path(folder) if folder else None)
    who = _principal(options)
    tags = options.tag or ([PACKML_TAG] if options.name in PACKML_VERBS else [])
    submitter = options.submitter or (options.principal if options.action in {engine.COMMAND, engine.ACT_ALONE} else "")
    site = "/".join(options.path.split("/")[1:2])
    place = Place(path=options.path, device_class=options.device_class, site=site, packml_state=options.packml_state)
    ask: Ask | AlarmAsk = Ask(
        name=options.name, tags=tags, reason=options.reason, submitter=submitter, age_ms=options.age_ms
    )
    if options.action in engine.OF_ALARMS:
        about = {name: getattr(options, name) for name in ("rule", "priority", "reason", "for_s")}
        ask = AlarmAsk(name=options.action, **about)
    found = policies.decide(who, options.action, place, ask, now_us=(options.signed_in or 0) * 1_000_000 + 1)
    if options.json:
        _say(json.dumps({name: getattr(found, name) for name in found.__dataclass_fields__}))
    else:
        _say("allowed" if found.allowed else "denied")
        _say(f"  by      {', '.join(found.policies) or 'nothing permits it'}")
        for advice in found.advice:
            _say(f"  advice  {advice}")
        for failure in found.failed:
            _say(f"  failed  {failure}")
    return 0 if found.allowed else DENIED


def _sign_out(options: argparse.Namespace) -> int:
    config = configuration.load(options.config or settings.local_config("serving.toml"))
    options.principal = _subject(options.principal, config)
    if not options.anyway and not _known(options.principal, config):
        msg = (
            f"nobody called {options.principal!r} is in the tokens file, or signed in lately; a person's name is the issuer's subject "
            "(`./millrace audit list --action sign-in` shows them); --anyway signs out a name that never came"
        )
        raise ConfigError(msg)
    made = SignOut(subject=options.principal, before_us=now_us(), by=os_user())
    # The event first: nobody is signed out without one.
    tool_trail.note(
        config.kafka, "access", "sign-out-everywhere", Outcome.ALLOW, name=made.subject, reason=options.reason
    )
    sent = [(made.key, made.encode())]
    send(producer(config.kafka), topics.SIGN_OUTS.name, sent, timeout_s=tool_trail.TIMEOUT_S)
    _say(f"{made.subject} is signed out everywhere; a token of the tokens file stays good until its entry is removed")
    return 0


def _subject(name: str, config: ServingConfig) -> str:
    """Subject id of a person of the directory; the name itself of anybody else."""
    people = open_store(config.privacy)
    if people is None:
        return name
    people.refresh()
    try:
        return find(people, name).subject
    except NotFoundError:
        return name


def _known(name: str, config: ServingConfig) -> bool:
    """Whether the tokens file has this name, or the newest calls in the audit log."""
    if config.tokens and any(one.name == name for one in read_tokens(Path(config.tokens)).values()):
        return True
    if not config.audit.folder:
        return False
    newest = islice(Readable(Path(config.audit.folder)).newest_first(), _LOOKED_AT)
    events = (json.loads(entry) for _, entry in newest)
    return any(one.get("subject") == name and one.get("service") == SERVICE for one in events)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _principal(options: argparse.Namespace) -> Principal:
    grants = grants_of(options.grant)
    if not options.grant:
        path = options.tokens or _configured("tokens")
        if not path:
            msg = f"nothing says what {options.principal} may: name a --tokens file, or --grant command@PATH"
            raise ConfigError(msg)
        known = [one for one in read_tokens(Path(path)).values() if one.name == options.principal]
        if not known:
            msg = f"{path} has no principal {options.principal!r}"
            raise ConfigError(msg)
        grants = known[0].grants
    # The clock of `decide` stands at the seconds since the sign-in, one microsecond after 1970.
    signed_in_us = 1 if options.signed_in is not None else 0
    return Principal(options.principal, grants, amr=frozenset(options.amr), signed_in_us=signed_in_us)


def _configured(key: str) -> str:
    path = settings.local_config("serving.toml")
    return str(settings.read_toml(path).get(key, "")) if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
