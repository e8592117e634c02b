"""`./millrace bench SCENARIO [--seconds N] [--json FILE] ...` runs one, `./millrace bench report RESULT.json ...` renders results."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from base.errors import ConfigError, MillraceError
from benchmarks import conditions, report, summary
from benchmarks.figures import rounded
from benchmarks.scenarios import SCENARIOS
from stack.lifecycle import Progress


def main(arguments: list[str] | None = None) -> int:
    """Run one scenario; its result on standard output or in a file, progress on standard error. Or render results."""
    options = _parser().parse_args(arguments)
    try:
        if options.scenario == "report":
            return _report(options)
        scenario = SCENARIOS[options.scenario]
        if options.json and not Path(options.json).resolve().parent.is_dir():
            msg = f"--json {options.json}: there is no such folder"
            raise ConfigError(msg)
        if options.smoke:
            for name, value in scenario.smoke.items():
                setattr(options, name, value)
        result = scenario.run(options, Progress(sink=lambda line: print(line, file=sys.stderr, flush=True)))
    except (MillraceError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    text = json.dumps(conditions.collect(options) | rounded(result), indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n")
    print(text)
    return 0


def _report(options: argparse.Namespace) -> int:
    results = [report.load(Path(name)) for name in options.results]
    if options.markdown:
        print(summary.table(results), end="")
        return 0
    out = Path(options.out)
    out.write_text(report.page(results))
    print(out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="millrace bench", description="Measure the line; benchmarks/README.md says what is not measured."
    )
    scenarios = parser.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", metavar="FILE", help="write the result to this file as well")
    common.add_argument("--smoke", action="store_true", help="as small as it goes: tries the harness, measures nothing")
    for name, scenario in SCENARIOS.items():
        one = scenarios.add_parser(
            name, help=scenario.doc, description=scenario.doc, parents=[common], formatter_class=_Formatter
        )
        scenario.arguments(one)
    page = scenarios.add_parser("report", help="one HTML page, or a Markdown table, of result files")
    page.add_argument("results", nargs="+", metavar="RESULT.json")
    page.add_argument("--out", default="report.html", help="file to write")
    page.add_argument("--markdown", action="store_true", help="print a table for documentation instead")
    return parser


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with defaults."""


if __name__ == "__main__":
    # Ends as Ctrl-C does: a default SIGTERM would leave the services to their watch and gigabytes on the disk.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
