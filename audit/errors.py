"""Errors of the audit log."""

from base.errors import MillraceError


class AuditError(MillraceError):
    """The log is not what it says it is, or cannot be written."""
