"""The client for threads. `millrace_client.aio` is its twin for event loops; both carry out the same `calls`.

Every call has a deadline for everything it does, its retries included. Streams come back by themselves when the server does (see `retry`):
a watch goes on behind its last batch, or with the values as they stand, so only values in between are missed. What goes wrong is one of
`errors`.
"""

from __future__ import annotations

from millrace_client.threads.alarms import AlarmMethods
from millrace_client.threads.answers import AnswerMethods
from millrace_client.threads.commands import CommandMethods
from millrace_client.threads.history import HistoryMethods
from millrace_client.threads.line import LineMethods
from millrace_client.threads.state import StateMethods
from millrace_client.threads.stream import Stream
from millrace_client.threads.work import WorkMethods

__all__ = ["Client", "Stream"]


class Client(StateMethods, CommandMethods, HistoryMethods, AnswerMethods, LineMethods, WorkMethods, AlarmMethods):
    """Calls of the services. Threads may share one. Use it as `with Client(...) as client`.

    `connection`: an address, a `Connection`, or None for what the environment says (MILLRACE_GRPC, ...). `deadline_s`: of each unary call,
    retries included. `reconnect_s`: how long a stream waits for a server that went away. `first_contact_s`: how long anything waits for a
    server that was never reached. `transport` replaces gRPC, see `millrace_client.fake`.
    """
