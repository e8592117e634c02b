"""`./millrace access check` and `explain`: whether policies hold together, and which of them decides a case.

./millrace access check policies/
./millrace access explain ann command acme/north/forming/line-1/blanking/press-01 --grant command@acme/north --name clear
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from base import settings
from base.errors import ConfigError, MillraceError
from schemas.command_rules import PACKML_TAG, PACKML_VERBS
from serving.access import Principal, grants_of, read_tokens
from serving.policies import engine
from serving.policies.engine import Ask, Place, Policies

DENIED = 3


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
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    try:
        return _check(options) if options.verb == "check" else _explain(options)
    except (MillraceError, ValueError) as error:
        sys.stderr.write(f"millrace: {error}\n")
        return 1


def _check(options: argparse.Namespace) -> int:
    policies = Policies(Path(options.folder) if options.folder else None)
    _say(f"{len(policies.ids)} policies hold: {', '.join(policies.ids)}")
    return 0


def _explain(options: argparse.Namespace) -> int:
    folder = options.policies or _configured("policies")
    policies = Policies(Path(folder) if folder else None)
    who = _principal(options)
    tags = options.tag or ([PACKML_TAG] if options.name in PACKML_VERBS else [])
    submitter = options.submitter or (options.principal if options.action in {engine.COMMAND, engine.ACT_ALONE} else "")
    site = "/".join(options.path.split("/")[1:2])
    place = Place(path=options.path, device_class=options.device_class, site=site, packml_state=options.packml_state)
    ask = Ask(name=options.name, tags=tags, reason=options.reason, submitter=submitter, age_ms=options.age_ms)
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
