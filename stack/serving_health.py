"""Asks a gRPC server for its health by the standard protocol."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from stack.config import StackConfig


def ready(config: StackConfig) -> bool:
    """Whether the server of this instance answers SERVING."""
    with grpc.insecure_channel(config.serving_address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
