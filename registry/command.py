"""The plant's tool: `./millrace plant check|diff|load|export|set|...`, or `python -m registry.command` where there is no front door.

`check FILE` says what is wrong with a plant file; `load FILE` makes the database say what the file says. Definitions go to the
compacted topic `registry.tags`, which gateways, jobs and serving follow. The last line of output says what was done. Who calls:
`stack`, people.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from base import ids, logs
from base.errors import MillraceError, RegistryError
from base.settings import KafkaSettings, PlatformSettings, load, local_config
from connectors.kafka import client as kafka
from connectors.postgres.database import connect, unavailable
from registry import check, edit
from registry.load import load_plant
from registry.plant_file import read_plant
from schemas import topics
from schemas.definitions import TagDefinition, encode_tag, encode_version

_PUBLISH_LOCK = 7_161_511_003


def load_file(dsn: str, plant: Path) -> str:
    """Apply a plant file; says what changed."""
    checked = read_plant(plant)
    with connect(dsn, application="registry", autocommit=True) as connection:
        return str(load_plant(connection, checked))


def publish(dsn: str, settings: KafkaSettings, *, everything: bool = False) -> str:
    """Write changed definitions (or all) to `registry.tags`, then the marker that their version is complete; says what was written.

    The marker follows only when every definition is durable, so whoever has read it has read them; a publish that is interrupted is
    simply done again. One publisher at a time.
    """
    with connect(dsn, application="registry", autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_PUBLISH_LOCK,))
        published = -1 if everything else edit.published_version(connection)
        changed, version = edit.definitions(connection, newer_than=published)
        if not changed and published >= version:
            return f"registry version {version} is published already"
        producer = kafka.producer(settings)
        kafka.send(producer, topics.TAGS.name, (encode_tag(tag) for tag in changed))
        marker = encode_version(version, tags=edit.tag_count(connection), time_us=ids.now_us())
        kafka.send(producer, topics.TAGS.name, [marker])
        edit.set_published(connection, version)
    return f"registry version {version}: {len(changed)} definitions published"


def _show(dsn: str, prefix: str, *, as_json: bool) -> str:
    with connect(dsn, application="registry", autocommit=True) as connection:
        found, version = edit.definitions(connection)
    tags = sorted((tag for tag in found if tag.path.startswith(prefix)), key=lambda tag: tag.path)
    if not tags:
        msg = f"nothing at {prefix!r}"
        raise RegistryError(msg)
    if as_json:
        sys.stdout.writelines(json.dumps(dataclasses.asdict(tag)) + "\n" for tag in tags)
        return ""
    sys.stdout.writelines(_line(tag) + "\n" for tag in tags)
    return f"registry version {version}: {len(tags)} tags"


def _line(tag: TagDefinition) -> str:
    limits = f"[{_bound(tag.limit_low)}, {_bound(tag.limit_high)}]"
    flags = " ".join(name for name, on in (("writable", tag.writable), ("retired", tag.retired)) if on)
    text = f"{tag.tag_id:>6}  {tag.path:<64} {tag.unit:<8} {limits:<22} {tag.period_ms:>6} ms  {tag.gateway_id}/{tag.lane}  {flags}"
    return text.rstrip()


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _assignments(pairs: Sequence[str]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        msg = f"{wrong[0]!r} is not key=value"
        raise RegistryError(msg)
    return dict(pair.split("=", 1) for pair in pairs)


def _set(dsn: str, path: str, pairs: Sequence[str]) -> str:
    with connect(dsn, application="registry", autocommit=True) as connection:
        return f"registry version {edit.set_attributes(connection, path, _assignments(pairs))}; publish it for others to see"


def _move(dsn: str, device: str, parent: str) -> str:
    with connect(dsn, application="registry", autocommit=True) as connection:
        return f"registry version {edit.move(connection, device, parent)}; publish it for others to see"


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace plant", description="Check, load, change, show and publish the plant."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", default=local_config("platform.toml"), metavar="FILE", help="platform.toml")
    commands = made.add_subparsers(dest="command", required=True)
    add: Callable[..., argparse.ArgumentParser] = commands.add_parser
    checking = add("check", help="say what is wrong or unwise in a plant file, all of it, with line and column")
    checking.add_argument("plant", type=Path)
    checking.add_argument("--strict", action="store_true", help="warnings count as errors")
    add("schema", help="print the JSON Schema of plant files, for editors")
    add("load", parents=[common], help="make the registry say what a plant file says").add_argument("plant", type=Path)
    publishing = add("publish", parents=[common], help="write changed definitions to registry.tags")
    publishing.add_argument("--all", action="store_true", dest="everything", help="all definitions, changed or not")
    setting = add("set", parents=[common], help="change attributes of a tag or device")
    setting.add_argument("path", help="enterprise/site/area/line/cell/device[/tag]")
    setting.add_argument("pairs", nargs="+", metavar="key=value", help="an empty value means none")
    moving = add("move", parents=[common], help="let a device stand in another cell; its ids stay")
    moving.add_argument("device", help="present path of the device")
    moving.add_argument("parent", help="path of the cell")
    showing = add("show", parents=[common], help="list tags")
    showing.add_argument("prefix", nargs="?", default="", help="path to begin with")
    showing.add_argument("--json", action="store_true", help="one JSON object a line")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(arguments)
    logs.configure("registry")
    try:
        if args.command == "check":
            return check.check(args.plant, strict=args.strict)
        if args.command == "schema":
            sys.stdout.write(check.schema())
            return 0
        platform = load(PlatformSettings, args.config)
        dsn = platform.postgres.dsn
        actions: dict[str, Callable[[], str]] = {
            "load": lambda: load_file(dsn, args.plant),
            "publish": lambda: publish(dsn, platform.kafka, everything=args.everything),
            "set": lambda: _set(dsn, args.path, args.pairs),
            "move": lambda: _move(dsn, args.device, args.parent),
            "show": lambda: _show(dsn, args.prefix, as_json=args.json),
        }
        result = actions[args.command]()
    except psycopg.Error as error:
        sys.stderr.write(f"{unavailable(error)}\n")
        return 1
    except MillraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if result:
        sys.stdout.write(result + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
