"""Where the keepers answer Prometheus."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry

from base import endpoint
from base.errors import ConfigError
from base.settings import EndpointSettings
from stack.config import StackConfig

_log = logging.getLogger(__name__)


def listen(config: StackConfig, port: int, registry: CollectorRegistry) -> endpoint.Endpoint | None:
    """Endpoint of a keeper; None, with a warning, when the port cannot be had: nobody is healed the less for it."""
    try:
        return endpoint.start(EndpointSettings(host=config.host, port=port), registry)
    except ConfigError as error:
        _log.warning("there are no metrics", extra={"detail": str(error)})
        return None
