"""The plan of a job: its graph as the client hands it to the JobManager, kept in a file and handed over by whoever submits. Pure.

Enters: the bytes of Java's serialisation, twice: of a job that begins anew, and of one that goes on from a restore point. Two places stand
open, the job's id and the address of the restore point. Leaves: the same bytes with both filled in. `jobs.flink.environment` writes plans,
the stack submits them.

An id is 16 bytes. A string is a tag, its length in two bytes, and its text. Nothing in a plan says how long what follows is, so that a
string may be exchanged for a longer one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

VARIABLE = "MILLRACE_PLAN_INSTEAD"
"""Environment variable of a program that builds a job: the file in which it keeps the plan, in the place of a submission.

Versions before had another one, of a file beside a submission: a job keeper of theirs may start today's programs, and has them submit.
"""
OPEN_ID = "6d696c6c726163652d6a6f622d69642e"
"""The id in a plan, in hexadecimal as Flink writes it."""
OPEN_RESTORE = "file:///millrace/restore-point-of-the-plan"
"""The address in a plan."""
_LENGTH = struct.Struct(">Q")
_STRING = b"t"
_MOST = 0xFFFF


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What builds a job: a module, or a script by its path, with its arguments; `plan` is the file for the plan."""

    program: str
    arguments: Sequence[str]
    plan: str

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The same again; TypeError or ValueError when it is none."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """As an argument of a command line."""
        return json.dumps(asdict(self))


def kept(*, anew: bytes, onward: bytes) -> bytes:
    """A plan's file: the graph of a job that begins anew, and of one that goes on from `OPEN_RESTORE`, both with `OPEN_ID`."""
    return _LENGTH.pack(len(anew)) + anew + onward


def filled(plan: bytes, *, job_id: str, restore: str) -> bytes:
    """The graph for one submission, from the beginning when `restore` is empty.

    ValueError when a place is missing or there twice, or when the address is too long.
    """
    length = _LENGTH.unpack_from(plan)[0] if len(plan) > _LENGTH.size else 0
    anew, onward = plan[_LENGTH.size : _LENGTH.size + length], plan[_LENGTH.size + length :]
    identified = _exchanged(onward if restore else anew, bytes.fromhex(OPEN_ID), bytes.fromhex(job_id))
    return _exchanged(identified, _string(OPEN_RESTORE), _string(restore)) if restore else identified


def _exchanged(plan: bytes, old: bytes, new: bytes) -> bytes:
    if (count := plan.count(old)) != 1:
        msg = f"not a plan that was kept: {count} places {old!r}, not one"
        raise ValueError(msg)
    return plan.replace(old, new)


def _string(text: str) -> bytes:
    # Java's own encoding differs from UTF-8 only for zero and beyond the basic plane; addresses have neither.
    data = text.encode()
    if len(data) > _MOST:
        msg = f"an address of {len(data)} bytes, more than {_MOST}"
        raise ValueError(msg)
    return _STRING + struct.pack(">H", len(data)) + data
