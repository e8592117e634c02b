"""The OpenAPI document: it is valid, complete, documented, and the committed one is what the server serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.proto.millrace.v1 import alarms_pb2, audit_pb2, commands_pb2, history_pb2, line_pb2, state_pb2, work_pb2
from serving.http import openapi
from serving.http.contract import comments_of, rpc
from serving.http.i3x import endpoints as i3x
from serving.http.resources import FEEDS, RESOURCES
from tests.unit.http_served import web

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
# What has no address of its own: `?wait_ms=` is SubmitAndWait, feeds of everything stand for one command's and one tag's.
ELSEWHERE = {"SubmitAndWait", "WatchCommand", "WatchTags"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Operations with their names."""
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


async def test_the_committed_document_is_what_the_server_serves() -> None:
    committed = json.loads(COMMITTED.read_text())
    assert committed == openapi.document(), "docs/openapi.json is stale: run `./millrace proto`"
    async with web() as face:
        answer = await face.client.get("/api/openapi.json")
        assert answer.json() == committed
        again = await face.client.get("/api/openapi.json", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304


def test_every_method_of_the_contract_has_an_address() -> None:
    files = (state_pb2, commands_pb2, history_pb2, line_pb2, work_pb2, audit_pb2, alarms_pb2)
    methods = {m.name for f in files for s in f.DESCRIPTOR.services_by_name.values() for m in s.methods}
    assert {row.rpc.name for row in RESOURCES} | {feed.rpc.name for feed in FEEDS} | ELSEWHERE == methods


async def test_no_route_is_missing_in_the_document_and_none_is_invented() -> None:
    documented = {(path, verb.upper()) for path, verbs in openapi.document()["paths"].items() for verb in verbs}
    async with web() as face:
        assert face.served.server.http is not None
        # i3X has a document of its own, which is not ours.
        routed = {one for one in face.served.server.http.addresses if not one[0].startswith(i3x.ROOT)}
    assert routed == documented


@pytest.mark.security("V4.1.1")
def test_every_operation_parameter_and_answer_is_described() -> None:
    document = openapi.document()
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], f"{name}: {parameter['name']}"
        for status, answer in operation["responses"].items():
            assert answer["description"], f"{name}: {status}"


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    document = openapi.document()
    schemas = document["components"]["schemas"]

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    assert {reference.rpartition("/")[2] for reference in references(document)} <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_comments_are_found_where_they_stand() -> None:
    text = """
// Of the file.
syntax = "proto3";

// A message.
message Outer {
  // A field,
  // of two lines.
  optional double first = 1;
  string second = 2;
  // One of.
  oneof choice {
    // In it.
    string third = 3;
  }
}
// A service.
service S {
  // A method.
  rpc Do(Outer) returns (stream Outer);
}
// Empty.
message Nothing {}
// After it.
message Last {}
"""
    assert comments_of(text) == {
        "millrace.v1.Outer": "A message.",
        "millrace.v1.Outer.first": "A field, of two lines.",
        "millrace.v1.Outer.third": "In it.",
        "millrace.v1.S": "A service.",
        "millrace.v1.S.Do": "A method.",
        "millrace.v1.Nothing": "Empty.",
        "millrace.v1.Last": "After it.",
    }


def test_a_method_that_does_not_exist_is_a_defect_of_the_table() -> None:
    with pytest.raises(KeyError):
        rpc("NoService.NoMethod")
