"""What a person does about a line that does not heal: look at its status, keep its logs, restart it."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass

from benchmarks.faults.table import Fault
from stack import lifecycle, status
from stack.config import TOOLS, StackConfig
from stack.errors import StackError
from stack.reporting import Progress

_LOGS = TOOLS / "bench-faults"


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervention:
    """What was seen and done; empty when nobody was needed. `logs`: folder, relative to the repository."""

    status: str = ""
    logs: str = ""
    result: str = ""
    failed: bool = False


def intervene(config: StackConfig, fault: Fault, progress: Progress) -> Intervention:
    """Keep status and logs, then restart the whole stack."""
    try:
        shown = status.text(status.collect(config))
    except (StackError, OSError) as error:
        shown = f"status failed: {error}"
    kept = _LOGS / f"{fault.seed}-{fault.round}-{fault.name}-{fault.kind}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(config.logs, kept)
    (kept / "status.txt").write_text(shown + "\n")
    began_s = time.monotonic()
    logs = str(kept.relative_to(TOOLS.parent))
    try:
        lifecycle.down(config, progress)
        lifecycle.up(config, progress)
    except StackError as error:
        return Intervention(status=shown, logs=logs, result=f"the restart failed: {error}", failed=True)
    return Intervention(
        status=shown, logs=logs, result=f"the stack was restarted in {time.monotonic() - began_s:.0f} s"
    )
