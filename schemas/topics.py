"""The topic table: every Kafka topic with its key, record types, partitions and clean-up policy.

Topics that a gateway touches end in its site, so ACLs give its principal exactly its own plant (`connectors.kafka.acls` makes them of
the column `gateways`). The registry and the signing keys are the exceptions: one topic each of all sites, which every gateway reads.
Numbers of partitions are the defaults of a small installation; `connectors.kafka.admin` can raise them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_REQUEST_BYTES = 4 << 20
"""Largest request that a broker takes (`message.max.bytes`)."""
MAX_RECORD_BYTES = MAX_REQUEST_BYTES - (4 << 10)
"""Largest value that fits in one with key and headers; a larger one would fail a job at its sink again and again."""


class Cleanup(StrEnum):
    """Kafka's `cleanup.policy`."""

    DELETE = "delete"
    COMPACT = "compact"


class Access(StrEnum):
    """What a gateway does with a topic; it may do nothing else."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """One row of the table. `retention_ms` counts for DELETE only; `compact_after_ms` for COMPACT only: so long every record stays."""

    name: str
    key: str
    records: tuple[str, ...]
    partitions: int
    cleanup: Cleanup = Cleanup.DELETE
    retention_ms: int = 7 * DAY_MS
    compact_after_ms: int = 0
    per_site: bool = False
    gateways: Access | None = None
    doc: str = ""

    def for_site(self, site: str) -> str:
        """Topic name at a site; the plain name for a topic that is not per site."""
        return f"{self.name}.{site}" if self.per_site else self.name

    @property
    def pattern(self) -> str:
        """Regular expression over the names of all sites."""
        return self.name.replace(".", r"\.") + (r"\.[A-Za-z0-9_-]+" if self.per_site else "")


FRAMES = Topic(
    name="telemetry.frames",
    key="lane",
    records=("TelemetryFrame",),
    partitions=6,
    per_site=True,
    gateways=Access.WRITE,
    doc="What gateways saw.",
)
VALIDATED = Topic(
    name="telemetry.validated",
    key="lane",
    records=("TelemetryFrame", "FrameBundle"),
    partitions=6,
    doc="The same frames, with verdicts.",
)
REJECTED = Topic(
    name="telemetry.rejected",
    key="lane",
    records=("Rejected",),
    partitions=3,
    retention_ms=30 * DAY_MS,
    doc="What was refused, and why.",
)
LATEST = Topic(
    name="telemetry.latest",
    key="lane",
    records=("LatestBatch",),
    partitions=3,
    cleanup=Cleanup.COMPACT,
    # The alarms job reads again what came since its checkpoint, when it goes on from one.
    compact_after_ms=60_000,
    doc="Last value of every tag.",
)
AGGREGATES = Topic(
    name="telemetry.aggregates", key="lane", records=("AggregateBatch",), partitions=3, doc="Closed windows."
)
LANES = Topic(
    name="telemetry.lanes",
    key="lane",
    records=("LaneProgress",),
    partitions=3,
    cleanup=Cleanup.COMPACT,
    doc="Duplicates and held frames.",
)
ANOMALIES = Topic(
    name="telemetry.anomalies",
    key="device id",
    records=("Anomaly",),
    partitions=3,
    retention_ms=30 * DAY_MS,
    doc="Episodes.",
)
ANOMALY_LABELS = Topic(
    name="anomaly.labels",
    key="label id",
    records=("AnomalyLabel",),
    partitions=1,
    cleanup=Cleanup.COMPACT,
    doc="What people say of episodes.",
)
EVENTS = Topic(
    name="device.events",
    key="device id",
    records=("DeviceEvent",),
    partitions=3,
    retention_ms=30 * DAY_MS,
    per_site=True,
    gateways=Access.WRITE,
    doc="Births, gaps, health.",
)
TAGS = Topic(
    name="registry.tags",
    key="tag id",
    records=("TagDefinition", "RegistryVersion"),
    partitions=1,
    cleanup=Cleanup.COMPACT,
    gateways=Access.READ,
    doc="The registry.",
)
REQUESTS = Topic(
    name="command.requests",
    key="device id",
    records=("CommandRequest", "CommandControl"),
    partitions=3,
    per_site=True,
    gateways=Access.READ,
    doc="To gateways.",
)
ACKS = Topic(
    name="command.acks",
    key="command id",
    records=("CommandAck",),
    partitions=3,
    per_site=True,
    gateways=Access.WRITE,
    doc="From gateways.",
)
STATES = Topic(
    name="command.states",
    key="command id",
    records=("CommandState",),
    partitions=3,
    cleanup=Cleanup.COMPACT,
    # History keeps each transition: after a restore it reads them again.
    compact_after_ms=7 * DAY_MS,
    doc="Where commands stand.",
)
SIGNING_KEYS = Topic(
    name="signing.keys",
    key="key id",
    records=("SigningKey",),
    # One: who has read to its end knows every key.
    partitions=1,
    cleanup=Cleanup.COMPACT,
    gateways=Access.READ,
    doc="Who signs with which key.",
)
AUDIT = Topic(
    name="audit.log",
    key="event id",
    records=("AuditEvent",),
    # One, because what happened has one order.
    partitions=1,
    # The Merkle log that is made of it keeps everything.
    retention_ms=90 * DAY_MS,
    doc="Who did what.",
)
SIGN_OUTS = Topic(
    name="sign.outs",
    key="subject",
    records=("SignOut",),
    partitions=1,
    # Longer than any session or token of a person lives.
    retention_ms=30 * DAY_MS,
    doc="Who has signed out everywhere.",
)

ALARMS = Topic(
    name="alarms",
    key="alarm id",
    records=("Alarm",),
    partitions=3,
    cleanup=Cleanup.COMPACT,
    # History keeps each transition: after a restore it reads them again.
    compact_after_ms=7 * DAY_MS,
    doc="Alarms that stand.",
)
ALARM_EVENTS = Topic(
    name="alarm.events",
    key="site",
    records=("AlarmEvent",),
    partitions=3,
    retention_ms=30 * DAY_MS,
    doc="What happened to alarms.",
)
ALARM_ACTIONS = Topic(
    name="alarm.actions",
    key="site",
    records=("AlarmAction",),
    partitions=3,
    retention_ms=30 * DAY_MS,
    doc="What people do to alarms.",
)
ALARM_RULES = Topic(
    name="alarm.rules",
    key="rule version",
    records=("AlarmRule",),
    partitions=1,
    cleanup=Cleanup.COMPACT,
    doc="What is an alarm, and was.",
)
ALARM_NOTIFICATIONS = Topic(
    name="alarm.notifications",
    key="notification id",
    records=("AlarmNotification",),
    partitions=1,
    cleanup=Cleanup.COMPACT,
    doc="Who is told of alarms.",
)
ALARM_SUBSCRIPTIONS = Topic(
    name="alarm.subscriptions",
    key="subscription id",
    records=("PushSubscription",),
    partitions=1,
    cleanup=Cleanup.COMPACT,
    doc="Browsers that take notifications.",
)
WORK_SHIFTS = Topic(
    name="work.shifts",
    key="scope",
    records=("ShiftCalendar",),
    partitions=1,
    cleanup=Cleanup.COMPACT,
    doc="When the shifts of the plant are.",
)

TOPICS = (
    FRAMES,
    VALIDATED,
    REJECTED,
    LATEST,
    AGGREGATES,
    LANES,
    ANOMALIES,
    ANOMALY_LABELS,
    EVENTS,
    TAGS,
    REQUESTS,
    ACKS,
    STATES,
    ALARMS,
    ALARM_EVENTS,
    ALARM_ACTIONS,
    ALARM_RULES,
    ALARM_NOTIFICATIONS,
    ALARM_SUBSCRIPTIONS,
    WORK_SHIFTS,
    SIGNING_KEYS,
    AUDIT,
    SIGN_OUTS,
)
REGISTRY_VERSION_KEY = b"version"


def site_of(topic: str) -> str:
    """Site of a per-site topic's name: what follows its last dot."""
    return topic.rpartition(".")[2]


def find(name: str) -> Topic:
    """Row of a topic name, with or without its site; raises KeyError naming the known topics."""
    for topic in TOPICS:
        if name == topic.name or (topic.per_site and name.startswith(topic.name + ".")):
            return topic
    msg = f"no topic {name}; known: {', '.join(topic.name for topic in TOPICS)}"
    raise KeyError(msg)
