"""AlarmService of the fake plant: alarms that a test raises, and what clients do about them. No locks; the plant holds its own around each.

An action is carried out at once, by the rules of the life cycle that a caller sees: what was acknowledged is not acknowledged again, what
is over and acknowledged is normal, shelving says why. It ends when the test says so, not by a clock.

Over 350 lines: one method for each of the service, over one list of alarms.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

from google.protobuf.message import Message

from millrace_client._proto.millrace.v1 import alarms_pb2
from millrace_client.calls import Method
from millrace_client.calls import alarms as calls
from millrace_client.errors import InvalidRequestError, NotFoundError, PermissionDeniedError, PreconditionError
from millrace_client.fake import hierarchy, pack
from millrace_client.fake.subscriptions import Polled, Subscription
from millrace_client.ids import uuid7
from millrace_client.results import (
    Alarm,
    AlarmActivation,
    AlarmActivations,
    AlarmAnswer,
    AlarmChanges,
    AlarmCount,
    AlarmCounts,
    AlarmEvaluation,
    AlarmEvaluationState,
    AlarmEvent,
    AlarmEventKind,
    AlarmFigures,
    AlarmHistory,
    AlarmLine,
    AlarmOutcome,
    AlarmOverride,
    AlarmOverrideKind,
    AlarmPriority,
    AlarmRate,
    AlarmRateVerdict,
    AlarmScopeFigures,
    AlarmSourceFigures,
    AlarmState,
    CalmList,
)
from millrace_client.results.alarms import STANDING

_PRIORITIES = (AlarmPriority.CRITICAL, AlarmPriority.HIGH, AlarmPriority.MEDIUM, AlarmPriority.LOW)
_NEW = frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED})
_MOST_LINES = 20
_HIDING = {
    AlarmOverrideKind.OUT_OF_SERVICE: AlarmState.OUT_OF_SERVICE,
    AlarmOverrideKind.SHELVED: AlarmState.SHELVED,
}
_RATES = ((1, AlarmRateVerdict.ACCEPTABLE), (2, AlarmRateVerdict.MANAGEABLE), (5, AlarmRateVerdict.OVER_DEMANDING))
_DAY_US, _SPAN_US, _FLOOD = 86_400_000_000, 600_000_000, 10
_LONGEST_ASIDE_US = 10 * 365 * _DAY_US
Refusal = str
Change = Callable[[Alarm], "Alarm | Refusal"]


class AlarmBook:
    """The alarms. `on`: whether alarms are switched on."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.on = True
        self.evaluation = AlarmEvaluationState.RUNNING
        self.alarms: dict[UUID, Alarm] = {}
        self.events: dict[UUID, list[AlarmEvent]] = {}
        self.answered: dict[UUID, AlarmAnswer] = {}

    def put(self, alarm: Alarm, kind: AlarmEventKind, **about: Any) -> Alarm:
        """An alarm as it now stands, and what happened."""
        now = self.clock()
        known = self.alarms.get(alarm.alarm_id)
        alarm = replace(alarm, version=(known.version + 1) if known else alarm.version, updated_us=now)
        self.alarms[alarm.alarm_id] = alarm
        event = AlarmEvent(event_id=uuid7(), kind=kind, state=alarm.state, time_us=now, recorded_us=now, **about)
        self.events.setdefault(alarm.alarm_id, []).insert(0, event)
        return alarm

    def under(self, prefix: str) -> list[Alarm]:
        """Alarms that are not normal under a path, by priority, then the newest first."""
        fits = hierarchy.under(prefix)
        found = [one for one in self.alarms.values() if one.state is not AlarmState.NORMAL and fits(one.path)]
        return sorted(found, key=place)

    def counts(self, prefix: str) -> AlarmCounts:
        """How many there are."""
        found = self.under(prefix)
        states = Counter(one.state for one in found)

        def of(wanted: frozenset[AlarmState]) -> tuple[AlarmCount, ...]:
            each = Counter(one.priority for one in found if one.state in wanted)
            return tuple(AlarmCount(priority=one, count=each[one]) for one in _PRIORITIES)

        return AlarmCounts(
            unacknowledged=of(_NEW),
            standing=of(STANDING),
            shelved=states[AlarmState.SHELVED],
            suppressed=states[AlarmState.SUPPRESSED],
            out_of_service=states[AlarmState.OUT_OF_SERVICE],
        )

    def evaluated(self) -> AlarmEvaluation:
        """Whether alarms are evaluated. Raises PreconditionError where they are not switched on."""
        if not self.on:
            msg = "alarms are not switched on: no alarms job has completed a checkpoint here"
            raise PreconditionError(msg)
        return AlarmEvaluation(state=self.evaluation, advanced_us=self.clock())


