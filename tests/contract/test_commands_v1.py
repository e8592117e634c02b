"""A request without a reason is written as v1: gateways that are older than serving read it."""

from __future__ import annotations

from dataclasses import replace

from schemas import codec
from schemas.commands import CommandRequest
from tests.contract import examples


def test_only_a_reason_needs_the_newer_version() -> None:
    request = CommandRequest.from_record(examples.records()["CommandRequest"])
    plain = replace(request, reason="")
    assert codec.schema_of(request.encode()).version == 2
    assert codec.schema_of(plain.encode()).version == 1
    for one in (request, plain):
        assert CommandRequest.from_record(codec.decode(one.encode())[1]) == one
