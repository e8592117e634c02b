"""The alarms of a site: what is seen, said and done there, brought to its sources in event time.

A site is the unit because what makes alarms bearable goes beyond a device: a compressor that stands mutes its consequences at other
machines, a group finds what came first, a gateway that is silent is one alarm, and a flood is counted over an area. Enters: last values,
events, anomalies, command states and actions of one site, in any order between each other. Leaves: a `Step`. Who calls:
`stages.alarms.logic`.

Time: conditions and delays run in event time, as far as values of their own lane are known (`LaneValues.known_us`). Topics and lanes are
read unevenly, after a start or while the telemetry job catches up above all: what is read further ahead says nothing about a lane. So a
tag is silent by what else comes of its lane; that a machine cannot be reached its gateway says itself, in its health. What is said about
silence of a gateway, and the end of shelving, runs in processing time, because nothing comes that could carry another.

Over 350 lines: what is known of one site is one state, which records, timers and a change of rules work on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.alarm_rules import ConditionKind
from schemas.alarms import OF_EPISODES, Alarm, AlarmAction, AlarmEventKind, OverrideKind
from schemas.commands import CommandStateRecord
from stages.alarms import lifecycle
from stages.alarms.conditions import judge
from stages.alarms.config import AlarmConfig
from stages.alarms.lanes import LaneValues, Sample, no_lane
from stages.alarms.listening import Listening, Reachable, always
from stages.alarms.points import Point, SiteTable
from stages.alarms.published import Published
from stages.alarms.server_conditions import ServerConditions, points_of_conditions
from stages.alarms.site_state import SiteState
from stages.alarms.source import OPEN_IDS, SEEN_ACTIONS, WAITING_ACTIONS, Source, remains
from stages.alarms.step import Step
from stages.alarms.transitions import Transitions
from stages.forecast.life import DETECTOR as FORECAST

_SECOND_US = 1_000_000
_NOT_AGAIN = (ConditionKind.RATE, ConditionKind.EXPRESSION)
"""Kinds that one last value says nothing of."""


class SiteAlarms:
    """All alarms of one site. Every method tells the step that it is given."""

    def __init__(
        self,
        site: str,
        config: AlarmConfig,
        opened_us: int,
        reachable: Reachable = always,
        *,
        published: Published,
        begun_us: int = 0,
    ) -> None:
        self.site, self._config, self._opened_us, self._begun_us = site, config, opened_us, begun_us
        self.listening = Listening(config, opened_us, reachable)
        self.state = SiteState(site, config)
        self._do = Transitions(self.state, config, published)
        self._servers = ServerConditions(self.state, self._do, config)
        self._dead: dict[str, set[str]] = {}
        """Keys of sources that are silent because their gateway cannot reach the machine, by gateway."""

    @property
    def clock_us(self) -> int:
        """The latest that any gateway has told."""
        return self.state.clock_us

    def hidden(self, point: Point) -> str:
        """Why design hides what stands at a point now; empty when it does not."""
        return self._do.suppression(point)

    @property
    def read_for_us(self) -> int:
        """For how long all that comes has been read as it came, processing time: what came before a start has been read again by then.

        A lane that is always behind is waited for no longer than `lagging_ms`.
        """
        since_us = max(self.listening.since_us, self._begun_us)
        lagged_us = min(self.state.lagged_us, since_us + self._config.lagging_ms * 1000)
        return self.listening.until_us - max(since_us, lagged_us)

    # --- definitions and state ---------------------------------------------------------------------------------------

    def follow(self, table: SiteTable, step: Step) -> None:
        """A new table: what is no longer a rule's ends, what is another version's goes on under it."""
        points_of_conditions(table, self.state)
        self._adopt(table, self.state.table, step)

    def _adopt(self, table: SiteTable, old: SiteTable, step: Step) -> None:
        state = self.state
        state.table = table
        # A lane that the table does not have any more has tags no more: they may speak elsewhere.
        for gateway_id, lane in sorted(table.lanes.keys() | state.lanes.keys()):
            clock_us = state.gateway(gateway_id).clock_us
            state.lane(gateway_id, lane).relayout(table.lanes.get((gateway_id, lane), no_lane()), clock_us)
        for gateway_id in table.of_gateway:
            gateway = state.gateway(gateway_id)
            gateway.heard_us = gateway.heard_us or step.now_us
        state.follow_windows()
        self._do.regroup()
        self._reconcile(old, step)

    def restore(
        self, table: SiteTable, parts: Mapping[str, bytes], step: Step, *, put_aside: Iterable[Alarm] = ()
    ) -> None:
        """Go on from a state; raises StateError. `put_aside`: records of sources that people have put aside, to go on from."""
        self.state.table = table
        self.state.restore(parts)
        points_of_conditions(table, self.state)
        self._put_aside(put_aside)
        for key, source in self.state.sources.items():
            if (point := table.points.get(key)) is not None:
                self._do.resume(point, source)
        # Nobody remembers the table before the start: every rule may be another.
        self._adopt(table, SiteTable(), step)

    def _put_aside(self, told: Iterable[Alarm]) -> None:
        for alarm in told:
            if (point := self.state.table.points.get(alarm.source)) is None:
                continue
            source = self.state.source(point.key)
            source.version = alarm.version
            kinds = {override.kind: override for override in alarm.overrides}
            source.shelved, source.out_of_service = (
                kinds.get(OverrideKind.SHELVED),
                kinds.get(OverrideKind.OUT_OF_SERVICE),
            )

    def _reconcile(self, old: SiteTable, step: Step) -> None:
        state, table = self.state, self.state.table
        for key, source in list(state.sources.items()):
            point = table.points.get(key)
            if point is None:
                if source != remains(source):
                    self._retire(table.retired.get(key) or old.points.get(key), source, step)
                    self._do.forget(key)
                # Where people did something, its record goes on from its version, whenever the rule comes back.
                elif not source.version and source.started_us < self.clock_us - self._config.forget_ms * 1000:
                    state.drop(key)
                continue
            episode, rule = source.episode, point.rule
            if episode is not None and (episode.rule_id, episode.rule_version) != (rule.rule_id, rule.version):
                detail = (
                    f"{episode.rule_id} version {episode.rule_version} is now {rule.rule_id} version {rule.version}"
                )
                episode.rule_id, episode.rule_version = rule.rule_id, rule.version
                step.tell(point, source, episode, AlarmEventKind.RULE_CHANGED, self._clock(point), detail=detail)
                state.touch(key)
        silent = set()
        for tag_id, points in table.silence_of_tag.items():
            known = (state.sources.get(point.key) for point in points)
            silent |= {tag_id for source in known if source and source.raw and not source.dead}
        for lane in state.lanes.values():
            lane.silence(silent)
        self._dead.clear()
        for key, source in state.sources.items():
            if not source.quiet:
                self._do.mark(table.points[key])
            if source.dead:
                self._dead.setdefault(table.points[key].gateway_id, set()).add(key)
        for points in table.of_tag.values():
            for point in points:
                if point.rule.kind not in _NOT_AGAIN and self._is_new(point, old):
                    self._judge_again(point, step)
        self._evaluate_again(old, step)
        self._do.forget_returned()
        for points in table.children.values():
            self._do.suppress_again(points, self.clock_us, step)

    @staticmethod
    def _is_new(point: Point, old: SiteTable) -> bool:
        return point.rule is not getattr(old.points.get(point.key), "rule", None)

    def _retire(self, last: Point | None, source: Source, step: Step) -> None:
        """What stands of a source ends; `last` is what it was, None when nobody knows any more."""
        if last is None:
            step.notes.append("forgotten_source")
            return
        for action in source.waiting:
            self._do.refuse(last, source, action, "its rule no longer holds here", step)
        self._do.leave_group(last)
        activated_us = source.episode.activated_us if source.episode is not None else 0
        lifecycle.retire(last, source, max(self._clock(last), source.raw_us, activated_us), step)

    def _judge_again(self, point: Point, step: Step) -> None:
        """By the last value, because the rule is another."""
        last = self._do.last(point.tag_id)
        if last is None:
            return
        source = self.state.sources.get(point.key) or Source()
        found = judge(point, source, last, self._do.last(point.setpoint_id))
        if found is not None and found[0] != source.raw:
            time_us = max(last.time_us, self._clock(point))
            self._do.observe(point, self.state.source(point.key), found[0], time_us, step, last.value, found[1])

    # --- what comes --------------------------------------------------------------------------------------------------

    def on_values(
        self,
        gateway_id: str,
        lane: int,
        closed_us: int,
        tag_id: NDArray[np.int32],
        time_us: NDArray[np.int64],
        value: NDArray[np.float64],
        quality: NDArray[np.uint16],
        step: Step,
    ) -> None:
        """Last values of a lane, shape (n,) each; `closed_us` is the gateway's clock behind them."""
        values = self.state.lane(gateway_id, lane)
        for sample in values.fold(tag_id, time_us, value, quality):
            self._sample(sample, step)
        # Frames that wait for definitions move the clock of the batch, not its values.
        values.advance(min(closed_us, int(time_us.max())) if len(time_us) else closed_us, step.now_us)
        self._heard(gateway_id, closed_us, step)
        gateway = self.state.gateway(gateway_id)
        if gateway.clock_us - values.known_us > self._config.resume_ms * 1000:
            gateway.lagged_us = self.state.lagged_us = step.now_us
        for silent_id, since_us in values.newly_silent(gateway.resumed_us):
            self._silence(silent_id, since_us, values.known_us, step)
        self._settle(gateway_id, step)

    def on_health(self, gateway_id: str, clock_us: int, dead: Iterable[int], step: Step) -> None:
        """A gateway has told its time, and which of its devices cannot be reached."""
        self._heard(gateway_id, clock_us, step)
        gateway_us, table = self.state.gateway(gateway_id).clock_us, self.state.table
        points = {point.key: point for device_id in dead for point in table.silence_of_device.get(device_id, ())}
        for key in sorted(self._dead.get(gateway_id, set()) - points.keys()):
            self._alive(table.points[key])
            self._over(table.points[key], gateway_us, step)
        for key, point in points.items():
            known = self.state.sources.get(key)
            if known is None or not known.raw:
                source, detail = self.state.source(key), f"{gateway_id} cannot reach the machine"
                source.dead = True
                self._dead.setdefault(gateway_id, set()).add(key)
                self._do.observe(point, source, True, gateway_us, step, None, detail)
        self._settle(gateway_id, step)

    def _heard(self, gateway_id: str, clock_us: int, step: Step) -> None:
        """A gateway is there: its silence is over."""
        gateway = self.state.gateway(gateway_id)
        gateway.heard_us = step.now_us
        if clock_us > gateway.clock_us:
            if clock_us - gateway.clock_us > self._config.resume_ms * 1000:
                gateway.resumed_us = clock_us
            gateway.clock_us = clock_us
            self.state.clock_us = max(self.state.clock_us, clock_us)
        table = self.state.table
        for point in table.of_gateway.get(gateway_id, ()):
            self._over(point, gateway.clock_us, step)

    def _alive(self, point: Point) -> None:
        self.state.source(point.key).dead = False
        for keys in self._dead.values():
            keys.discard(point.key)

    def _settle(self, gateway_id: str, step: Step) -> None:
        """Delays end, each by what is known of its own lane; floods by the gateway's clock."""
        gateway, disorder_us = self.state.gateway(gateway_id), self._config.disorder_ms * 1000
        self._tick(gateway_id, step)
        if self._do.has_pending(gateway_id):
            self._do.settle_pending(gateway_id, self._known_of(gateway_id, step.now_us), disorder_us, step)
            self._do.release(step)
        for scope in self.state.floods.in_flood():
            self.state.floods.tick(scope, gateway.clock_us - disorder_us, step)
            self.state.touch_site()

    def on_anomaly(self, anomaly: Mapping[str, object], step: Step) -> None:
        """One step of an episode: the record `Anomaly`. A forecast is none: it says what may come, and stands for weeks."""
        if anomaly["detector"] == FORECAST:
            return
        device_id, closed = int(str(anomaly["device_id"])), anomaly["phase"] == "CLOSE"
        for point in self.state.table.of_device.get(device_id, ()):
            if point.rule.kind is not ConditionKind.ANOMALY:
                continue
            source, episode_id = self.state.source(point.key), str(anomaly["episode_id"])
            score = float(str(anomaly["peak_score"]))
            others = [one for one in source.open_ids if one != episode_id]
            counts = not closed and score >= point.rule.min_score
            source.open_ids = [*others, episode_id][-OPEN_IDS:] if counts else others
            time_us = int(str(anomaly["end_us"] if closed and anomaly["end_us"] is not None else anomaly["start_us"]))
            detail = f"{anomaly['detector']} sees an anomaly, score {score:.2f}"
            self._do.observe(point, source, bool(source.open_ids), time_us, step, score, detail)
        self._do.release(step)

    def on_command(self, command: CommandStateRecord, step: Step) -> None:
        """Where a command stands."""
        for point in self.state.table.of_device.get(command.device_id, ()):
            if point.rule.kind is not ConditionKind.COMMAND or command.state not in point.rule.outcomes:
                continue
            source, command_id = self.state.source(point.key), str(command.command_id)
            if command_id in source.open_ids:
                continue
            source.open_ids = [*source.open_ids, command_id][-OPEN_IDS:]
            detail = f"command {command.name or command_id} ended {command.state}" + (
                f": {command.detail}" if command.detail else ""
            )
            self._do.observe(point, source, True, command.updated_us, step, None, detail)
            self._do.observe(point, source, False, command.updated_us, step)
        self._do.release(step)

    def on_state(self, event: Mapping[str, Any], step: Step) -> None:
        """A STATE event: some tell of conditions that a machine's server has."""
        self._servers.take(event, step)

    def on_action(self, action: AlarmAction, step: Step) -> None:
        """What a person does. The same id counts once; what changes nothing is refused with its cause, as an event."""
        point = self.state.table.points.get(action.source)
        if point is None:
            step.notes.append("action_on_unknown_source")
            step.refuse(action, f"no rule {action.rule} holds there")
            return
        source = self.state.source(point.key)
        if str(action.action_id) in source.seen_actions:
            step.notes.append("duplicate_action")
            return
        source.seen_actions = [*source.seen_actions, str(action.action_id)][-SEEN_ACTIONS:]
        if action.kind in OF_EPISODES and (source.episode is None or source.episode.alarm_id != action.alarm_id):
            if action.alarm_id is None or str(action.alarm_id) in source.ended_alarms:
                self._do.refuse(
                    point, source, action, "it is normal again" if action.alarm_id else "it names no alarm", step
                )
                return
            # It may have overtaken what raises the alarm, after a restart above all.
            source.waiting = [*source.waiting, action]
            while len(source.waiting) > WAITING_ACTIONS:
                self._do.refuse(
                    point, source, source.waiting.pop(0), "too many actions wait for alarms that are not known", step
                )
            source.waiting_until_us = step.now_us + self._config.unmatched_ms * 1000
            self._do.watch_time(point.key, source)
            return
        self._do.act(point, source, action, step)

    def on_timer(self, step: Step) -> None:
        """What the clock on the wall ends, and gateways that are silent. Harmless whenever it is called."""
        now_us = step.now_us
        for key in sorted(self._do.timed):
            source, point = self.state.source(key), self.state.table.points[key]
            for override in (source.shelved, source.out_of_service):
                if override is not None and override.until_us is not None and override.until_us <= now_us:
                    lifecycle.end_shelving(point, source, override, step)
                    self._do.suppress_children(point, now_us, step)
            self._do.act_waiting(point, source, step)
            if source.waiting and source.waiting_until_us <= now_us:
                waiting, source.waiting, source.waiting_until_us = source.waiting, [], 0
                for action in waiting:
                    self._do.refuse(point, source, action, "there is no such alarm", step)
            self._do.waited_long(point, source, step)
            self._do.watch_time(key, source)
        self.listening.tick(now_us)
        listened_us = self.listening.until_us
        if listened_us < self.listening.since_us + self._config.startup_grace_ms * 1000:
            return
        for gateway_id, points in self.state.table.of_gateway.items():
            gateway = self.state.gateways[gateway_id]
            heard_us = max(gateway.heard_us, self.listening.since_us)
            for point in points:
                if listened_us - heard_us >= point.on_delay_us and not self.state.source(point.key).raw:
                    since_us = gateway.clock_us or gateway.heard_us
                    source, detail = self.state.source(point.key), f"nothing has come from {gateway_id}"
                    self._do.observe(point, source, True, since_us, step, None, detail)
                    self._do.settle(point, source, since_us + point.on_delay_us, step)

    # --- conditions --------------------------------------------------------------------------------------------------

    def _tick(self, gateway_id: str, step: Step) -> None:
        """Expressions that change as time goes by, once a second of their gateway's clock."""
        timed, gateway = self.state.table.timed.get(gateway_id), self.state.gateway(gateway_id)
        if timed is None or gateway.clock_us // _SECOND_US == gateway.ticked_us // _SECOND_US:
            return
        gateway.ticked_us, known_of = gateway.clock_us, self._known_of(gateway_id, step.now_us)
        for point in timed:
            self._evaluate(point, known_of(point, self.state.sources.get(point.key) or Source()), step)
        self._do.release(step)

    def _evaluate(self, point: Point, time_us: int, step: Step) -> None:
        """An expression by what is known at a time. While it is not known whether it holds, all stays as it was.

        So it does at time 0: then nothing of its lanes is known, not even that a tag has no value.
        """
        assert point.bound is not None
        if not time_us:
            return
        known = self.state.sources.get(point.key)
        raw = known is not None and known.raw
        values = point.bound.values(self._do.last, self.state.windows, time_us, point.rule.deadband if raw else 0.0)
        holds = point.bound.program.holds(values)
        if holds is False and not raw:
            self._do.not_holding(point, time_us)
        if holds is not None and holds != raw:
            source, detail = self.state.source(point.key), point.bound.words(values)
            self._do.observe(point, source, holds, time_us, step, None, detail)
        elif known is not None and not known.quiet and len(point.bound.lanes) == 1:
            # Over several lanes one is ahead: what the others say by then is not known, and `_settle` waits for it.
            self._do.settle(point, known, time_us, step)

    def _evaluate_again(self, old: SiteTable, step: Step) -> None:
        """Expressions of rules that are others; those that go by time have theirs within a second."""
        for point in self.state.table.expressions.values():
            if point.bound is not None and not point.bound.timed and self._is_new(point, old):
                self._evaluate(point, max(self._newest(point.bound.tag_ids), self._clock(point)), step)

    def _newest(self, tag_ids: Iterable[int]) -> int:
        return max((last.time_us for tag_id in tag_ids if (last := self._do.last(tag_id)) is not None), default=0)

    def _sample(self, sample: Sample, step: Step) -> None:
        table = self.state.table
        if sample.tag_id in table.windows:
            self.state.feed_windows(sample)
        for point in table.silence_of_tag.get(sample.tag_id, ()):
            known = self.state.sources.get(point.key)
            if known is not None and sample.time_us <= known.raw_us:  # one from before says nothing
                continue
            if known is not None and known.dead:
                self._alive(point)
            self._over(point, sample.time_us, step)
        for point in table.of_tag.get(sample.tag_id, ()):
            if point.bound is not None:
                if sample.changed:
                    self._evaluate(point, sample.time_us, step)
                continue
            own = sample if point.tag_id == sample.tag_id else self._do.last(point.tag_id)
            if own is not None:
                self._judge(point, own._replace(time_us=sample.time_us), step)
        self._do.release(step)
        if muted := table.muted_by_tag.get(sample.tag_id):
            self._do.suppress_again(muted, sample.time_us, step)

    def _judge(self, point: Point, sample: Sample, step: Step) -> None:
        source = self.state.source(point.key)
        found = judge(point, source, sample, self._do.last(point.setpoint_id))
        if found is not None:
            self._do.observe(point, source, found[0], sample.time_us, step, sample.value, found[1], sample.before_us)
        else:
            self._do.settle(point, source, sample.time_us, step)

    def _silence(self, tag_id: int, since_us: int, clock_us: int, step: Step) -> None:
        for point in self.state.table.silence_of_tag.get(tag_id, ()):
            source = self.state.source(point.key)
            self._do.observe(point, source, True, since_us, step, None, f"nothing has come of {point.rule.tag}")
            self._do.settle(point, source, clock_us, step)

    def _over(self, point: Point, time_us: int, step: Step) -> None:
        """A silence is over, if there was one."""
        source = self.state.sources.get(point.key)
        if source is not None and not source.quiet:
            self._do.observe(point, self.state.source(point.key), False, time_us, step)
        else:
            self._do.not_holding(point, time_us)

    # --- small change ------------------------------------------------------------------------------------------------

    def _known_of(self, gateway_id: str, now_us: int) -> Callable[[Point, Source], int]:
        """Up to when it is known what a source of a gateway does. Other lanes than its own are looked at only where one is quiet."""
        state, config = self.state, self._config
        clock_us, begun_us = state.gateway(gateway_id).clock_us, max(self._opened_us, state.lagged_us)

        def unread_us(values: LaneValues) -> int:
            return now_us - max(values.read_us, begun_us)

        @cache
        def others_us() -> int:
            speaking = [each.known_us for each in state.lanes.values() if unread_us(each) < config.quiet_ms * 1000]
            return min(clock_us, *speaking) if speaking else 0

        @cache
        def known(key: tuple[str, int]) -> int:
            values = state.lanes[key]
            found, unread = values.known_us, unread_us(values)
            if found and unread >= config.resume_ms * 1000:
                beyond_us = found + config.resume_ms * 1000
                found = max(found, min(state.gateway(key[0]).clock_us, beyond_us))
            return max(found, others_us()) if unread >= config.quiet_ms * 1000 else found

        @cache
        def slowest_us() -> int:
            return min((known(key) for key in state.lanes if key[0] == gateway_id), default=clock_us)

        def of(point: Point, source: Source) -> int:
            if source.dead or (point.tag_id is None and point.rule.kind is ConditionKind.NO_DATA):
                return clock_us  # its gateway's health says it
            if point.bound is not None:
                lanes = [known(key) for key in point.bound.lanes if key in state.lanes]
                return min(lanes) if lanes else slowest_us()
            lane = state.table.lane_of_tag.get(point.tag_id or 0, ("", -1))
            return known(lane) if lane in state.lanes else slowest_us()

        return of

    def _clock(self, point: Point) -> int:
        gateway = self.state.gateways.get(point.clock)
        return 0 if gateway is None else gateway.clock_us
