"""`python -m tests.golden.accept NAME…`: writes the expected file of cases from what the logic does now, to be read and then committed."""

from __future__ import annotations

import sys

from tests.golden.runner import CASES, dump, run


def main() -> None:
    for name in sys.argv[1:]:
        path = CASES / f"{name}.expected.json"
        path.write_text(dump(run(name)))
        sys.stderr.write(f"wrote {path.name}\n")


if __name__ == "__main__":
    main()
