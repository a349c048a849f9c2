"""Wiring of the commands that look at a file of candles: which part of it, and whose closures its holes are."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from bot.clock import SystemClock
from bot.errors import UsageError
from bot.instruments import AssetClass, Symbol, default_registry
from bot.layer1_data.feeds.candle_files import read_candles
from bot.layer1_data.feeds.candle_times import instant_s
from bot.models import CandleSeries, Timeframe

NO_SYMBOL: Final = Symbol("")


def read_any_candles(path: Path, timeframe: str | None, symbol: str | None) -> CandleSeries:
    """The whole file; without a timeframe as what its rows tell.

    Without a symbol nobody knows which holes were scheduled, so all candles are one segment.
    Raises UsageError or DataError.
    """
    length, now = None if timeframe is None else Timeframe.parse(timeframe), SystemClock().now()
    if symbol is None:
        series = read_candles(path, NO_SYMBOL, length, asset_class=AssetClass.CRYPTO, now=now)
        return dataclasses.replace(series, segment=np.zeros(len(series), dtype=np.int64))
    instrument = default_registry().get(symbol)
    return read_candles(path, instrument.symbol, length, asset_class=instrument.asset_class, now=now)


def read_candles_as(path: Path, symbol: Symbol, timeframe: str, asset_class: AssetClass) -> CandleSeries:
    """The whole file for a symbol that need not be registered. Raises UsageError or DataError."""
    return read_candles(path, symbol, Timeframe.parse(timeframe), asset_class=asset_class, now=SystemClock().now())


def rows_of(series: CandleSeries, first: int, rows: int | None) -> CandleSeries:
    """Candles `first..first+rows-1`, as far as there are that many. Raises UsageError if there is none."""
    if not 0 <= first < len(series):
        raise UsageError(f"--from {first}: the file has the candles 0 to {len(series) - 1}; name one of them")
    if rows is not None and rows < 1:
        raise UsageError(f"--rows {rows} must be at least 1")
    return series.slice(first, len(series) if rows is None else min(len(series), first + rows))


def instant_of(text: str) -> datetime:
    """An instant as candle files write it. Raises ValueError."""
    return datetime.fromtimestamp(instant_s(text), UTC)
