"""The wrapping key in HashiCorp Vault: a key of the transit engine, which never leaves Vault. Implements `privacy.wrapping.Wrapping`.

A reference is `vault:URL/MOUNT/KEY`, such as `vault:https://vault.example.com:8200/transit/millrace-people`. The token is a
reference of its own (`privacy.token`), resolved at each request, so that a renewed one counts without a restart. It needs
`update` on `MOUNT/encrypt/KEY` and `MOUNT/decrypt/KEY`, and `read` on `MOUNT/keys/KEY`; whoever forgets somebody also `update` on
`rotate`, `config` and `trim` below the last.

Old versions are trimmed, not only forbidden: a minimum version for decryption can be lowered again, and the key would be there.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import hvac
import requests
from hvac import exceptions

from base.errors import ConfigError, UnavailableError
from base.secrets import resolve

T = TypeVar("T")
_TIMEOUT_S = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BATCH = 500
_VERSION = re.compile(r"vault:v(\d+):")


class VaultWrapping:
    """Versions of a transit key."""

    local = False

    def __init__(self, place: str, token: str, ca: str = "") -> None:
        """`place`: the reference without `vault:`; `token`: a reference. Raises ConfigError for a place that is none."""
        address, mount, name = _parts(place)
        self._address, self._mount, self._name, self._token = address, mount, name, token
        self._what = f"Vault's key {mount}/{name} at {address}"
        self._verify: bool | str = ca or True

    def is_there(self) -> bool:
        """See `Wrapping`. Always: people make it, and nobody can say what it has wrapped."""
        return True

    def prepare(self, *, first: bool) -> None:  # noqa: ARG002
        """See `Wrapping`. The key is made in Vault, by whoever looks after it: a token that may make keys may do too much."""
        self._latest()

    def wrap(self, secrets: Sequence[bytes]) -> list[str]:
        """See `Wrapping`."""
        found: list[str] = []
        for start in range(0, len(secrets), _BATCH):
            batch = [{"plaintext": base64.b64encode(one).decode()} for one in secrets[start : start + _BATCH]]
            found += [self._text(one, "ciphertext") for one in self._batch("encrypt", batch)]
        return found

    def unwrap(self, wrapped: Sequence[str]) -> list[bytes | None]:
        """See `Wrapping`."""
        found: list[bytes | None] = []
        for start in range(0, len(wrapped), _BATCH):
            found += self._unwrapped(wrapped[start : start + _BATCH])
        return found

    def renew(self) -> None:
        """See `Wrapping`."""
        self._asked(lambda client: client.secrets.transit.rotate_key(self._name, mount_point=self._mount))

    def drop_before(self, wrapped: Sequence[str]) -> None:
        """See `Wrapping`. Each step may be done twice. The newest version may be another by now: Vault can rotate by itself."""
        oldest = min(map(self._version, wrapped))
        # One after the other: hvac refuses both at once when they are equal, which Vault takes.
        for least in ("min_encryption_version", "min_decryption_version"):
            self._configure(**{least: oldest})
        self._asked(
            lambda client: client.secrets.transit.trim_key(self._name, min_version=oldest, mount_point=self._mount)
        )

    def _version(self, wrapped: str) -> int:
        found = _VERSION.match(wrapped)
        if found is None:
            msg = f"{self._what}: a wrapped key names no version; nothing was destroyed"
            raise UnavailableError(msg)
        return int(found[1])

    def _configure(self, **values: int) -> None:
        self._asked(
            lambda client: client.secrets.transit.update_key_configuration(
                self._name, mount_point=self._mount, **values
            )
        )

    def _unwrapped(self, wrapped: Sequence[str]) -> list[bytes | None]:
        batch = [{"ciphertext": one} for one in wrapped]
        try:
            answers = self._batch("decrypt", batch)
        except _RefusedError:
            # Of several that all fail, and of a single one, the answer as a whole is an error.
            return [None] if len(wrapped) == 1 else [found for one in wrapped for found in self._unwrapped([one])]
        return [
            None if answer.get("error") else base64.b64decode(self._text(answer, "plaintext")) for answer in answers
        ]

    def _batch(self, action: str, batch: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
        body = {"batch_input": list(batch), "partial_failure_response_code": 200}
        path = f"/v1/{self._mount}/{action}/{self._name}"
        answer = self._asked(lambda client: client.adapter.post(url=path, json=body))
        results = answer.get("data", {}).get("batch_results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != len(batch):
            msg = f"{self._what}: the answer to {action} is none of Vault's"
            raise UnavailableError(msg)
        return results

    def _latest(self) -> int:
        found = self._asked(lambda client: client.secrets.transit.read_key(self._name, mount_point=self._mount))
        try:
            return int(found["data"]["latest_version"])
        except (KeyError, TypeError, ValueError):
            msg = f"{self._what}: the answer has no latest_version"
            raise UnavailableError(msg) from None

    def _text(self, answer: dict[str, Any], field: str) -> str:
        found = answer.get(field)
        if not isinstance(found, str):
            msg = f"{self._what}: {str(answer.get('error') or 'an answer without ' + field)[:200]}"
            raise UnavailableError(msg)
        return found

    def _asked(self, ask: Callable[[hvac.Client], T]) -> T:
        """An answer of Vault. Errors name the key and what to do, never the token."""
        client = hvac.Client(
            url=self._address,
            token=resolve(self._token),
            verify=self._verify,
            timeout=_TIMEOUT_S,
            allow_redirects=False,
        )
        try:
            return ask(client)
        except exceptions.InvalidRequest as error:
            msg = f"{self._what}: {_cause(error)}"
            raise _RefusedError(msg) from None
        except exceptions.InvalidPath:
            msg = f"{self._what} is not there: make it with `vault write -f {self._mount}/keys/{self._name}`"
            raise ConfigError(msg) from None
        except (exceptions.Forbidden, exceptions.Unauthorized):
            msg = f"{self._what}: the token (privacy.token) is over, or its policies do not allow this"
            raise UnavailableError(msg) from None
        except exceptions.VaultDown:
            msg = f"{self._what}: Vault is sealed or starting"
            raise UnavailableError(msg) from None
        except (exceptions.VaultError, requests.RequestException) as error:
            msg = f"{self._what} does not answer: {type(error).__name__}"
            raise UnavailableError(msg) from None
        finally:
            client.adapter.close()


class _RefusedError(UnavailableError):
    """Vault says that what was asked of it is wrong."""


def _parts(place: str) -> tuple[str, str, str]:
    parts = urlsplit(place)
    mount, _, name = parts.path.strip("/").rpartition("/")
    if (
        parts.scheme not in ("https", "http")
        or not parts.hostname
        or not mount
        or not name
        or parts.username
        or parts.query
    ):
        msg = "privacy.keys: a key in Vault is vault:https://HOST:PORT/MOUNT/KEY, such as vault:https://vault:8200/transit/millrace-people"
        raise ConfigError(msg)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        msg = "privacy.keys: Vault is reached over https; http is for the loopback interface"
        raise ConfigError(msg)
    return f"{parts.scheme}://{parts.netloc}", mount, name


def _cause(error: exceptions.VaultError) -> str:
    return "; ".join(str(one) for one in error.errors or ["refused"])[:200]
