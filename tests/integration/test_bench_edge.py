"""The gateway's benchmarks, as small as they go: the harness works, and what it finds is sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench


def result_of(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    file = tmp_path / "result.json"
    assert bench.main([*arguments, "--smoke", "--json", str(file)]) == 0
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.mark.campaign
@pytest.mark.timeout(300)
def test_commands_under_kills_of_their_gateway(tmp_path: Path) -> None:
    found = result_of(tmp_path, "actuations")
    assert (found["contradictions"], found["kills"], found["twice"]) == ([], 2, 0)


@pytest.mark.campaign
@pytest.mark.timeout(300)
def test_what_a_gateway_carries(tmp_path: Path) -> None:
    found = result_of(tmp_path, "edge")
    (table,) = found["tables"]
    (row,) = table["rows"]
    assert row[0] > 0, "the machine sends"
    assert row[1] > 0, "and it arrives"
