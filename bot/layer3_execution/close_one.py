"""One position to nothing at market, because a person wants it."""

from typing import Final

from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.models import PositionId

CLOSE_REASON: Final = "OPERATOR_CLOSE"


async def close_one(book: Book, engine: ExecutionEngine, position_id: PositionId) -> str:
    """What came of it, in words. Reduce-only, under the names of its legs: decided twice it is one order.

    Its stop stays until it is flat. Raises BrokerError; then nothing is known but what the book says.
    """
    position = book.position(position_id)
    if position is None or not position.is_open:
        return f"{position_id} is closed already"
    order = await engine.reduce(position, position.quantity, None, CLOSE_REASON)
    left = book.position(position_id)
    if left is None or not left.is_open:
        return f"{position.symbol} is closed"
    return f"{position.symbol}: {left.quantity:f} left, its close is {order.state.value}; look at /positions"
