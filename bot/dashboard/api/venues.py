"""What the venues themselves say, asked now: quotes, candles, orders, positions, accounts."""

from typing import Annotated

from pydantic import Field

from bot.dashboard.api.fields import DIGITS, ABroker, AnyTimeframe, ASymbol
from bot.dashboard.api.operations import Asked, Call
from bot.layer1_data.venue_desk import MOST_CANDLES, DeskAnswer
from bot.models import Timeframe


class AtBroker(Asked):
    """Which venue; all, if none is named."""

    broker: ABroker | None = None


class QuotesAsked(AtBroker):
    """Which instruments; several by naming `symbol` several times."""

    symbol: Annotated[list[ASymbol], Field(min_length=1, max_length=10)]


class CandlesAsked(AtBroker):
    """Which candles."""

    symbol: ASymbol
    timeframe: AnyTimeframe = Timeframe.H1
    last: Annotated[int, Field(ge=1, le=MOST_CANDLES, description="The newest so many."), DIGITS] = 500


async def orders(call: Call, asked: AtBroker) -> DeskAnswer:
    """Working orders and protective stops as the venues have them."""
    return await call.parts.venues.orders(asked.broker)


async def positions(call: Call, asked: AtBroker) -> DeskAnswer:
    """Open positions as the venues have them, with the stop that rests for each."""
    return await call.parts.venues.positions(asked.broker)


async def accounts(call: Call, asked: AtBroker) -> DeskAnswer:
    """Balance and equity as the venues have them."""
    return await call.parts.venues.accounts(asked.broker)


async def quotes(call: Call, asked: QuotesAsked) -> DeskAnswer:
    """Best bid and ask, now."""
    return await call.parts.venues.quotes(asked.symbol, asked.broker)


async def candles(call: Call, asked: CandlesAsked) -> DeskAnswer:
    """The newest closed candles of one instrument, oldest first, asked for at its venue."""
    return await call.parts.venues.candles(asked.symbol, asked.timeframe.value, asked.last, asked.broker)
