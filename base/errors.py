"""The error tree. Each layer raises its own branch; serving maps branches to statuses in one table, `serving.problems`.

MillraceError
├── ConfigError            a setting is missing or wrong; the message names it
├── SchemaError            a record does not fit its schema
│   ├── UndecodableError   bytes that are no message of ours
│   └── UnknownSchemaError a message of a schema this version does not ship
├── FrameError             columns of a frame do not fit together
├── RegistryError          the plant definition is wrong
├── InvalidRequestError    the caller asked for something malformed
├── NotFoundError          no such device, tag or command
├── ConflictError          the same id with other content
├── PreconditionError      not in a state that allows this
├── PermissionDeniedError  the caller may not
├── OverloadedError        try again later
├── UnavailableError       a component this call needs is not reachable
├── DeadlineError          not in the caller's time
└── UnimplementedError     no such method
"""

from collections.abc import Sequence


class MillraceError(Exception):
    """Root of the tree."""


class ConfigError(MillraceError):
    """A setting is missing or wrong."""


class SchemaError(MillraceError):
    """A record does not fit its schema."""


class UndecodableError(SchemaError):
    """Bytes that are no message of ours."""


class UnknownSchemaError(SchemaError):
    """A message of a schema this version does not ship."""


class FrameError(MillraceError):
    """Columns of a frame do not fit together."""


class RegistryError(MillraceError):
    """The plant definition is wrong."""


class InvalidRequestError(MillraceError):
    """The caller asked for something malformed; `field` names the field of the request, when it is one."""

    def __init__(self, message: str = "", *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotFoundError(MillraceError):
    """No such device, tag or command."""


class ConflictError(MillraceError):
    """The same id with other content."""


class PreconditionError(MillraceError):
    """Not in a state that allows this: a command that has its outcome cannot be cancelled."""


class PermissionDeniedError(MillraceError):
    """The caller may not do this."""


class OverloadedError(MillraceError):
    """Too much at once; a try after `retry_after_s` can succeed."""

    def __init__(self, message: str = "", *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnavailableError(MillraceError):
    """A component this call needs is not reachable."""


class DeadlineError(MillraceError):
    """The caller's time was over."""


class UnimplementedError(MillraceError):
    """No such method."""


_CAUSE_LENGTH = 300
_SHOWN_LENGTH = 100


def shown(value: object) -> str:
    """What a caller sent, for a message: quoted, in at most 100 characters, so that no answer is as long as its request."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > _SHOWN_LENGTH - 20:
        return f"{text[: _SHOWN_LENGTH - 40]!r}… ({len(text):,} characters)"[: _SHOWN_LENGTH + 20]
    return repr(text) if isinstance(value, str) else text


def listed(names: Sequence[str], most: int) -> str:
    """Names as messages show them: the first `most`, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def cause_of(error: BaseException) -> str:
    """Kind and message of an error in one line of at most 300 characters, for events and status pages."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a library's error that cannot say what it is
        text = ""
    kind = type(error).__name__
    cause = f"{kind}: {text}" if text else kind
    return cause if len(cause) <= _CAUSE_LENGTH else f"{cause[: _CAUSE_LENGTH - 1]}…"
