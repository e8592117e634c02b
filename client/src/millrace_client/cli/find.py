"""What people type for a device or a path, to what the server understands: ids, paths, or a device's bare name."""

from __future__ import annotations

from collections.abc import Iterable

from millrace_client.client import Client
from millrace_client.errors import InvalidRequestError, NotFoundError


def find_device(client: Client, text: str) -> int | str:
    """Id or path of a device. A bare name is looked up; raises when there is none, or more than one."""
    if text.isdecimal():
        return int(text)
    return text if "/" in text else _by_name(client, text)


def find_paths(client: Client, texts: Iterable[str]) -> list[str]:
    """Paths to watch or list.

    A text without a slash is the top of the hierarchy when there is such a one, else a device's name.
    """
    return [
        text if "/" in text or text.endswith("*") or any(client.devices(text)) else _by_name(client, text)
        for text in texts
    ]


def _by_name(client: Client, name: str) -> str:
    paths = [device.path for device in client.devices() if device.path.rpartition("/")[2] == name]
    if len(paths) == 1:
        return paths[0]
    if not paths:
        msg = f"no device named {name!r}; `devices` lists them"
        raise NotFoundError(msg)
    msg = f"{name!r} is the name of {len(paths)} devices, give a path: {', '.join(paths)}"
    raise InvalidRequestError(msg)
