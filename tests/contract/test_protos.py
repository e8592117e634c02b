"""The gRPC interface: generated code is current, numbers are used once, everything is documented."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from base.errors import SchemaError
from millrace_client._proto.millrace.v1 import commands_pb2 as clients_commands
from millrace_client._proto.millrace.v1 import state_pb2 as clients_state
from schemas import generate, reference
from schemas.proto.millrace.v1 import commands_pb2, state_pb2

PROTOS = sorted(generate.PROTO_DIR.rglob("*.proto"))
# What an int64 counts when it is no time.
COUNTS = {
    "change_id",
    "buffered_bytes",
    "buffered_samples",
    "calculated",
    "count",
    "dropped",
    "good",
    "held",
    "in_flight",
    "limit",
    "missing",
    "produced",
    "rejected",
    "sequence",
    "failures",
    "number",
    "stops",
    "subgroups",
}
COUNTS |= {"stored", "suppressed", "index", "size", "left_out"}


def test_the_committed_code_is_what_the_protos_generate(tmp_path: Path) -> None:
    for path in generate.generate(tmp_path):
        committed = generate.ROOT / path.relative_to(tmp_path)
        assert committed.read_bytes() == path.read_bytes(), f"{committed.name} is stale: run `just proto`"


def test_the_reference_page_is_what_the_protos_say() -> None:
    assert reference.PAGE.read_text() == reference.page(), "docs/reference/grpc.md is stale: run `./millrace proto`"


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_every_method_is_documented(path: Path) -> None:
    lines = path.read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if match := re.match(r"\s*rpc (\w+)", line):
            assert before.strip().startswith("//"), match[1]


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_times_say_their_unit(path: Path) -> None:
    for name in re.findall(r"int64 (\w+) = ", path.read_text()):
        assert name.endswith(("_us", "_ms", "_s")) or name in COUNTS, name


@pytest.mark.parametrize(("ours", "clients"), [(state_pb2, clients_state), (commands_pb2, clients_commands)])
def test_the_clients_copy_differs_in_nothing_but_its_names(ours: Any, clients: Any) -> None:
    def text(module: Any) -> str:
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        return (
            str(file).replace("millrace_client/_proto/", "schemas/proto/").replace("millrace_client.v1", "millrace.v1")
        )

    assert text(clients) == text(ours)
    assert clients.DESCRIPTOR.package == "millrace_client.v1"


BOTH = """
from schemas.proto.millrace.v1 import commands_pb2, state_pb2
from millrace_client._proto.millrace.v1 import commands_pb2 as clients_commands, state_pb2 as clients_state
from google.protobuf.internal import api_implementation
tag = state_pb2.Tag(tag_id=7, path="a/b", eu_low=1.5, last=state_pb2.Value(value=2.5, quality="QUALITY_BAD"))
seen = clients_state.Tag.FromString(tag.SerializeToString())
assert (seen.path, seen.eu_low, seen.HasField("eu_high"), seen.last.quality) == ("a/b", 1.5, False, 3)
asked = clients_commands.SubmitCommandRequest(command_id="x", parameters={"speed": 1.0})
assert commands_pb2.SubmitCommandRequest.FromString(asked.SerializeToString()).parameters["speed"] == 1.0
print(api_implementation.Type())
"""


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_both_copies_live_in_one_process(implementation: str) -> None:
    environment = os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    command = [sys.executable, "-W", "error", "-c", BOTH]
    result = subprocess.run(
        command, cwd=generate.ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.stdout.strip(), result.stderr) == (implementation, "")


def test_a_proto_is_put_into_the_clients_package_with_what_it_names_in_full() -> None:
    text = """syntax = "proto3";
package millrace.v1;
import "schemas/proto/millrace/v1/state.proto";
import "google/protobuf/field_mask.proto";
// See millrace.v1.Tag of the plant millrace.
message A { millrace.v1.Tag tag = 1; .millrace.v1.Tag other = 2; millrace_x.v1.T no = 3; }
"""
    assert (
        generate.for_client(text)
        == """syntax = "proto3";
package millrace_client.v1;
import "millrace_client/_proto/millrace/v1/state.proto";
import "google/protobuf/field_mask.proto";
// See millrace_client.v1.Tag of the plant millrace.
message A { millrace_client.v1.Tag tag = 1; .millrace_client.v1.Tag other = 2; millrace_x.v1.T no = 3; }
"""
    )
    with pytest.raises(SchemaError, match="package millrace"):
        generate.for_client('syntax = "proto3";\npackage other.v1;\n')
