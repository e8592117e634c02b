"""Every call of the services as a value: method, request, and how the answer is read. Pure; transports carry them out.

Enters: arguments of callers. Leaves: `Call`s. Raises InvalidRequestError for arguments that do not fit into a request; everything else is
for the server to refuse. A module a service; `answers` are of HistoryService.
"""

from millrace_client.calls import alarms, answers, commands, history, line, state, work
from millrace_client.calls.alarms import AlarmRef, AlarmRefs
from millrace_client.calls.method import HOUR, PAGE, Call, CommandRef, DeviceRef, Method, TagRef

METHODS: tuple[Method, ...] = (
    *state.METHODS,
    *commands.METHODS,
    *history.METHODS,
    *answers.METHODS,
    *line.METHODS,
    *work.METHODS,
    *alarms.METHODS,
)

__all__ = [
    "HOUR",
    "METHODS",
    "PAGE",
    "AlarmRef",
    "AlarmRefs",
    "Call",
    "CommandRef",
    "DeviceRef",
    "Method",
    "TagRef",
    "alarms",
    "answers",
    "commands",
    "history",
    "line",
    "state",
    "work",
]
