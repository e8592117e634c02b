"""`./millrace policy test FILE`: runs the cases that are written in a policies file.

Leaves: a line for each case, and for each policy without one. Exit status: 0 when all cases came out as expected, 1 when not, 2 when the
file is wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from base.errors import ConfigError
from edge import policy_file
from edge.expression import ExpressionError
from edge.policies import judge
from edge.policy_file import Case, Interlock, PolicyFile, Rule, values_of
from edge.table import render


def main(arguments: list[str] | None = None) -> int:
    """Run the program."""
    options = parser().parse_args(arguments)
    try:
        file = policy_file.load(options.file)
    except ConfigError as error:
        print(f"policy: {error}", file=sys.stderr)
        return 2
    rows = [(case.policy, case.expect, outcome(file, case)) for case in file.cases]
    print(render(("policy", "expected", "came out"), rows))
    tried = {case.policy for case in file.cases}
    for one in (*file.interlocks, *file.rules):
        if one.name not in tried:
            print(f"no case tries {one.name}")
    return 0 if all(expected == found for _, expected, found in rows) else 1


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="millrace policy", description="Try a gateway's policies.")
    tools = made.add_subparsers(required=True, metavar="TOOL")
    test = tools.add_parser("test", help="run the cases written in a policies file")
    test.add_argument("file", type=Path, metavar="FILE", help="TOML file of policies")
    return made


def outcome(file: PolicyFile, case: Case) -> str:
    """What a policy comes to: refused or allowed; fires, silent or error."""
    policies: list[Interlock | Rule] = [*file.interlocks, *file.rules]
    policy = next(one for one in policies if one.name == case.policy)
    tags = {name: _value(value) for name, value in case.tags.items()}
    seen: dict[str, Any] = values_of(tags, {**dict.fromkeys(tags, 0.0), **{k: float(v) for k, v in case.age_s.items()}})
    if isinstance(policy, Interlock):
        command = {"name": "write", "by": "", "values": {}, **case.command}
        if not policy.concerns(command["name"]):
            return "allowed"
        command["values"] = {name: float(value) for name, value in command["values"].items()}
        return "refused" if judge(policy, {**seen, "command": command}) else "allowed"
    try:
        return "fires" if policy.condition.holds(seen) else "silent"
    except ExpressionError:
        return "error"


def _value(value: Any) -> Any:
    """As the gateway has it: booleans, and numbers as doubles."""
    return value if isinstance(value, bool) else float(value)


if __name__ == "__main__":
    sys.exit(main())
