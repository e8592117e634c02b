"""Signatures of gateways for who sends in their place: benchmarks and tests on an instance whose own gateways do not run.

The keys are those of the certificates that `up` issues to each gateway of the plant file, and has told on `signing.keys` before the jobs
start. So nothing else has to be told, and a frame is judged as that of the gateway itself. Where signatures are off, nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from authority.book import Book
from base.signing_key import Signer
from schemas import command_signatures, frame_signatures
from schemas.command_signatures import R
from stack import signing
from stack.config import StackConfig
from stack.mqtt_access import gateway_name


@dataclass(frozen=True, slots=True)
class StandIn:
    """Signs for gateways, and for serving. `folder`: the authority's; None where nothing is signed. May go to another process."""

    folder: Path | None = None
    _signers: dict[str, Signer] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, config: StackConfig) -> StandIn:
        """Of an instance whose certificates are issued."""
        return cls(config.authority if signing.required(config) else None)

    def frames(self, gateway_id: str, messages: Sequence[bytes]) -> list[bytes]:
        """Kafka values of frames that a gateway sends together: under one root, or as few as hold so many."""
        if self.folder is None:
            return list(messages)
        signer, most = self._signer(self.folder, gateway_name(gateway_id)), frame_signatures.MAX_BATCH
        found = list[bytes]()
        for at in range(0, len(messages), most):
            batch = messages[at : at + most]
            tails = frame_signatures.tails(batch, signer)
            found += [frame_signatures.signed(one, tail) for one, tail in zip(batch, tails, strict=True)]
        return found

    def command(self, record: R) -> R:
        """A request or a control as serving sends it."""
        if self.folder is None:
            return record
        return command_signatures.signed(record, self._signer(self.folder, signing.SERVING))

    def __reduce__(self) -> tuple[type[StandIn], tuple[Path | None]]:
        return StandIn, (self.folder,)  # private keys stay in their files

    def _signer(self, folder: Path, name: str) -> Signer:
        found = self._signers.get(name)
        if found is None:
            found = self._signers[name] = Signer.of(Book(folder).file(name).read_bytes())
        return found