def place(alarm: Alarm) -> tuple[int, int, str]:
    """Where an alarm stands in the order."""
    return _PRIORITIES.index(alarm.priority), -(alarm.activated_us or alarm.updated_us), str(alarm.alarm_id)


class AlarmSubscription(Subscription):
    """Alarms as they change."""

    def __init__(self, wake: Callable[[], None], book: AlarmBook, request: alarms_pb2.WatchAlarmsRequest) -> None:
        super().__init__(wake)
        self._book, self._request = book, request
        self._pending: dict[UUID, Alarm] = {}
        self._told: set[UUID] = set()
        self._sequence = 0
        for alarm in book.under(request.filter.prefix):
            self.offer(alarm)

    def offer(self, alarm: Alarm) -> None:
        """Note a change."""
        under = hierarchy.under(self._request.filter.prefix)(alarm.path)
        fits = under and (self._request.counts_only or _picks(self._request.filter)(alarm))
        if fits or alarm.alarm_id in self._told:
            (self._told.add if fits else self._told.discard)(alarm.alarm_id)
            self._pending[alarm.alarm_id] = alarm
            self.wake()

    def _next(self) -> Polled:
        if self._sequence and not self._pending:
            return None, None
        found, self._pending = tuple(self._pending.values()), {}
        self._sequence += 1
        changes = AlarmChanges(
            alarms=() if self._request.counts_only else found,
            snapshot_complete=self._sequence == 1,
            sequence=self._sequence,
            sent_us=self._book.clock(),
            counts=self._book.counts(self._request.filter.prefix),
            evaluation=self._book.evaluated(),
        )
        return pack.message(changes), None


