"""Programs that a step of `up` runs once and waits for, bounded in time."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

from stack.errors import StepError


def run(command: Sequence[str], *, timeout_s: float, late: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program and keep what it says, whatever it ends with; `options` are those of `subprocess.run`.

    Raises StepError when it is not done in time; `late` is the message's beginning: who did not do what.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s, **options)
    except subprocess.TimeoutExpired as error:
        msg = f"{late} within {timeout_s:.0f} s. Is the machine busy with something else? `./millrace up` goes on where this one stopped"
        raise StepError(msg) from error
