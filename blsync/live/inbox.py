"""The inbox: events go into the ledger before anybody is told that they were received.

One thread writes, and what came while it wrote goes into the next transaction together: a storm of
events waits for the disk once, not once each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

from blsync.ledger import Ledger, events
from blsync.ledger.events import Event

MOST_AT_ONCE = 500
"""Events of one transaction."""
SAID_AT_MOST = 50
"""Names of unknown events that are told, each once."""


class Inbox:
    """Stores events and tells who pulls that there are some; an async context manager."""

    def __init__(
        self,
        ledger: Ledger,
        company_ids: set[str],
        clock: Callable[[], datetime],
        wake: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        """`clock` tells UTC; `wake` is called once events were stored that were not known."""
        self._ledger, self._company_ids = ledger, company_ids
        self._clock, self._wake, self._say = clock, wake, say
        self._queue: asyncio.Queue[tuple[list[Event], asyncio.Future[int]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "inbox")
        self._told: set[str] = set()

    async def __aenter__(self) -> Inbox:
        self._task = asyncio.create_task(self._write_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._thread.shutdown()

    async def put(self, received: list[Event]) -> int:
        """Store the events; return how many were not known. They survive the machine's end.

        Raises StorageError.
        """
        if not received:
            return 0
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((received, stored))
        return await stored

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            parts = [await self._queue.get()]
            while len(parts) < MOST_AT_ONCE and not self._queue.empty():
                parts.append(self._queue.get_nowait())
            together = [event for part, _ in parts for event in part]
            try:
                new = await loop.run_in_executor(
                    self._thread, events.store, self._ledger, together, self._clock()
                )
            except Exception as error:  # whoever waits is told, and the next may succeed
                for _, stored in parts:
                    if not stored.done():
                        stored.set_exception(error)
                continue
            fresh = {(event.company_id, event.event_id) for event in new}
            for part, stored in parts:
                count = 0
                for event in part:
                    place = (event.company_id, event.event_id)
                    count += place in fresh
                    fresh.discard(place)
                if not stored.done():
                    stored.set_result(count)
            if new:
                self._tell(new)
                self._wake()

    def _tell(self, new: list[Event]) -> None:
        for event in new:
            if len(self._told) >= SAID_AT_MOST:
                return
            if event.company_id not in self._company_ids:
                why = (
                    f"Events of company {event.company_id[:40]!r}, which the settings do not list"
                    if event.company_id
                    else "Events that name no company, and the settings list several"
                )
            elif event.entity is None:
                why = f"Events {event.event!r}, which are about nothing that is pulled here"
            else:
                continue
            if why not in self._told:
                self._told.add(why)
                self._say(f"{why}, are kept, and nothing is pulled for them.")
