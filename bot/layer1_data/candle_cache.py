"""The closed candles known so far, one set of columns per instrument and timeframe, shared by all who read."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from bot.errors import ConfigError
from bot.instruments import AssetClass, InstrumentRegistry, Symbol
from bot.layer1_data.quality import is_unscheduled_hole, segments
from bot.models import Candle, CandleSeries, Floats, Ints, Timeframe

KEPT_CANDLES: Final = 2_000
LEAST_KEPT: Final = 1_000  # everything that looks back sees less far, see docs/decisions/0006-bounded-live-state.md
_FIRST_CAPACITY: Final = 512


class CandleCache:
    """A `CandleSource` of at least the newest `keep` candles of each series; takes only what is newer than all of them.

    When twice as many are there, the oldest fall off before the next are added: what one call brought stays whole until
    the next. An index is good in the series it was read from only; whoever follows a series goes by time.
    A candle takes 56 bytes (7 columns of 8): 224 kB per series, plus what the last call brought.
    Raises ConfigError for a `keep` that rules and detectors could notice.
    """

    def __init__(self, registry: InstrumentRegistry, *, keep: int = KEPT_CANDLES) -> None:
        if keep < LEAST_KEPT:
            raise ConfigError(f"keep is {keep} candles; rules and detectors need at least {LEAST_KEPT}: raise it")
        self._registry = registry
        self._keep = keep
        self._columns: dict[tuple[Symbol, Timeframe], _Columns] = {}

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """All candles kept, oldest first, as read-only views without a copy; a later append does not change them."""
        return self._of(symbol, timeframe).series()

    def append(self, symbol: Symbol, timeframe: Timeframe, candles: Sequence[Candle]) -> int:
        """Add checked candles, oldest first; return how many were new. One that is not newer than all is left out."""
        return self._of(symbol, timeframe).append(candles)

    def load(self, series: CandleSeries) -> int:
        """Add a whole series at once, as `append` does with its candles; return how many were new."""
        return self._of(series.symbol, series.timeframe).load(series)

    def _of(self, symbol: Symbol, timeframe: Timeframe) -> "_Columns":
        found = self._columns.get((symbol, timeframe))
        if found is None:
            found = _Columns(symbol, timeframe, self._registry.get(symbol).asset_class, self._keep)
            self._columns[symbol, timeframe] = found
        return found


class _Columns:
    """Growing columns; the filled part is never written again, so views of it may be handed out.

    Growing and letting go both move to new memory: views made before keep the old one.
    """

    def __init__(self, symbol: Symbol, timeframe: Timeframe, asset_class: AssetClass, keep: int) -> None:
        self._symbol = symbol
        self._timeframe = timeframe
        self._asset_class = asset_class
        self._keep = keep
        self._size = 0
        self._values: Floats = np.empty((5, 0), dtype=np.float64)  # open, high, low, close, volume
        self._marks: Ints = np.empty((2, 0), dtype=np.int64)  # opened_at_s, segment
        self._series: CandleSeries | None = None

    def series(self) -> CandleSeries:
        if self._series is None:
            values, marks = self._values[:, : self._size], self._marks[:, : self._size]
            values.flags.writeable = marks.flags.writeable = False
            open_, high, low, close, volume = values
            self._series = CandleSeries(
                self._symbol, self._timeframe, marks[0], open_, high, low, close, volume, marks[1]
            )
        return self._series

    def append(self, candles: Sequence[Candle]) -> int:
        self._make_room(len(candles))
        before = self._size
        for candle in candles:
            opened_at_s = int(candle.opened_at.timestamp())
            if self._size and opened_at_s <= self._marks[0, self._size - 1]:
                continue
            numbers = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            self._values[:, self._size] = [float(each) for each in numbers]
            self._marks[:, self._size] = opened_at_s, self._segment_at(opened_at_s)
            self._size += 1
        self._series = None
        return self._size - before

    def load(self, series: CandleSeries) -> int:
        newest = self._marks[0, self._size - 1] if self._size else -np.inf
        fresh = series.slice(int(np.searchsorted(series.opened_at_s, newest, side="right")), len(series))
        if len(fresh) == 0:
            return 0
        self._make_room(len(fresh))
        start, stop = self._size, self._size + len(fresh)
        rises = segments(fresh.opened_at_s, self._timeframe, self._asset_class)
        self._values[:, start:stop] = fresh.open, fresh.high, fresh.low, fresh.close, fresh.volume
        self._marks[1, start:stop] = rises + self._segment_at(int(fresh.opened_at_s[0]))
        self._marks[0, start:stop] = fresh.opened_at_s
        self._size, self._series = stop, None
        return len(fresh)

    def _segment_at(self, opened_at_s: int) -> int:
        """Segment of a candle that would follow the newest one."""
        if self._size == 0:
            return 0
        newest, segment = self._marks[:, self._size - 1].tolist()
        return int(segment) + is_unscheduled_hole(newest, opened_at_s, self._timeframe, self._asset_class)

    def _make_room(self, more: int) -> None:
        first = self._size - self._keep if self._size >= 2 * self._keep else 0
        used, capacity = self._size - first, self._values.shape[1]
        if first == 0 and used + more <= capacity:
            return
        capacity = max(_FIRST_CAPACITY, min(2 * capacity, 2 * self._keep), used + more)
        values, marks = np.empty((5, capacity), dtype=np.float64), np.empty((2, capacity), dtype=np.int64)
        values[:, :used] = self._values[:, first : self._size]
        marks[:, :used] = self._marks[:, first : self._size]
        self._values, self._marks, self._size, self._series = values, marks, used, None
