"""The plant's tool: `./millrace plant check|diff|load|set|proposals|...`, or `python -m registry.command` where there is no front door.

`check FILE` says what is wrong with a plant file; `load FILE` makes the database say what the file says. Definitions go to the
compacted topic `registry.tags`, which gateways, jobs and serving follow. The last line of output says what was done. Who calls:
`stack`, people.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from base import logs, tool
from base.settings import local_config
from registry import proposals_arguments


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace plant", description="Check, load, change, show and publish the plant."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", default=local_config("platform.toml"), metavar="FILE", help="platform.toml")
    changing = argparse.ArgumentParser(add_help=False, parents=[common])
    changing.add_argument("--who", default="", help="who makes the change (the user of the operating system)")
    changing.add_argument("--why", default="", help="why; kept with the change")
    changing.add_argument("--no-publish", action="store_false", dest="publish", help="leave it to `plant publish`")
    commands = made.add_subparsers(dest="command", required=True)
    add: Callable[..., argparse.ArgumentParser] = commands.add_parser
    checking = add("check", help="say what is wrong or unwise in a plant file, all of it, with line and column")
    checking.add_argument("plant", type=Path)
    checking.add_argument("--strict", action="store_true", help="warnings count as errors")
    add("schema", help="print the JSON Schema of plant files, for editors")
    add("diff", parents=[common], help="say what `load` would change").add_argument("plant", type=Path)
    add("load", parents=[changing], help="make the registry say what a plant file says").add_argument(
        "plant", type=Path
    )
    exporting = add("export", parents=[common], help="print the registry as a plant file")
    exporting.add_argument("--site", default="", help="one site only")
    publishing = add("publish", parents=[common], help="write changed definitions to registry.tags")
    publishing.add_argument("--all", action="store_true", dest="everything", help="all definitions, changed or not")
    setting = add("set", parents=[changing], help="change attributes of a tag or device")
    setting.add_argument("path", help="enterprise/site/area/line/cell/device[/tag]")
    setting.add_argument("pairs", nargs="+", metavar="key=value", help="an empty value means none")
    moving = add("move", parents=[changing], help="let a device stand in another cell; its ids stay")
    moving.add_argument("device", help="present path of the device")
    moving.add_argument("parent", help="path of the cell")
    proposals_arguments.add(commands, common, changing)
    showing = add("show", parents=[common], help="list tags")
    showing.add_argument("prefix", nargs="?", default="", help="path to begin with")
    showing.add_argument("--json", action="store_true", help="one JSON object a line")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(arguments)
    if args.command not in {"check", "schema"}:
        from registry import installed

        return installed.run(args)
    # Neither of these needs a database's or a broker's library.
    logs.configure("plant")
    return tool.run("plant", lambda: _of_files(args), config=tool.FAILED)


def _of_files(args: argparse.Namespace) -> int:
    from registry import check

    if args.command == "check":
        return check.check(args.plant, strict=args.strict)
    sys.stdout.write(check.schema())
    return 0


if __name__ == "__main__":
    sys.exit(main())
