"""Names in policies that nobody has: with a directory of people, a policy for the issuer's subject of a person is for nobody."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cedarpy

from base.errors import ConfigError
from privacy.person import is_subject
from serving.config import ServingConfig
from serving.tokens import read_tokens

log = logging.getLogger(__name__)


def nobodys(folder: Path, config: ServingConfig) -> list[str]:
    """`POLICY: NAME` of each `Principal::"NAME"` that is neither a subject id nor in the tokens file.

    None without a directory of people: then the issuer's subjects are names. Names in strings (`principal.name == "..."`) are not seen.
    Raises OSError, ConfigError, ValueError.
    """
    if not config.privacy.folder:
        return []
    known = {one.name for one in read_tokens(Path(config.tokens)).values()} if config.tokens else set()
    found: set[str] = set()
    for file in sorted(folder.glob("*.cedar")):
        for policy in json.loads(cedarpy.policies_to_json_str(file.read_text()))["staticPolicies"].values():
            policy_id = policy.get("annotations", {}).get("id", file.name)
            found |= {f"{policy_id}: {name}" for name in _named(policy) if not is_subject(name) and name not in known}
    return sorted(found)


def tell(config: ServingConfig) -> None:
    """Say in the log which policies are for nobody."""
    try:
        found = nobodys(Path(config.policies), config) if config.policies else []
    except (OSError, ConfigError, ValueError) as error:  # files that change just now; their own readers say it
        log.error("names in policies were not looked at", extra={"cause": str(error)})
        return
    if found:
        log.error(
            "policies name a principal that nobody is: with a directory of people they name subject ids (`millrace privacy list`)",
            extra={"policies": "; ".join(found)},
        )


def _named(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if part.get("type") == "Principal" and isinstance(part.get("id"), str):
            yield part["id"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _named(one)
