"""Whoever asks for many pages at once gets them a few at a time: the event loop and the database are for trading first.

What is pressed, streams, and what answers without reading are never counted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from bot.dashboard.routes import SAFE_METHODS, Handler, route_of

_AT_ONCE: Final = 3
_MOST_WAITING: Final = 100


class Turns:
    """Lets a few in, and some wait."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the context is open. Raises HTTPServiceUnavailable if too many wait."""
        if self._waiting >= _MOST_WAITING:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


@web.middleware
async def take_turns(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Pages and lists are made a few at a time."""
    route = route_of(request)
    if route is None or route.needs is None or route.streams or route.is_urgent or request.method not in SAFE_METHODS:
        return await handler(request)
    async with request.app[TURNS].one():
        return await handler(request)


TURNS: Final = web.AppKey("turns", Turns)
