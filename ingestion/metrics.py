"""Numbers for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """Of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter(
            "millrace_ingestion_records",
            "Records of gateways by what became of them: durable, failed, refused",
            ["outcome"],
            registry=registry,
        )
        self.bytes = Counter(
            "millrace_ingestion_bytes", "Bytes of records of gateways that are durable", registry=registry
        )
        self.sent = Counter(
            "millrace_ingestion_sent_records", "Records that were sent down to gateways", registry=registry
        )
        self.streams = Gauge("millrace_ingestion_streams", "Streams that are open", ["kind"], registry=registry)
        self.refused_streams = Counter(
            "millrace_ingestion_ended_streams",
            "Streams that the service refused or ended",
            ["status"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "millrace_ingestion_in_flight_bytes", "Bytes taken from gateways and not yet durable", registry=registry
        )
        self.rights_age = Gauge(
            "millrace_ingestion_rights_age_seconds", "Age of what is known of the gateways' rights", registry=registry
        )
