"""Who is calling, and what they may do: tokens, or `local` on the loopback interface.

Enters: a call's metadata. Leaves: a `Principal`. Tokens are random and only their SHA-256 is kept, in a TOML file that
is read again when it changes, so access is granted and taken away without a restart:

    [principals.alice]
    sha256 = "9f86d081..."            # `python -m serving.access NAME` makes a token and this line
    allow = ["read", "command"]       # of read, command, approve

Without a tokens file the server only listens on the loopback interface; then a caller may name itself in
`millrace-principal` metadata and is `local:NAME`, which keeps submitter and approver apart but proves nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import logging
import secrets
import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from base.errors import ConfigError, PermissionDeniedError

log = logging.getLogger(__name__)

NAME_METADATA = "millrace-principal"


class UnauthenticatedError(PermissionDeniedError):
    """The server does not know who is calling."""


class Permission(StrEnum):
    """What a principal may be allowed."""

    READ = "read"
    COMMAND = "command"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller."""

    name: str
    allow: frozenset[Permission]


current: ContextVar[Principal] = ContextVar("principal")
"""Principal of the call that is being handled."""

# The last part of a method's name; everything else of the services only reads.
_NEEDS = {
    "SubmitCommand": Permission.COMMAND,
    "SubmitAndWait": Permission.COMMAND,
    "CancelCommand": Permission.COMMAND,
    "ApproveCommand": Permission.APPROVE,
}


class Access:
    """Finds the principal of a call; raises UnauthenticatedError or PermissionDeniedError."""

    def __init__(self, tokens: Path | None) -> None:
        self._path = tokens
        self._stamp: tuple[int, int] = (0, 0)
        self._known: dict[str, Principal] = {}
        if tokens is not None:
            self._known, self._stamp = read_tokens(tokens), _stamp(tokens)

    def principal(self, metadata: Mapping[str, str], method: str) -> Principal:
        """Principal of a call with this metadata to a method such as `/millrace.v1.CommandService/SubmitCommand`."""
        found = self._authenticate(metadata)
        needed = _NEEDS.get(method.rpartition("/")[2], Permission.READ)
        if needed not in found.allow:
            msg = (
                f"{found.name} may not {needed}; the tokens file allows: {', '.join(sorted(found.allow)) or 'nothing'}"
            )
            raise PermissionDeniedError(msg)
        return found

    def _authenticate(self, metadata: Mapping[str, str]) -> Principal:
        if self._path is None:
            name = metadata.get(NAME_METADATA, "")
            return Principal(f"local:{name}" if name else "local", frozenset(Permission))
        self._refresh(self._path)
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            msg = "no token: send the metadata `authorization: Bearer TOKEN`"
            raise UnauthenticatedError(msg)
        digest = hash_token(token.strip())
        # Every entry is compared, in constant time each, so that timing says nothing about the tokens.
        matches = [principal for known, principal in self._known.items() if hmac.compare_digest(known, digest)]
        if not matches:
            msg = "this token is not known; it may have been withdrawn"
            raise UnauthenticatedError(msg)
        return matches[0]

    def _refresh(self, path: Path) -> None:
        try:
            stamp = _stamp(path)
            if stamp != self._stamp:
                self._known, self._stamp = read_tokens(path), stamp
                log.info("tokens file read again", extra={"principals": len(self._known)})
        except (OSError, ConfigError) as error:
            # A half-written file must not lock everybody out; what was read last stays in force.
            log.error("tokens file cannot be read, the last good one stays in force", extra={"cause": str(error)})


def hash_token(token: str) -> str:
    """SHA-256 in hex. A token has 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path) -> dict[str, Principal]:
    """Principals by hash of their token; raises ConfigError naming file and entry."""
    try:
        table = tomllib.loads(path.read_text()).get("principals", {})
        return {
            str(entry["sha256"]).lower(): Principal(name, frozenset(Permission(p) for p in entry["allow"]))
            for name, entry in table.items()
        }
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"tokens file {path}: {error!r}; expected [principals.NAME] tables with sha256 and allow"
        raise ConfigError(msg) from error


def _stamp(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_mtime_ns, info.st_size


def main(argv: Sequence[str] | None = None) -> int:
    """Make a token: the token on standard output, its line for the tokens file on standard error."""
    parser = argparse.ArgumentParser(prog="python -m serving.access", description="Make an access token.")
    parser.add_argument("name", help="principal, for example a person or a program")
    parser.add_argument("--allow", nargs="+", choices=[p.value for p in Permission], default=["read"])
    args = parser.parse_args(argv)
    token = secrets.token_urlsafe(32)
    allow = ", ".join(f'"{p}"' for p in args.allow)
    sys.stderr.write(f'[principals.{args.name}]\nsha256 = "{hash_token(token)}"\nallow = [{allow}]\n')
    sys.stdout.write(f"{token}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
