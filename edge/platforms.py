"""Which way a gateway goes to the platform: the one place that asks. What a way needs is imported when it is the one."""

from __future__ import annotations

from connectors.platform import Platform
from edge.config import GatewayConfig
from edge.uplink import Way


def of(config: GatewayConfig) -> Platform:
    """The way that `uplink.kind` names."""
    if config.uplink.kind is Way.INGESTION:
        from connectors.ingestion.platform import IngestionPlatform

        return IngestionPlatform(config.ingestion)
    from connectors.kafka.platform import KafkaPlatform

    return KafkaPlatform(config.kafka)
