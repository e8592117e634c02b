"""The alarms of a site: what is seen, said and done there, brought to its sources in event time.

A site is the unit because what makes alarms bearable goes beyond a device: a compressor that stands mutes its consequences at other
machines, a group finds what came first, a gateway that is silent is one alarm, and a flood is counted over an area. Enters: last values,
events, anomalies, command states and actions of one site, in any order between each other. Leaves: a `Step`. Who calls:
`stages.alarms.logic`.

Time: conditions and delays run in event time, on the clock of the gateway; what is said about silence of a gateway, and the end of
shelving, runs in processing time, because nothing comes that could carry another.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.alarm_rules import ConditionKind
from schemas.alarms import OF_EPISODES, AlarmAction, AlarmEventKind
from schemas.commands import CommandStateRecord
from stages.alarms import lifecycle
from stages.alarms.conditions import judge
from stages.alarms.config import AlarmConfig
from stages.alarms.lanes import Sample, silent_tags
from stages.alarms.points import Point, SiteTable
from stages.alarms.site_state import SiteState
from stages.alarms.source import OPEN_IDS, SEEN_ACTIONS, WAITING_ACTIONS, Source
from stages.alarms.step import Step
from stages.alarms.transitions import Transitions


class SiteAlarms:
    """All alarms of one site. Every method tells the step that it is given."""

    def __init__(self, site: str, config: AlarmConfig, opened_us: int) -> None:
        self.site, self._config, self._opened_us = site, config, opened_us
        self.state = SiteState(site, config)
        self._do = Transitions(self.state, config)

    @property
    def clock_us(self) -> int:
        """The latest that any gateway has told."""
        return max((gateway.clock_us for gateway in self.state.gateways.values()), default=0)

    # --- definitions and state ---------------------------------------------------------------------------------------

    def follow(self, table: SiteTable, step: Step) -> None:
        """A new table: what is no longer a rule's ends, what is another version's goes on under it."""
        self._adopt(table, self.state.table, step)

    def _adopt(self, table: SiteTable, old: SiteTable, step: Step) -> None:
        state = self.state
        state.table = table
        for (gateway_id, lane), built in table.lanes.items():
            state.lane(gateway_id, lane).relayout(built)
        for gateway_id in table.of_gateway:
            gateway = state.gateway(gateway_id)
            gateway.heard_us = gateway.heard_us or step.now_us
        self._reconcile(old, step)

    def restore(self, table: SiteTable, parts: Mapping[str, bytes], step: Step) -> None:
        """Go on from a state; raises StateError."""
        self.state.table = table
        self.state.restore(parts)
        for key, source in self.state.sources.items():
            if (point := table.points.get(key)) is not None:
                self._do.resume(point, source)
        # Nobody remembers the table before the start: every rule may be another.
        self._adopt(table, SiteTable(), step)

    def _reconcile(self, old: SiteTable, step: Step) -> None:
        state, table = self.state, self.state.table
        for key, source in list(state.sources.items()):
            point = table.points.get(key)
            if point is None:
                last = table.retired.get(key) or old.points.get(key)
                if last is not None:
                    self._do.leave_group(last)
                    lifecycle.retire(last, source, max(self._clock(last), source.raw_us), step)
                else:
                    step.notes.append("forgotten_source")
                self._do.forget(key)
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
            silent |= {tag_id for point in points if (known := state.sources.get(point.key)) and known.raw}
        for lane in state.lanes.values():
            silent_tags(lane, silent)
        for key, source in state.sources.items():
            if not source.quiet:
                self._do.mark(table.points[key])
        for points in table.of_tag.values():
            for point in points:
                if point.rule.kind is not ConditionKind.RATE and point.rule is not getattr(
                    old.points.get(point.key), "rule", None
                ):
                    self._judge_again(point, step)
        self._do.forget_returned()
        for points in table.children.values():
            self._do.suppress_again(points, self.clock_us, step)

    def _judge_again(self, point: Point, step: Step) -> None:
        """By the last value, because the rule is another."""
        last, source = self._do.last(point.tag_id), self.state.sources.get(point.key, Source())
        if last is None:
            return
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
        for sample in self.state.lane(gateway_id, lane).fold(tag_id, time_us, value, quality):
            self._sample(sample, step)
        self.on_heard(gateway_id, closed_us, step)

    def on_heard(self, gateway_id: str, clock_us: int, step: Step) -> None:
        """A gateway has told its time: delays end, silence becomes known, floods end."""
        gateway = self.state.gateway(gateway_id)
        gateway.heard_us = step.now_us
        if clock_us > gateway.clock_us:
            if clock_us - gateway.clock_us > self._config.resume_ms * 1000:
                gateway.resumed_us = clock_us
            gateway.clock_us = clock_us
        table = self.state.table
        for point in table.of_gateway.get(gateway_id, ()):
            self._over(point, gateway.clock_us, step)
        self._do.settle_pending(gateway_id, gateway.clock_us - self._config.disorder_ms * 1000, step)
        for (owner, _), lane in list(self.state.lanes.items()):
            if owner == gateway_id:
                for tag_id, since_us in lane.newly_silent(gateway.clock_us, gateway.resumed_us):
                    self._silence(tag_id, since_us, gateway.clock_us, step)
        self._do.release(step)
        for scope in self.state.floods.in_flood():
            self.state.floods.tick(scope, gateway.clock_us - self._config.disorder_ms * 1000, step)
            self.state.touch_site()

    def on_anomaly(self, anomaly: Mapping[str, object], step: Step) -> None:
        """One step of an episode: the record `Anomaly`."""
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
            if source.waiting and source.waiting_until_us <= now_us:
                waiting, source.waiting, source.waiting_until_us = source.waiting, [], 0
                for action in waiting:
                    self._do.refuse(point, source, action, "there is no such alarm", step)
            self._do.watch_time(key, source)
        if now_us < self._opened_us + self._config.startup_grace_ms * 1000:
            return
        for gateway_id, points in self.state.table.of_gateway.items():
            gateway = self.state.gateways[gateway_id]
            heard_us = max(gateway.heard_us, self._opened_us)
            for point in points:
                if now_us - heard_us >= point.on_delay_us and not self.state.source(point.key).raw:
                    since_us = gateway.clock_us or gateway.heard_us
                    source, detail = self.state.source(point.key), f"nothing has come from {gateway_id}"
                    self._do.observe(point, source, True, since_us, step, None, detail)
                    self._do.settle(point, source, since_us + point.on_delay_us, step)

    # --- conditions --------------------------------------------------------------------------------------------------

    def _sample(self, sample: Sample, step: Step) -> None:
        table = self.state.table
        for point in table.silence_of_tag.get(sample.tag_id, ()):
            self._over(point, sample.time_us, step)
        for point in table.of_tag.get(sample.tag_id, ()):
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
            self._do.observe(point, source, found[0], sample.time_us, step, sample.value, found[1])
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

    # --- small change ------------------------------------------------------------------------------------------------

    def _clock(self, point: Point) -> int:
        gateway = self.state.gateways.get(point.gateway_id)
        return 0 if gateway is None else gateway.clock_us
