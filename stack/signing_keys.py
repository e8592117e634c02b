"""Signing keys of the local stack: those of certificates that lie here are written down, and topic `signing.keys` is told of all.

Enters: the authority's folder. Leaves: records of the topic, each signed with the authority's key. `up` calls it before anything signs; the
signer's process (`stack.enrolment`) calls it again whenever the folder has changed, so a gateway that enrols, renews or is revoked is told
within a second or two. Gateways sign only with keys that the topic has, so nobody sees a signature before its key.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from authority import signing_keys, telling
from authority.book import Entry, Usage
from base.errors import UnavailableError
from base.settings import KafkaSettings
from base.signing_key import Signer
from stack import signing, trust
from stack.config import StackConfig
from stack.errors import StepError

_STEP_S, _AGAIN_S = 60.0, 0.2


def note_own(config: StackConfig) -> None:
    """Write down the keys of the clients' certificates that lie in the authority's folder.

    Where signatures are off the platform has none to tell: a key of serving is the sign that it signs (`edge.signing`).
    """
    platform = (signing.SERVING, signing.REPLAY) if signing.required(config) else ()
    book, found = trust.book(config), list[tuple[Entry, bytes]]()
    with book.held():
        for entry in book.entries():
            file = book.file(entry.name)
            signs = entry.name in platform or entry.name.startswith("gateway-")
            if entry.usage is Usage.CLIENT and entry.revoked is None and signs and file.exists():
                signer = Signer.of(file.read_bytes())
                if signer.id.startswith(f"{entry.name}.{entry.generation}."):
                    found.append((entry, signer.public))
        signing_keys.note_all(book, found, datetime.now(UTC))


def publish(config: StackConfig) -> int:
    """Tell the topic what it does not say yet; how many keys that were. Raises DeliveryError."""
    note_own(config)
    issuing, settings = trust.authority(config), KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    said = telling.told(settings, issuing.root_file)
    return telling.tell(settings, issuing.prove, said, map(telling.as_told, signing_keys.rows(issuing)))


def publish_step(config: StackConfig) -> str:
    """The same, as a step of `up`: a topic that was made a moment ago is waited for."""
    deadline_s = time.monotonic() + _STEP_S
    while True:
        try:
            return f"{publish(config)} told"
        except UnavailableError as error:
            if time.monotonic() > deadline_s:
                raise StepError(str(error)) from error
        time.sleep(_AGAIN_S)


class Publisher:
    """Tells the topic whenever the authority's folder has changed."""

    def __init__(self, config: StackConfig) -> None:
        self._config, self._told = config, ()

    def look(self) -> None:
        """Call it often: it does nothing while nothing has changed. Raises DeliveryError; the next call tries again."""
        stamp = self._stamp()
        if stamp != self._told:
            publish(self._config)
            self._told = stamp

    def _stamp(self) -> tuple[Any, ...]:
        # `signing.json` is what it writes itself: one more look than needed, once.
        found = (one for one in trust.book(self._config).folder.iterdir() if one.suffix in (".pem", ".json"))
        return tuple(sorted((one.name, one.stat().st_mtime_ns) for one in found))
