"""The commands operator: `stages.commands.correlation.CommandLogic` between Kafka records, keyed state and timers.

Enters: rows of `types.record_type` from `command.requests.*` and `command.acks.*`, keyed by command id. Leaves:
rows of `types.output_type` for `command.states`, for `command.requests.<site>` (sent again) and for
`telemetry.rejected` (what cannot be read). One value per command in keyed state, written behind every record; a
timer when the logic asks for one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

from base import ids, logs
from base.errors import SchemaError, UnknownSchemaError
from jobs.flink.metrics import Metrics
from jobs.flink.types import KEY, OFFSET, PARTITION, TOPIC, VALUE, state_bytes_type
from jobs.flink.unsigned import UnsignedGateways
from jobs.signing_keys import Keys, no_keys
from schemas import codec, command_signatures, topics
from schemas.commands import CommandAck, CommandControl, CommandRequest
from schemas.signing_keys import SERVING, gateway_holder
from schemas.verdicts import RecordReject
from stages import rejects
from stages.commands.config import CommandConfig
from stages.commands.correlation import CommandLogic
from stages.commands.step import Note, Step
from stages.commands.tracked import TrackedCommand
from stages.outputs import Origin

log = logging.getLogger(__name__)

UNREADABLE = ""
"""Flink key of records that cannot be read; they leave no state."""
_TYPES = {"CommandRequest": CommandRequest, "CommandControl": CommandControl, "CommandAck": CommandAck}


def parse(message: bytes) -> CommandRequest | CommandControl | CommandAck:
    """Record of a message; raises SchemaError."""
    name, record = codec.decode(message, *_TYPES)
    return _TYPES[name].from_record(record)  # type: ignore[attr-defined]


def command_of(row: Any) -> str:
    """Key selector: the command a row is about."""
    try:
        return str(parse(row[VALUE] or b"").command_id)
    except SchemaError:
        return UNREADABLE


class CommandsOperator(KeyedProcessFunction):
    """The correlation of commands behind Flink's interface; `clock` gives microseconds UTC."""

    def __init__(
        self,
        config: CommandConfig,
        *,
        clock: ids.Clock = ids.now_us,
        keys: Keys = no_keys,
        unsigned_until_us: int = 0,
    ) -> None:
        """`keys` makes the table of signing keys; what has no signature is taken until `unsigned_until_us`."""
        self._config, self._clock = config, clock
        self._make_keys, self._unsigned_until_us = keys, unsigned_until_us

    def open(self, runtime_context: RuntimeContext) -> None:
        """Nothing of a command is kept outside keyed state."""
        logs.configure("commands")
        self._keys = self._make_keys()
        if self._keys is not None:
            self._keys.open()
        self._opened_us = self._clock()
        self._logic = CommandLogic(self._config)
        self._state = runtime_context.get_state(ValueStateDescriptor("command", state_bytes_type()))
        self._metrics = Metrics(runtime_context)
        self._unsigned = UnsignedGateways(self._metrics)
        if (keys := self._keys) is not None:
            self._metrics.level("signing_keys_age_s", lambda: keys.age_s)

    def close(self) -> None:
        """Stop following the keys."""
        if self._keys is not None:
            self._keys.close()

    def process_element(self, value: Row, ctx: Any) -> list[Row]:
        """One request, control or ack."""
        self._metrics.tick(self._clock())
        self._metrics.count("records")
        try:
            record = parse(value[VALUE] or b"")
        except UnknownSchemaError as error:
            return [self._refused(value, RecordReject.UNKNOWN_SCHEMA, str(error))]
        except SchemaError as error:
            return [self._refused(value, RecordReject.UNDECODABLE, str(error))]
        if problem := self._signature_problem(record):
            self._metrics.count("bad_signatures")
            return [self._refused(value, RecordReject.BAD_SIGNATURE, problem)]
        try:
            return list(self._apply(self._step(record, topics.site_of(value[TOPIC])), ctx))
        except Exception as error:
            log.exception("command record failed", extra={"topic": value[TOPIC], "offset": value[OFFSET]})
            return [self._refused(value, RecordReject.PROCESSING_FAILED, f"{type(error).__name__}: {error}")]

    def on_timer(self, timestamp: int, ctx: Any) -> list[Row]:
        """What is due of the current command, unless the silence may have been this job's own."""
        silent_until_us = self._opened_us + self._config.startup_grace_ms * 1000
        if self._clock() < silent_until_us:
            ctx.timer_service().register_processing_time_timer(-(-silent_until_us // 1000))
            return []
        try:
            return list(self._apply(self._logic.on_timer(self._load(), self._clock()), ctx))
        except Exception:
            log.exception("command timer failed", extra={"command_id": ctx.get_current_key()})
            self._metrics.count("failed_timers")
            return []

    def _signature_problem(self, record: CommandRequest | CommandControl | CommandAck) -> str:
        """Why an acknowledgement is not its gateway's, or a request or control not serving's; empty when it is.

        The gateway, which acts on requests and controls, judges them too; who could forge one here would end or approve a command of the
        record. Raises UnavailableError where keys cannot be looked for, which fails the task: what came is judged after its restart.
        """
        if self._keys is None:
            return ""
        if isinstance(record, CommandAck) and not record.signature and not record.key_id:
            self._unsigned.seen(record.gateway_id, self._clock())
        holders = (gateway_holder(record.gateway_id) if isinstance(record, CommandAck) else SERVING,)
        return command_signatures.problem(
            record, self._keys.find, holders, self._clock(), unsigned_until_us=self._unsigned_until_us
        )

    def _step(self, record: CommandRequest | CommandControl | CommandAck, site: str) -> Step:
        command, now_us = self._load(), self._clock()
        if isinstance(record, CommandRequest):
            return self._logic.on_request(command, record, now_us)
        if isinstance(record, CommandControl):
            return self._logic.on_control(command, record, now_us)
        return self._logic.on_ack(command, record, now_us, site=site)

    def _load(self) -> TrackedCommand | None:
        data = self._state.value()
        return None if data is None else TrackedCommand.from_bytes(data)

    def _apply(self, step: Step, ctx: Any) -> Iterator[Row]:
        if step.command is None:
            self._state.clear()
        else:
            self._state.update(step.command.to_bytes())
        if step.next_timer_us is not None:
            # Rounded up: a timer that fires early finds nothing due.
            ctx.timer_service().register_processing_time_timer(-(-step.next_timer_us // 1000))
        self._note(step.notes, ctx)
        for state in step.states:
            yield Row(topics.STATES.name, str(state.command_id).encode(), state.encode())
        site = step.command.site if step.command else ""
        for again in step.resend:
            yield Row(topics.REQUESTS.for_site(site), str(again.device_id).encode(), again.encode())

    def _note(self, notes: Iterable[Note], ctx: Any) -> None:
        for note in notes:
            self._metrics.count(note.value)
            log.info("command: %s", note.value, extra={"command_id": ctx.get_current_key()})

    def _refused(self, row: Row, reason: RecordReject, detail: str) -> Row:
        self._metrics.count("refused_records")
        origin = Origin(row[TOPIC], row[PARTITION], row[OFFSET])
        refused = rejects.whole(row[VALUE], origin, self._clock(), reason, detail)
        return Row(refused.topic, row[KEY], refused.value)
