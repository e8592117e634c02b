"""The keys of a gateway that signs: its own, and the platform's, which topic `signing.keys` tells.

Who calls: the uplink, for the frames of a batch; acknowledgements and commands (`edge.commands`). All in the event loop. The gateway
signs with a key only once the topic says so: then everybody who reads a signature can know whose it is. Until then nothing that needs
one is sent; it waits in the buffer as if Kafka were away. A renewed certificate has another key; the one before goes on signing until
that is told.

A gateway that enrolled has this whether it signs or not: with a certificate the platform says whether it wants signatures, and from then
on that counts. Where the topic has a key of serving, a gateway that does not sign asks for that word at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from base.errors import ConfigError, SchemaError, UnavailableError, cause_of
from base.files import Stamp, stamp
from base.ids import Clock
from base.settings import KafkaSettings
from base.signing_key import Signer
from connectors.ingestion.settings import IngestionSettings
from connectors.platform import Following, Platform, follow_through
from schemas import command_signatures, frame_signatures, topics
from schemas.command_signatures import R
from schemas.commands import CommandControl, CommandRequest
from schemas.signing_keys import SERVING, KeyBook, SigningKey, gateway_holder, holder_of, until_us

log = logging.getLogger(__name__)

_PATIENCE_S = 2.0
"""Until a key that a command names is told: serving signs with it the moment the topic has it."""
_WAITS_EACH_US = 60_000_000
_FOR_EVER_US, _TOLD_WITHIN_US = 1 << 62, 30_000_000
_NO_TOPIC_S = 600.0
"""Until a gateway that does not sign looks again at a platform that has no such topic."""
WAITS = "the platform has not told this gateway's signing key yet"


Files = KafkaSettings | IngestionSettings
"""The table of the way to the platform: it names the files with the gateway's key, its certificate and the authority."""


