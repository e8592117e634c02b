"""Server reflection, v1 and v1alpha: lets grpcurl and the like ask which services there are, with the comments of the .proto files.

The library ships v1alpha only. v1 has the same messages under another package name, so one servicer answers both. Generated code has no
comments: files of ours are answered from `schemas/proto/described.binpb`, which has them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from schemas import generate

_NAMES = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)


def add_to(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Answer questions about `services`."""
    answer = _with_comments(ReflectionServicer((*services, *_NAMES)))
    for name in _NAMES:
        method = grpc.stream_stream_rpc_method_handler(
            answer,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        handlers = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method})
        server.add_generic_rpc_handlers((handlers,))


def _with_comments(servicer: Any) -> Any:
    files = FileDescriptorSet.FromString((generate.ROOT / generate.DESCRIBED).read_bytes()).file
    described = {file.name: file.SerializeToString() for file in files}

    async def answer(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for response in servicer.ServerReflectionInfo(requests, context):
            found = response.file_descriptor_response.file_descriptor_proto
            for index, raw in enumerate(found):
                found[index] = described.get(FileDescriptorProto.FromString(raw).name, raw)
            yield response

    return answer
