"""What `gateway status` prints of a gateway's status page. Pure."""

from __future__ import annotations

from typing import Any

from edge.table import render as table


def render(status: dict[str, Any], earlier: dict[str, Any], seconds: float, health: dict[str, Any]) -> str:
    """Lines of one gateway; rates are the difference to `earlier` over `seconds`."""
    buffer, uplink = status["buffer"], status["uplink"]
    waiting = sum(lane["buffered_samples"] for lane in status["lanes"])
    dropped = sum(lane["dropped_samples"] for lane in status["lanes"])
    lines = [
        f"gateway {status['gateway_id']} of site {status['site']}: {'well' if health['healthy'] else 'NOT WELL'}",
        *(f"  problem: {text}" for text in health["problems"]),
        *(f"  warning: {text}" for text in health["warnings"]),
        f"  registry version {status['registry']['version']}, {status['registry']['tags']} tags; clock {status['clock']}",
        f"  buffer {buffer['buffer_bytes'] / (1 << 20):.0f} MiB, {waiting} samples wait, {dropped} dropped;"
        f" {uplink.get('kind', 'kafka')} {'takes frames' if uplink['live'] else 'does not take frames'}",
        f"  data at rest: {_at_rest(status)}",
        f"  {_produced(status) - _produced(earlier)} samples in {seconds:.1f} s;"
        f" reloads: {status['reload']['applied']} applied, {status['reload']['refused']} refused",
        "",
        _connections(status, earlier, seconds),
    ]
    return "\n".join(lines) + "\n"


def _at_rest(status: dict[str, Any]) -> str:
    """Of the status page; one of an older gateway says nothing of it."""
    found, plain = status.get("at_rest") or {}, status["buffer"].get("plain_segments", 0)
    if not found.get("encrypted"):
        return "not encrypted"
    older = f"; {plain} segments from before are not" if plain else ""
    return f"encrypted with key {found['key']} of {found['made']}{older}"


def _connections(status: dict[str, Any], earlier: dict[str, Any], seconds: float) -> str:
    before = {one["name"]: one["samples"] for one in earlier["connectors"]}
    head = ("connection", "protocol", "connected", "tags", "samples/s", "gaps", "refused", "restarts", "problem")
    rows = [
        (
            one["name"],
            one.get("kind", ""),
            "yes" if one["connected"] else "no",
            one.get("tags", ""),
            round(max(0, one["samples"] - before.get(one["name"], one["samples"])) / max(seconds, 1e-3), 1),
            one["gaps"],
            one.get("refused_count", len(one["refused"]) if isinstance(one.get("refused"), dict) else 0),
            one["restarts"],
            one["problem"] or one["last_error"],
        )
        for one in status["connectors"]
    ]
    return table(head, rows)


def _produced(status: dict[str, Any]) -> int:
    return sum(int(lane["produced_samples"]) for lane in status["lanes"])
