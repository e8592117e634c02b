"""Domain type of the topic `sign.outs`: somebody has signed out everywhere, or was signed out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from schemas import codec

RECORD = "SignOut"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignOut:
    """What `subject` was signed in with before `before_us` (microseconds UTC) is over. `by`: who asked for it."""

    subject: str
    before_us: int
    by: str

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return self.subject.encode()

    def encode(self) -> bytes:
        """Kafka value."""
        return codec.encode(RECORD, {"subject": self.subject, "before_us": self.before_us, "by": self.by})

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Record of a Kafka value; raises UndecodableError or UnknownSchemaError."""
        return cls(**codec.decode(message, RECORD)[1])
