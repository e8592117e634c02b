"""The life cycle of an alarm: what activation, return and people do to it. No clock, no values, no other alarms.

Each function changes the source it is given and tells the step. What is hidden by an override when its condition ends needs nobody's
acknowledgement: whoever hid it has taken note of it. A latched alarm stays until it is acknowledged and reset. That of a condition of a
machine's server which is over and acknowledged here stays as if it were latched until its machine has heard of it (`let_go`).
"""

from __future__ import annotations

from schemas.alarm_rules import ConditionKind
from schemas.alarms import (
    LONGEST_ASIDE_US,
    AlarmAction,
    AlarmActionKind,
    AlarmEventKind,
    Override,
    OverrideKind,
    alarm_id,
    at_machine,
)
from stages.alarms.config import AlarmConfig
from stages.alarms.points import Point
from stages.alarms.source import ENDED_ALARMS, Episode, Source
from stages.alarms.step import Step

_SAME_START_US = 1_000_000
AT_MACHINE = "acknowledged at the machine"
NOTHING_WAITS = "nothing waits for an acknowledgement at the machine any more"
IN_VAIN = "the machine still waits for an acknowledgement"
_RETIRED = "its rule no longer holds here"


def activate(point: Point, source: Source, start_us: int, time_us: int) -> tuple[Episode, AlarmEventKind]:
    """The condition has become an alarm: a new one, or again the one that stands. The caller tells the step."""
    source.active = True
    episode = source.episode
    if episode is None:
        # A clock that stands or goes back would give the id of an alarm that was.
        if 0 <= source.started_us - start_us < _SAME_START_US:
            start_us = source.started_us + 1
        source.started_us = start_us
        episode = source.episode = Episode(
            alarm_id=alarm_id(point.source_id, start_us),
            start_us=start_us,
            activated_us=time_us,
            rule_id=point.rule.rule_id,
            rule_version=point.rule.version,
            value=source.value,
            detail=source.detail,
        )
        return episode, AlarmEventKind.RAISED
    episode.activated_us, episode.activations = time_us, episode.activations + 1
    episode.returned_us = episode.latched_us = episode.acknowledged_us = None
    episode.acknowledged_by, episode.acknowledged_reason, episode.seen_us = "", "", 0
    episode.fleeting = episode.machine_knows = False
    episode.value, episode.detail = source.value, source.detail
    return episode, AlarmEventKind.RAISED_AGAIN


def deactivate(point: Point, source: Source, time_us: int, step: Step, config: AlarmConfig, *, never_was: bool) -> None:
    """The condition is over; `never_was`: it has become known that it was before its delay had passed, so nobody has to take note."""
    source.active = False
    episode = source.episode
    if episode is None:
        return
    episode.returned_us = time_us
    unseen = episode.acknowledged_us is None
    lasts = point.rule.kind is not ConditionKind.COMMAND
    episode.fleeting = lasts and unseen and time_us - episode.activated_us < config.fleeting_ms * 1000
    over_before_known = episode.late and step.now_us - time_us > config.late_ms * 1000
    detail = "it was over before it became known" if over_before_known else ""
    detail = "it was over before its delay was" if never_was else detail
    over_before_known |= never_was
    if point.rule.latch and not over_before_known:
        episode.latched_us = time_us
    elif source.overridden or over_before_known:
        _end(source, episode)
    elif not unseen:
        _over_and_acknowledged(source, episode)
    step.tell(point, source, episode, AlarmEventKind.RETURNED, time_us, detail=detail, withdrawn=never_was)


def retire(point: Point, source: Source, time_us: int, step: Step) -> None:
    """Its rule no longer holds: the alarm ends, whatever it was, and nothing of it is put aside."""
    source.raw = source.active = False
    source.raw_us = 0
    overridden = bool(source.shelved or source.out_of_service)
    source.shelved = source.out_of_service = None
    if (episode := source.episode) is not None:
        _end(source, episode)
        step.tell(point, source, episode, AlarmEventKind.RULE_RETIRED, time_us, detail=_RETIRED)
    if overridden:
        step.tell(point, source, None, AlarmEventKind.RULE_RETIRED, time_us, detail=_RETIRED)


