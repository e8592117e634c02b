"""`python -m tests.golden.alarms.accept [NAME…]`: writes the expected files of cases, all of them without a name.

From what the logic does now: to be read, and then committed.
"""

from __future__ import annotations

import sys

from tests.golden.alarms.runner import CASES, dump, run

if __name__ == "__main__":
    CASES.accept(sys.argv[1:], lambda name: dump(run(name)))
