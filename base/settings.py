"""Settings: frozen dataclasses, built once from one TOML file and the environment.

A service declares `@dataclass(frozen=True, kw_only=True)` classes and calls `load(Config, path)`. Nested dataclasses are
TOML tables, tuples of dataclasses are arrays of tables. An environment variable `MILLRACE_<SERVICE>_<TABLE>_<KEY>`
(upper case) overrides a plain value. Errors name the key and the file, and show no value that could be a secret.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

from base.errors import ConfigError

T = TypeVar("T")


class FromTable:
    """A class whose tables have keys that only itself can tell: `load` leaves the table to it."""

    __slots__ = ()

    @classmethod
    def from_table(cls, table: Mapping[str, Any], *, where: str) -> Self:
        """Instance of a table; raises ConfigError that names the key."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaSettings:
    """How to reach Kafka. The security keys are librdkafka's; leave them empty on loopback only."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    ssl_ca_location: str = ""
    ssl_certificate_location: str = ""
    ssl_key_location: str = ""

    def client_config(self) -> dict[str, str]:
        """confluent-kafka's configuration of this connection."""
        pairs = {f.name.replace("_", "."): getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in pairs.items() if value}


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresSettings:
    """How to reach PostgreSQL: a libpq connection string or URI."""

    dsn: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointSettings:
    """Where a service answers Prometheus (`/metrics`). Port 0: nowhere. There is no authentication, so the default is loopback."""

    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            msg = f"port is {self.port}, not between 0 and 65535"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageSettings:
    """How history is stored. For how long is in the table `storage_policy` (`./millrace storage`)."""

    timescaledb: str = "auto"
    """`auto`: hypertables when the server has the extension at the first migration. `off`: native partitions."""
    partitions_ahead: int = 3
    """Native partitions made ahead of time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformSettings:
    """What the tools of an installation share: `platform.toml`."""

    kafka: KafkaSettings
    postgres: PostgresSettings
    sites: tuple[str, ...]
    storage: StorageSettings = StorageSettings()
    metrics: EndpointSettings = EndpointSettings()
    """Of maintenance."""
    signing_key: str = ""
    """File with the key and certificate of `replay`, with which `replay-rejected` signs; empty: frames need no signature."""


def local_config(name: str, environ: Mapping[str, str] | None = None) -> Path:
    """Where the stack on this machine keeps the configuration file `name`: under MILLRACE_STATE, or `.millrace` beside the code."""
    environ = os.environ if environ is None else environ
    state = environ.get("MILLRACE_STATE") or Path(__file__).resolve().parent.parent / ".millrace"
    return Path(state) / "config" / name


def read_toml(path: Path | str) -> dict[str, Any]:
    """Tables of a TOML file; raises ConfigError."""
    try:
        return tomllib.loads(Path(path).read_text())
    except FileNotFoundError:
        local = Path(path) == local_config(Path(path).name)
        msg = f"config file {path} does not exist" + (": `./millrace up` makes it" if local else "")
        raise ConfigError(msg) from None
    except tomllib.TOMLDecodeError as error:
        msg = f"config file {path} is not valid TOML: {error}"
        raise ConfigError(msg) from error


def load(cls: type[T], path: Path | str, *, service: str = "", environ: Mapping[str, str] | None = None) -> T:
    """Config of `cls` from the TOML file at `path`, overridden by the environment; raises ConfigError."""
    prefix = "MILLRACE_" + (f"{service}_".upper() if service else "")
    return parse(
        cls, read_toml(path), where=str(path), prefix=prefix, environ=os.environ if environ is None else environ
    )


def parse(
    cls: type[T], data: Mapping[str, Any], *, where: str, prefix: str = "", environ: Mapping[str, str] | None = None
) -> T:
    """Instance of the dataclass `cls` from a mapping; `where` names it in errors. Unknown keys are errors."""
    environ = environ or {}
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(data) - set(fields)):
        msg = f"{where}: unknown key {unknown[0]!r}; known: {', '.join(sorted(fields))}"
        raise ConfigError(msg)
    values: dict[str, Any] = {}
    for name, spec in fields.items():
        variable = f"{prefix}{name}".upper()
        key = f"{where}: {name}"
        if prefix and variable in environ and not dataclasses.is_dataclass(hints[name]):
            values[name] = _convert(hints[name], environ[variable], key=f"environment variable {variable}", text=True)
        elif name in data or (prefix and dataclasses.is_dataclass(hints[name]) and _names_table(environ, variable)):
            nested = f"{prefix}{name}_" if prefix else ""
            values[name] = _nested(hints[name], data.get(name, {}), key=key, prefix=nested, environ=environ)
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            msg = f"{key} is missing"
            raise ConfigError(msg)
    try:
        return cls(**values)
    except ValueError as error:
        msg = f"{where}: {error}"
        raise ConfigError(msg) from error


def _names_table(environ: Mapping[str, str], variable: str) -> bool:
    """Whether the environment sets something in a table that the file does not have."""
    return any(name.startswith(f"{variable}_") for name in environ)


def _nested(hint: Any, value: Any, *, key: str, prefix: str, environ: Mapping[str, str]) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            msg = f"{key} must be a table"
            raise ConfigError(msg)
        if issubclass(hint, FromTable):
            return hint.from_table(value, where=key)
        return parse(hint, value, where=key, prefix=prefix, environ=environ)
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        item = typing.get_args(hint)[0]
        return tuple(
            _nested(item, element, key=f"{key}[{i}]", prefix="", environ=environ) for i, element in enumerate(value)
        )
    return _convert(hint, value, key=key)


def _convert(hint: Any, value: Any, *, key: str, text: bool = False) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        return None if value in (None, "") else _convert(options[0], value, key=key, text=text)
    if typing.get_origin(hint) is dict and isinstance(value, Mapping):
        return dict(value)
    if typing.get_origin(hint) is tuple and text:
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, part.strip(), key=key, text=True) for part in value.split(",") if part.strip())
    try:
        if hint is bool and text:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[str(value).lower()]
        if hint is Path or (isinstance(hint, type) and issubclass(hint, str) and hint is not str):
            return hint(value)
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if text and hint in (int, float):
            return hint(value)
    except (ValueError, KeyError) as error:
        expected = f"one of {', '.join(hint)}" if issubclass(hint, StrEnum) else f"a {hint.__name__}"
        msg = f"{key} is {value!r}, not {expected}"
        raise ConfigError(msg) from error
    if not isinstance(hint, type) or not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        # What stands in the place of a text may hold a secret, such as a password that looks like a number.
        shown = f"of the type {type(value).__name__}" if hint is str else repr(value)
        msg = f"{key} is {shown}, not a {getattr(hint, '__name__', hint)}"
        raise ConfigError(msg)
    return value
