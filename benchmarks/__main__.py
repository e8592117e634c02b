"""Command line of the benchmarks, behind `./millrace bench`.

`SCENARIO` runs one (`--json FILE` writes the result, `--record` keeps it with the code), `report RESULT.json ...` makes a page of results,
`table` the table of `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from base.errors import ConfigError, MillraceError
from benchmarks import conditions, recorded, report, summary
from benchmarks.figures import rounded
from benchmarks.scenarios import SCENARIOS
from millrace_client import MillraceError as ClientError
from stack.config import ROOT
from stack.errors import StackError
from stack.reporting import Progress


def main(arguments: list[str] | None = None) -> int:
    """Run one scenario; its result on standard output or in a file, progress on standard error. Or render results."""
    options = parser().parse_args(arguments)
    try:
        if options.scenario in _RENDERS:
            return _RENDERS[options.scenario](options)
        scenario = SCENARIOS[options.scenario]
        if options.json and not Path(options.json).resolve().parent.is_dir():
            msg = f"--json {options.json}: there is no such folder"
            raise ConfigError(msg)
        if options.smoke:
            for name, value in scenario.smoke.items():
                setattr(options, name, value)
        load_before = os.getloadavg()[0]
        result = scenario.run(options, Progress(sink=lambda line: print(line, file=sys.stderr, flush=True)))
    except (MillraceError, ClientError, StackError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    command = conditions.command_of(options, parser().parse_args([options.scenario]))
    result = conditions.collect(options, command=command, load_before=load_before) | rounded(result)
    text = recorded.dumps(result)
    if options.json:
        Path(options.json).write_text(text)
    print(text, end="")
    if options.record:
        try:
            print(f"bench: kept as {recorded.record(result).relative_to(ROOT)}", file=sys.stderr)
        except ConfigError as error:
            print(f"bench: not kept: {error}", file=sys.stderr)
            return 1
    return 0


def _report(options: argparse.Namespace) -> int:
    out = Path(options.out)
    out.write_text(report.page([report.load(Path(name)) for name in options.results]))
    print(out)
    return 0


def _table(options: argparse.Namespace) -> int:
    table = summary.table(recorded.newest(recorded.load()), relative_to=summary.DOCUMENT.parent)
    if not options.write:
        print(table, end="")
        return 0
    summary.DOCUMENT.write_text(summary.put(table, summary.DOCUMENT.read_text()))
    print(summary.DOCUMENT.relative_to(ROOT))
    return 0


_RENDERS = {"report": _report, "table": _table}


def parser(
    only: Sequence[str] = (),
    *,
    prog: str = "millrace bench",
    description: str = "Measure the line; benchmarks/README.md says what is not measured.",
) -> argparse.ArgumentParser:
    """Arguments of the program, or of some of its scenarios."""
    made = argparse.ArgumentParser(prog=prog, description=description)
    scenarios = made.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", metavar="FILE", help="write the result to this file as well")
    common.add_argument(
        "--record", action="store_true", help="keep the result below benchmarks/results, for `bench table`"
    )
    common.add_argument("--smoke", action="store_true", help="as small as it goes: tries the harness, measures nothing")
    for name, scenario in SCENARIOS.items():
        if only and name not in only:
            continue
        one = scenarios.add_parser(
            name, help=scenario.doc, description=scenario.doc, parents=[common], formatter_class=_Formatter
        )
        scenario.arguments(one)
    if only:
        return made
    page = scenarios.add_parser("report", help="one HTML page of result files")
    page.add_argument("results", nargs="+", metavar="RESULT.json")
    page.add_argument("--out", default="report.html", help="file to write")
    table = scenarios.add_parser("table", help="the table of docs/benchmarks.md, of the results that are kept")
    table.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md instead of printing it")
    return made


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with defaults."""


if __name__ == "__main__":
    # Ends as Ctrl-C does: a default SIGTERM would leave the services to their watch and gigabytes on the disk.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
