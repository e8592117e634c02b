"""Forgetting a person: the key goes, and with it everything that leads from the subject id to somebody.

Order, so that one that was interrupted is finished by doing it again: it is noted that somebody is forgotten, so that no token of before
enters anybody; the person's file goes; a newer version of the wrapping key is made; the epoch turns, so that keys that were made ahead
with an older one are used no more; everybody else's key is wrapped with the newer version, and opened again to be sure; versions before
it are destroyed. From the last step on, no copy of the folder that was made before opens, be it in a backup or in free blocks of a disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from base.errors import NotFoundError, PreconditionError, UnavailableError
from base.ids import Clock, now_us
from privacy.person import Person
from privacy.store import Store


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was done: how many others' keys were wrapped anew."""

    subject: str
    rewrapped: int


def find(store: Store, text: str) -> Person:
    """The one person that somebody means; raises NotFoundError, PreconditionError for several."""
    found = [one for one in store.everybody() if one.answers_to(text)]
    if not found:
        msg = "nobody of the directory answers to this name; `millrace privacy list` shows who is there"
        raise NotFoundError(msg)
    if len(found) > 1:
        msg = f"{len(found)} people answer to this name; say the subject id: {', '.join(one.subject for one in found)}"
        raise PreconditionError(msg)
    return found[0]


def forget(store: Store, subject: str, *, put_aside: bool = False, clock: Clock = now_us) -> Forgotten:
    """Forget a person. Raises NotFoundError, and PreconditionError, ConfigError, UnavailableError: then `destroy_older` ends it.

    `put_aside`: files that cannot be read are taken out of the directory, instead of keeping everybody else from being forgotten.
    """
    store.refresh()
    with store.held():
        store.refresh()
        lookup = next((each for each, entry in store.entries().items() if entry.person.subject == subject), None)
        if lookup is None:
            msg = f"{subject} is not in the directory of people (any more)"
            raise NotFoundError(msg)
        _readable(store, put_aside=put_aside)
        store.forgotten.begin(clock())
        store.delete(lookup)
        return Forgotten(subject, _destroy_older(store, put_aside=False))


def destroy_older(store: Store, *, put_aside: bool = False) -> int:
    """Wrap everybody's key with a new version and destroy the older ones; how many people there are. `put_aside`: as in `forget`.

    Raises PreconditionError, ConfigError, UnavailableError; then it is done again.
    """
    store.refresh()
    with store.held():
        return _destroy_older(store, put_aside=put_aside)


def _destroy_older(store: Store, *, put_aside: bool) -> int:
    store.refresh()
    _readable(store, put_aside=put_aside)
    # The epoch turns when the newer version is there: before, another process could make keys ahead with the old one once more.
    store.wrapping.renew()
    store.turn_epoch()
    people = store.entries()
    # With the lookup key, copies of the folder would say who was in it. It also names the version where nobody is left.
    secrets = [*(entry.secret for entry in people.values()), store.lookup_key]
    wrapped = store.wrapping.wrap(secrets)
    if store.wrapping.unwrap(wrapped) != secrets:
        msg = (
            "keys of people that were wrapped just now do not open again; no version of the wrapping key was destroyed"
        )
        raise UnavailableError(msg)
    for (lookup, entry), key in zip(people.items(), wrapped, strict=False):
        store.write(lookup, {**entry.file, "key": key})
    store.write_lookup(wrapped[-1])
    store.wrapping.drop_before(wrapped)
    store.forgotten.finish()
    store.refresh()
    return len(people)


def _readable(store: Store, *, put_aside: bool) -> None:
    if store.unreadable and put_aside:
        store.put_aside()
        store.refresh()
    if store.unreadable:
        # Destroying the versions that they need would make a fault that can be mended a loss.
        names = ", ".join(sorted(store.unreadable))
        msg = (
            f"keys or files of {len(store.unreadable)} people cannot be read ({names}); put them back from their copies first, "
            "or lose them with --put-aside"
        )
        raise PreconditionError(msg)
