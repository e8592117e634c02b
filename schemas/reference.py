"""Writes the reference of the gRPC interface: `python -m schemas.reference`, also part of `just proto`.

Enters: `schemas/proto/**/*.proto` with their comments. Leaves: `docs/reference/grpc.md`, committed; a test writes it again and compares.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from base.errors import SchemaError
from schemas.generate import PROTO_DIR, ROOT

PAGE = ROOT / "docs" / "reference" / "grpc.md"

_HEAD = """# gRPC reference

Generated from the `.proto` files by `./millrace proto`; how to use the services is in [api.md](../api.md). Package `millrace.v1`.
Times ending in `_us` are microseconds since 1970-01-01 UTC. *Optional* fields tell absent from 0.
"""
_SCALARS = {value: name.removeprefix("TYPE_").lower() for name, value in FieldDescriptorProto.Type.items()}


def page() -> str:
    """Text of the page. Raises SchemaError when a file does not compile."""
    files = _files()
    parts = [_HEAD, *_contents(files)]
    for file in files:
        comments = _comments(file)
        parts.append(
            f"## {Path(file.name).stem}\n\n{comments[12,]}\n" if (12,) in comments else f"## {Path(file.name).stem}\n"
        )
        for at, service in enumerate(file.service):
            parts.append("\n".join(_service(service, (6, at), comments)))
        for at, message in enumerate(file.message_type):
            parts.append("\n".join(_message(message, (4, at), comments)))
        for at, enum in enumerate(file.enum_type):
            parts.append("\n".join(_enum(enum, (5, at), comments)))
    return "\n".join(parts)


def _files() -> list[FileDescriptorProto]:
    from grpc_tools import protoc  # type: ignore[import-untyped]  # a development dependency

    sources = [str(path.relative_to(ROOT)) for path in sorted(PROTO_DIR.rglob("*.proto"))]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "all.binpb"
        if protoc.main(["protoc", f"-I{ROOT}", "--include_source_info", f"--descriptor_set_out={target}", *sources]):
            msg = f"protoc failed on {', '.join(sources)}; its messages are above"
            raise SchemaError(msg)
        return list(FileDescriptorSet.FromString(target.read_bytes()).file)


def _comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Comment by the place of what it belongs to; the file's own is in front of its syntax."""
    return {
        tuple(place.path): " ".join(place.leading_comments.split())
        for place in file.source_code_info.location
        if place.leading_comments
    }


def _contents(files: list[FileDescriptorProto]) -> Iterator[str]:
    yield "| service | methods |\n|---|---|"
    for file in files:
        for service in file.service:
            methods = ", ".join(f"[{method.name}](#{service.name.lower()})" for method in service.method)
            yield f"| [{service.name}](#{service.name.lower()}) | {methods} |"
    yield ""


def _service(
    service: ServiceDescriptorProto, place: tuple[int, ...], comments: dict[tuple[int, ...], str]
) -> Iterator[str]:
    yield f"### {service.name}\n\n{_paragraph(comments, place)}| method | request | answer | |\n|---|---|---|---|"
    for at, method in enumerate(service.method):
        yield f"| `{method.name}` | {_link(method.input_type)} | {_answer(method)} | {comments.get((*place, 2, at), '')} |"
    yield ""


def _answer(method: MethodDescriptorProto) -> str:
    return f"stream of {_link(method.output_type)}" if method.server_streaming else _link(method.output_type)


def _message(message: DescriptorProto, place: tuple[int, ...], comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    yield f"### {message.name}\n\n{_paragraph(comments, place)}".rstrip("\n") + "\n"
    if not message.field:
        return
    yield "| | field | type | |\n|---|---|---|---|"
    maps = {entry.name: entry for entry in message.nested_type if entry.options.map_entry}
    for at, field in enumerate(message.field):
        yield f"| {field.number} | `{field.name}` | {_type(field, message, maps)} | {comments.get((*place, 2, at), '')} |"
    yield ""


def _type(field: FieldDescriptorProto, message: DescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    if entry := maps.get(field.type_name.rpartition(".")[2]):
        return f"map of {_plain(entry.field[0])} to {_plain(entry.field[1])}"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"{_plain(field)}, repeated"
    if field.proto3_optional:
        return f"{_plain(field)}, optional"
    if field.HasField("oneof_index"):
        return f"{_plain(field)}, one of `{message.oneof_decl[field.oneof_index].name}`"
    return _plain(field)


def _plain(field: FieldDescriptorProto) -> str:
    return _link(field.type_name) if field.type_name else _SCALARS[field.type]


def _enum(enum: EnumDescriptorProto, place: tuple[int, ...], comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    yield f"### {enum.name}\n\n{_paragraph(comments, place)}| | name | |\n|---|---|---|"
    for at, value in enumerate(enum.value):
        yield f"| {value.number} | `{value.name}` | {comments.get((*place, 2, at), '')} |"
    yield ""


def _paragraph(comments: dict[tuple[int, ...], str], place: tuple[int, ...]) -> str:
    return f"{comments[place]}\n\n" if place in comments else ""


def _link(type_name: str) -> str:
    name = type_name.rpartition(".")[2]
    return f"[{name}](#{name.lower()})" if type_name.startswith(".millrace.") else name


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
