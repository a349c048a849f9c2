"""One question for all who want to know the same at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from bot.errors import BotError

T = TypeVar("T")


class JoinedReading(Generic[T]):
    """Whoever asks gets an answer that was asked for after him: those who wait while one is on its way share the next.

    Its error too. Asking once each would spend a venue's budget, or its one line, that what follows needs.
    """

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._asked = 0
        self._answered = 0
        self._newest: asyncio.Future[T] | None = None
        self._reading = asyncio.Lock()

    async def next(self) -> T:
        """The answer. Raises the BotError of the reading that was shared."""
        self._asked += 1
        number = self._asked
        async with self._reading:
            if self._newest is None or self._answered < number:
                asked, newest = self._asked, asyncio.get_running_loop().create_future()
                try:
                    newest.set_result(await self._read())
                except BotError as error:
                    newest.set_exception(error)
                self._answered, self._newest = asked, newest
            return self._newest.result()
