"""How people and programs reach the line on this machine: ready-made lines to copy, with the proof of who answers."""

from __future__ import annotations

import shlex

from stack import postgres
from stack.config import StackConfig


def lines(config: StackConfig) -> dict[str, str]:
    """A line of the shell for each way, by what it is for. psql reads the password in a file, so no process shows it."""
    dsn = postgres.dsn(config, role=postgres.ANALYST, with_password=False)
    return {
        "page": config.page_url,
        "sql": f"psql {shlex.quote(dsn)}",
        "grpc": f"grpcurl -plaintext {config.serving_address} list",
        "http": f"curl {config.page_url}/api/openapi.json",
    }
