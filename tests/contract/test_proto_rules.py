"""What `buf lint` (STANDARD and COMMENTS) and `buf breaking` (FILE) ask, over the descriptors: names, comments, and nothing taken away.

Excepted are the three rules on names of requests and responses, for methods that were released without them: other types would break
their callers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from schemas import generate

RELEASED = Path(__file__).parent / "released"
NOW = FileDescriptorSet.FromString((generate.ROOT / generate.DESCRIBED).read_bytes()).file
# Request and response have the method's name in others: these answer with a resource, as Google's AIPs have it.
_RESOURCES = {
    "Device",
    "Tag",
    "Command",
    "Anomaly",
    "TagUpdate",
    "TagBatch",
    "Gateway",
    "LineHealth",
    "Accounting",
    "Event",
    "AlarmAnswer",
}
_SHARED_REQUESTS = {"ControlCommandRequest", "SubmitCommandRequest"}
_LOWER, _PASCAL = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*"), re.compile(r"([A-Z][a-z0-9]*)+")
Path_ = tuple[int, ...]


def elements(file: FileDescriptorProto) -> Iterator[tuple[Path_, str, str, Any]]:
    """Path of source info, kind, full name, descriptor: everything that has a name."""

    def message(one: DescriptorProto, path: Path_, name: str) -> Iterator[tuple[Path_, str, str, Any]]:
        if one.options.map_entry:
            return
        yield path, "message", name, one
        for index, field in enumerate(one.field):
            yield (*path, 2, index), "field", f"{name}.{field.name}", field
        made = {field.oneof_index for field in one.field if field.proto3_optional}
        for index, oneof in enumerate(one.oneof_decl):
            if index not in made:
                yield (*path, 8, index), "oneof", f"{name}.{oneof.name}", oneof
        for index, nested in enumerate(one.nested_type):
            yield from message(nested, (*path, 3, index), f"{name}.{nested.name}")

    for index, one in enumerate(file.message_type):
        yield from message(one, (4, index), one.name)
    for index, enum in enumerate(file.enum_type):
        yield (5, index), "enum", enum.name, enum
        for at, value in enumerate(enum.value):
            yield (5, index, 2, at), "value", f"{enum.name}.{value.name}", value
    for index, service in enumerate(file.service):
        yield (6, index), "service", service.name, service
        for at, method in enumerate(service.method):
            yield (6, index, 2, at), "method", f"{service.name}.{method.name}", method


def each_file() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", NOW, ids=lambda file: Path(file.name).name)


@each_file()
def test_everything_has_a_comment(file: FileDescriptorProto) -> None:
    commented = {tuple(place.path) for place in file.source_code_info.location if place.leading_comments.strip()}
    assert [f"{kind} {name}" for path, kind, name, _ in elements(file) if path not in commented] == []


@each_file()
def test_names_are_the_usual_ones(file: FileDescriptorProto) -> None:
    wrong = []
    for _, kind, name, element in elements(file):
        last = name.rpartition(".")[2]
        fits = {
            "message": _PASCAL, "enum": _PASCAL, "service": _PASCAL, "method": _PASCAL, "field": _LOWER, "oneof": _LOWER,
        }.get(kind)  # fmt: skip
        if fits is not None and not fits.fullmatch(last):
            wrong.append(f"{kind} {name}")
        if kind == "service" and not last.endswith("Service"):
            wrong.append(f"{name} does not end in Service")
        if kind == "enum":
            prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).upper() + "_"
            wrong += [value.name for value in element.value if not value.name.startswith(prefix)]
            if (element.value[0].number, element.value[0].name) != (0, f"{prefix}UNSPECIFIED"):
                wrong.append(f"{name} does not begin with {prefix}UNSPECIFIED = 0")
    assert wrong == []
    assert re.fullmatch(r"millrace\.v\d+", file.package)
    assert file.name == f"schemas/proto/{file.package.replace('.', '/')}/{Path(file.name).name}"


@each_file()
def test_requests_and_answers_have_the_names_of_their_methods(file: FileDescriptorProto) -> None:
    wrong = []
    for _, kind, _, method in elements(file):
        if kind == "method":
            asked, answered = method.input_type.rpartition(".")[2], method.output_type.rpartition(".")[2]
            if asked != f"{method.name}Request" and asked not in _SHARED_REQUESTS:
                wrong.append(asked)
            if answered != f"{method.name}Response" and answered not in _RESOURCES:
                wrong.append(answered)
    assert wrong == []


def facts(files: Any) -> dict[str, object]:
    """What callers rely on: numbers, types, labels of fields; numbers of values; types of methods."""
    found: dict[str, object] = {}
    for file in files:
        for _, kind, name, one in elements(file):
            key = f"{file.package}.{name}"
            if kind == "field":
                label = "repeated" if one.label == FieldDescriptorProto.LABEL_REPEATED else "single"
                oneof = one.HasField("oneof_index")
                found[key] = (one.number, one.type, one.type_name, label, oneof, one.proto3_optional)
            elif kind == "value":
                found[key] = one.number
            elif kind == "method":
                found[key] = (one.input_type, one.output_type, one.client_streaming, one.server_streaming)
            else:
                found[key] = kind
    return found


@pytest.mark.parametrize("release", sorted(RELEASED.glob("*.binpb")), ids=lambda path: path.stem)
def test_nothing_that_was_released_is_gone_or_another(release: Path) -> None:
    before, now = facts(FileDescriptorSet.FromString(release.read_bytes()).file), facts(NOW)
    assert before
    assert {name: (fact, now.get(name)) for name, fact in before.items() if now.get(name) != fact} == {}


def test_the_check_for_breaking_changes_finds_them() -> None:
    before = FileDescriptorSet.FromString((RELEASED / "0.1.0.binpb").read_bytes())
    after = FileDescriptorSet.FromString(before.SerializeToString())
    after.file[0].message_type[0].field[0].number = 99
    del after.file[1].enum_type[0].value[3]
    assert len([name for name, fact in facts(before.file).items() if facts(after.file).get(name) != fact]) == 2
