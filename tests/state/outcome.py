"""What a job or a gateway made of its input, in a form that any later version can be held against.

Enters: outputs as the operators give them, or as they stand on topics. Leaves: JSON-able values of decoded records, without
what depends on when the process ran. Repetitions, which at-least-once delivery allows, are told once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from hashlib import sha256
from typing import Any

from schemas import codec, topics
from schemas.verdicts import LATE_FLAG, VERDICT_MASK, Verdict
from stages.outputs import Output
from tests.golden.support import singly

RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""Floats that another order of additions may change by this much are the same."""
_WINDOW = ("mean", "m2", "min", "max", "first", "last")
_TIMES = ("min", "max", "first", "last")


def telemetry(outputs: Iterable[Output], *, begun_before_us: int) -> dict[str, Any]:
    """Outcome of the telemetry job.

    Of the windows, those that had begun before `begun_before_us`, when the state was kept: they are in it. The others are
    counted. A window is told as SQL would have it in the end: the row that folded more samples.
    """
    decoded = [(output.topic, *codec.decode(output.value)) for output in singly(outputs)]

    def of(topic: topics.Topic) -> list[dict[str, Any]]:
        return [record for name, _, record in decoded if name == topic.name]

    windows = _windows(of(topics.AGGREGATES))
    inherited = {key: row for key, row in windows.items() if key[2] < begun_before_us}
    return {
        "judged": _distinct(_judged(record) for record in of(topics.VALIDATED)),
        "rejected": _distinct(_rejected(record) for record in of(topics.REJECTED)),
        "windows": [[*key, *row] for key, row in sorted(inherited.items())],
        "new_windows": len(windows) - len(inherited),
        "latest": _latest(of(topics.LATEST)),
        "anomalies": _distinct(_anomaly(record) for record in of(topics.ANOMALIES)),
        "progress": _progress(of(topics.LANES)),
    }


def _judged(record: dict[str, Any]) -> list[Any]:
    verdicts: dict[str, list[int]] = {}
    for position, code in enumerate(record["verdict"].tolist()):
        name = Verdict(code & VERDICT_MASK).name + ("+LATE" if code & LATE_FLAG else "")
        verdicts.setdefault(name, []).append(position)
    shown = {name: len(positions) if name == "GOOD" else positions for name, positions in sorted(verdicts.items())}
    return [*_identity(record), record["samples"], shown]


def _rejected(record: dict[str, Any]) -> list[Any]:
    positions = None if record["position"] is None else record["position"].tolist()
    return [record["reason"], *(_identity(record) if record["epoch"] else [None] * 5), record["samples"], positions]


def _identity(record: dict[str, Any]) -> list[Any]:
    return [record["gateway_id"], record["lane"], str(record["epoch"]), record["stream"], record["sequence"]]


def _windows(batches: Iterable[dict[str, Any]]) -> dict[tuple[int, int, int], list[Any]]:
    final: dict[tuple[int, int, int], list[Any]] = {}
    for batch in batches:
        for at, tag_id in enumerate(batch["tag_id"].tolist()):
            key = (tag_id, batch["window_s"], int(batch["start_us"][at]))
            row: list[Any] = [int(batch["count"][at]), int(batch["good"][at])]
            row += [_number(batch[name][at]) for name in _WINDOW]
            row += [int(batch[f"{name}_time_us"][at]) for name in _TIMES]
            row.append(batch["lineage"])
            if key not in final or row[0] > final[key][0]:
                final[key] = row
    return final


def _latest(batches: Iterable[dict[str, Any]]) -> list[list[Any]]:
    newest: dict[int, list[Any]] = {}
    for batch in batches:
        columns = (batch[name].tolist() for name in ("tag_id", "time_us", "value", "quality"))
        for tag_id, time_us, value, quality in zip(*columns, strict=True):
            if tag_id not in newest or time_us >= newest[tag_id][0]:
                newest[tag_id] = [time_us, _number(value), quality]
    return [[tag_id, *row] for tag_id, row in sorted(newest.items())]


def _anomaly(record: dict[str, Any]) -> list[Any]:
    contributors = [[each["tag_id"], each["score"], each["value"]] for each in record["contributors"]]
    names = ("device_id", "detector", "detector_version", "phase", "revision", "start_us", "end_us")
    return [*(record[name] for name in names), record["peak_score"], record["threshold"], contributors,
            str(record["episode_id"])]  # fmt: skip


def _progress(records: Iterable[dict[str, Any]]) -> list[list[Any]]:
    last: dict[tuple[str, int], list[Any]] = {}
    counts = ("frames", "samples", "duplicate_frames", "duplicate_samples", "identity_conflicts")
    for record in records:
        held = [[each["stream"], each["sequence"], each["samples"]] for each in record["held"]]
        last[record["gateway_id"], record["lane"]] = [*(record[name] for name in counts), held]
    return [[*lane, *row] for lane, row in sorted(last.items())]