class _Message(Protocol):
    def value(self) -> bytes | None: ...
    def offset(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SignatureSettings:
    """`enabled`: frames and acknowledgements are signed with the key of the gateway's certificate, and commands have to be signed.

    `unsigned_until`: commands without any signature are taken until this moment (ISO 8601, with its offset), by the gateway's clock: while
    serving has no key yet. `key`: file with another key and its certificate, PEM, that signs in the place of the one that opens the way to
    the platform; read again when it changes. `authority`: certificate of the authority whose word about keys counts then.
    """

    enabled: bool = False
    unsigned_until: str = ""
    key: str = ""
    authority: str = ""

    def __post_init__(self) -> None:
        until_us(self.unsigned_until)
        if bool(self.key) != bool(self.authority):
            msg = "signatures has one of key and authority: set both, the file that signs and the authority that vouches for it"
            raise ValueError(msg)


Wanted = Callable[[], SignatureSettings]
"""What counts now. Asked when the gateway starts and when its certificate has changed."""


class Signing:
    """Of one gateway. Raises ConfigError for files that cannot be read."""

    def __init__(
        self,
        files: Files,
        platform: Platform,
        *,
        gateway_id: str,
        clock: Clock,
        wanted: Wanted = lambda: SignatureSettings(enabled=True),
    ) -> None:
        self._platform = platform
        self._settings, self._clock, self._wanted = files, clock, wanted
        self._signatures = wanted()
        self.holder = gateway_holder(gateway_id)
        self.book = KeyBook.of(self._signatures.authority or files.ssl_ca_location)
        self._stamp: Stamp | None = None
        self._next = self._read()
        self._current: Signer | None = None
        self.caught_up = asyncio.Event()
        """All that the topic had when it was read first is known."""
        self._changed = asyncio.Event()
        self._without_us: int | None = clock()
        self._unread = "not yet connected"
        self._following: Following | None = None
        self._wait_from_us = 0

    def _read(self) -> Signer:
        own = self._signatures.key
        names = (own or self._settings.ssl_key_location, own or self._settings.ssl_certificate_location)
        try:
            # Its time first: what changes meanwhile is seen as a change.
            self._stamp = stamp(Path(own)) if own else None
            found = Signer.of(b"".join(Path(name).read_bytes() for name in dict.fromkeys(names) if name))
        except (OSError, ValueError) as error:
            msg = f"{names[1]} has no key to sign with: {cause_of(error)}"
            raise ConfigError(msg) from error
        if (named := holder_of(found.id)) != self.holder:
            msg = f"{names[1]} is a certificate of {named}, and {self.holder} would sign with it"
            raise ConfigError(msg)
        return found

    def _look(self) -> None:
        """Take the key that is in `signatures.key` now: nobody else says that it has changed."""
        try:
            changed = bool(self._signatures.key) and stamp(Path(self._signatures.key)) != self._stamp
        except OSError:
            return  # away for the moment in which it is replaced, or for good: the key of before signs until its end
        if changed:
            self._take_over()

    # --- keys ------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the topic until cancelled; may be run again."""
        follower = self._following = self._platform.follow(topics.SIGNING_KEYS.name, self.on_messages)
        try:
            await follow_through(follower, self._read_all)
        except UnavailableError as error:
            self._following, self._unread = None, str(error)
            if not self.enabled:  # a platform of a version before has no such topic, and nothing waits for it
                await asyncio.sleep(_NO_TOPIC_S)
            raise

    def _read_all(self) -> None:
        self._unread = ""
        self.caught_up.set()

    def on_messages(self, messages: Iterable[_Message]) -> None:
        """Take records of the topic in."""
        for message in messages:
            try:
                self.book.apply(message.value() or b"")
            except SchemaError as error:
                log.error("a signing key is not taken", extra={"offset": message.offset(), "cause": str(error)})
        self._changed.set()
        self._changed = asyncio.Event()

    def renewed(self) -> None:
        """The certificate has changed, and with it perhaps whether the platform wants signatures.

        That of another generation is somebody else's: what was signed before counts nothing.
        """
        if (wanted := self._wanted()) != self._signatures:
            log.warning(
                "the platform has said whether it wants signatures",
                extra={"enabled": wanted.enabled, "unsigned_until": wanted.unsigned_until},
            )
            self._signatures = wanted
        self._take_over()

    def _take_over(self) -> None:
        try:
            self._next = self._read()
        except ConfigError as error:
            log.error("the new key is not used for signing", extra={"cause": str(error)})
            return
        if self._current is not None and _generation(self._current) != _generation(self._next):
            self._current = None

    @property
    def enabled(self) -> bool:
        """Whether frames and acknowledgements are signed, and commands have to be."""
        return self._signatures.enabled

    @property
    def signer(self) -> Signer | None:
        """What to sign with now; None while the platform has told no key of this gateway that counts."""
        self._look()
        if self._next is not self._current and self._counts(self._next):
            self._current = self._next
            log.info("the gateway signs", extra={"key": self._next.id})
        return self._current if self._current is not None and self._counts(self._current) else None

    def _counts(self, signer: Signer) -> bool:
        known = self.book.find(signer.id)
        return known is not None and known.public == signer.public and not known.problem(self._clock())

    # --- signing ---------------------------------------------------------------------------------------------------------

    def tails(self, messages: Sequence[bytes]) -> list[bytes] | None:
        """What makes Kafka values of frames signed (`frame_signatures.signed`), one batch; None while there is no key.

        Empty texts where nothing is signed.
        """
        if not self.enabled:
            return [b""] * len(messages)
        signer, most = self.signer, frame_signatures.MAX_BATCH
        if signer is None:
            return None
        parts = [messages[at : at + most] for at in range(0, len(messages), most)]
        return [tail for part in parts for tail in frame_signatures.tails(part, signer)]

    def own_request(self, request: CommandRequest) -> CommandRequest:
        """A request of a local rule, signed with the gateway's own key, which needs nobody's word here: rules work without the platform."""
        if not self.enabled:
            return request
        return command_signatures.signed(request, self._current or self._next)

    def signed(self, record: R) -> R | None:
        """A record with the gateway's signature, the record itself where nothing is signed; None while there is no key."""
        if not self.enabled:
            return record
        signer = self.signer
        return None if signer is None else command_signatures.signed(record, signer)

    # --- what others have signed -----------------------------------------------------------------------------------------

    def problem(self, record: CommandRequest | CommandControl) -> str:
        """Why a command is not serving's, nor of a rule of this gateway; empty when it is, or where none has to be signed."""
        if not self.enabled:
            return ""
        return command_signatures.problem(
            record,
            self._find,
            (SERVING, self.holder),
            self._clock(),
            unsigned_until_us=until_us(self._signatures.unsigned_until),
        )

    def _find(self, key_id: str) -> SigningKey | None:
        for own in (self._current, self._next):
            if own is not None and own.id == key_id:
                return SigningKey(
                    key_id=key_id, holder=self.holder, public=own.public, from_us=0, until_us=_FOR_EVER_US
                )
        return self.book.find(key_id)

    async def known(self, key_ids: Iterable[str]) -> None:
        """Wait a moment for keys of serving that the topic has not told yet; once a minute, for anybody may make ids up.

        A command that comes before its key in the rest of that minute is sent again by the platform.
        """
        wanted = {key_id for key_id in key_ids if holder_of(key_id) == SERVING and self._find(key_id) is None}
        now_us = self._clock()
        if not self.enabled or not wanted or self._wait_from_us > now_us:
            return
        self._wait_from_us = now_us + _WAITS_EACH_US
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while any(self._find(key_id) is None for key_id in wanted):
                    await self._changed.wait()
        except TimeoutError:
            return

    @property
    def unread(self) -> str:
        """Why the topic is not read; empty while it is, and where nothing is signed."""
        if not self.enabled:
            return ""
        return self._following.problem or self._unread if self._following is not None else self._unread

    @property
    def trouble(self) -> str:
        """Why nothing has been signed for half a minute, and no frame leaves the buffer; empty while something can be, or need not."""
        if not self.enabled or self.signer is not None:
            self._without_us = None
            return ""
        now_us = self._clock()
        if self._without_us is None:
            self._without_us = now_us
        return (self.unread or WAITS) if now_us > self._without_us + _TOLD_WITHIN_US else ""

    @property
    def unsettled(self) -> bool:
        """Whether a certificate would help before it is due.

        The platform, whose topic is read, has told no key of this gateway for half a minute; or serving signs, and this gateway does not.
        """
        if not self.enabled:
            return self.book.has(SERVING, self._clock())
        return bool(self.trouble) and not self.unread

    def status(self) -> dict[str, Any] | None:
        """For people; None where nothing is signed."""
        if not self.enabled:
            return None
        signer = self.signer
        return {"key": signer.id if signer else "", "problem": self.unread or ("" if signer else WAITS)}


def of(
    wanted: Wanted, files: Files, platform: Platform, *, gateway_id: str, clock: Clock, enrolled: bool
) -> Signing | None:
    """Of a gateway's configuration; None where nothing is signed and nobody would ever say so. Raises ConfigError."""
    if not enrolled and not wanted().enabled:
        return None
    return Signing(files, platform, gateway_id=gateway_id, clock=clock, wanted=wanted)


def _generation(signer: Signer) -> str:
    return signer.id.rpartition(".")[0]
