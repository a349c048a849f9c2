"""Work that whoever comes upon it must not wait for."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from loguru import logger


class Aside:
    """Does each piece in a task of its own. What fails is logged: whoever looks next finds it undone."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Start it; it is not waited for."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancel what runs. An order that is being sent is sent to its end."""
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("{} failed; the next look does it", task.get_name())
