"""What a call of the logic leads to: records of alarms and events, made at the moment of each transition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from schemas.alarms import (
    Alarm,
    AlarmAction,
    AlarmEvent,
    AlarmEventKind,
    AlarmState,
    Override,
    OverrideKind,
    source_id,
)
from stages.alarms.source import Episode, Source, effective

if TYPE_CHECKING:
    from stages.alarms.points import Point


OF_EPISODE = (
    *("alarm_id", "version", "start_us", "activated_us", "returned_us", "acknowledged_us", "acknowledged_by"),
    *("activations", "value", "detail", "cause_alarm_id", "first_out", "fleeting", "late", "comment"),
)
"""What an episode and its record both say."""
_MACHINE_WAITS = "its machine has still to say that it is acknowledged there"


@dataclass(kw_only=True, slots=True)
class Step:
    """Records of one call, in order. `now_us` is processing time; alarms and events carry event time beside it."""

    now_us: int
    alarms: list[Alarm] = field(default_factory=list)
    events: list[AlarmEvent] = field(default_factory=list)
    forgotten: list[UUID] = field(default_factory=list)
    """Alarms that ended long ago: the topic is to forget them."""
    notes: list[str] = field(default_factory=list)
    """What happened besides, for metrics."""

    def tell(
        self, point: Point, source: Source, episode: Episode | None, kind: AlarmEventKind, time_us: int, **about: Any
    ) -> None:
        """Something happened to an episode, or to the source itself: one event, and the alarm as it is now."""
        self.say(self.record(point, source, episode, time_us), kind, time_us, **about)

    def say(self, alarm: Alarm, kind: AlarmEventKind, time_us: int, **about: Any) -> None:
        """The event by which an alarm became what it is."""
        self.events.append(
            AlarmEvent(
                event_id=uuid5(alarm.alarm_id, f"event/{alarm.version}"),
                alarm_id=alarm.alarm_id,
                source_id=alarm.source_id,
                version=alarm.version,
                kind=kind,
                state=alarm.state,
                site=alarm.site,
                rule=alarm.rule,
                device_id=alarm.device_id,
                gateway_id=alarm.gateway_id,
                path=alarm.path,
                priority=alarm.priority,
                time_us=time_us,
                recorded_us=self.now_us,
                late=alarm.late,
                **about,
            )
        )

    def record(self, point: Point, source: Source, episode: Episode | None, time_us: int) -> Alarm:
        """One more version of an alarm, or of the source's own record."""
        alarm = alarm_of(point, source, episode, time_us)
        self.alarms.append(alarm)
        return alarm

    def refuse(self, action: AlarmAction, detail: str) -> None:
        """An action on what is no source."""
        self.notes.append("refused_action")
        source = source_id(action.site, action.source)
        self.events.append(
            AlarmEvent(
                event_id=uuid5(action.action_id, "refused"),
                alarm_id=action.alarm_id or source,
                source_id=source,
                version=0,
                kind=AlarmEventKind.REFUSED,
                state=AlarmState.NORMAL,
                site=action.site,
                rule=action.rule,
                device_id=action.device_id,
                gateway_id=action.gateway_id,
                path=action.line_path,
                time_us=action.time_us,
                recorded_us=self.now_us,
                by=action.by,
                reason=action.reason,
                detail=detail,
                action_id=action.action_id,
            )
        )

    def flood(
        self, site: str, scope: str, *, began: bool, flood_id: UUID, scope_id: UUID, time_us: int, detail: str
    ) -> None:
        """A flood of a scope began or ended."""
        self.events.append(
            AlarmEvent(
                event_id=uuid5(flood_id, "began" if began else "ended"),
                alarm_id=flood_id,
                source_id=scope_id,
                version=1 if began else 2,
                kind=AlarmEventKind.FLOOD_BEGAN if began else AlarmEventKind.FLOOD_ENDED,
                state=AlarmState.NORMAL,
                site=site,
                path=scope,
                time_us=time_us,
                recorded_us=self.now_us,
                detail=detail,
            )
        )


def alarm_of(point: Point, source: Source, episode: Episode | None, time_us: int) -> Alarm:
    """The next version of the record."""
    rule, about = point.rule, dict[str, Any]()
    overrides = [one for one in (source.out_of_service, source.suppressed if episode else None, source.shelved) if one]
    if episode is None:
        source.version += 1
        about = {"alarm_id": point.source_id, "version": source.version}
    else:
        episode.version += 1
        if episode.latched_us is not None:
            reason = _MACHINE_WAITS if point.condition else ""
            overrides.append(Override(kind=OverrideKind.LATCHED, since_us=episode.latched_us, reason=reason))
        about = {name: getattr(episode, name) for name in OF_EPISODE}
        if point.condition:
            about["acknowledged_reason"], about["seen_us"] = episode.acknowledged_reason, episode.seen_us
            about["acknowledged_at_machine"] = source.condition is None or source.condition.acknowledged is not False
    return Alarm(
        source_id=point.source_id,
        site=point.site,
        rule=rule.name,
        rule_version=rule.version if episode is None else episode.rule_version,
        device_id=point.device_id,
        gateway_id=point.gateway_id,
        tag_id=point.tag_id,
        path=point.path,
        priority=point.priority,
        state=effective(source, episode),
        active=source.active and episode is not None,
        overrides=tuple(overrides),
        chattering=source.chattering,
        title=point.title,
        cause=rule.cause,
        consequence=rule.consequence,
        corrective_action=rule.corrective_action,
        updated_us=time_us,
        condition=point.condition,
        **about,
    )
