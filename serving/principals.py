"""A caller, and what it may do where: permissions for parts of the plant. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from base.errors import PermissionDeniedError, shown
from base.machine_names import NOT_FOR_CALLERS, is_machines
from serving.caches.plant import covered


class UnauthenticatedError(PermissionDeniedError):
    """The server does not know who is calling."""


class Permission(StrEnum):
    """What a principal may be allowed."""

    READ = "read"
    COMMAND = "command"
    APPROVE = "approve"
    PLAN = "plan"
    """Orders, stops, lots, batches: the model of work."""
    ALARM = "alarm"
    """Acknowledging, shelving and commenting on alarms."""
    AUDIT = "audit"
    """Reading the audit log."""


def scoped(text: str) -> tuple[str, str]:
    """Name and scope of `read` or `read@acme/north`; the scope is empty for everywhere. Raises ValueError."""
    name, at, scope = text.partition("@")
    scope = scope.strip("/")
    if at and (not scope or "*" in scope or not scope.isprintable()):
        msg = f"{text!r} is no grant: behind the @ stands the path of a node, such as acme/north"
        raise ValueError(msg)
    return name, scope


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission for a part of the plant: `scope` is the path of a node, empty for everything. Written `command@acme/north`."""

    permission: Permission
    scope: str = ""

    @classmethod
    def parse(cls, text: str) -> Grant:
        """Grant of `read` or `read@acme/north`; raises ValueError."""
        name, scope = scoped(text)
        return cls(Permission(name), scope)

    def within(self, scope: str) -> Grant | None:
        """The grant for no more than the part of the plant at `scope`; None when they have nothing in common."""
        if covered(scope, (self.scope,)):
            return Grant(self.permission, scope)
        return self if covered(self.scope, (scope,)) else None

    def __str__(self) -> str:
        return f"{self.permission}@{self.scope}" if self.scope else str(self.permission)


def grants_of(texts: Iterable[str]) -> frozenset[Grant]:
    """Grants as they are written; raises ValueError."""
    return frozenset(Grant.parse(text) for text in texts)


EVERYTHING = frozenset(Grant(permission) for permission in Permission)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller."""

    name: str
    grants: frozenset[Grant]
    credential: str = field(default="", repr=False)
    """Hash of the token it came with, or `oidc:` and the key that signed it; empty on the loopback interface without tokens."""
    until_us: int = 0
    """When its session or its token ends, microseconds UTC; 0 for one without an end."""
    amr: frozenset[str] = frozenset()
    """How it signed in, as the issuer told (RFC 8176): pwd, otp, mfa."""
    signed_in_us: int = 0
    """When it signed in, microseconds UTC; 0 for a token of the tokens file."""
    alias: str = field(default="", repr=False)
    """Of a person with a subject id: the issuer's subject, by which records of before subject ids name it. It goes into no record."""
    issued_us: int | None = None
    """When its session or its issuer's token was made, microseconds UTC; None for what signing out everywhere does not end."""

    def __post_init__(self) -> None:
        """Raise UnauthenticatedError for the name of somebody at a machine: what a caller does must not look as if the machine had."""
        if is_machines(self.name):
            msg = f"nobody is let in as {shown(self.name)}: {NOT_FOR_CALLERS}"
            raise UnauthenticatedError(msg)

    def is_called(self, name: str) -> bool:
        """Whether a record with this name is about this caller."""
        return bool(name) and name in (self.name, self.alias)

    @property
    def allow(self) -> frozenset[Permission]:
        """What it may somewhere."""
        return frozenset(grant.permission for grant in self.grants)

    def scopes(self, permission: Permission) -> tuple[str, ...]:
        """Where it may: paths of nodes, one that is empty for everywhere; sorted."""
        return tuple(sorted(grant.scope for grant in self.grants if grant.permission is permission))

    def require(self, needed: Permission) -> None:
        """Raise PermissionDeniedError unless this is allowed somewhere."""
        if needed not in self.allow:
            msg = f"{self.name} may not {needed}; allowed: {self._allowed()}"
            raise PermissionDeniedError(msg)

    def require_at(self, needed: Permission, path: str) -> None:
        """Raise PermissionDeniedError unless this is allowed at a path. Of commands the policies decide."""
        if not covered(path, self.scopes(needed)):
            msg = f"{self.name} may not {needed} at {shown(path)}; allowed: {self._allowed()}"
            raise PermissionDeniedError(msg)

    def _allowed(self) -> str:
        return ", ".join(sorted(map(str, self.grants))) or "nothing"


current: ContextVar[Principal] = ContextVar("principal")
"""Principal of the call that is being handled."""
