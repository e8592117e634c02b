"""`./millrace login` and `logout`: sign in at the issuer of a server, in a browser, and keep the token for the other commands.

The device flow (RFC 8628): the terminal shows an address and a code, somebody opens the address anywhere and signs in there, and the
terminal gets the token. It is kept in `login.json` of the state folder, mode 0600, until it is over.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from base import files, settings, tool
from base.errors import ConfigError, UnavailableError
from base.fetch import Fetcher, RefusedError

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
CLIENT = "millrace-cli"


def file() -> Path:
    """Where the token is kept."""
    return settings.local_config("serving.toml").parent.parent / "login.json"


def kept(now_s: float | None = None) -> str:
    """The token that is kept; empty when there is none, or it is over."""
    try:
        found = json.loads(file().read_text())
        fresh = float(found["until_s"]) > (time.time() if now_s is None else now_s)
        return str(found["token"]) if fresh else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def login(
    issuer: str,
    client: str,
    *,
    fetcher: Fetcher,
    say: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any]:
    """Tokens of somebody who signs in. Raises MillraceError when nobody does."""
    found = _json(fetcher.get(issuer.rstrip("/") + "/.well-known/openid-configuration"))
    if found.get("issuer") != issuer or "device_authorization_endpoint" not in found:
        msg = f"{issuer} is no issuer where a terminal can sign in (device flow)"
        raise ConfigError(msg)
    asked = _json(
        fetcher.post(str(found["device_authorization_endpoint"]), {"client_id": client, "scope": "openid profile"})
    )
    complete = asked.get("verification_uri_complete") or asked["verification_uri"]
    say(f"Open {complete}\nand sign in; the code is {asked['user_code']}")
    form = {"grant_type": GRANT, "device_code": str(asked["device_code"]), "client_id": client}
    interval_s, ends_s = float(asked.get("interval", 5)), time.monotonic() + float(asked.get("expires_in", 600))
    while time.monotonic() < ends_s:
        wait(interval_s)
        try:
            return _json(fetcher.post(str(found["token_endpoint"]), form))
        except RefusedError as error:
            if error.code == "slow_down":
                interval_s += 5
            elif error.code != "authorization_pending":
                msg = f"the issuer did not sign you in: {error.code}"
                raise UnavailableError(msg) from None
    msg = "nobody signed in in time; run it again"
    raise UnavailableError(msg)


def keep(tokens: Mapping[str, Any]) -> Path:
    """Write the token to its file."""
    path = file()
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {"token": tokens["access_token"], "until_s": time.time() + float(tokens.get("expires_in", 300))}
    files.replace(path, json.dumps(text), mode=files.OWNERS)
    return path


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace login", description="Sign in; the other commands then act in your name."
    )
    made.add_argument(
        "--issuer", default="", metavar="URL", help="where to sign in (default: the issuer of the local stack)"
    )
    made.add_argument(
        "--client", default=CLIENT, metavar="ID", help="this program's id at the issuer (default: %(default)s)"
    )
    made.add_argument("--ca", default="", metavar="FILE", help="authority that signed the issuer's certificate")
    made.add_argument("--out", action="store_true", help="sign out: forget the token")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Sign in or out."""
    options = parser().parse_args(arguments)
    if options.out:
        file().unlink(missing_ok=True)
        print("signed out")
        return 0
    return tool.run("login", lambda: _login(options), KeyError, ValueError)


def _login(options: argparse.Namespace) -> int:
    issuer = options.issuer or _local_issuer()
    path = keep(login(issuer, options.client, fetcher=Fetcher(options.ca), say=print))
    print(f"signed in; the token is in {path}")
    return 0


def _local_issuer() -> str:
    path = settings.local_config("serving.toml")
    table = settings.read_toml(path).get("oidc", {})
    if not table.get("issuer"):
        msg = f"nobody has to sign in here ({path} has no [oidc]); set `sign_in = true` in millrace.toml, or name an --issuer"
        raise ConfigError(msg)
    return str(table["issuer"])


def _json(body: bytes) -> dict[str, Any]:
    found = json.loads(body)
    if not isinstance(found, dict):
        msg = "the issuer's answer is no JSON object"
        raise UnavailableError(msg)
    return found


if __name__ == "__main__":
    sys.exit(main())
