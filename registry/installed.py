"""The plant's tool at the registry of an installation: `plant diff|load|set|proposals|...`. Who calls: `registry.command`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import yaml

from base.account import os_user
from base.errors import InvalidRequestError, MillraceError, NotFoundError, RegistryError
from base.settings import PlatformSettings, load
from connectors.postgres import tool
from connectors.postgres.database import connect
from registry import edit, proposals_command
from registry.changes import Change
from registry.difference import difference
from registry.export import export
from registry.load import load_plant
from registry.plant_file import read_plant
from registry.publish import publish
from schemas.definitions import TagDefinition
from schemas.ucum import is_ucum
from schemas.units import NO_UNIT, to_ucum


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; returns the exit code."""

    def work() -> int:
        if result := Registry(args).run():
            sys.stdout.write(result + "\n")
        return 0

    return tool.run("plant", work)


def _show(dsn: str, prefix: str, *, as_json: bool) -> str:
    with connect(dsn, application="registry", autocommit=True) as connection:
        found, version = edit.definitions(connection)
    tags = sorted((tag for tag in found if tag.path.startswith(prefix)), key=lambda tag: tag.path)
    if not tags:
        msg = f"nothing at {prefix!r}"
        raise NotFoundError(msg)
    if as_json:
        sys.stdout.writelines(json.dumps(dataclasses.asdict(tag)) + "\n" for tag in tags)
        return ""
    sys.stdout.writelines(_line(tag) + "\n" for tag in tags)
    return f"registry version {version}: {len(tags)} tags"


def _line(tag: TagDefinition) -> str:
    limits = f"[{_bound(tag.limit_low)}, {_bound(tag.limit_high)}]"
    flags = " ".join(name for name, on in (("writable", tag.writable), ("retired", tag.retired)) if on)
    flags = f"{flags} calculated: {tag.expression}".strip() if tag.calculated else flags
    text = f"{tag.tag_id:>6}  {tag.path:<64} {tag.unit:<8} {limits:<22} {tag.period_ms:>6} ms  {tag.gateway_id}/{tag.lane}  {flags}"
    return text.rstrip()


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _assignments(pairs: Sequence[str]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        msg = f"{wrong[0]!r} is not key=value"
        raise InvalidRequestError(msg)
    return dict(pair.split("=", 1) for pair in pairs)


class Registry:
    """The commands that work on the registry of an installation."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._platform = load(PlatformSettings, args.config)
        self._dsn = self._platform.postgres.dsn

    def run(self) -> str:
        """Do what was asked for; returns the last line of output."""
        actions: dict[str, Callable[[], str]] = {
            "diff": self._diff,
            "load": self._load,
            "export": self._export,
            "publish": lambda: publish(self._dsn, self._platform.kafka, everything=self._args.everything),
            "set": self._set,
            "move": self._move,
            "proposals": self._proposals,
            "show": lambda: _show(self._dsn, self._args.prefix, as_json=self._args.json),
        }
        return actions[self._args.command]()

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._dsn, application="registry", autocommit=True)

    def _change(self, what: str) -> Change:
        return Change(who=self._args.who or os_user(), why=self._args.why, what=what)

    def _diff(self) -> str:
        plant = read_plant(self._args.plant)
        with self._connect() as connection:
            lines, report = difference(connection, plant)
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return f"load would make {report}" if lines else "load would change nothing"

    def _load(self) -> str:
        plant = read_plant(self._args.plant)
        with self._connect() as connection:
            report = load_plant(connection, plant, self._change(f"load {self._args.plant.name}"[:1000]))
        return self._published(str(report))

    def _export(self) -> str:
        with self._connect() as connection:
            data = export(connection, self._args.site)
        sys.stdout.write("# yaml-language-server: $schema=plant.schema.json\n")
        yaml.safe_dump(data, sys.stdout, sort_keys=False, allow_unicode=True, default_flow_style=None, width=140)
        return ""

    def _set(self) -> str:
        values = _assignments(self._args.pairs)
        if not is_ucum(unit := values.get("unit", NO_UNIT)):
            known = to_ucum(unit)
            sys.stderr.write(f"warning: unit {unit!r} is no UCUM code{f'; write {known!r}' if known else ''}\n")
        with self._connect() as connection:
            version = edit.set_attributes(connection, self._args.path, values, self._change("set"))
        return self._published(f"registry version {version}")

    def _move(self) -> str:
        with self._connect() as connection:
            version = edit.move(connection, self._args.device, self._args.parent, self._change("move"))
        return self._published(f"registry version {version}")

    def _proposals(self) -> str:
        with self._connect() as connection:
            done, changed = proposals_command.run(self._args, connection, self._change)
        return self._published(done) if changed else done

    def _published(self, done: str) -> str:
        """Let gateways, jobs and serving know; what was done says so."""
        if not self._args.publish:
            return done
        try:
            publish(self._dsn, self._platform.kafka)
        except MillraceError as error:
            msg = f"{done}, not published: {error}; `./millrace plant publish` does it when Kafka is there"
            raise RegistryError(msg) from error
        return f"{done}; published"