class AlarmService:
    """Handlers by method. A unary one takes request and caller, a streaming one request and what wakes its reader."""

    def __init__(self, book: AlarmBook, tell: Callable[[Alarm], None]) -> None:
        self._book, self._tell = book, tell
        self.unary: dict[Method, Callable[[Any, str], Message]] = {
            calls.LIST_ALARMS: self._list,
            calls.LIST_LINES: self._lines,
            calls.GET_ALARM: self._get,
            calls.ACKNOWLEDGE: lambda request, by: pack.message(self._acknowledge(request, by)),
            calls.ACKNOWLEDGE_ALL: self._acknowledge_all,
            calls.RESET: self._reset,
            calls.SHELVE: self._shelve,
            calls.UNSHELVE: self._unshelve,
            calls.OUT_OF_SERVICE: self._out_of_service,
            calls.IN_SERVICE: self._in_service,
            calls.FIGURES: self._figures,
            calls.ACTIVATIONS: self._activations,
            calls.COMMENT: self._comment,
        }
        self.streaming: dict[Method, Callable[[Any, Callable[[], None]], Subscription]] = {
            calls.WATCH_ALARMS: self._watch
        }

    def _list(self, request: alarms_pb2.ListAlarmsRequest, _: str) -> Message:
        evaluation, picks = self._book.evaluated(), _picks(request.filter)
        known = {str(index): one for index, one in enumerate(filter(picks, self._book.under(request.filter.prefix)))}
        names = [f"{int(index):09}" for index in known]
        listed, token = hierarchy.page(names, "", request.page_size, request.page_token)
        return alarms_pb2.ListAlarmsResponse(
            alarms=pack.messages(known[str(int(name))] for name in listed),
            next_page_token=token,
            counts=pack.message(self._book.counts(request.filter.prefix)),  # type: ignore[arg-type]
            evaluation=pack.message(evaluation),  # type: ignore[arg-type]
        )

    def _lines(self, request: alarms_pb2.ListAlarmLinesRequest, _: str) -> Message:
        evaluation = self._book.evaluated()
        standing = {one.alarm_id: one for one in self._book.under(request.prefix) if one.state in STANDING}
        groups: dict[UUID, list[Alarm]] = {}
        for alarm in standing.values():
            follows = alarm.cause_alarm_id in standing and alarm.priority is not AlarmPriority.CRITICAL
            root = alarm.cause_alarm_id if follows and alarm.cause_alarm_id else alarm.alarm_id
            groups.setdefault(root, []).append(alarm)
        lines = [
            _line([standing[root], *(one for one in group if one.alarm_id != root)]) for root, group in groups.items()
        ]
        critical = [one for one in lines if one.priority is AlarmPriority.CRITICAL]
        others = [one for one in lines if one.priority is not AlarmPriority.CRITICAL]
        calm = CalmList(
            lines=(*critical, *others[: max(1, _MOST_LINES - len(critical))]),
            counts=self._book.counts(request.prefix),
            evaluation=evaluation,
        )
        return pack.message(calm)

    def _get(self, request: alarms_pb2.GetAlarmRequest, _: str) -> Message:
        evaluation, alarm = self._book.evaluated(), self._known(request.alarm_id)
        events = tuple(self._book.events.get(alarm.alarm_id, []))
        return pack.message(AlarmHistory(alarm=alarm, events=events, events_missing="", evaluation=evaluation))

    def _watch(self, request: alarms_pb2.WatchAlarmsRequest, wake: Callable[[], None]) -> Subscription:
        self._book.evaluated()
        return AlarmSubscription(wake, self._book, request)

    # --- actions -----------------------------------------------------------------------------------------------------

    def _acknowledge(self, request: Any, by: str) -> AlarmAnswer:
        def change(alarm: Alarm) -> Alarm | Refusal:
            if alarm.acknowledged:
                return f"it has been acknowledged by {alarm.acknowledged_by}"
            if 0 < request.activations < alarm.activations:
                return "it came again since; acknowledge again"
            state = AlarmState.ACKNOWLEDGED if alarm.active else AlarmState.NORMAL
            return replace(alarm, state=state, acknowledged_us=self._book.clock(), acknowledged_by=by)

        return self._act(request, by, AlarmEventKind.ACKNOWLEDGED, change, request.reason)

    def _acknowledge_all(self, request: alarms_pb2.AcknowledgeAlarmsRequest, by: str) -> Message:
        operation, answers = UUID(request.action_id) if request.action_id else uuid7(), []
        if not request.alarm_ids:
            msg = "alarm_ids is empty; name the alarms that are acknowledged"
            raise InvalidRequestError(msg)
        if request.activations and len(request.activations) != len(request.alarm_ids):
            msg = "activations are not of as many alarms as alarm_ids; name one for each, or none"
            raise InvalidRequestError(msg)
        self._book.evaluated()
        each = list(request.activations) or [0] * len(request.alarm_ids)
        for text, seen in zip(request.alarm_ids, each, strict=True):
            one = alarms_pb2.AcknowledgeAlarmRequest(
                alarm_id=text, action_id=str(uuid5(operation, text)), reason=request.reason, activations=seen
            )
            try:
                answers.append(self._acknowledge(one, by))
            except NotFoundError as error:
                answers.append(
                    AlarmAnswer(alarm_id=UUID(text), action_id=None, outcome=AlarmOutcome.NOT_FOUND, detail=str(error))
                )
        return alarms_pb2.AcknowledgeAlarmsResponse(answers=pack.messages(answers))

    def _reset(self, request: alarms_pb2.ResetAlarmRequest, by: str) -> Message:
        def change(alarm: Alarm) -> Alarm | Refusal:
            if not any(one.kind is AlarmOverrideKind.LATCHED for one in alarm.overrides):
                return "it does not latch: nothing is to be reset"
            if not alarm.acknowledged:
                return "it has not been acknowledged"
            return replace(alarm, state=AlarmState.NORMAL, overrides=())

        return pack.message(self._act(request, by, AlarmEventKind.RESET, change, request.reason))

    def _shelve(self, request: alarms_pb2.ShelveAlarmRequest, by: str) -> Message:
        now = self._book.clock()
        _require_until(request.until_us, now, "nothing would be shelved")
        if not request.reason.strip():
            msg = f"{by} may not shelve: say why it is put aside (policy shelving-says-why)"
            raise PermissionDeniedError(msg)
        override = AlarmOverride(
            kind=AlarmOverrideKind.SHELVED, since_us=now, by=by, reason=request.reason, until_us=request.until_us
        )
        return pack.message(
            self._act(
                request,
                by,
                AlarmEventKind.SHELVED,
                lambda alarm: replace(
                    alarm,
                    state=AlarmState.SHELVED,
                    overrides=(*_without(alarm.overrides, AlarmOverrideKind.SHELVED), override),
                ),
                request.reason,
            )
        )

    def _unshelve(self, request: alarms_pb2.UnshelveAlarmRequest, by: str) -> Message:
        def change(alarm: Alarm) -> Alarm | Refusal:
            if alarm.state is not AlarmState.SHELVED:
                return "it is not shelved"
            return _shown(replace(alarm, overrides=_without(alarm.overrides, AlarmOverrideKind.SHELVED)))

        return pack.message(self._act(request, by, AlarmEventKind.UNSHELVED, change, request.reason))

    def _out_of_service(self, request: alarms_pb2.TakeAlarmOutOfServiceRequest, by: str) -> Message:
        now = self._book.clock()
        if request.until_us:
            _require_until(request.until_us, now, "nothing would be out of service")
        if not request.reason.strip():
            msg = f"{by} may not shelve: say why it is put aside (policy shelving-says-why)"
            raise PermissionDeniedError(msg)
        override = AlarmOverride(
            kind=AlarmOverrideKind.OUT_OF_SERVICE,
            since_us=now,
            by=by,
            reason=request.reason,
            until_us=request.until_us or None,
        )

        def change(alarm: Alarm) -> Alarm:
            kept = _without(alarm.overrides, AlarmOverrideKind.OUT_OF_SERVICE)
            return replace(alarm, state=AlarmState.OUT_OF_SERVICE, overrides=(*kept, override))

        return pack.message(self._act(request, by, AlarmEventKind.OUT_OF_SERVICE, change, request.reason))

    def _in_service(self, request: alarms_pb2.ReturnAlarmToServiceRequest, by: str) -> Message:
        def change(alarm: Alarm) -> Alarm | Refusal:
            if alarm.state is not AlarmState.OUT_OF_SERVICE:
                return "it is not out of service"
            return _shown(replace(alarm, overrides=_without(alarm.overrides, AlarmOverrideKind.OUT_OF_SERVICE)))

        return pack.message(self._act(request, by, AlarmEventKind.IN_SERVICE, change, request.reason))

    def _figures(self, request: alarms_pb2.GetAlarmFiguresRequest, _: str) -> Message:
        """Of the alarms that were raised: all in one scope, as one operator's."""
        evaluation, now, fits = self._book.evaluated(), self._book.clock(), hierarchy.under(request.prefix)
        end_us = request.end_us or now
        start_us = request.start_us or end_us - _DAY_US
        seen = [
            alarm
            for alarm in self._book.alarms.values()
            if fits(alarm.path) and start_us <= (alarm.activated_us or 0) < end_us
        ]
        spans = Counter(((alarm.activated_us or 0) - start_us) // _SPAN_US for alarm in seen)
        took = [
            (one.acknowledged_us - (one.activated_us or 0)) / 1e6 for one in seen if one.acknowledged_us is not None
        ]
        rate = len(seen) * _SPAN_US / (end_us - start_us)
        scope = AlarmScopeFigures(
            scope=request.prefix,
            alarms=len(seen),
            per_10_min=rate,
            peak_10_min=max(spans.values(), default=0),
            flood_share=sum(count > _FLOOD for count in spans.values()) / -(-(end_us - start_us) // _SPAN_US),
            by_priority=tuple(
                AlarmCount(priority=one, count=sum(alarm.priority is one for alarm in seen)) for one in _PRIORITIES
            ),
            acknowledged=len(took),
            time_to_acknowledge_s=statistics.median(took) if took else None,
            verdict=_verdict(rate),
        )
        sources = Counter((alarm.path, alarm.rule, alarm.title) for alarm in seen)
        return pack.message(
            AlarmFigures(
                start_us=start_us,
                end_us=end_us,
                scopes=(scope,) if seen else (),
                rates=tuple(
                    AlarmRate(start_us=start_us + at * _SPAN_US, alarms=many, most=many)
                    for at, many in sorted(spans.items())
                ),
                top=tuple(
                    AlarmSourceFigures(path=path, rule=rule, title=title, alarms=many, share=many / len(seen))
                    for (path, rule, title), many in sources.most_common(10)
                ),
                chattering=(),
                stale=(),
                counts=self._book.counts(request.prefix),
                evaluation=evaluation,
            )
        )

    def _activations(self, request: alarms_pb2.ListAlarmActivationsRequest, _: str) -> Message:
        """Of each alarm its last one."""
        self._book.evaluated()
        fits = hierarchy.under(request.prefix)
        end_us = request.end_us or self._book.clock()
        start_us = request.start_us or end_us - _DAY_US
        if start_us >= end_us:
            msg = f"the range from {start_us} to {end_us} is empty; start_us must be before end_us"
            raise InvalidRequestError(msg)
        found = [
            AlarmActivation(
                alarm_id=one.alarm_id,
                source_id=one.source_id,
                rule=one.rule,
                title=one.title,
                priority=one.priority,
                path=one.path,
                device_id=one.device_id,
                gateway_id=one.gateway_id,
                raised_us=one.activated_us,
                returned_us=one.returned_us,
                acknowledged_us=one.acknowledged_us,
                acknowledged_by=one.acknowledged_by,
                detail=one.detail,
            )
            for one in self._book.alarms.values()
            if one.activated_us is not None
            and fits(one.path)
            and one.activated_us < end_us
            and (one.returned_us is None or one.returned_us >= start_us)
        ]
        newest = sorted(found, key=lambda one: -one.raised_us)
        return pack.message(AlarmActivations(activations=tuple(newest)))

    def _comment(self, request: alarms_pb2.CommentAlarmRequest, by: str) -> Message:
        if not request.comment.strip():
            msg = "comment is empty; a comment says something"
            raise InvalidRequestError(msg)
        return pack.message(
            self._act(
                request,
                by,
                AlarmEventKind.COMMENTED,
                lambda alarm: replace(alarm, comment=request.comment),
                request.comment,
            )
        )

    def _act(self, request: Any, by: str, kind: AlarmEventKind, change: Change, reason: str) -> AlarmAnswer:
        """Carry an action out, once by its id."""
        self._book.evaluated()
        alarm = self._known(request.alarm_id)
        action_id = UUID(request.action_id) if request.action_id else uuid7()
        if action_id in self._book.answered:
            return self._book.answered[action_id]
        changed = change(alarm)
        if isinstance(changed, str):
            answer = AlarmAnswer(
                alarm_id=alarm.alarm_id, action_id=action_id, outcome=AlarmOutcome.REFUSED, detail=changed, alarm=alarm
            )
        else:
            now = self._book.put(changed, kind, by=by, reason=reason, action_id=action_id)
            self._tell(now)
            answer = AlarmAnswer(alarm_id=alarm.alarm_id, action_id=action_id, outcome=AlarmOutcome.DONE, alarm=now)
        self._book.answered[action_id] = answer
        return answer

    def _known(self, text: str) -> Alarm:
        try:
            return self._book.alarms[UUID(text)]
        except ValueError:
            msg = f"alarm_id {text!r} is no UUID"
            raise InvalidRequestError(msg) from None
        except KeyError:
            msg = f"no alarm {text}; alarms that are over are in SQL"
            raise NotFoundError(msg) from None


def _line(alarms: list[Alarm]) -> AlarmLine:
    head, rest = alarms[0], alarms[1:]
    new = [one for one in alarms if one.state in _NEW]
    return AlarmLine(
        text=(head.title or head.rule) + (f", and {len(rest)} that follow from it" if rest else ""),
        head=head,
        priority=min((one.priority for one in alarms), key=_PRIORITIES.index),
        alarms=len(alarms),
        places=len({one.path for one in alarms}),
        unacknowledged_ids=tuple(one.alarm_id for one in new),
        unacknowledged_activations=tuple(one.activations for one in new),
        rules=tuple(sorted({one.rule for one in alarms})),
    )


def _picks(wanted: alarms_pb2.AlarmFilter) -> Callable[[Alarm], bool]:
    priorities = {alarms_pb2.AlarmPriority.Name(one).removeprefix("ALARM_PRIORITY_") for one in wanted.priorities}
    states = {alarms_pb2.AlarmState.Name(one).removeprefix("ALARM_STATE_") for one in wanted.states} or STANDING
    return lambda alarm: (not priorities or alarm.priority in priorities) and alarm.state in states


def _require_until(until_us: int, now: int, otherwise: str) -> None:
    if until_us <= now:
        msg = f"until_us {until_us} is not after now ({now}): {otherwise}"
        raise InvalidRequestError(msg)
    if until_us > now + _LONGEST_ASIDE_US:
        msg = f"until_us {until_us} is more than 10 years after now ({now}); an alarm is put aside for 10 years at most"
        raise InvalidRequestError(msg)


def _without(overrides: Iterable[AlarmOverride], kind: AlarmOverrideKind) -> tuple[AlarmOverride, ...]:
    return tuple(one for one in overrides if one.kind is not kind)


def _shown(alarm: Alarm) -> Alarm:
    """With the state that follows from what is left of its overrides."""
    for kind, state in _HIDING.items():
        if any(one.kind is kind for one in alarm.overrides):
            return replace(alarm, state=state)
    standing = AlarmState.ACKNOWLEDGED if alarm.acknowledged else AlarmState.UNACKNOWLEDGED
    return replace(alarm, state=standing if alarm.active else AlarmState.NORMAL)


def _verdict(per_10_min: float) -> AlarmRateVerdict:
    return next((verdict for most, verdict in _RATES if per_10_min <= most), AlarmRateVerdict.UNACCEPTABLE)
