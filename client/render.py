"""Protobuf messages as text for a terminal and as JSON for programs."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.proto.millrace.v1 import commands_pb2, state_pb2

_QUALITY_STYLE = {state_pb2.QUALITY_GOOD: "green", state_pb2.QUALITY_UNCERTAIN: "yellow", state_pb2.QUALITY_BAD: "red"}
_STATE_STYLE = {"SUCCEEDED": "green", "FAILED": "red", "REJECTED": "red", "EXPIRED": "yellow", "UNKNOWN": "magenta"}


def as_json(message: Message) -> str:
    """One line with the field names of the .proto files. Integers of 64 bits are strings, as in all JSON of protobuf."""
    return json.dumps(
        MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    )


def time_text(time_us: int) -> str:
    """UTC with milliseconds."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def age_text(age_us: int) -> str:
    """Age in the unit people would use."""
    seconds = age_us / 1e6
    for limit, divisor, unit in ((1, 0.001, "ms"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def number(value: float) -> str:
    """Up to 7 significant digits."""
    return f"{value:.7g}" if math.isfinite(value) else str(value)


def quality_text(value: state_pb2.Value) -> Text:
    """Name, with the sub-code when it says more."""
    name = state_pb2.Quality.Name(value.quality).removeprefix("QUALITY_").lower()
    code = f" 0x{value.quality_code:04X}" if value.quality_code & 0x3FFF else ""
    return Text(name + code, style=_QUALITY_STYLE.get(value.quality, ""))


def devices_table(devices: list[state_pb2.Device]) -> Table:
    """Devices."""
    table = Table("id", "path", "class", "gateway", box=None, header_style="bold")
    for device in devices:
        table.add_row(str(device.device_id), device.path, device.device_class, device.gateway_id)
    return table


def tags_table(tags: list[state_pb2.Tag]) -> Table:
    """Tags with their last values."""
    table = Table("id", "path", box=None, header_style="bold")
    table.add_column("value", justify="right")
    for name in ("unit", "quality", "age", "", "description"):
        table.add_column(name)
    for tag in tags:
        last = tag.last if tag.HasField("last") else None
        table.add_row(
            str(tag.tag_id),
            tag.path,
            "-" if last is None else number(last.value),
            "" if tag.unit == "1" else tag.unit,
            Text("never seen", style="dim") if last is None else quality_text(last),
            "" if last is None else age_text(last.age_us),
            "writable" if tag.writable else "",
            tag.description,
        )
    return table


def updates_table(updates: dict[str, state_pb2.TagUpdate], units: dict[int, str], *, rows: int) -> Table:
    """Live values, by path; at most `rows`."""
    table = Table("path", box=None, header_style="bold")
    table.add_column("value", justify="right")
    for name in ("unit", "quality", "source time", "age"):
        table.add_column(name)
    for path in sorted(updates)[:rows]:
        update = updates[path]
        value = update.value
        unit = units.get(update.tag_id, "")
        table.add_row(
            path, number(value.value), unit, quality_text(value), time_text(value.time_us), age_text(value.age_us)
        )
    if len(updates) > rows:
        table.caption = f"{len(updates) - rows} more tags do not fit; name narrower paths, or use --json"
    return table


def update_line(update: state_pb2.TagUpdate, unit: str) -> Text:
    """One change."""
    value = update.value
    return Text.assemble(
        time_text(value.time_us),
        "  ",
        update.path,
        "  ",
        number(value.value),
        f" {unit}".rstrip(),
        "  ",
        quality_text(value),
    )


def anomaly_lines(anomaly: state_pb2.Anomaly) -> Text:
    """One step of an episode, and who contributed."""
    phase = state_pb2.AnomalyPhase.Name(anomaly.phase).removeprefix("ANOMALY_PHASE_")
    style = {"OPEN": "bold red", "UPDATE": "yellow", "CLOSE": "green"}.get(phase, "")
    until = f" to {time_text(anomaly.end_us)}" if anomaly.HasField("end_us") else ""
    scores = f"score {anomaly.score:.2f}, peak {anomaly.peak_score:.2f}, threshold {anomaly.threshold:.2f}"
    text = Text.assemble(
        (f"{phase:6}", style),
        f"  {anomaly.device_path or anomaly.device_id}  since {time_text(anomaly.start_us)}{until}  {scores}",
    )
    for part in anomaly.contributors:
        low = number(part.expected_low) if part.HasField("expected_low") else "..."
        high = number(part.expected_high) if part.HasField("expected_high") else "..."
        name = part.path.rpartition("/")[2] or str(part.tag_id)
        text.append(f"\n          {name} is {number(part.value)}, expected {low} to {high} (weight {part.score:.2f})")
    return text


def command_line(command: commands_pb2.Command) -> Text:
    """One state of a command."""
    state = commands_pb2.CommandState.Name(command.state).removeprefix("COMMAND_STATE_")
    parts: list[str | tuple[str, str]] = [
        time_text(command.updated_us),
        "  ",
        (state, f"bold {_STATE_STYLE.get(state, '')}".strip()),
    ]
    if command.provisional:
        parts.append(("  provisional", "dim"))
    if command.detail:
        parts.append(f"  {command.detail}")
    if command.readback:
        parts.append(
            "  read back " + ", ".join(f"{name} = {number(value)}" for name, value in sorted(command.readback.items()))
        )
    return Text.assemble(*parts)


def command_head(command: commands_pb2.Command) -> Text:
    """What a command is."""
    given = " ".join(f"{name}={number(value)}" for name, value in sorted(command.parameters.items()))
    by = f"by {command.submitted_by}, expires {time_text(command.expires_us)}"
    return Text.assemble(
        (command.command_id, "bold"), f"  {command.name} {given}".rstrip(), f" on {command.device_path}  ({by})"
    )


def console(*, stderr: bool = False) -> Console:
    """Terminal output that does not break lines when it goes to a file."""
    out = Console(stderr=stderr, highlight=False)
    return out if out.is_terminal else Console(stderr=stderr, highlight=False, width=250, soft_wrap=True)
