"""Whether whoever opened a stream may still have it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from loguru import logger

from bot.errors import BotError
from bot.interfaces import Clock

_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kept:
    """One stream."""

    holds: Callable[[], Awaitable[bool]]
    end: Callable[[], None]


class Vigil:
    """Asks about one stream after the other, so that many of them take no more of the database than a few.

    The end of a login is noticed within 5 s that way (S12), also where another process made it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: set[_Kept] = set()
        self._running: asyncio.Task[None] | None = None

    @contextmanager
    def keep(self, holds: Callable[[], Awaitable[bool]], end: Callable[[], None]) -> Iterator[None]:
        """Ask `holds` now and then while the context is open; call `end` when it does not any more."""
        kept = _Kept(holds=holds, end=end)
        self._kept.add(kept)
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="vigil over streams")
        try:
            yield
        finally:
            self._kept.discard(kept)
            if not self._kept and self._running is not None:
                self._running.cancel()
                self._running = None

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(_EVERY_S)
            for each in tuple(self._kept):
                if each in self._kept and not await _holds(each):
                    each.end()


async def _holds(kept: _Kept) -> bool:
    try:
        return await kept.holds()
    except BotError as error:
        logger.debug("dashboard: whether a stream may go on is not known: {}", error)
    except Exception:  # an edge: one stream must not end the watch over the others
        logger.exception("dashboard: a stream was not looked after")
    return True


VIGIL: Final = web.AppKey("vigil", Vigil)
