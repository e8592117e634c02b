"""Waiting for a service: until it is ready, or until it is plain that it will not be."""

from __future__ import annotations

import time

from stack.config import StackConfig
from stack.errors import NotReadyError
from stack.services import Service
from stack.supervisor import log_file, restarts

_POLL_S = 0.1
# A service that ends this often while somebody waits for it will not come.
_MAX_ENDS = 4


def wait_ready(config: StackConfig, service: Service) -> None:
    """Return when the service is ready; NotReadyError with the end of its log when its time is over, or when it ends again and again."""
    begin, ends = time.monotonic(), restarts(config).get(service.name, 0)
    while not service.ready(config):
        waited, fresh_ends = time.monotonic() - begin, restarts(config).get(service.name, 0) - ends
        if waited > service.ready_timeout_s or fresh_ends >= _MAX_ENDS:
            log = log_file(config, service.name)
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else "(empty)"
            why = f"ended {fresh_ends} times" if fresh_ends else f"was not ready after {waited:.0f} s"
            msg = f"{service.name} {why}; end of {log}:\n{tail}"
            raise NotReadyError(msg)
        time.sleep(_POLL_S)
