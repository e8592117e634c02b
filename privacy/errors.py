"""Errors of the directory of people."""

from __future__ import annotations

from base.errors import PermissionDeniedError


class ForgottenError(PermissionDeniedError):
    """Somebody was forgotten after this token was made."""