def suppress(point: Point, source: Source, reason: str, time_us: int, step: Step) -> None:
    """Design hides a standing alarm (`reason`), or no longer does (empty)."""
    episode = source.episode
    if bool(reason) == bool(source.suppressed):
        return
    source.suppressed = Override(kind=OverrideKind.SUPPRESSED, since_us=time_us, reason=reason) if reason else None
    if episode is not None:
        kind = AlarmEventKind.SUPPRESSED if reason else AlarmEventKind.UNSUPPRESSED
        step.tell(point, source, episode, kind, time_us, reason=reason)


def act(point: Point, source: Source, action: AlarmAction, step: Step) -> str:
    """Carry an action out; what is wrong with it, or nothing."""
    return _ACTIONS[action.kind](point, source, action, step)


def acknowledge_at_machine(point: Point, source: Source, time_us: int, step: Step) -> None:
    """Where its condition is acknowledged at the machine, by somebody there or because it was asked for here, the alarm is.

    Where the machine waits again, the next acknowledgement there is a new one. What waited for that alone ends.
    """
    episode, condition = source.episode, source.condition
    if episode is None or condition is None:
        return
    if condition.acknowledged is False and episode.machine_knows:
        episode.machine_knows = False
        step.record(point, source, episode, time_us)
    if source.waits_for_machine and not condition.waits:
        if condition.acknowledged:
            episode.machine_knows, episode.seen_us = True, 0
        let_go(point, source, time_us, step, AT_MACHINE if condition.acknowledged else NOTHING_WAITS)
        return
    if not condition.acknowledged or episode.machine_knows:
        return
    episode.machine_knows, episode.seen_us = True, 0
    if episode.acknowledged_us is not None:
        step.record(point, source, episode, time_us)
        return
    episode.acknowledged_us, episode.acknowledged_by = max(time_us, episode.activated_us), at_machine(condition.by)
    if not source.active:
        _end(source, episode)
    about = {"by": episode.acknowledged_by, "reason": condition.comment, "detail": AT_MACHINE}
    step.tell(point, source, episode, AlarmEventKind.ACKNOWLEDGED, episode.acknowledged_us, **about)


def let_go(point: Point, source: Source, time_us: int, step: Step, detail: str) -> None:
    """An alarm that waited for its machine alone ends."""
    episode = source.episode
    assert episode is not None
    time_us = max(time_us, episode.acknowledged_us or 0)
    _end(source, episode)
    step.tell(point, source, episode, AlarmEventKind.RESET, time_us, detail=detail)


def end_shelving(point: Point, source: Source, override: Override, step: Step) -> None:
    """The time of a shelving or of an out of service is over."""
    kind = AlarmEventKind.UNSHELVED if override.kind is OverrideKind.SHELVED else AlarmEventKind.IN_SERVICE
    time_us = override.until_us or step.now_us
    _put(point, source, override.kind, None, kind, step, time_us, {"by": "", "reason": "its time is over"})


def _acknowledge(point: Point, source: Source, action: AlarmAction, step: Step) -> str:
    episode = source.episode
    assert episode is not None
    machine_waits = source.condition is not None and source.condition.acknowledged is False
    # Once more while the machine waits: the acknowledgement before did not reach it, or has not yet.
    if episode.acknowledged_us is not None and not machine_waits:
        return f"it has been acknowledged by {episode.acknowledged_by}"
    if 0 < action.activations < episode.activations:
        return "it came again since; acknowledge again"
    episode.acknowledged_us, episode.acknowledged_by = action.time_us, action.by
    if point.condition:
        episode.acknowledged_reason = action.reason
        # What comes and goes within a delay is no alarm of its own, but the machine raises it anew each time.
        came_us = max(episode.activated_us, source.raw_us, episode.returned_us or 0)
        episode.seen_us = came_us if machine_waits else 0
    if not source.active and episode.latched_us is None:
        _over_and_acknowledged(source, episode)
    step.tell(point, source, episode, AlarmEventKind.ACKNOWLEDGED, action.time_us, **_who(action))
    return ""


def _reset(point: Point, source: Source, action: AlarmAction, step: Step) -> str:
    episode = source.episode
    assert episode is not None
    if not point.rule.latch and episode.latched_us is None:
        return "it does not latch: nothing is to be reset"
    if source.active:
        return "its condition still holds"
    if episode.acknowledged_us is None:
        return "it has not been acknowledged"
    _end(source, episode)
    step.tell(point, source, episode, AlarmEventKind.RESET, action.time_us, **_who(action))
    return ""


