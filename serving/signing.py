"""Signatures of commands: serving signs what it asks for, and believes an acknowledgement ahead of the record only from its gateway.

Enters: the files of `[signing]`, and records of `signing.keys`. Leaves: signed requests and controls; UnsignedAckError for an
acknowledgement that its gateway has not signed, which is then passed over: the record of the commands job says what became of the
command. Called in the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from base import files
from base.errors import ConfigError, SchemaError, cause_of
from base.ids import now_us
from base.signing_key import Signer
from schemas import command_signatures
from schemas.command_signatures import R
from schemas.commands import CommandAck
from schemas.signing_keys import KeyBook, gateway_holder, until_us
from serving.config import SigningSettings

log = logging.getLogger(__name__)

_NOTHING = SigningSettings()


class UnsignedAckError(SchemaError):
    """An acknowledgement that is not its gateway's."""


class Signing:
    """Of one server. `refused` counts acknowledgements. Raises ConfigError for files that cannot be used."""

    def __init__(self, settings: SigningSettings = _NOTHING, *, clock: Callable[[], int] = now_us) -> None:
        self._file, self._clock = Path(settings.key) if settings.key else None, clock
        self._from_us = until_us(settings.sign_from)
        self._signer, self._stamp = self._read()
        self._next = self._signer
        self._book = KeyBook.of(settings.authority) if settings.authority else None
        self.refused = 0

    @property
    def follows_keys(self) -> bool:
        """Whether acknowledgements are judged, so that the keys have to be known."""
        return self._book is not None

    def sign(self, record: R) -> R:
        """The record with serving's signature, where there is a key."""
        self._look()
        return (
            record
            if self._signer is None or self._clock() < self._from_us
            else command_signatures.signed(record, self._signer)
        )

    def apply_key(self, message: bytes) -> None:
        """Take a record of `signing.keys` in; raises SchemaError."""
        if self._book is not None:
            self._book.apply(message)

    def check_ack(self, ack: CommandAck) -> None:
        """Raises UnsignedAckError."""
        if self._book is None:
            return
        holders = (gateway_holder(ack.gateway_id),)
        if problem := command_signatures.problem(ack, self._book.find, holders, self._clock()):
            self.refused += 1
            raise UnsignedAckError(problem)

    def _read(self) -> tuple[Signer | None, files.Stamp | None]:
        if self._file is None:
            return None, None
        try:
            stamp = files.stamp(self._file)
            return Signer.of(self._file.read_bytes()), stamp
        except (OSError, ValueError) as error:
            msg = f"signing.key is no file with a key and its certificate: {cause_of(error)}"
            raise ConfigError(msg) from error

    def _look(self) -> None:
        """Take the key that is there now: its certificate is renewed while the server runs."""
        if self._file is None:
            return
        try:
            if files.stamp(self._file) != self._stamp:
                self._next, self._stamp = self._read()
        except (OSError, ConfigError) as error:
            log.error("commands are signed with the key of before", extra={"cause": cause_of(error)})
        # Gateways learn of a key as this server does: signed with earlier, a command could come before its key.
        if self._next is not self._signer and (
            self._book is None or self._book.find(self._next.id if self._next else "")
        ):
            self._signer = self._next
