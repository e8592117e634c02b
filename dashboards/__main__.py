"""`python -m dashboards`: write grafana/NAME.json of every NAME.yaml."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from dashboards.build import FOLDER, dashboard, names


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    return argparse.ArgumentParser(prog="python -m dashboards", description="Make Grafana's JSON of every dashboard.")


def text(name: str) -> str:
    """What is in the file."""
    return json.dumps(dashboard(name), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser().parse_args(arguments)
    for name in names():
        (FOLDER / "grafana" / f"{name}.json").write_text(text(name))
        sys.stdout.write(f"grafana/{name}.json\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
