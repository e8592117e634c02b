"""The command line of `millrace-client`, pointed at the stack on this machine: `./millrace watch`, `command` and so on.

Enters: its arguments. MILLRACE_GRPC and `--address` go first; without them the address is the one of the local stack's `serving.toml`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from base import settings
from base.errors import ConfigError
from millrace_client import cli
from millrace_client.cli import commands
from stack import login

_NO_ADDRESS = 2


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    return commands.parser(prog="millrace")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb of the client; returns its exit code."""
    path = settings.local_config("serving.toml")
    if not os.environ.get("MILLRACE_GRPC") and path.exists():
        try:
            os.environ["MILLRACE_GRPC"] = str(settings.read_toml(path)["listen"])
        except (ConfigError, KeyError) as error:
            print(f"millrace: {path} names no address ({error}); give --address or set MILLRACE_GRPC", file=sys.stderr)
            return 2
    if not os.environ.get("MILLRACE_TOKEN") and (token := login.kept()):
        os.environ["MILLRACE_TOKEN"] = token
    status = cli.main(argv, prog="millrace")
    if status == _NO_ADDRESS and not path.exists() and not os.environ.get("MILLRACE_GRPC"):
        print("millrace: no line was started on this machine yet: `./millrace up` starts one", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
