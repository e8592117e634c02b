"""Results as text for a terminal and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from millrace_client.results import Anomaly, Command, CommandState, Device, Effect, Quality, Tag, TagUpdate, Value, utc

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_QUALITY_STYLE = {Quality.GOOD: "green", Quality.UNCERTAIN: "yellow", Quality.BAD: "red"}
_STATE_STYLE = {
    CommandState.SUCCEEDED: "green",
    CommandState.FAILED: "red",
    CommandState.REJECTED: "red",
    CommandState.EXPIRED: "yellow",
    CommandState.UNKNOWN: "magenta",
}
_EFFECT_STYLE = {Effect.APPLIED: "green", Effect.REFUSED: "red", Effect.NOT_SENT: "yellow", Effect.UNKNOWN: "magenta"}
_PHASE_STYLE = {"OPEN": "bold red", "UPDATE": "yellow", "CLOSE": "green"}


def as_json(result: DataclassInstance) -> str:
    """One line with the names of the result's fields. What JSON has no number for is "NaN", "Infinity" or "-Infinity"."""
    return json_line(dataclasses.asdict(result))


def json_line(fields: dict[str, Any]) -> str:
    """One line of named fields, numbers as in `as_json`."""
    return json.dumps(_plain(fields), allow_nan=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def time_text(time_us: int) -> str:
    """UTC with milliseconds."""
    return utc(time_us).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


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


def quality_text(value: Value) -> Text:
    """Name, with the sub-code when it says more."""
    name = value.quality.lower()
    code = f" 0x{value.quality_code:04X}" if value.quality_code & 0x3FFF else ""
    return Text(name + code, style=_QUALITY_STYLE.get(value.quality, ""))


def devices_table(devices: list[Device]) -> Table:
    """Devices."""
    table = Table("id", "path", "class", "gateway", box=None, header_style="bold")
    for device in devices:
        table.add_row(str(device.device_id), device.path, device.device_class, device.gateway_id)
    return table


def tags_table(tags: list[Tag]) -> Table:
    """Tags with their last values."""
    table = Table("id", "path", box=None, header_style="bold")
    table.add_column("value", justify="right")
    for name in ("unit", "quality", "age", "", "description"):
        table.add_column(name)
    for tag in tags:
        last = tag.last
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


def updates_table(updates: dict[str, TagUpdate], units: dict[int, str], *, rows: int) -> Table:
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


def update_line(update: TagUpdate, unit: str) -> Text:
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


def anomaly_lines(anomaly: Anomaly) -> Text:
    """One step of an episode, and who contributed."""
    until = "" if anomaly.end_us is None else f" to {time_text(anomaly.end_us)}"
    scores = f"score {anomaly.score:.2f}, peak {anomaly.peak_score:.2f}, threshold {anomaly.threshold:.2f}"
    text = Text.assemble(
        (f"{anomaly.phase:6}", _PHASE_STYLE.get(anomaly.phase, "")),
        f"  {anomaly.device_path or anomaly.device_id}  since {time_text(anomaly.start_us)}{until}  {scores}",
    )
    for part in anomaly.contributors:
        low = "..." if part.expected_low is None else number(part.expected_low)
        high = "..." if part.expected_high is None else number(part.expected_high)
        name = part.path.rpartition("/")[2] or str(part.tag_id)
        if part.limit is not None and part.limit_us is not None and part.earliest_us is not None:
            latest = "..." if part.latest_us is None else time_text(part.latest_us)
            text.append(
                f"\n          forecast: {name} is {number(part.value)}, reaches {number(part.limit)} about {time_text(part.limit_us)}"
                f" ({time_text(part.earliest_us)} to {latest})"
            )
            continue
        strange = f"{part.statistic}: " if part.statistic else ""
        text.append(
            f"\n          {strange}{name} is {number(part.value)}, expected {low} to {high} (weight {part.score:.2f})"
        )
    text.append(f"\n          episode {anomaly.episode_id}")
    for label in anomaly.labels:
        verdict = label.verdict.lower().replace("_", " ")
        gone = "" if label.withdrawn_us is None else f", withdrawn by {label.withdrawn_by}"
        text.append(f"\n          {verdict}, says {label.by}: {label.reason}{gone} (label {label.label_id})")
    return text


def command_line(command: Command) -> Text:
    """One state of a command."""
    parts: list[str | tuple[str, str]] = [
        time_text(command.updated_us),
        "  ",
        (command.state, f"bold {_STATE_STYLE.get(command.state, '')}".strip()),
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


def outcome_lines(command: Command) -> list[Text]:
    """What became of each parameter, where the state alone does not say it."""
    if len(command.outcomes) < 2 and all(one.effect is Effect.APPLIED for one in command.outcomes):
        return []
    width = max(len(one.name) for one in command.outcomes)
    return [
        Text.assemble(
            f"    {one.name:<{width}}  ",
            (f"{one.effect:<8}", _EFFECT_STYLE.get(one.effect, "")),
            f"  read back {number(one.readback)}" if one.readback is not None else "",
            f"  {one.detail}" if one.detail else "",
        )
        for one in command.outcomes
    ]


def command_head(command: Command) -> Text:
    """What a command is."""
    given = " ".join(f"{name}={number(value)}" for name, value in sorted(command.parameters.items()))
    by = f"by {command.submitted_by}, expires {time_text(command.expires_us)}"
    by += f", approved by {command.approved_by}" if command.approved_by else ""
    by += f", because: {command.reason}" if command.reason else ""
    return Text.assemble(
        (str(command.command_id), "bold"), f"  {command.name} {given}".rstrip(), f" on {command.device_path}  ({by})"
    )


def console(*, stderr: bool = False) -> Console:
    """Terminal output that does not break lines when it goes to a file. A unit or a name in brackets is text, no markup."""
    plain: dict[str, Any] = {"stderr": stderr, "highlight": False, "markup": False, "emoji": False}
    out = Console(**plain)
    return out if out.is_terminal else Console(**plain, width=250, soft_wrap=True)
