"""The gRPC interface: generated code is current, numbers are used once, everything is documented."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from schemas import generate

PROTOS = sorted(generate.PROTO_DIR.rglob("*.proto"))


def test_the_committed_code_is_what_the_protos_generate(tmp_path: Path) -> None:
    for path in generate.generate(tmp_path):
        committed = generate.ROOT / path.relative_to(tmp_path)
        assert committed.read_text() == path.read_text(), f"{committed.name} is stale: run `just proto`"


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_every_method_is_documented(path: Path) -> None:
    lines = path.read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if match := re.match(r"\s*rpc (\w+)", line):
            assert before.strip().startswith("//"), match[1]


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_times_say_their_unit(path: Path) -> None:
    for name in re.findall(r"int64 (\w+) = ", path.read_text()):
        assert name.endswith(("_us", "_ms", "_s")), name
