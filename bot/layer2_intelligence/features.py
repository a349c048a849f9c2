"""Closed candles into features, computed once per instrument and timeframe and shared by every task.

Two forms give the same answers: `BatchFeatures` of a whole series (replay), `LiveFeatures` candle by candle (live).
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Final

import numpy as np

from bot.config import DivergenceSettings
from bot.errors import NotEnoughCandles
from bot.layer2_intelligence.indicators.columns import feature_columns
from bot.layer2_intelligence.indicators.divergence import DivergenceStream, divergence_table
from bot.layer2_intelligence.indicators.rebasing import candles_dropped, moved_setup
from bot.layer2_intelligence.indicators.setups import setups
from bot.layer2_intelligence.indicators.streaming import HANDLES_NEED, IndicatorStream, newest_median
from bot.models import CandleSeries, DivergenceSetup, FeatureColumns, FeatureSet, Floats, Ints

_COLUMN_NAMES: Final = tuple(each.name for each in fields(FeatureColumns))
_BANDWIDTH, _BANDWIDTH_MEDIAN = _COLUMN_NAMES.index("bandwidth"), _COLUMN_NAMES.index("bandwidth_median")
_SPARE_CANDLES: Final = 256  # room that is made beyond the candles known when the columns are first stored
_BULK: Final = 1_000  # from so many new candles on, computing all columns again is cheaper than going one by one


class BatchFeatures:
    """Features of every candle of a series that is complete. Raises ConfigError for settings that contradict.

    Setups are found at once, and become objects when their candle is asked for.
    """

    def __init__(self, series: CandleSeries, divergence: DivergenceSettings, bandwidth_lookback: int) -> None:
        self.series = series
        self.columns = feature_columns(series, bandwidth_lookback=bandwidth_lookback)
        self._settings = divergence
        self._divergences = divergence_table(series, self.columns, divergence)
        known_at = self._divergences.known_at
        self.setup_indices: Ints
        self.setup_indices, first = np.unique(known_at, return_index=True)
        self._first_row = [*first.tolist(), len(known_at)]
        self._place = {k: place for place, k in enumerate(self.setup_indices.tolist())}

    def at(self, k: int) -> FeatureSet:
        """What is known at the close of candle `k`, 0 <= k < n. Copies no column."""
        place = self._place.get(k)
        return FeatureSet(self.series, self.columns, k, () if place is None else self._setups(place))

    def _setups(self, place: int) -> tuple[DivergenceSetup, ...]:
        events = self._divergences.events(self._first_row[place], self._first_row[place + 1])
        return tuple(setups(events, self.columns.atr, self._settings))


class LiveFeatures:
    """Features of a series that grows at its end and may lose candles at its front.

    Each candle is worked on once; the past is never gone over again. What falls off the series is let go of, so memory
    is bounded if the series is; indicators go on from all candles ever shown.
    """

    def __init__(self, divergence: DivergenceSettings, bandwidth_lookback: int) -> None:
        self._settings = divergence
        self._lookback = bandwidth_lookback
        self._divergences = DivergenceStream(divergence)
        self._indicators: IndicatorStream | None = None
        self._series: CandleSeries | None = None
        self._is_whole = True  # nothing has fallen off since the indicators began
        self._store: Floats = np.empty((len(_COLUMN_NAMES), 0))
        self._columns = FeatureColumns(*self._store)
        self._setups: dict[int, tuple[DivergenceSetup, ...]] = {}

    def advance(self, series: CandleSeries) -> FeatureSet:
        """Work on the candles of `series` that are new since the last call; the features of its newest.

        `series` is always the same instrument's and goes on from the one before; what fell off its front is found by
        time. Raises DataError if it does not go on, and NotEnoughCandles if it is empty.
        """
        count = len(series)
        if not count:
            raise NotEnoughCandles(f"{series.symbol} {series.timeframe}: no candle yet; wait for the first to close")
        if self._series is not None and (dropped := candles_dropped(self._series, series)):
            self._let_go(self._series, dropped)
        known = self._known
        if self._indicators is None or (self._is_whole and count - known >= _BULK):
            self._start(series)
        else:
            for k in range(known, count):
                self._step(series, k, self._indicators)
        self._series = series
        return self.at(count - 1)

    def at(self, k: int) -> FeatureSet:
        """What was known at the close of candle `k` of the newest series. Raises NotEnoughCandles.

        A setup is told as long as all its candles are in the series.
        """
        if self._series is None or not 0 <= k < len(self._series):
            raise NotEnoughCandles(f"features of candle {k} were asked for, {self._known} candles are known")
        return FeatureSet(self._series, self._columns, k, self._setups.get(k, ()))

    def newest(self) -> FeatureSet | None:
        """What is known at the newest candle; None before the first."""
        return self.at(self._known - 1) if self._series is not None else None

    @property
    def _known(self) -> int:
        return len(self._series) if self._series is not None else 0

    def _let_go(self, series: CandleSeries, dropped: int) -> None:
        """Forget the first candles of `series`, which is all that was known; begin anew if too few are left to go on.

        Columns that were handed out stay as they are: what is left moves to new memory.
        """
        if self._indicators is None or len(series) - dropped < HANDLES_NEED:
            self._indicators, self._series, self._is_whole = None, None, True
            return
        self._series, self._is_whole = series.slice(dropped, len(series)), False
        self._store = self._store[:, dropped : len(series)].copy()
        self._columns = FeatureColumns(*self._store)
        self._divergences.let_go(dropped)
        moved = (moved_setup(each, dropped) for k, found in self._setups.items() if k >= dropped for each in found)
        self._setups = _by_candle(each for each in moved if each is not None)

    def _start(self, series: CandleSeries) -> None:
        """Everything from the first candle on; later candles are steps once the indicators can be continued."""
        history = BatchFeatures(series, self._settings, self._lookback)
        self._setups = {k: history.at(k).setups for k in history.setup_indices.tolist()}
        self._store = np.array([getattr(history.columns, name) for name in _COLUMN_NAMES])
        self._columns = FeatureColumns(*self._store)
        if len(series) >= HANDLES_NEED:
            self._indicators = IndicatorStream(series)
            self._divergences.resume(series)

    def _step(self, series: CandleSeries, k: int, indicators: IndicatorStream) -> None:
        if k >= self._store.shape[1]:
            self._grow(k)
        values = list(indicators.at(series, k))
        values.insert(_BANDWIDTH_MEDIAN, values[_BANDWIDTH])
        self._store[:, k] = values
        widths = self._store[_BANDWIDTH, max(0, k + 1 - self._lookback) : k + 1]
        self._store[_BANDWIDTH_MEDIAN, k] = newest_median(widths, period=self._lookback)
        self._columns = FeatureColumns(*self._store[:, : k + 1])
        events = self._divergences.at(series, self._columns, k)
        if events:
            self._setups |= _by_candle(setups(events, self._columns.atr, self._settings))

    def _grow(self, used: int) -> None:
        larger = np.empty((len(_COLUMN_NAMES), used + used // 2 + _SPARE_CANDLES))
        larger[:, :used] = self._store[:, :used]
        self._store = larger


def _by_candle(found: Iterable[DivergenceSetup]) -> dict[int, tuple[DivergenceSetup, ...]]:
    groups: dict[int, tuple[DivergenceSetup, ...]] = {}
    for setup in found:
        groups[setup.known_at] = (*groups.get(setup.known_at, ()), setup)
    return groups
