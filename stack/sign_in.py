"""People of the local stack: the issuer's configuration, what serving is told of it, and the file of people. Only with `sign_in = true`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from stack.config import StackConfig

AUDIENCE, PAGE, TERMINAL = "millrace-api", "millrace-page", "millrace-cli"
# What each role may do as long as permissions have no scope.
_ALLOW = {
    "operator": ["read", "command", "plan", "alarm"],
    "supervisor": ["read", "command", "approve", "plan", "alarm"],
    "engineer": ["read", "command"],
    "maintainer": ["read", "command", "alarm"],
    "analyst": ["read"],
    "integrator": ["read"],
    "auditor": ["read", "audit"],
    "administrator": ["read", "command", "approve", "plan", "alarm", "audit"],
}


def address(config: StackConfig) -> str:
    """Where the issuer answers, which is its name in tokens."""
    return f"http://{config.host}:{config.ports.issuer}"


def file(config: StackConfig) -> Path:
    """Configuration of the issuer."""
    return config.config / "issuer.toml"


def people_file(config: StackConfig) -> Path:
    """Who can sign in, with their passwords; mode 0600."""
    return config.secrets / "people.json"


def prepare(config: StackConfig) -> None:
    """Make the people, once."""
    path = people_file(config)
    if path.exists():
        return
    config.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as made:
        from issuer import people

        made.write(people.seed())


def issuer(config: StackConfig) -> dict[str, Any]:
    """`issuer.toml`."""
    origins = (config.page_url, f"http://localhost:{config.ports.serving_http}")
    return {
        "listen": f"{config.host}:{config.ports.issuer}",
        "audience": AUDIENCE,
        "people": str(people_file(config)),
        "key": str(config.secrets / "issuer-key.json"),
        "clients": [
            {"id": PAGE, "redirects": [f"{origin}/api/v1/sign-in/done" for origin in origins]},
            {"id": TERMINAL, "device": True},
        ],
    }


def privacy(config: StackConfig) -> dict[str, Any]:
    """The table `[privacy]`: names of people are beside the data, and the key that opens them among the secrets."""
    return {"folder": str(config.data / "people"), "keys": f"file:{config.secrets / 'people.keys'}"}


def serving(config: StackConfig) -> dict[str, Any]:
    """The table `[oidc]` of `serving.toml`."""
    return {
        "issuer": address(config),
        "audience": AUDIENCE,
        "client": PAGE,
        "clients": [PAGE, TERMINAL],
        "roles": [{"name": role, "allow": allow} for role, allow in _ALLOW.items()],
    }
