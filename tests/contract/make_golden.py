"""Create the golden files of schema versions that have none yet: `python -m tests.contract.make_golden`. Never overwrites."""

from __future__ import annotations

import sys

from schemas import codec
from tests.contract import examples, golden_files


def main() -> None:
    """Write what is missing, and name it."""
    for name, versions in codec.all_schemas().items():
        newest = versions[-1]
        if not golden_files.path_of(newest, "hex").exists():
            golden_files.write(newest, examples.records()[name])
            sys.stdout.write(f"{name} v{newest.version}: created\n")


if __name__ == "__main__":
    main()
