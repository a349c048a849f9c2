"""How many candle closes ask the model nothing, and how long the charts are: on made candles, or on files.

`python bench/bench_analyst_gate.py EUR_USD:1h:eurusd.csv.gz ...` looks at files instead. Tokens are the estimate of
`tokens.py`, which is meant to be too high; the reference is what asking at every close would be.
"""

import sys
import time
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from bot.config import DivergenceSettings
from bot.instruments import Instrument, Symbol, default_registry
from bot.layer2_intelligence.analyst.payload import LEAST_HISTORY, payload_of
from bot.layer2_intelligence.analyst.tokens import most_tokens
from bot.layer2_intelligence.features import BatchFeatures
from bot.models import CandleSeries, Timeframe
from bot.wiring.candle_files import read_candles_as

_SETTINGS: Final = DivergenceSettings()
_LOOKBACK: Final = 100
_EVERY: Final = 10  # of the charts, one is written out
_MADE: Final = 20_000


def run(sources: list[str] | None = None) -> dict[str, float]:
    """Share of closes without a call for each source, and the longest chart of all."""
    figures: dict[str, float] = {}
    tokens, times_ms = [0], [0.0]
    for instrument, series in [_read(each) for each in sources or []] or [_made()]:
        features = BatchFeatures(series, _SETTINGS, _LOOKBACK)
        asked = [k for k in features.setup_indices.tolist() if k >= LEAST_HISTORY]
        name = f"{instrument.symbol} {series.timeframe.value}, {len(series):,} closes"
        figures[f"no call at (share): {name}"] = round(1 - len(asked) / len(series), 4)
        for k in asked[::_EVERY]:
            started = time.perf_counter()
            payload = payload_of(features.at(k), instrument, _SETTINGS)
            times_ms.append((time.perf_counter() - started) * 1_000)
            tokens.append(most_tokens(payload.text) if payload else 0)
    figures["longest chart, tokens"] = max(tokens)
    figures["a chart, ms (median)"] = round(median(times_ms), 3)
    return figures


def _read(source: str) -> tuple[Instrument, CandleSeries]:
    symbol, timeframe, path = source.split(":", 2)
    instrument = default_registry().get(symbol)
    return instrument, read_candles_as(Path(path), instrument.symbol, timeframe, instrument.asset_class)


def _made() -> tuple[Instrument, CandleSeries]:
    rng = np.random.default_rng(7)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, _MADE)))
    opens = np.concatenate((close[:1], close[:-1]))
    wicks = close * np.abs(rng.normal(0.0, 0.002, (2, _MADE)))
    high, low = np.maximum(opens, close) + wicks[0], np.minimum(opens, close) - wicks[1]
    times = 1_704_067_200 + np.arange(_MADE, dtype=np.int64) * 3_600
    volume, segment = np.full(_MADE, 100.0), np.zeros(_MADE, dtype=np.int64)
    series = CandleSeries(Symbol("EUR_USD"), Timeframe.H1, times, opens, high, low, close, volume, segment)
    return default_registry().get("EUR_USD"), series


if __name__ == "__main__":
    for figure, value in run(sys.argv[1:]).items():
        print(f"{figure:60} {value}")
