"""What the caller of the present call may read of the plant. A handler asks for it at its beginning, in the caller's own context.

A stream keeps what it asked for: callbacks of the feeds run in nobody's context.
"""

from __future__ import annotations

from serving.caches.plant import Lookups, Plant
from serving.principals import Permission, current


def seen(plant: Plant) -> Lookups:
    """The part of the plant that the caller may read; all of it, for most."""
    return plant.part(current.get().scopes(Permission.READ))
