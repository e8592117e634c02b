"""Command line of the client, installed as `millrace-client` by the extra `cli`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec


def main(argv: Sequence[str] | None = None, *, prog: str = "millrace-client") -> int:
    """Run a command line; returns the exit code, 2 without the extra `cli`."""
    if find_spec("rich") is None:
        print("millrace-client: the command line needs rich: pip install 'millrace-client[cli]'", file=sys.stderr)
        return 2
    from millrace_client.cli import commands

    return commands.main(argv, prog=prog)
