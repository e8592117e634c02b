"""Server reflection, v1 and v1alpha: lets grpcurl and the like ask which services there are.

The library ships v1alpha only. v1 has the same messages under another package name, so one servicer answers both.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

_NAMES = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)


def add_to(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Answer questions about `services`."""
    servicer = ReflectionServicer((*services, *_NAMES))
    for name in _NAMES:
        method = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        handlers = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method})
        server.add_generic_rpc_handlers((handlers,))
