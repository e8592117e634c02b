"""Transitions of sources: from a condition to an alarm and back, and what that does to others.

Delays, first-out groups, chattering, parents and children, floods; people's actions. Who calls: `stages.alarms.site`, which knows
what came. What is over releases what it hid only in `release`, when all that the same sample says has been heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from schemas.alarms import AlarmAction, AlarmEventKind, AlarmState, Override, OverrideKind
from stages.alarms import lifecycle
from stages.alarms.config import AlarmConfig
from stages.alarms.lanes import Sample
from stages.alarms.points import Point
from stages.alarms.published import Published, Was
from stages.alarms.site_state import Group, SiteState
from stages.alarms.source import Episode, Source, effective
from stages.alarms.step import Step


class Transitions:
    """Of the sources of one site."""

    def __init__(self, state: SiteState, config: AlarmConfig, published: Published) -> None:
        self._state, self._config, self._published = state, config, published
        self._pending: dict[str, set[str]] = {}
        """Keys whose delay runs, by gateway."""
        self.timed: set[str] = set()
        """Keys with something that ends by the clock on the wall."""
        self._returned: list[tuple[Point, int]] = []
        """What is over since `release`."""

    def resume(self, point: Point, source: Source) -> None:
        """After a restore: a delay or a time that runs goes on."""
        if source.raw != source.active:
            self._await(point)
        self.watch_time(point.key, source)

    def regroup(self) -> None:
        """After a new table: a device may be at another gateway."""
        points, keys = self._state.table.points, {key for each in self._pending.values() for key in each}
        self._pending.clear()
        for key in keys & points.keys():
            self._await(points[key])

    def _await(self, point: Point) -> None:
        """Its delay runs: whichever of its gateways speaks may end it."""
        for gateway_id in point.clocks:
            self._pending.setdefault(gateway_id, set()).add(point.key)

    def forget(self, key: str) -> None:
        """A source whose rule holds no more."""
        self._state.forget(key)
        self.timed.discard(key)
        for keys in self._pending.values():
            keys.discard(key)

    def forget_returned(self) -> None:
        """Nothing is to be released: all is looked at anyway."""
        self._returned.clear()

    def observe(
        self,
        point: Point,
        source: Source,
        holds: bool,
        time_us: int,
        step: Step,
        value: float | None = None,
        detail: str = "",
        before_us: int = 0,
    ) -> None:
        """The condition holds or does not, from `time_us` on; `before_us`: when it was last seen, and did not."""
        time_us = max(time_us, source.raw_us)
        self.settle(point, source, time_us, step)
        if not source.raw and (seen_us := before_us if holds else time_us):
            self.not_holding(point, seen_us)
        if holds == source.raw:
            return
        if holds and (was := self._told_before(point, source, time_us)) is not None:
            time_us, value, detail = was.start_us, was.value, was.detail
        source.raw, source.raw_us = holds, time_us
        if holds:
            source.value, source.detail = value, detail
        self.settle(point, source, time_us, step)
        if source.raw != source.active:
            self._await(point)
        self.mark(point)

    def not_holding(self, point: Point, time_us: int) -> None:
        """Nothing is the matter at a moment: what was told before a start was over by then."""
        self._published.over(point.site, point.source_id, time_us)

    def _told_before(self, point: Point, source: Source, time_us: int) -> Was | None:
        """The alarm that this condition was before a start, where the state knows nothing of it."""
        # A machine's condition is told again when it comes, and its machine goes by when that was.
        if source.episode is not None or point.condition:
            return None
        was = self._published.since(point.site, point.source_id, time_us)
        return was if was is not None and was.start_us > source.started_us else None

    def settle(self, point: Point, source: Source, time_us: int, step: Step) -> None:
        """Do what is due by `time_us`: a delay is over when the condition has been what it is for so long."""
        if source.raw != source.active:
            due_us = source.raw_us + (point.on_delay_us if source.raw else point.off_delay_us)
            if time_us < due_us:
                return
            self._state.touch(point.key)
            if source.raw:
                self._activate(point, source, source.raw_us, due_us, step)
            else:
                self._deactivate(point, source, due_us, step)
            self.mark(point)
        if source.quiet:
            source.raw_us, source.value, source.detail = 0, None, ""
        for gateway_id in point.clocks:
            self._pending.get(gateway_id, set()).discard(point.key)

    def raise_again(self, point: Point, source: Source, time_us: int, step: Step, *, machine_knows: bool) -> None:
        """What holds asks for attention anew, without having been over; `machine_knows`: what was acknowledged there does not count."""
        if source.raw and source.active:
            self._state.touch(point.key)
            self._activate(point, source, time_us, time_us, step, machine_knows=machine_knows)

    def has_pending(self, gateway_id: str) -> bool:
        """Whether a delay runs."""
        return bool(self._pending.get(gateway_id))

    def settle_pending(
        self, gateway_id: str, known_of: Callable[[Point, Source], int], disorder_us: int, step: Step
    ) -> None:
        """Delays of a gateway's sources that are over by what is known of each, the earliest first."""
        waiting = [(self._state.sources[key].raw_us, key) for key in self._pending.get(gateway_id, ())]
        for _, key in sorted(waiting):
            point, source = self._state.table.points[key], self._state.sources[key]
            self.settle(point, source, known_of(point, source) - disorder_us, step)

    # --- transitions -------------------------------------------------------------------------------------------------

    def _activate(
        self, point: Point, source: Source, start_us: int, time_us: int, step: Step, *, machine_knows: bool = False
    ) -> None:
        reason = self.suppression(point)
        source.suppressed = Override(kind=OverrideKind.SUPPRESSED, since_us=time_us, reason=reason) if reason else None
        began_to_chatter = self._chatters(source, time_us)
        episode, kind = lifecycle.activate(point, source, start_us, time_us)
        episode.machine_knows = machine_knows
        was = self._published.since(point.site, point.source_id, start_us)
        if was is not None and was.start_us == start_us and not was.normal:
            episode.late = was.late  # that it is heard again is no news, unless it is over since
        else:
            episode.late = step.now_us - time_us > self._config.late_ms * 1000
        episode.cause_alarm_id, episode.first_out = self._join_group(point, str(episode.alarm_id))
        if (parent := self._standing_parent(point)) is not None:
            episode.cause_alarm_id, episode.first_out = parent, False
        step.tell(point, source, episode, kind, time_us, value=episode.value, detail=episode.detail, reason=reason)
        if began_to_chatter:
            step.tell(point, source, episode, AlarmEventKind.CHATTERING, time_us)
        episode.uncounted = effective(source, episode) is not AlarmState.UNACKNOWLEDGED
        if not episode.uncounted:
            self._state.floods.count(point.scope, time_us, step)
            self._state.touch_site()
        self.suppress_children(point, time_us, step)
        lifecycle.acknowledge_at_machine(point, source, time_us, step)
        self.act_waiting(point, source, step)

    def act_waiting(self, point: Point, source: Source, step: Step) -> None:
        """What people did to the alarm that stands, before it was known."""
        if (episode := source.episode) is None:
            return
        waiting = [action for action in source.waiting if action.alarm_id == episode.alarm_id]
        source.waiting = [action for action in source.waiting if action.alarm_id != episode.alarm_id]
        for action in waiting:
            self.act(point, source, action, step)

    def _deactivate(self, point: Point, source: Source, time_us: int, step: Step) -> None:
        never_was = False
        if source.episode is not None:  # a sample may be older than the clock by which a delay ended
            activated_us, by_wall_clock = source.episode.activated_us, not point.of_values
            never_was = source.raw_us < activated_us and not by_wall_clock and source.episode.activations == 1
            time_us = max(time_us, activated_us)
            if never_was:
                self._withdraw(point, source, source.episode)
        lifecycle.deactivate(point, source, time_us, step, self._config, never_was=never_was)
        self.watch_time(point.key, source)
        self.leave_group(point)
        # What follows from it may be over by the same sample: it rings only if it is not.
        self._returned.append((point, time_us))

    def _withdraw(self, point: Point, source: Source, episode: Episode) -> None:
        """An activation that never was counts for nothing: not as chattering, nor in a flood."""
        source.recent_us = [one for one in source.recent_us if one != episode.activated_us]
        if not episode.uncounted:
            self._state.floods.withdraw(point.scope, episode.activated_us)
            self._state.touch_site()

    def release(self, step: Step) -> None:
        """What followed from alarms that are over is hidden no more."""
        returned, self._returned = self._returned, []
        for point, time_us in returned:
            self.suppress_children(point, time_us, step)

    def _chatters(self, source: Source, time_us: int) -> bool:
        """Note an activation; whether it is the one by which the source begins to chatter."""
        count, was = self._config.chattering_count, source.chattering
        source.recent_us = [*source.recent_us, time_us][-count:]
        recent = [one for one in source.recent_us if time_us - one <= self._config.chattering_ms * 1000]
        source.chattering = len(recent) >= count
        return source.chattering and not was

    def _join_group(self, point: Point, alarm_id: str) -> tuple[UUID | None, bool]:
        """What came first in the group, unless that is this alarm itself; and whether it is."""
        if not point.group:
            return None, False
        self._state.touch_site()
        group = self._state.groups.setdefault(point.group, Group(leader=alarm_id))
        group.active = sorted({*group.active, point.key})
        return (None, True) if group.leader == alarm_id else (UUID(group.leader), False)

    def leave_group(self, point: Point) -> None:
        """It is active no more; a group in which nothing is begins anew."""
        if (group := self._state.groups.get(point.group)) is not None and point.key in group.active:
            self._state.touch_site()
            group.active.remove(point.key)
            if not group.active:
                del self._state.groups[point.group]

    # --- suppression -------------------------------------------------------------------------------------------------

    def suppression(self, point: Point) -> str:
        """Why design hides the point's alarm now; empty when it does not. A critical rule has neither parent nor suppress_tag."""
        if self._standing_parent(point) is not None:
            return f"it follows from {point.rule.parent}"
        last = self.last(point.suppress_id)
        if last is not None and last.value in point.rule.suppress_values:
            return f"{point.rule.suppress_tag} is {last.value:g}"
        return ""

    def _standing_parent(self, point: Point) -> UUID | None:
        """The alarm that it follows from: of a parent that is active and that no person has put aside."""
        parent = self._state.sources.get(point.parent)
        if parent is None or not parent.active or parent.episode is None or parent.shelved or parent.out_of_service:
            return None
        return parent.episode.alarm_id

    def suppress_children(self, point: Point, time_us: int, step: Step) -> None:
        """What follows from a point, looked at again."""
        self.suppress_again(self._state.table.children.get(point.key, ()), time_us, step)

    def suppress_again(self, points: Iterable[Point], time_us: int, step: Step) -> None:
        """Whether design hides the alarms that stand at these points now."""
        for point in points:
            source = self._state.sources.get(point.key)
            if source is None or source.episode is None:
                continue
            self._state.touch(point.key)
            if (parent := self._standing_parent(point)) is not None:
                source.episode.cause_alarm_id = parent
            lifecycle.suppress(point, source, self.suppression(point), time_us, step)

    # --- actions and time --------------------------------------------------------------------------------------------

    def act(self, point: Point, source: Source, action: AlarmAction, step: Step) -> None:
        """Carry an action out, or refuse it with its cause."""
        problem = lifecycle.act(point, source, action, step)
        if problem:
            self.refuse(point, source, action, problem, step)
        self.watch_time(point.key, source)
        self.suppress_children(point, action.time_us, step)

    def refuse(self, point: Point, source: Source, action: AlarmAction, problem: str, step: Step) -> None:
        """Answer an action that changes nothing."""
        step.notes.append("refused_action")
        about = {"by": action.by, "reason": action.reason, "action_id": action.action_id, "detail": problem}
        episode = source.episode
        if action.alarm_id is not None and episode is not None and episode.alarm_id != action.alarm_id:
            episode = None
        step.tell(point, source, episode, AlarmEventKind.REFUSED, action.time_us, **about)

    def heard_of_machine(self, point: Point, source: Source, time_us: int, step: Step) -> None:
        """What is known of acknowledgement at the machine is another."""
        lifecycle.acknowledge_at_machine(point, source, time_us, step)
        self.watch_time(point.key, source)

    def waited_long(self, point: Point, source: Source, step: Step) -> None:
        """An alarm that waits for its machine alone does not do so for ever."""
        if source.waits_for_machine and source.episode is not None:
            until_us = (source.episode.acknowledged_us or 0) + self._config.machine_wait_ms * 1000
            if until_us <= step.now_us:
                lifecycle.let_go(point, source, step.now_us, step, lifecycle.IN_VAIN)

    def watch_time(self, key: str, source: Source) -> None:
        """Note whether something of a source ends by the clock on the wall."""
        overrides = (source.shelved, source.out_of_service)
        ends = any(override is not None and override.until_us is not None for override in overrides)
        if ends or source.waiting or source.waits_for_machine:
            self.timed.add(key)
        else:
            self.timed.discard(key)

    def last(self, tag_id: int | None) -> Sample | None:
        """What is known of a watched tag."""
        lane = None if tag_id is None else self._state.lane_of(tag_id)
        return None if lane is None or tag_id is None else lane.last(tag_id)

    def mark(self, point: Point) -> None:
        """Tell the lane whether each sample of the point's tag counts."""
        if point.tag_id is None or (lane := self._state.lane_of(point.tag_id)) is None:
            return
        table = self._state.table
        at_tag = (*table.of_tag.get(point.tag_id, ()), *table.silence_of_tag.get(point.tag_id, ()))
        known = (self._state.sources.get(each.key) for each in at_tag)
        lane.mark(point.tag_id, busy=any(source is not None and not source.quiet for source in known))
