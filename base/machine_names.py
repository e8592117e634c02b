"""Names in records of who did something that only machines' own servers give: nobody who is let in here may bear one."""

from __future__ import annotations

import unicodedata

MACHINE = "machine"
"""Whoever did something at a machine, where its server does not say who."""

NOT_FOR_CALLERS = f"names that begin with {MACHINE}: are of who acts at a machine; take another name"
"""Why a name is refused."""


def is_machines(name: str) -> bool:
    """Whether a name is, or looks like, that of somebody at a machine: `machine`, or what begins with `machine:`.

    In upper or lower case, and in spellings that Unicode calls compatible; look-alikes of other alphabets are other names.
    """
    same = unicodedata.normalize("NFKC", name).strip().casefold()
    return same == MACHINE or same.partition(":")[0].rstrip() == MACHINE
