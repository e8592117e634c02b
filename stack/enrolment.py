"""`python -m stack.enrolment`: the signer of the local stack.

It has the authority's folder and the broker's plain door; the enrolment's door alone reaches it. It also brings the events of enrolments,
refusals and revocations to the audit log, those of the command line too, and tells who signs with which key.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from base import heartbeat, logs
from base.errors import MillraceError, UnavailableError
from base.settings import KafkaSettings
from connectors.enrolment import messages
from connectors.kafka import client as kafka
from enrolment import channel
from enrolment.ledger import Ledger
from enrolment.outbox import Outbox, Refusals, Send
from enrolment.signer import Platform, Signer
from registry.plant import GatewaySpec
from schemas import topics
from schemas.audit import AuditEvent
from stack import render, renewal, signing, signing_keys, trust
from stack.config import StackConfig, load
from stack.errors import StackError
from stack.plant import read_enterprise, read_gateways

log = logging.getLogger(__name__)

_TIMEOUT_S, _AGAIN_S = 2.0, 15.0
_PATIENCE_S = 60.0
_KEYS = {"ca_file": messages.AUTHORITY, "certificate_file": messages.CERTIFICATE, "key_file": messages.CERTIFICATE}


def platform(config: StackConfig) -> Platform:
    """What the signer knows of the stack."""

    def admit(*, replaced: bool) -> None:
        # Who is only told nothing more goes on in an open connection over MQTT: somebody who was replaced is cut off.
        tell = renewal.restart_mosquitto if replaced else renewal.tell_mosquitto
        try:
            renewal.tell_brokers(config, tell)
        except StackError as error:
            raise UnavailableError(str(error)) from error

    def planned(gateway: str) -> GatewaySpec | None:
        return next((one for one in read_gateways(config.plant) if one.id == gateway), None)

    def by_ingestion(gateway: str) -> bool:
        found = planned(gateway)
        return found is not None and found.uplink == trust.INGESTION

    def connections(gateway: str) -> tuple[Mapping[str, Any], ...]:
        found = planned(gateway)
        return tuple(render.connection_table(config, one, _KEYS) for one in (found.connections if found else ()))

    def place(site: str) -> str:
        return f"{read_enterprise(config.plant)}/{site}"

    return Platform(
        admit=admit,
        kafka=config.kafka_tls,
        ingestion=config.ingestion_address if trust.takes_gateways(config) else "",
        by_ingestion=by_ingestion,
        connections=connections,
        place=place,
        signatures=signing.required(config),
        unsigned_until=lambda: signing.unsigned_until(config),
    )


def sender(config: StackConfig) -> Send:
    """Sends events to the topic; raises DeliveryError."""
    made = kafka.producer(
        KafkaSettings(bootstrap_servers=config.bootstrap_servers),
        linger_ms=0,
        delivery_timeout_ms=int(_TIMEOUT_S * 1000),
    )

    def send(events: Sequence[AuditEvent]) -> None:
        records = [(event.key, event.encode()) for event in events]
        kafka.send(made, topics.AUDIT.name, records, timeout_s=2 * _TIMEOUT_S)

    return send


async def serve(config: StackConfig, stop: asyncio.Event) -> None:
    """Answer the door and send events until `stop`."""
    # An object of the authority is for one thread: each part has its own.
    refusals = Refusals(trust.outbox(config))
    signer = Signer(Ledger(trust.authority(config)), platform(config), refusals)
    server = await channel.serve(render.signer_socket(config), signer.answer)
    telling = asyncio.create_task(_tell(refusals, trust.outbox(config), sender(config), signing_keys.Publisher(config)))
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({telling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if telling in done:
            telling.result()
    finally:
        server.close()
        for task in (telling, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _tell(refusals: Refusals, outbox: Outbox, send: Send, keys: signing_keys.Publisher) -> None:
    """Bring events and signing keys to their topics, a second after they came about; while the broker is away they wait."""
    beats = heartbeat.from_environment(patience_s=_PATIENCE_S)
    # Each for itself: what keeps one waiting is nothing to the others.
    works: dict[str, Callable[[], object]] = {
        "refusals": refusals.flush,
        "audit events": lambda: outbox.forward(send),
        "signing keys": keys.look,
    }
    not_before_s = dict.fromkeys(works, float("-inf"))
    while True:
        beats.tick()
        for what, work in works.items():
            if time.monotonic() < not_before_s[what]:
                continue
            try:
                await asyncio.to_thread(work)
            except (MillraceError, OSError, ValueError) as error:
                log.warning("what is to be told waits", extra={"what": what, "cause": str(error)})
                not_before_s[what] = time.monotonic() + _AGAIN_S
        await asyncio.sleep(1.0)


async def _main(config: StackConfig) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(config, stop)


def main() -> int:
    """Serve until stopped."""
    logs.configure("signer")
    asyncio.run(_main(load()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
