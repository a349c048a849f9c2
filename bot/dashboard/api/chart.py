"""Candles with the indicators that the bot computed, for whoever draws them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Final

from pydantic import Field

from bot.dashboard.api.fields import DIGITS, AnyTimeframe, Name
from bot.dashboard.api.operations import Asked, Call
from bot.errors import NotFound
from bot.instruments import BrokerId, Symbol
from bot.models import FeatureColumns, FeatureSet, Floats, Timeframe

MOST_CANDLES: Final = 2_000
_INDICATORS: Final = tuple(each.name for each in fields(FeatureColumns))

Row = tuple[int, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Closed candles, oldest first, each [opened at (seconds since 1970 UTC), open, high, low, close, volume].

    Every column of `indicators` has one value for each candle; null where there were too few candles before it.
    """

    symbol: Symbol
    broker_id: BrokerId
    timeframe: Timeframe
    tick: float
    candles: Sequence[Row]
    indicators: Mapping[str, Sequence[float | None]]


class ChartAsked(Asked):
    """Which candles."""

    symbol: Name
    timeframe: AnyTimeframe = Timeframe.H1
    limit: Annotated[int, Field(ge=1, le=MOST_CANDLES, description="The newest so many candles."), DIGITS] = 500


async def chart(call: Call, asked: ChartAsked) -> Chart:
    """Candles of an instrument with the indicators that the bot computed.

    Only what some task follows is known here; other candles are at /api/venues/candles, without indicators.
    """
    instrument = call.parts.registry.get(asked.symbol)
    found = call.parts.features(instrument.symbol, asked.timeframe)
    if found is None:
        raise NotFound(
            f"no task follows {instrument.symbol} {asked.timeframe.value}, or its first candles have not come yet; "
            "/api/tasks has what is followed"
        )
    first = max(found.k + 1 - asked.limit, 0)
    return Chart(
        symbol=instrument.symbol,
        broker_id=instrument.broker_id,
        timeframe=asked.timeframe,
        tick=float(instrument.tick),
        candles=_rows(found, first),
        indicators={name: _column(getattr(found.columns, name), first, found.k) for name in _INDICATORS},
    )


def _rows(found: FeatureSet, first: int) -> Sequence[Row]:
    series, end = found.series, found.k + 1
    numbers = (series.open, series.high, series.low, series.close, series.volume)
    columns = [series.opened_at_s[first:end].tolist(), *(each[first:end].tolist() for each in numbers)]
    return list(zip(*columns, strict=True))


def _column(values: Floats, first: int, last: int) -> Sequence[float | None]:
    return [value if math.isfinite(value) else None for value in values[first : last + 1].tolist()]