def commands(outputs: Iterable[Output], *, times: bool) -> dict[str, Any]:
    """Outcome of the commands job: every transition of every command, and what was sent again. `times` when clocks are a test's."""
    states: dict[str, list[list[Any]]] = {}
    sent: list[list[Any]] = []
    names = ("version", "state", "attempt", "detail", "late_acks", "duplicate_acks", "gateway_id", "site", "name")
    for output in outputs:
        kind, record = codec.decode(output.value)
        if kind == "CommandState":
            record["version"] %= 1_000_000  # transitions alone, as in the outcomes of 0.2 and before
            row = [record[name] for name in names] + [dict(sorted(record["readback"].items()))]
            row += [record["updated_us"]] if times else []
            states.setdefault(str(record["command_id"]), []).append(row)
        elif kind in {"CommandRequest", "CommandControl"}:
            told = record["attempt"] if kind == "CommandRequest" else record["action"]
            sent.append([output.topic, kind, str(record["command_id"]), told])
        else:
            sent.append([output.topic, kind, record["reason"], None])
    return {
        "states": [[command, *row] for command, rows in sorted(states.items()) for row in _distinct(rows)],
        "sent": _distinct(sent),
    }


def alarms(outputs: Iterable[Output]) -> dict[str, Any]:
    """Outcome of the alarms job: everything that happened, where each alarm stands in the end, and what the topic was told to forget."""
    events, newest, forgotten, refused = list[list[Any]](), dict[str, dict[str, Any]](), list[str](), list[str]()
    for output in outputs:
        value: bytes | None = output.value
        if value is None:
            forgotten.append(output.key.decode())
            continue
        kind, record = codec.decode(value)
        if kind == "AlarmEvent":
            events.append(_row(kind, record, without={"recorded_us"}))
        elif kind == "Alarm":
            known = newest.get(str(record["alarm_id"]))
            if known is None or record["version"] > known["version"]:
                newest[str(record["alarm_id"])] = record
        else:
            refused.append(record["detail"])
    stands = [_row("Alarm", record) for _, record in sorted(newest.items())]
    return {
        "events": _distinct(events),
        "alarms": stands,
        "forgotten": sorted(set(forgotten)),
        "refused": sorted(refused),
    }


_STORED = {"Alarm": 1, "AlarmEvent": 2}
"""Versions of the records when the first outcome was stored: a row has their fields, in order of their names."""


def _row(kind: str, record: dict[str, Any], *, without: Set[str] = frozenset()) -> list[Any]:
    """A record as a row. What later versions have added stands behind it by name, where it says something."""
    versions = codec.all_schemas()[kind]
    stored = {field["name"] for field in versions[_STORED[kind] - 1].raw["fields"]} - without
    added = {
        field["name"]: _told(record[field["name"]])
        for field in versions[-1].raw["fields"]
        if field["name"] not in stored | without and record[field["name"]] != field["default"]
    }
    return [*(_told(record[name]) for name in sorted(stored)), *([added] if added else [])]


def _told(value: Any) -> Any:
    if isinstance(value, list):
        return [{name: each[name] for name in sorted(each)} for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def messages(written: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """Outcome of the historian without a database: what it gave to its writer, each message once."""
    return {
        "written": _distinct(
            [m[0], m[1], m[2], bytes(m[3]).decode(errors="backslashreplace"), sha256(bytes(m[4])).hexdigest()[:16]]
            for m in written
        )
    }


def _distinct(rows: Iterable[list[Any]]) -> list[list[Any]]:
    """Rows in order, each once."""
    return [row for _, row in sorted({_order(row): row for row in rows}.items())]


def _order(row: list[Any]) -> tuple[tuple[int, Any], ...]:
    return tuple((0, repr(each)) if not isinstance(each, int) else (1, each) for each in row)


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)


def differences(found: Any, expected: Any, where: str = "") -> Iterator[str]:
    """Where two outcomes differ, a line each; floats may differ by a rounding."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in sorted(found.keys() | expected.keys()):
            if name not in found or name not in expected:
                yield f"{where}/{name}: only in what is {'expected' if name in expected else 'found'}"
            else:
                yield from differences(found[name], expected[name], f"{where}/{name}")
    elif isinstance(expected, list) and isinstance(found, list):
        if len(found) != len(expected):
            yield f"{where}: {len(found)} rows, expected {len(expected)}; {_missing(found, expected)}"
            return
        for number, (left, right) in enumerate(zip(found, expected, strict=True)):
            yield from differences(left, right, f"{where}[{number}]")
    elif isinstance(expected, float) and isinstance(found, (int, float)):
        if not math.isclose(found, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            yield f"{where}: {found!r}, expected {expected!r}"
    elif found != expected:
        yield f"{where}: {found!r}, expected {expected!r}"


def _missing(found: list[Any], expected: list[Any]) -> str:
    have, want = Counter(map(repr, found)), Counter(map(repr, expected))
    return f"missing {list((want - have).elements())[:3]}, unexpected {list((have - want).elements())[:3]}"


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """What the present code makes of the state is what the code that made it did."""
    wrong = list(differences(found, expected))
    assert not wrong, f"{len(wrong)} differences:\n" + "\n".join(wrong[:20])
