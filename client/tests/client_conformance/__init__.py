"""What a client may rely on: one suite of cases, run against the fake plant and against the real server, through both clients.

A run gives a `plant` fixture: three presses (see `TAGS`), changed by the case through the `Plant` protocol. Clients are asynchronous; the
client for threads is put behind the same face by `InThreads`, so that every case is written once.
"""

from client_conformance.alarms import AlarmCases
from client_conformance.batches import BatchCases
from client_conformance.commands import CommandCases, CommandListCases, OutcomeCases
from client_conformance.connections import AccessCases, RestartCases
from client_conformance.history import HistoryCases
from client_conformance.line import LineCases
from client_conformance.plant import EVERYTHING, PRESSES, START_US, TAGS, Plant, face
from client_conformance.state import FilterCases, StateCases
from client_conformance.work import WorkCases

__all__ = [
    "EVERYTHING", "PRESSES", "START_US", "TAGS", "AccessCases", "AlarmCases", "BatchCases", "CommandCases", "CommandListCases",
    "FilterCases", "HistoryCases", "LineCases", "OutcomeCases", "Plant", "RestartCases", "StateCases", "WorkCases", "face",
]  # fmt: skip
