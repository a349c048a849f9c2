"""Asking the database, but not waiting long: a person at the kill switch must not wait for it."""

from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from bot.errors import DatabaseUnavailable
from bot.patience import within

PATIENCE_S: Final = 1.0

Answer = TypeVar("Answer")


async def soon(question: Coroutine[Any, Any, Answer]) -> Answer:
    """Its answer. Raises DatabaseUnavailable if there is none within a second."""
    try:
        return await within(PATIENCE_S, question)
    except TimeoutError:
        raise DatabaseUnavailable(
            f"the database did not answer within {PATIENCE_S:.0f} s; what was known holds"
        ) from None
