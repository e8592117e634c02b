"""What both ends of the ingestion service agree on: methods and bounds.

A message holds records of about `REQUEST_BYTES`, or one larger record alone; a record is at most `MAX_RECORD_BYTES`.
"""

from __future__ import annotations

from typing import Any

import grpc

from schemas.topics import MAX_RECORD_BYTES

EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs do not know it
"""What reading a stream gives when the other side has no more."""
SERVICE = "millrace.ingestion.v1.Ingestion"
APPEND, FOLLOW = f"/{SERVICE}/Append", f"/{SERVICE}/Follow"
REQUEST_BYTES = 256 << 10
MAX_MESSAGE_BYTES = MAX_RECORD_BYTES + REQUEST_BYTES + (64 << 10)
# A connection that a firewall forgot is found by these; the service allows the client's.
_KEEPALIVE_MS, _KEEPALIVE_ANSWER_MS = 20_000, 10_000
_SIZES = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_ANSWER_MS),
]
SERVER_OPTIONS: list[tuple[str, Any]] = [
    *_SIZES,
    ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    # Two processes on one port would share the gateways without knowing of each other's bounds.
    ("grpc.so_reuseport", 0),
]
CLIENT_OPTIONS: list[tuple[str, Any]] = [
    *_SIZES,
    ("grpc.http2.max_pings_without_data", 0),
    # A connection for each stream: acknowledgements do not wait behind frames.
    ("grpc.use_local_subchannel_pool", 1),
    # Our own pauses are the shorter ones.
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
