"""The client for event loops: what `millrace_client.client` says holds here, with `await` and `async for`."""

from __future__ import annotations

from millrace_client.tasks.alarms import AlarmMethods
from millrace_client.tasks.answers import AnswerMethods
from millrace_client.tasks.commands import CommandMethods
from millrace_client.tasks.history import HistoryMethods
from millrace_client.tasks.line import LineMethods
from millrace_client.tasks.state import StateMethods
from millrace_client.tasks.stream import AsyncStream
from millrace_client.tasks.work import WorkMethods

__all__ = ["AsyncClient", "AsyncStream"]


class AsyncClient(StateMethods, CommandMethods, HistoryMethods, AnswerMethods, LineMethods, WorkMethods, AlarmMethods):
    """Calls of the services, in one event loop. Use it as `async with AsyncClient(...) as client`; arguments as of `Client`."""
