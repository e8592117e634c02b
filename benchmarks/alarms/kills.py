"""What alarms pass is killed and paused: what is broken in which order, and what must be so afterwards. Pure, seeded.

The model is as plain as the promise. An excursion is one alarm: raised once, acknowledged once, over once, normal at the end, the same
in SQL, on the topic and to callers. What somebody had to be told before it was acknowledged came to each receiver exactly once by its
id, whatever the receiver was like meanwhile; what was acknowledged at once may have been told to nobody. A message may come again only
as the same message, a second later at the earliest.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from base.errors import ConfigError
from benchmarks.alarms.excursions import Excursion, Target
from schemas.notifications import AlarmNotification, NotificationKind, NotificationState, raised_id

NAMES = ("alarms", "telemetry", "historian", "jobmanager", "kafka", "postgres", "serving", "notifier")
"""Jobs stand for the TaskManager on which they run; the others are services."""
OF_JOBS = frozenset({"alarms", "telemetry", "historian"})
PAUSES_S: Mapping[str, float] = {"kill": 0.0, "pause": 15.0}
_BEFORE_S, _AFTER_S = 3.0, 8.0
"""Excursions begin from so long before until so long after the process is broken; a pause is waited for as well."""
_TOLD_SHARE = 0.5
_SOON_S = 1.0
MAIL, HOOK = "mail", "hook"
_FIRST = 0
"""The only step of the only route."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moods:
    """What a receiver is like meanwhile: so many messages are not taken at first, each takes so long."""

    fail: int
    slow_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One of the schedule."""

    seed: int
    name: str
    kind: str

    @property
    def pause_s(self) -> float:
        """0 for a kill."""
        return PAUSES_S[self.kind]

    @property
    def key(self) -> tuple[int, str, str]:
        """Names it within all campaigns."""
        return self.seed, self.name, self.kind

    def random(self, purpose: str) -> random.Random:
        """A generator of its own for one purpose."""
        return random.Random(f"{self.key} {purpose}")

    def moods(self) -> dict[str, Moods]:
        """Of the receivers, by target: slow, failing, or as they should be."""
        draw = self.random("moods")
        return {
            name: draw.choice((Moods(fail=0, slow_s=0), Moods(fail=0, slow_s=1.5), Moods(fail=4, slow_s=0)))
            for name in (MAIL, HOOK)
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one fault came to: a row of the result file. `seen_s_max`: from putting an excursion on to seeing its alarm."""

    seed: int
    name: str
    kind: str
    services: list[str]
    time: str
    commit: str
    load: float
    took_s: float
    healed_s: float | None
    raised: int
    acknowledged: int
    told: int
    seen_s_p50: float | None
    seen_s_max: float | None
    repeats: int
    wrong: list[str]
    problems: list[str] = field(default_factory=list)
    """What was wrong with the line when the bound was over."""

    @property
    def key(self) -> tuple[int, str, str]:
        """Of its fault."""
        return self.seed, self.name, self.kind

    def as_row(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def schedule(seed: int, *, only: Sequence[str] = (), kinds: Sequence[str] = ()) -> list[Fault]:
    """Everything in every kind once, in an order drawn by the seed. Raises ConfigError for a name that there is not."""
    for wanted, known in ((only, NAMES), (kinds, PAUSES_S)):
        for name in wanted:
            if name not in known:
                msg = f"there is no {name!r}; there are {', '.join(known)}"
                raise ConfigError(msg)
    faults = [Fault(seed=seed, name=name, kind=kind) for name in NAMES for kind in PAUSES_S]
    random.Random(f"alarm kills {seed}").shuffle(faults)
    return [one for one in faults if (not only or one.name in only) and (not kinds or one.kind in kinds)]


def left(faults: Iterable[Fault], known: Iterable[Outcome]) -> list[Fault]:
    """Faults without an outcome yet."""
    done = {one.key for one in known}
    return [one for one in faults if one.key not in done]


def read(result: Mapping[str, Any], where: str) -> list[Outcome]:
    """The outcomes of a result file. Raises ConfigError for a file of something else."""
    try:
        return [Outcome(**row) for row in result["kills_done"]]
    except (KeyError, TypeError) as error:
        msg = f"{where} is no result of `bench alarms --kills`: {error}"
        raise ConfigError(msg) from error


def plan(fault: Fault, targets: Sequence[Target], count: int) -> list[Excursion]:
    """Excursions around a fault, each at a machine of its own; due in seconds from `_BEFORE_S` before it."""
    draw = fault.random("excursions")
    chosen = draw.sample(list(targets), min(count, len(targets)))
    return [
        Excursion(
            number=number,
            target=target,
            due_s=draw.uniform(0, _BEFORE_S + fault.pause_s + _AFTER_S),
            told=draw.random() < _TOLD_SHARE,
        )
        for number, target in enumerate(chosen)
    ]


LEAD_S = _BEFORE_S
"""Of the excursions before the fault."""


def told_wrongly(
    excursions: Iterable[Excursion],
    outbox: Mapping[UUID, AlarmNotification],
    received: Mapping[str, Sequence[tuple[float, str, Sequence[str]]]],
) -> tuple[list[str], int]:
    """Contradictions between the outbox and the receivers, in words, and how many messages came again.

    `received`: of each target that is to be compared its messages: monotonic time, message id, ids of notifications.
    """
    done, wrong, repeats = list(excursions), list[str](), 0
    mine = {one.alarm_id for one in done}
    for target, messages in received.items():
        of_id: dict[str, set[str]] = {}
        first: dict[str, float] = {}
        for at_s, message_id, ids in messages:
            if message_id in first:
                repeats += 1
                if at_s - first[message_id] < _SOON_S:
                    wrong.append(f"{target}: message {message_id} came again after {at_s - first[message_id]:.2f} s")
            first[message_id] = at_s
            for one_id in ids:
                of_id.setdefault(one_id, set()).add(message_id)
        wrong += [
            f"{target}: notification {key} came in {len(many)} messages" for key, many in of_id.items() if len(many) > 1
        ]
        known = {str(key) for key, one in outbox.items() if one.target == target}
        wrong += [f"{target}: notification {key} is not in the outbox" for key in sorted(of_id.keys() - known)]
        for one in outbox.values():
            if one.target != target or one.alarm_id not in mine:
                continue
            came = str(one.notification_id) in of_id
            if one.state.open:
                wrong.append(f"{target}: notification {one.notification_id} is {one.state} at the end")
            elif one.state is NotificationState.SENT and not came:
                wrong.append(f"{target}: notification {one.notification_id} is SENT and never came")
            elif one.state is not NotificationState.SENT and came and one.message_id is None:
                wrong.append(f"{target}: notification {one.notification_id} is {one.state}, never tried, and came")
        for excursion in done:
            if not excursion.told or excursion.alarm_id is None:
                continue
            wanted = raised_id(excursion.alarm_id, 1, _FIRST, target)
            if target == MAIL and str(wanted) not in of_id:
                wrong.append(f"{target}: of {excursion.name} nobody was told")
            if wanted not in outbox:
                wrong.append(f"{target}: of {excursion.name} there is nothing in the outbox")
    return wrong, repeats


def is_told(excursion: Excursion, received: Iterable[str]) -> bool:
    """Whether the mail of an excursion has come; `received` are ids of notifications."""
    return excursion.alarm_id is not None and str(raised_id(excursion.alarm_id, 1, _FIRST, MAIL)) in set(received)


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """One number each, and a table."""
    columns = [
        "broken",
        "kind",
        "alarms",
        "acknowledged",
        "told",
        "seen s p50",
        "seen s max",
        "well after s",
        "repeats",
        "wrong",
    ]
    rows = [
        [
            *(one.name, one.kind, one.raised, one.acknowledged, one.told),
            *(one.seen_s_p50, one.seen_s_max, one.healed_s, one.repeats, len(one.wrong)),
        ]
        for one in sorted(outcomes, key=lambda one: (one.name, one.kind))
    ]  # fmt: skip
    kinds = Counter(one.kind for one in outcomes)
    return {
        "faults_done": len(outcomes),
        "by_kind": dict(kinds),
        "alarms": sum(one.raised for one in outcomes),
        "acknowledged": sum(one.acknowledged for one in outcomes),
        "told": sum(one.told for one in outcomes),
        "repeats": sum(one.repeats for one in outcomes),
        "wrong": sum(len(one.wrong) for one in outcomes),
        "not_healed": sum(one.healed_s is None for one in outcomes),
        "tables": [{"title": "Kills and pauses of what alarms pass", "columns": columns, "rows": rows}],
        "kills_done": [one.as_row() for one in outcomes],
    }


def of_kind(outbox: Iterable[AlarmNotification], excursions: Iterable[Excursion]) -> int:
    """How many notifications of raised alarms of these excursions were sent."""
    mine = {one.alarm_id for one in excursions}
    return sum(
        one.kind is NotificationKind.RAISED and one.state is NotificationState.SENT and one.alarm_id in mine
        for one in outbox
    )
