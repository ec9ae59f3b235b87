"""How many requests of a client are under way at once: five, unless the server allows more.

The reference allows five simultaneous requests and 1000 an hour for each key, and more of both on
larger plans (bigledger-api.md, section 4). A server that tells of a larger hour takes as many more
at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

FEWEST = 5
"""Simultaneous requests that every server takes."""
MOST = 50
"""Simultaneous requests beyond which none are sent, whatever the server allows."""
_HOUR_OF_FEWEST = 1000
"""Requests an hour of a key that may send FEWEST at once."""


class Connections:
    """Room for requests that are under way at once."""

    def __init__(self) -> None:
        self.most = FEWEST
        self._busy = 0
        self._room = asyncio.Condition()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Take room for one request, waiting until there is some, and give it back."""
        async with self._room:
            await self._room.wait_for(lambda: self._busy < self.most)
            self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            async with self._room:
                self._room.notify_all()

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take note of how large the server's hour is."""
        told = headers.get("x-ratelimit-limit", "").strip()
        if told.isascii() and told.isdecimal() and len(told) < 10:
            at_once = FEWEST * int(told) // _HOUR_OF_FEWEST
            self.most = min(max(at_once, FEWEST), MOST)
