"""Errors of the audit log."""

from base.errors import MillraceError


class AuditError(MillraceError):
    """The log is not what it says it is, or cannot be written."""


class AnotherTopicError(AuditError):
    """A record is not the one that the log has at its offset: the topic has to be compared from its beginning."""
