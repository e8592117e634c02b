"""Readers of commands: what each has not taken yet, bounded.

Enters: views from `command_book`, in order. Leaves: an async iterator per reader. A reader of one command misses old transitions when it
is slow. A reader of many commands gets only the newest of each that waits: a command has up to ten views in a tenth of a second, and a
stream that sent them all one by one fell seconds behind on a busy machine. It is ended with OverloadedError when even those are too many.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterable
from uuid import UUID

from base.errors import OverloadedError
from serving.caches.command_view import CommandView
from serving.caches.wakeup import Wakeup

_MAX_OF_ONE = 64
_MAX_COMMANDS = 2_000
"""More than one read of the topics brings, so that nobody is behind who reads at once."""

Picks = Callable[[CommandView], bool]


class CommandReader:
    """The views of one command that a reader has not taken yet; of more than 64 the oldest are dropped."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._pending: deque[CommandView] = deque(maxlen=_MAX_OF_ONE)

    def offer(self, view: CommandView) -> None:
        """Note a view."""
        self._pending.append(view)
        self._wakeup.set()

    async def views(self) -> AsyncGenerator[CommandView, None]:
        """Views as the reader takes them; ends after a final one."""
        while True:
            while self._pending:
                view = self._pending.popleft()
                yield view
                if view.final:
                    return
            await self._wakeup.wait()


class CommandsReader:
    """The newest view of each picked command that a reader has not taken yet, in the order in which they became news.

    `picks` says which commands belong to it; one that it was told of and that no longer belongs is told once more, as it then is.
    """

    def __init__(self, wakeup: Wakeup, first: Iterable[CommandView], picks: Picks) -> None:
        self._wakeup, self._picks = wakeup, picks
        self._pending = OrderedDict((view.command_id, view) for view in first if picks(view))
        self._told: set[UUID] = set(self._pending)
        self._bound = _MAX_COMMANDS + len(self._pending)
        if self._pending:
            wakeup.set()

    def offer(self, view: CommandView) -> None:
        """Note a view, if it belongs to this reader, in the place of one of the same command that waits."""
        picked = self._picks(view)
        if not picked and view.command_id not in self._told:
            return
        if picked and not view.final:
            self._told.add(view.command_id)
        else:
            self._told.discard(view.command_id)
        self._pending[view.command_id] = view
        if len(self._pending) > self._bound:
            msg = f"this stream is {len(self._pending)} commands behind; read faster, or watch fewer commands"
            self._pending.clear()
            self._wakeup.end(OverloadedError(msg))
            return
        self._wakeup.set()

    async def views(self) -> AsyncGenerator[CommandView, None]:
        """Views as the reader takes them, for ever; raises OverloadedError when it is too slow."""
        while True:
            while self._pending:
                yield self._pending.popitem(last=False)[1]
            self._bound = _MAX_COMMANDS  # what was known at the start has been taken
            await self._wakeup.wait()
