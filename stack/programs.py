"""Which Python and which code a deployable's processes run: this checkout's, or those of an installation as an image has it.

Enters: `StackConfig.installed`, a folder in which `k8s/images/install.py` made a folder for each deployable. Who calls: the
table of services, the one-shot steps, the Flink cluster.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from stack.config import ROOT, StackConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """Where a deployable is: its interpreter, and the folder its modules are imported from."""

    python: str
    directory: Path

    def module(self, name: str, *arguments: str) -> tuple[str, ...]:
        """Command line that runs a module of the deployable; to be started in `directory`."""
        return (self.python, "-m", name, *arguments)


def program(config: StackConfig, deployable: str) -> Program:
    """The deployable of that name in `k8s/images/deployables.toml`."""
    if not config.installed:
        return Program(python=sys.executable, directory=ROOT)
    folder = Path(config.installed) / deployable
    return Program(python=str(folder / "venv" / "bin" / "python"), directory=folder / "app")
