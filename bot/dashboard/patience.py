"""Asking the database, but not waiting long: a person at the kill switch must not wait for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from bot.errors import DatabaseUnavailable

PATIENCE_S: Final = 1.0

Answer = TypeVar("Answer")


async def soon(question: Coroutine[Any, Any, Answer]) -> Answer:
    """Its answer. Raises DatabaseUnavailable if there is none within a second.

    The question is then left to end by itself: to cancel it would wait for the database too.
    """
    asking = asyncio.ensure_future(question)
    done, _ = await asyncio.wait((asking,), timeout=PATIENCE_S)
    if not done:
        asking.add_done_callback(_end)
        raise DatabaseUnavailable(f"the database did not answer within {PATIENCE_S:.0f} s; what was known holds")
    return asking.result()


def _end(asking: asyncio.Future[Any]) -> None:
    if not asking.cancelled():
        asking.exception()  # nobody waits for it any more
