"""What a busy machine makes of the question how Flink divides memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack import flink_jvm, java
from stack.errors import StepError


def test_a_utility_that_does_not_answer_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tmp_path / "java"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    monkeypatch.setattr(java, "executable", lambda: silent)
    monkeypatch.setattr(flink_jvm, "_UTILITY_TIMEOUT_S", 0.1)
    with pytest.raises(StepError, match=r"did not answer.*millrace up"):
        flink_jvm._ask("GET_JM_RESOURCE_PARAMS", {}, "")
