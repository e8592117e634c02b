"""The text of a plant file's skeleton: a head that says what to complete, one line for each tag and device."""

from __future__ import annotations

import json
from typing import Any

import yaml

from browse.skeleton import Skeleton

_WIDTH = 1 << 16
_LISTED = 200
_HEAD = """\
# A skeleton of what {source} showed. Complete it, check and load it: ./millrace plant check THIS_FILE
#
# - Names of site, area, line and cell; names of devices and tags are kept for ever, so choose them now.
# - `limits` (what is believable) and `max_rate` are not known to a server: leave them out until you have seen the signal for a day.
# - Tags that nobody needs: delete them. `writable` says what the server allows, not what is wise.
"""


def render(skeleton: Skeleton, source: str) -> str:
    """YAML with comments; parses to `skeleton.file`."""
    file = skeleton.file
    lines = [_HEAD.format(source=source), f"enterprise: {_flow(file['enterprise'])}", "", "tag_classes:"]
    lines += [f"  {name}: {_flow(value)}" for name, value in file["tag_classes"].items()]
    lines += ["", "device_classes:" + ("" if file["device_classes"] else " {}")]
    for name, device_class in file["device_classes"].items():
        if note := skeleton.notes.get(name):
            lines.append(f"  # {note}")
        lines += [f"  {_flow(name)}:", "    tags:"]
        lines += [f"      {_flow(tag)}: {_flow(entry)}" for tag, entry in device_class["tags"].items()]
    (site,) = file["sites"]
    lines += ["", "sites:", f"  - name: {_flow(site['name'])}", "    gateways:"]
    for gateway in site["gateways"]:
        lines += [f"      - id: {_flow(gateway['id'])}", f"        lanes: {gateway['lanes']}", "        connections:"]
        lines += [f"          - {_flow(connection)}" for connection in gateway["connections"]]
    lines.append("    areas:")
    for area in site["areas"]:
        lines += [f"      - name: {_flow(area['name'])}", "        lines:"]
        for line in area["lines"]:
            lines += [f"          - name: {_flow(line['name'])}", "            cells:"]
            for cell in line["cells"]:
                lines.append(f"              - name: {_flow(cell['name'])}")
                lines.append("                devices:" + ("" if cell["devices"] else " []"))
                lines += [f"                  - {_flow(device)}" for device in cell["devices"]]
    lines += _left_out(skeleton)
    return "\n".join(lines) + "\n"


def _left_out(skeleton: Skeleton) -> list[str]:
    if not skeleton.left_out:
        return []
    lines = ["", "# Not taken over:"]
    lines += [f"# {device}/{name}: {cause}" for device, name, cause in skeleton.left_out[:_LISTED]]
    if len(skeleton.left_out) > _LISTED:
        lines.append(f"# and {len(skeleton.left_out) - _LISTED} more")
    # A name may hold a line break.
    return ["".join(one if one.isprintable() else "?" for one in line) for line in lines]


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, str):
        text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=_WIDTH).strip()[1:-1]
        return text if "\n" not in text else json.dumps(value)
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=_WIDTH).strip()
