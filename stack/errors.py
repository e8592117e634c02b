"""Errors of the stack that a person can act on; the command line prints them without a traceback."""

from __future__ import annotations


class StackError(Exception):
    """Something of the local stack is not as it must be; the message says what to do."""


class PreflightError(StackError):
    """The machine cannot run the stack now: a port is taken, memory or disk is short, a program is missing."""


class NotReadyError(StackError):
    """A service did not become ready in time; the message names its log."""


class UnreachableError(StackError):
    """Something that had to be asked does not answer; nothing is known about what it would have said."""


class SupervisorError(StackError):
    """supervisord refuses an order; `code` is one of its own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"supervisord: {text}")
        self.code, self.text = code, text


class StepError(StackError):
    """A one-shot step (topics, migrations, registry, job submission) failed."""
