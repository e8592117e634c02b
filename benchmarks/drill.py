"""`./millrace drill restore`: the drills among the scenarios, under the name that operators look for. What they do is in the scenarios."""

from __future__ import annotations

import argparse
import sys

from benchmarks import __main__ as bench

DRILLS = ("restore",)


def main(arguments: list[str] | None = None) -> int:
    """Run a drill; its result on standard output or in a file, progress on standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    parser().parse_args(given)
    return bench.main(given)


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    return bench.parser(
        DRILLS, prog="millrace drill", description="Destroy a line made for it and bring it back, measured."
    )


if __name__ == "__main__":
    sys.exit(main())
