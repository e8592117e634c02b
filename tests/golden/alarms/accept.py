"""`python -m tests.golden.alarms.accept [NAME…]`: writes the expected files of cases, all of them without a name.

From what the logic does now: to be read, and then committed.
"""

from __future__ import annotations

import sys

from tests.golden.alarms.runner import CASES, case_names, dump, run


def main() -> None:
    for name in sys.argv[1:] or case_names():
        path = CASES / f"{name}.expected.json"
        path.write_text(dump(run(name)))
        sys.stderr.write(f"wrote {path.name}\n")


if __name__ == "__main__":
    main()
