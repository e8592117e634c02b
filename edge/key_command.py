"""`gateway key list|rotate|retire CONFIG`: keys of a gateway's data at rest. None of them needs the gateway to stand still, or to run.

A running gateway goes over to a new key by itself: its next record begins another segment, and its journal is written anew, row by row.
"""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

from base import key_ring, settings
from base.errors import ConfigError
from edge import at_rest
from edge.config import GatewayConfig
from edge.table import render as table


def run(options: argparse.Namespace) -> int:
    """Run the tool that `options.key_tool` names. Raises ConfigError."""
    config = settings.load(GatewayConfig, _file(options), service="gateway")
    reference = config.at_rest.reference(config.state_dir)
    path = key_ring.path_of(reference)
    if path is None:
        msg = f"keys at {reference} are kept there, not here"
        raise ConfigError(msg)
    try:
        uses = at_rest.uses(config.state_dir)
        for line in _TOOLS[options.key_tool](options, path, uses):
            print(line)
    except sqlite3.Error as error:
        msg = f"the journal in {config.state_dir} cannot be read: {error}; run this as the user who runs the gateway"
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"{error.filename or path}: {error.strerror}; run this as the user who runs the gateway"
        raise ConfigError(msg) from error
    return 0


def _file(options: argparse.Namespace) -> Path:
    if options.config is not None:
        return Path(options.config)
    if not options.gateway:
        msg = "key: name the configuration file of a gateway, or a gateway of the local stack"
        raise ConfigError(msg)
    given = Path(options.gateway)
    here = settings.local_config("gateway.toml").with_name(f"gateway-{options.gateway}.toml")
    return here if not given.exists() and here.exists() else given


def _list(_: argparse.Namespace, path: Path, uses: dict[str, list[str]]) -> list[str]:
    known = key_ring.read(path) if path.exists() else []
    rows = [(one.id, one.made, len(uses.get(one.id, ())), "newest" if one is known[-1] else "") for one in known]
    there = {one.id for one in known}
    rows += [(key_id, "", len(names), "MISSING") for key_id, names in uses.items() if key_id and key_id not in there]
    rows += [("none", "", len(uses[""]), "not encrypted")] if "" in uses else []
    return [f"{path}", table(("key", "made", "files", ""), rows)]


def _rotate(_: argparse.Namespace, path: Path, uses: dict[str, list[str]]) -> list[str]:
    if not path.exists() and any(uses):
        msg = f"{path} is missing, and {', '.join(filter(None, uses))} encrypts what is there: put it back from its copy first"
        raise ConfigError(msg)
    made = key_ring.add(path)
    lines = [f"{path}: key {made.id} encrypts from now on; copy the file to where its copy is kept"]
    older = {key_id: len(names) for key_id, names in uses.items() if key_id}
    return lines + [
        f"{count} files are readable with key {key_id} alone until they are done" for key_id, count in older.items()
    ]


def _retire(options: argparse.Namespace, path: Path, uses: dict[str, list[str]]) -> list[str]:
    if not uses:
        msg = "there is neither a buffer nor a journal: is the gateway's state mounted? No key is taken away"
        raise ConfigError(msg)
    if names := uses.get(options.key):
        msg = f"key {options.key} encrypts {len(names)} files, the first: {names[0]}; they go when Kafka has what is in them"
        raise ConfigError(msg)
    key_ring.retire(path, options.key)
    return [f"{path}: key {options.key} is gone"]


_TOOLS = {"list": _list, "rotate": _rotate, "retire": _retire}
