"""Who signs what in the local stack, as configuration: what jobs and serving are told, and which certificates sign and do nothing else.

`stack.signing_keys` tells the topic of the keys.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from authority.book import Book
from base import files
from stack.config import StackConfig
from stack.errors import StackError

SERVING, REPLAY = "serving", "replay"
"""Names of certificates that are there for their signing keys alone (`schemas.signing_keys`)."""
_BOTH_TAKEN = timedelta(hours=1)
UNSIGNED_FOR = timedelta(days=7)
"""An instance older than signatures takes unsigned records for so long after its first start with them: Kafka keeps them as long."""


def required(config: StackConfig) -> bool:
    """Whether records have to be signed here.

    Where the settings leave it to the instance, a new one wants signatures, and one that has data goes on as it is: nobody who brings a
    newer version up has frames refused.
    """
    if config.signatures != "auto":
        return config.signatures == "required"
    return _file(config).exists() or not _has_records(config)


def key_file(config: StackConfig, name: str) -> Path:
    """Key and certificate of a signer."""
    return Book(config.authority).file(name)


def serving_table(config: StackConfig) -> dict[str, Any]:
    """The table `[signing]` of serving."""
    found: dict[str, Any] = {"key": str(key_file(config, SERVING)), "authority": str(Book(config.authority).root_file)}
    if until := unsigned_until(config):
        # A gateway that is not upgraded yet cannot read what is signed; whoever is takes what is not, for an hour more.
        found["sign_from"] = (datetime.fromisoformat(until) - _BOTH_TAKEN).isoformat()
    return found


def gateway_table(config: StackConfig) -> dict[str, Any]:
    """The table `[signatures]` of a gateway."""
    until = unsigned_until(config)
    return {"enabled": required(config)} | ({"unsigned_until": until} if until else {})


def jobs_table(config: StackConfig) -> dict[str, Any]:
    """The table `[signatures]` of the jobs."""
    until = unsigned_until(config)
    if not required(config):
        return {}
    found: dict[str, Any] = {"required": True, "authority": str(Book(config.authority).root_file)}
    return found | ({"unsigned_until": until} if until else {})


def unsigned_until(config: StackConfig) -> str:
    """Written down the first time, so that it stays what it was; empty for an instance that had signatures from its beginning.

    Where signatures are off it is forgotten: what is written meanwhile is unsigned, and is to be taken when they are switched on again.
    """
    file = _file(config)
    if not required(config):
        file.unlink(missing_ok=True)
        return ""
    if not file.exists():
        until = (datetime.now(UTC) + UNSIGNED_FOR).isoformat(timespec="seconds") if _has_records(config) else ""
        config.data.mkdir(parents=True, exist_ok=True)
        files.replace_durably(file, until + "\n", mode=files.OWNERS)
    return said_until(config)


def said_until(config: StackConfig) -> str:
    """The same for those who only look: as it is written down, empty before it is."""
    file = _file(config)
    return file.read_text().strip() if file.exists() else ""


def describe(config: StackConfig) -> str:
    """For people: whether records have to be signed, and why."""
    if not required(config):
        return "off, as this instance had data before" if config.signatures == "auto" else "off"
    until = said_until(config)
    return f"required; what has none is taken until {until}" if until else "required"


def require_as_it_runs(config: StackConfig) -> None:
    """Raise StackError when the jobs that run were started with the other answer: gateways would send what these refuse."""
    if _file(config).exists() == required(config):
        return
    now, before = ("required", "off") if required(config) else ("off", "required")
    msg = f"signatures are {now} now, and the jobs that run were started with {before}: `./millrace down` first, then `up`"
    raise StackError(msg)


def _has_records(config: StackConfig) -> bool:
    """Whether anything was written here before: also where Kafka's data were lost, gateways and the database may be of an unsigned time."""
    return any((config.data / name).exists() for name in ("kafka", "postgres", "gateways"))


def _file(config: StackConfig) -> Path:
    """Where it is, the instance wants signatures: it is written before the first record, and deleted where they are off."""
    return config.data / "unsigned-until"
