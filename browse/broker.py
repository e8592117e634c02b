"""The part of `browse` that listens at an MQTT broker."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from browse.heard import Heard
from browse.listen import listen
from browse.skeleton import DeviceCandidate
from connectors.mqtt_transport.settings import MqttSettings


async def run(
    options: argparse.Namespace, progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], list[DeviceCandidate]]:
    """Listen and print; returns the keys of a connection and the devices for a plant file.

    A file has one connection: Sparkplug's where births were heard, else that of plain topics. Raises ListenError, ValueError.
    """
    settings = MqttSettings(endpoint=options.url, username=options.username, password=options.password)
    heard = await listen(settings, options.topics, options.seconds, rebirth=options.rebirth, progress=progress)
    sparkplug, documents = heard.sparkplug(), heard.documents()
    if options.json:
        sys.stdout.write(json.dumps(_as_json(options.url, heard, sparkplug, documents), ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(heard, sparkplug, documents, options.seconds))
    own = {"protocol": "sparkplug" if sparkplug else "mqtt", "endpoint": options.url}
    own |= {key: getattr(options, key) for key in ("username", "password") if getattr(options, key)}
    return own, sparkplug or documents


def lines(
    heard: Heard, sparkplug: list[DeviceCandidate], documents: list[DeviceCandidate], seconds: float
) -> Iterator[str]:
    """What was heard, for people."""
    for title, devices in (("Sparkplug births", sparkplug), ("Topics with JSON", documents)):
        if not devices:
            continue
        yield title
        for device in devices:
            yield f"  {device.name}{f'  ({device.note})' if device.note else ''}"
            width = max((len(tag.name) for tag in device.tags), default=0)
            for tag in device.tags:
                yield f"    {tag.name:<{width}}  {tag.data_type:<8} {tag.unit:<6} {tag.address}{f'  {tag.refused}' if tag.refused else ''}"
        yield ""
    for group, node in heard.unborn():
        yield f"edge node {group}/{node} sends, but its birth was not heard: --rebirth asks for it"
    yield from (f"not read: {topic}: {problem}" for topic, problem in heard.problems.items())
    tags = sum(len(device.tags) for device in [*sparkplug, *documents])
    yield f"{tags} values of {len(sparkplug) + len(documents)} devices in {seconds:g} s"


def _as_json(
    url: str, heard: Heard, sparkplug: list[DeviceCandidate], documents: list[DeviceCandidate]
) -> dict[str, Any]:
    return {
        "url": url,
        "sparkplug": [dataclasses.asdict(device) for device in sparkplug],
        "documents": [dataclasses.asdict(device) for device in documents],
        "unborn": heard.unborn(),
        "problems": heard.problems,
    }