def _comment(point: Point, source: Source, action: AlarmAction, step: Step) -> str:
    episode = source.episode
    assert episode is not None
    if not action.reason.strip():
        return "a comment says something"
    episode.comment = action.reason
    step.tell(point, source, episode, AlarmEventKind.COMMENTED, action.time_us, **_who(action))
    return ""


def _shelve(point: Point, source: Source, action: AlarmAction, step: Step) -> str:
    longest_s, until_us = point.rule.shelve_max_s, action.until_us
    if not longest_s:
        return "its rule does not allow shelving"
    if until_us is None:
        return "shelving says until when"
    if problem := _wrong_end(until_us, step):
        return problem
    if until_us > action.time_us + round(longest_s * 1e6):
        return f"it may be shelved for {longest_s:g} s at most"
    _put(
        point,
        source,
        OverrideKind.SHELVED,
        _override(action, OverrideKind.SHELVED),
        AlarmEventKind.SHELVED,
        step,
        action.time_us,
        _who(action),
    )
    return ""


def _unshelve(point: Point, source: Source, action: AlarmAction, step: Step) -> str:
    if source.shelved is None:
        return "it is not shelved"
    _put(point, source, OverrideKind.SHELVED, None, AlarmEventKind.UNSHELVED, step, action.time_us, _who(action))
    return ""


def _out_of_service(point: Point, source: Source, action: AlarmAction, step: Step) -> str:
    if not action.reason.strip():
        return "out of service says why"
    if action.until_us is not None and (problem := _wrong_end(action.until_us, step)):
        return problem
    override = _override(action, OverrideKind.OUT_OF_SERVICE)
    _put(
        point,
        source,
        OverrideKind.OUT_OF_SERVICE,
        override,
        AlarmEventKind.OUT_OF_SERVICE,
        step,
        action.time_us,
        _who(action),
    )
    return ""


def _in_service(point: Point, source: Source, action: AlarmAction, step: Step) -> str:
    if source.out_of_service is None:
        return "it is not out of service"
    _put(
        point, source, OverrideKind.OUT_OF_SERVICE, None, AlarmEventKind.IN_SERVICE, step, action.time_us, _who(action)
    )
    return ""


_ACTIONS = {
    AlarmActionKind.ACKNOWLEDGE: _acknowledge,
    AlarmActionKind.RESET: _reset,
    AlarmActionKind.COMMENT: _comment,
    AlarmActionKind.SHELVE: _shelve,
    AlarmActionKind.UNSHELVE: _unshelve,
    AlarmActionKind.OUT_OF_SERVICE: _out_of_service,
    AlarmActionKind.IN_SERVICE: _in_service,
}


def _put(
    point: Point,
    source: Source,
    place: OverrideKind,
    override: Override | None,
    kind: AlarmEventKind,
    step: Step,
    time_us: int,
    who: dict[str, object],
) -> None:
    """Set or clear a person's override. The source's own record says it; when an alarm stands, its record does too."""
    if place is OverrideKind.SHELVED:
        source.shelved = override
    else:
        source.out_of_service = override
    step.tell(point, source, None, kind, time_us, until_us=override.until_us if override else None, **who)
    if source.episode is not None:
        step.record(point, source, source.episode, time_us)


def _override(action: AlarmAction, kind: OverrideKind) -> Override:
    return Override(kind=kind, since_us=action.time_us, by=action.by, reason=action.reason, until_us=action.until_us)


def _wrong_end(until_us: int, step: Step) -> str:
    if until_us <= step.now_us:
        return "its time is over already"
    return "it may be put aside for 10 years at most" if until_us > step.now_us + LONGEST_ASIDE_US else ""


def _who(action: AlarmAction) -> dict[str, object]:
    return {"by": action.by, "reason": action.reason, "action_id": action.action_id}


def _over_and_acknowledged(source: Source, episode: Episode) -> None:
    """It ends, unless its machine has still to hear of it: a refusal is then seen in the alarm."""
    if source.machine_waits and not source.overridden:
        episode.latched_us = episode.returned_us
    else:
        _end(source, episode)


def _end(source: Source, episode: Episode) -> None:
    episode.ended, episode.latched_us = True, None
    source.episode, source.suppressed = None, None
    source.ended_alarms = [*source.ended_alarms, str(episode.alarm_id)][-ENDED_ALARMS:]
