"""What people type for a device or a path, to what the server understands: ids, paths, or a device's bare name."""

from __future__ import annotations

from base.errors import InvalidRequestError, NotFoundError
from client.client import Client


async def find_device(client: Client, text: str) -> int | str:
    """Id or path of a device. A bare name is looked up; raises when there is none, or more than one."""
    if text.isdecimal():
        return int(text)
    return text if "/" in text else await _by_name(client, text)


async def find_paths(client: Client, texts: list[str]) -> list[str]:
    """Paths to watch or list.

    A text without a slash is the top of the hierarchy when there is such a one, else a device's name.
    """
    found = []
    for text in texts:
        if "/" in text or text.endswith("*") or [device async for device in client.devices(text)]:
            found.append(text)
        else:
            found.append(await _by_name(client, text))
    return found


async def _by_name(client: Client, name: str) -> str:
    paths = [device.path async for device in client.devices() if device.path.rpartition("/")[2] == name]
    if len(paths) == 1:
        return paths[0]
    if not paths:
        msg = f"no device named {name!r}; `python -m client devices` lists them"
        raise NotFoundError(msg)
    msg = f"{name!r} is the name of {len(paths)} devices, give a path: {', '.join(paths)}"
    raise InvalidRequestError(msg)
