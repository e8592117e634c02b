"""The tokens file: who is let in with a token of our own. `python -m serving.tokens NAME` makes a token and its entry.

    [principals.alice]
    sha256 = "9f86d081..."
    allow = ["read", "command@acme/north"]   # of read, command, approve, plan, alarm, audit; behind the @ the part of the plant
    until = 2027-03-01T00:00:00Z             # when the token ends; without it never

Tokens are random and only their SHA-256 is kept. The file is read again when it changes, so access is granted and taken away without a
restart; one that cannot be read leaves the last good one in force.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import logging
import secrets
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from base import files
from base.errors import ConfigError
from base.ids import Clock
from base.machine_names import NOT_FOR_CALLERS, is_machines
from base.moments import written
from serving.principals import Grant, Permission, Principal, UnauthenticatedError, grants_of

log = logging.getLogger(__name__)

_DAY_US = 86_400_000_000
_SOON_US = 14 * _DAY_US


class TokensFile:
    """Principals by hash of their token. `told` hears of a change: what was allowed before and after, and why it was not taken."""

    def __init__(self, path: Path, told: Callable[[str, str, str], object], clock: Clock) -> None:
        self._path, self._told, self._clock = path, told, clock
        # Before it is read: a token that is withdrawn meanwhile is seen as a change. What is no file is named by the reading.
        self._stamp = files.stamp(path) if path.exists() else None
        self._known = read_tokens(path)
        self._cause = ""
        self._tell_of_ends()

    def owner(self, token: str) -> Principal | None:
        """Whose token it is. Every entry is compared, in constant time each, so that timing says nothing about the tokens."""
        digest = hash_token(token)
        matches = [principal for known, principal in self._known.items() if hmac.compare_digest(known, digest)]
        return matches[0] if matches else None

    def of_hash(self, digest: str) -> Principal | None:
        """Whose token has this hash."""
        return self._known.get(digest)

    def refresh(self) -> bool:
        """Read the file again if it has changed; whether it has."""
        if self._clock() >= self._tell_at_us:
            self._tell_of_ends()
        try:
            stamp = files.stamp(self._path)
            if stamp == self._stamp:
                return False
            before = self._known
            self._known, self._stamp = read_tokens(self._path), stamp
        except (OSError, ConfigError) as error:
            # A half-written file must not lock everybody out; what was read last stays in force.
            log.error("tokens file cannot be read, the last good one stays in force", extra={"cause": str(error)})
            if str(error) != self._cause:  # it is looked at again and again
                self._cause = str(error)
                self._told("", "", self._cause)
            return False
        self._cause = ""
        self._told(*_differences(before, self._known), "")
        log.info("tokens file read again", extra={"principals": len(self._known)})
        self._tell_of_ends()
        return True

    def _tell_of_ends(self) -> None:
        """Say in the log, once a day, which tokens end soon: a program that is let in no more at night helps nobody."""
        now = self._clock()
        self._tell_at_us = now + _DAY_US
        for known in self._known.values():
            if known.until_us and known.until_us < now + _SOON_US:
                log.warning("a token ends soon", extra={"principal": known.name, "until": written(known.until_us)})


def hash_token(token: str) -> str:
    """SHA-256 in hex. A token has 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path) -> dict[str, Principal]:
    """Principals by hash of their token; raises ConfigError naming file and entry."""
    try:
        table = tomllib.loads(path.read_text()).get("principals", {})
        return {
            (digest := str(entry["sha256"]).lower()): Principal(
                name, grants_of(entry["allow"]), digest, _until_us(entry.get("until"))
            )
            for name, entry in table.items()
        }
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"tokens file {path}: {error!r}; expected [principals.NAME] tables with sha256, allow and, where the token ends, until"
        raise ConfigError(msg) from error
    except UnauthenticatedError as error:
        msg = f"tokens file {path}: {error}"
        raise ConfigError(msg) from error


def _until_us(until: object) -> int:
    """End of a token; 0 for none. A time without a zone would be another one on another machine."""
    if until is None:
        return 0
    if not isinstance(until, datetime) or until.tzinfo is None:
        msg = f"until = {until} is no time with a zone, such as 2027-03-01T00:00:00Z"
        raise ValueError(msg)
    return round(until.timestamp() * 1e6)


def _differences(before: Mapping[str, Principal], after: Mapping[str, Principal]) -> tuple[str, str]:
    """What changed between two files: entries that are gone or were others, and those that came, without anything of a token."""

    def shown(entries: Iterable[Principal]) -> str:
        return "; ".join(
            f"{one.name}: {', '.join(sorted(map(str, one.grants)))}"
            + (f" until {written(one.until_us)}" if one.until_us else "")
            for one in entries
        )

    gone = [one for digest, one in before.items() if after.get(digest) != one]
    came = [one for digest, one in after.items() if before.get(digest) != one]
    return shown(gone), shown(came)


def main(argv: Sequence[str] | None = None) -> int:
    """Make a token: the token on standard output, its line for the tokens file on standard error."""
    parser = argparse.ArgumentParser(prog="python -m serving.tokens", description="Make an access token.")
    parser.add_argument("name", help="principal, for example a person or a program")
    parser.add_argument(
        "--allow",
        nargs="+",
        type=lambda text: str(Grant.parse(text)),
        default=["read"],
        metavar="PERMISSION[@PATH]",
        help=f"of {', '.join(Permission)}; read@acme/north is for a part of the plant (default: read)",
    )
    parser.add_argument(
        "--days", type=int, default=365, help="how long the token is good; 0: without an end (default: 365)"
    )
    args = parser.parse_args(argv)
    if args.days < 0:
        parser.error("--days is 0 or more")
    if is_machines(args.name):
        parser.error(NOT_FOR_CALLERS)
    token = secrets.token_urlsafe(32)
    allow = ", ".join(f'"{p}"' for p in args.allow)
    until = f"until = {datetime.now(UTC) + timedelta(days=args.days):%Y-%m-%dT%H:%M:%SZ}\n" if args.days else ""
    sys.stderr.write(f'[principals.{args.name}]\nsha256 = "{hash_token(token)}"\nallow = [{allow}]\n{until}')
    sys.stdout.write(f"{token}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
