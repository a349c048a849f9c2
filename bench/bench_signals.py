"""Features and detectors: a whole series at once, and candle by candle from a cache that lets go of old candles.

References in the same run: TA-Lib's own functions over the same columns (six oscillators, ATR, ADX, bands) for the
batch, the same handles updated with plain numbers for live, and what all candles and columns would take if they were
kept for the memory. Times are CPU time. `python bench/bench_signals.py 1000000` streams a million candles instead.
"""

import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import talib
from talib import stream

from bot.config import DivergenceSettings
from bot.instruments import Symbol, default_registry
from bot.layer1_data.candle_cache import CandleCache
from bot.layer2_intelligence.features import BatchFeatures, LiveFeatures
from bot.layer2_intelligence.indicators.confluence import ShapeStream, market_shapes
from bot.layer2_intelligence.indicators.rebasing import candles_dropped
from bot.models import CandleSeries, FeatureColumns, Floats, Timeframe

BATCH: Final = 100_000
RUNS: Final = 7
WARM: Final = 20_000  # streamed before times and memory count: caches are filled, and candles have fallen off
_SETTINGS: Final = DivergenceSettings()
_LOOKBACK: Final = 100
_COLUMNS: Final = len(CandleSeries.__slots__) - 2 + len(FeatureColumns.__slots__)


def run(streamed: int = 200_000) -> dict[str, float]:
    """Seconds and their ratio for batches, microseconds per candle live, and megabytes that `streamed` candles left."""
    series = _walk(max(streamed + WARM, 2 * BATCH))
    figures = _batch(series)
    figures |= _spread("live: TA-Lib handles alone (reference)", _handles_alone(series))
    for name, with_shapes in (("features", False), ("everything", True)):
        live, spent_ns = _Live(with_shapes=with_shapes), np.zeros(streamed)
        live.follow(series, range(WARM), np.zeros(WARM))
        gc.collect()
        before = _resident_mb()
        live.follow(series, range(WARM, WARM + streamed), spent_ns)
        figures |= _spread(f"live: {name}", spent_ns)
        figures[f"memory: {name}, MB grown over {streamed:,} candles"] = round(_resident_mb() - before, 2)
    figures["memory: all of them kept, MB (reference)"] = round(streamed * _COLUMNS * 8 / 1e6, 1)
    return figures


def _batch(series: CandleSeries) -> dict[str, float]:
    figures: dict[str, float] = {}
    kinds: tuple[tuple[str, Callable[[CandleSeries], object]], ...] = (
        ("TA-Lib's functions (reference)", _talib_pass),
        ("features", _features),
        ("everything", _everything),
    )
    for name, work in kinds:
        # In turn, because what else the machine does changes from one minute to the next.
        pairs = [[_spent(work, series.slice(0, count)) for count in (BATCH, 2 * BATCH)] for _ in range(RUNS)]
        once, twice = map(median, zip(*pairs, strict=True))
        figures[f"batch: {name}, s for {BATCH:,}"] = round(once, 4)
        figures[f"batch: {name}, s for {2 * BATCH:,}"] = round(twice, 4)
        figures[f"batch: {name}, ratio"] = round(median(long / short for short, long in pairs), 2)
    return figures


def _features(series: CandleSeries) -> BatchFeatures:
    """All columns and all setups; each setup is looked at once, as in a replay."""
    features = BatchFeatures(series, _SETTINGS, _LOOKBACK)
    for k in features.setup_indices.tolist():
        features.at(k)
    return features


def _everything(series: CandleSeries) -> object:
    features = _features(series)
    return features, market_shapes(series, features.columns.atr)


def _spent(work: Callable[[CandleSeries], object], series: CandleSeries) -> float:
    """CPU seconds of one run that finds no garbage of another."""
    gc.collect()
    begun = time.process_time()
    found = work(series)
    spent = time.process_time() - begun
    del found
    return spent


def _talib_pass(series: CandleSeries) -> object:
    high, low, close, volume = series.high, series.low, series.close, series.volume
    return (
        talib.RSI(close, 14),
        talib.MACD(close),
        talib.STOCH(high, low, close, 14, 3),
        talib.WILLR(high, low, close, 14),
        talib.CCI(high, low, close, 20),
        talib.MFI(high, low, close, volume, 14),
        talib.ATR(high, low, close, 14),
        talib.ADX(high, low, close, 14),
        talib.BBANDS(close, 20),
        talib.SMA(volume, 20),
    )


def _handles_alone(series: CandleSeries) -> Floats:
    """CPU nanoseconds per candle of the ten recursive parts of the features, fed with numbers that are ready."""
    high, low, close = series.high, series.low, series.close
    means = [stream.EMA(close, timeperiod=period) for period in (12, 26, 9)]
    ranges = [stream.ATR(high, low, close, timeperiod=14) for _ in range(6)]
    channel = stream.CCI(high, low, close, timeperiod=20)
    clock, spent_ns = time.process_time_ns, np.zeros(WARM)
    for k, row in enumerate(zip(high[:WARM].tolist(), low[:WARM].tolist(), close[:WARM].tolist(), strict=True)):
        begun = clock()
        for mean in means:
            mean.update(row[2])
        for true_range in ranges:
            true_range.update(*row)
        channel.update(*row)
        spent_ns[k] = clock() - begun
    return spent_ns


class _Live:
    """What the daemon keeps of one instrument and timeframe."""

    def __init__(self, *, with_shapes: bool) -> None:
        self._cache = CandleCache(default_registry())
        self._features = LiveFeatures(_SETTINGS, _LOOKBACK)
        self._shapes = ShapeStream() if with_shapes else None
        self._series: CandleSeries | None = None

    def follow(self, candles: CandleSeries, indices: range, spent_ns: Floats) -> None:
        """Take candles one by one, and note the CPU time of each without its way into the cache."""
        clock = time.process_time_ns
        for place, index in enumerate(indices):
            self._cache.load(candles.slice(index, index + 1))
            begun = clock()
            self._take(self._cache.series(candles.symbol, candles.timeframe))
            spent_ns[place] = clock() - begun

    def _take(self, series: CandleSeries) -> None:
        features = self._features.advance(series)
        if self._shapes is not None:
            self._shapes.let_go(candles_dropped(self._series, series) if self._series else 0)
            self._shapes.at(series, features.columns.atr, features.k)
        self._series = series


def _spread(name: str, spent_ns: Floats) -> dict[str, float]:
    p50, p99 = np.percentile(spent_ns, (50, 99))
    figures = {"mean": spent_ns.mean(), "p50": p50, "p99": p99}
    return {f"{name}, {each} us per candle": round(float(value) / 1_000, 2) for each, value in figures.items()}


def _walk(count: int) -> CandleSeries:
    """A seeded random walk with wicks and volume, one candle an hour."""
    rng = np.random.default_rng(11)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, count)) * 0.1)
    opens = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opens, close) + np.abs(rng.normal(0.0, 0.02, count))
    low = np.minimum(opens, close) - np.abs(rng.normal(0.0, 0.02, count))
    opened = np.arange(count, dtype=np.int64) * Timeframe.H1.seconds
    volume, segment = rng.exponential(1_000.0, count) + 1.0, np.zeros(count, dtype=np.int64)
    return CandleSeries(Symbol("BTC/USDT"), Timeframe.H1, opened, opens, high, low, close, volume, segment)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    for name, value in run(*map(int, sys.argv[1:2])).items():
        print(f"{name:<64}{value:>14,}")
