"""Programs that build jobs, run one after the other in one client; the plan of each is kept, and nothing is submitted.

`flink run -pym jobs.flink.compilation PROGRAM...`, each a `base.plan.Program` in JSON. A Java virtual machine, a Python and PyFlink take
seconds to start, one more job some tenths of one. A program that fails is told of with its traceback; those after it are run all the same.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback

from base import plan
from base.plan import Program


def run(one: Program) -> None:
    """Build the job of one program, which finds everything as `flink run` would have it."""
    os.environ[plan.VARIABLE] = one.plan
    sys.argv = [one.program, *one.arguments]
    if one.program.endswith(".py"):
        runpy.run_path(one.program, run_name="__main__")
    else:
        runpy.run_module(one.program, run_name="__main__", alter_sys=True)


def main() -> int:
    """Run what the command line names; 1 when a program failed."""
    programs, failed = [Program.from_json(text) for text in sys.argv[1:]], False
    for one in programs:
        try:
            run(one)
        # A program raises anything, and one that is given wrong arguments exits; it is told of, and is no reason to leave out the others.
        except (Exception, SystemExit):  # noqa: BLE001
            failed = True
            sys.stderr.write(f"{one.program} was not compiled\n{traceback.format_exc()}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
