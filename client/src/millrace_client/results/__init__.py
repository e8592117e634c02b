"""What the services answer, as frozen dataclasses. Times ending in `_us` are microseconds since 1970-01-01 UTC.

A number that this version has no name for, from a newer server, becomes the member UNSPECIFIED of its enum.
"""

from millrace_client.results.commands import OUTCOMES, Command, CommandState, Effect, ParameterOutcome
from millrace_client.results.events import Anomaly, AnomalyPhase, Contributor, Event, Reject, RejectCount
from millrace_client.results.history import (
    Aggregates,
    AggregateSeries,
    Chart,
    ChartSeries,
    Samples,
    SampleSeries,
)
from millrace_client.results.line import (
    Accounting,
    Gateway,
    GatewayConnection,
    GatewayState,
    Health,
    LaneAccount,
    LineHealth,
    StageHealth,
)
from millrace_client.results.page import Page
from millrace_client.results.state import (
    Aggregate,
    CommandDescription,
    Device,
    DeviceState,
    FoundTags,
    ParameterDescription,
    PlantNode,
    Quality,
    Tag,
    TagBatch,
    TagUpdate,
    Value,
)
from millrace_client.results.times import Time, utc

__all__ = [
    "OUTCOMES",
    "Accounting",
    "Aggregate",
    "AggregateSeries",
    "Aggregates",
    "Anomaly",
    "AnomalyPhase",
    "Chart",
    "ChartSeries",
    "Command",
    "CommandDescription",
    "CommandState",
    "Contributor",
    "Device",
    "DeviceState",
    "Effect",
    "Event",
    "FoundTags",
    "Gateway",
    "GatewayConnection",
    "GatewayState",
    "Health",
    "LaneAccount",
    "LineHealth",
    "Page",
    "ParameterDescription",
    "ParameterOutcome",
    "PlantNode",
    "Quality",
    "Reject",
    "RejectCount",
    "SampleSeries",
    "Samples",
    "StageHealth",
    "Tag",
    "TagBatch",
    "TagUpdate",
    "Time",
    "Value",
    "utc",
]
