"""Candles over as many pages as it takes."""

from datetime import datetime
from typing import Final

from bot.errors import BrokerUnavailable
from bot.layer1_data.brokers.limiter import Priority
from bot.layer1_data.brokers.oanda import from_oanda, to_oanda
from bot.layer1_data.brokers.oanda.desk import Desk
from bot.models import Candle, Timeframe

_FUTURE: Final = "in the future"  # the venue's word for a start that its clock has not reached yet


async def read_candles(
    desk: Desk, instrument: str, timeframe: Timeframe, *, since: datetime | None, limit: int
) -> tuple[Candle, ...]:
    """Closed candles, oldest first, at most `limit`: those from `since` on, or the newest."""
    found: list[Candle] = []
    bound = since
    while len(found) < limit:
        page = await _page(
            desk, instrument, timeframe, forward=since is not None, bound=bound, count=limit - len(found)
        )
        if not page:
            break
        found = [*found, *page] if since is not None else [*page, *found]
        bound = page[-1].closed_at if since is not None else page[0].opened_at
    return tuple(found[:limit] if since is not None else found[-limit:])


async def _page(
    desk: Desk, instrument: str, timeframe: Timeframe, *, forward: bool, bound: datetime | None, count: int
) -> list[Candle]:
    """One answer without the forming candle, and without what lies beyond the bound on either side."""
    call = to_oanda.candles(instrument, timeframe, bound=bound, forward=forward, count=count + 1)
    try:
        page = await desk.read(call, Priority.HISTORY, lambda answer: from_oanda.candles(answer, timeframe))
    except BrokerUnavailable as error:
        if forward and _FUTURE in str(error):
            return []
        raise
    if bound is None:
        return page
    return [each for each in page if (each.opened_at >= bound if forward else each.opened_at < bound)]
