"""Believable candles for charts: a seeded walk that ends at the price of the day."""

import random
from datetime import datetime
from decimal import Decimal

import numpy as np

from bot.config import DivergenceSettings
from bot.instruments import Symbol
from bot.layer2_intelligence.features import LiveFeatures
from bot.models import CandleSeries, FeatureSet, Timeframe

CANDLES = 300


def walked(symbol: Symbol, timeframe: Timeframe, price: Decimal, now: datetime) -> FeatureSet:
    """The closed candles of `symbol` until `now`, the last of which closed at `price`, with their indicators."""
    dice, steps = random.Random(f"{symbol} {timeframe.value}"), CANDLES + 1
    walk = np.cumsum([dice.gauss(0, 0.004) for _ in range(steps)])
    ends = float(price) * np.exp(walk - walk[-1])
    opened, closed = ends[:-1], ends[1:]
    reach = np.array([abs(dice.gauss(0, 0.002)) for _ in range(CANDLES)]) * closed
    newest_s = int(now.timestamp()) // timeframe.seconds * timeframe.seconds - timeframe.seconds
    series = CandleSeries(
        symbol,
        timeframe,
        newest_s - timeframe.seconds * np.arange(CANDLES - 1, -1, -1, dtype=np.int64),
        opened,
        np.maximum(opened, closed) + reach,
        np.minimum(opened, closed) - reach,
        closed,
        np.array([dice.uniform(50, 150) for _ in range(CANDLES)]),
        np.zeros(CANDLES, dtype=np.int64),
    )
    return LiveFeatures(DivergenceSettings(), 100).advance(series)
