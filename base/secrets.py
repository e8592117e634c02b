"""Secrets by reference: configuration names where a secret lies, and it is read when it is used.

A reference is `file:PATH` (the file's text without the line end) or `env:NAME` (a variable of the process); empty is no secret. A
connection resolves its references at every connect, so a renewed password counts without a restart.
"""

from __future__ import annotations

import os
from pathlib import Path

from base.errors import ConfigError

_FILE, _ENV = "file:", "env:"
_LONGEST = 64 * 1024


def check_reference(key: str, reference: str) -> None:
    """Raise ValueError unless the text is empty or a reference; the text itself, which may be a secret, is not shown."""
    if reference and not any(reference.startswith(one) and len(reference) > len(one) for one in (_FILE, _ENV)):
        msg = f"{key} is not a reference: write file:PATH or env:NAME, never the secret itself"
        raise ValueError(msg)


def resolve(reference: str) -> str:
    """The secret itself; raises ConfigError that names the reference."""
    if not reference:
        return ""
    check_reference("secret", reference)
    if reference.startswith(_ENV):
        name = reference.removeprefix(_ENV)
        if name not in os.environ:
            msg = f"secret {reference}: the variable is not set"
            raise ConfigError(msg)
        return os.environ[name]
    try:
        with Path(reference.removeprefix(_FILE)).open("rb") as file:
            data = file.read(_LONGEST + 1)
        if len(data) > _LONGEST:
            msg = f"secret {reference}: the file is longer than {_LONGEST} bytes"
            raise ConfigError(msg)
        return data.decode().rstrip("\r\n")
    except OSError as error:
        msg = f"secret {reference} cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"secret {reference} is not UTF-8 text"
        raise ConfigError(msg) from error
