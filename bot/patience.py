"""Asking, but not waiting longer than that."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


async def within(seconds: float, question: Coroutine[Any, Any, Answer]) -> Answer:
    """Its answer. Raises TimeoutError if there is none in time.

    The question is then left to end by itself: to cancel one to a database waits for the database too.
    """
    asking = asyncio.ensure_future(question)
    done, _ = await asyncio.wait((asking,), timeout=seconds)
    if not done:
        asking.add_done_callback(_end)
        raise TimeoutError
    return asking.result()


def _end(asking: asyncio.Future[Any]) -> None:
    if not asking.cancelled():
        asking.exception()  # nobody waits for it any more
