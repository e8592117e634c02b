"""Requests made from the OpenAPI document by schemathesis, seeded: clean answers, each as the document describes it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.config import LimitSettings
from serving.http import openapi
from tests.unit.http_served import web

EXAMPLES = 12
CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]
# Nothing that is asked for may make the server fail; what it does not have, or not yet, it says.
DEFECTS = {500, 502}


def ask(operation: Any, origin: str) -> set[int]:
    """Ask an operation in many ways; the statuses it answered with."""
    statuses: set[int] = set()

    @seed(14)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def asked(case: Any) -> None:
        answer = case.call(base_url=origin, timeout=10)
        statuses.add(answer.status_code)
        assert answer.status_code not in DEFECTS, answer.text
        case.validate_response(answer, checks=CHECKS)

    asked()
    return statuses


def drive(origin: str) -> dict[str, set[int]]:
    """Ask everything that answers and ends; statuses by operation."""
    schema = schemathesis.openapi.from_dict(openapi.document())
    statuses = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if not operation.path.startswith("/api/v1/watch/"):
            statuses[operation.label] = ask(operation, origin)
    return statuses


@pytest.mark.security("T-SERVING-FLOOD", "SR 3.5")
async def test_whatever_the_document_allows_has_a_clean_answer(caplog: pytest.LogCaptureFixture) -> None:
    limits = LimitSettings(requests_per_s=1e6, burst=1_000_000, commands_per_s=1e6, commands_burst=1_000_000)
    async with web(limits=limits) as face:
        with caplog.at_level(logging.ERROR):
            seen = await asyncio.to_thread(drive, face.origin)
        assert sum(bool(statuses & {200, 201, 204}) for statuses in seen.values()) >= 6, seen
        assert not [record for record in caplog.records if record.exc_info]
        assert await face.get("/me")
