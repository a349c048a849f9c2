"""Seeded series of candles of several shapes, for the tests of indicators, detectors and features."""

from pathlib import Path

import numpy as np

from bot.instruments import Symbol
from bot.models import CandleSeries, FeatureColumns, Floats, Ints, Timeframe

RECORDED = Path(__file__).parents[3].parent / "shared" / "data"
_FIRST_OPEN_S = 1_704_067_200  # 2024-01-01T00:00Z


def series_of(
    high: Floats,
    low: Floats,
    close: Floats,
    *,
    volume: Floats | None = None,
    segment: Ints | None = None,
    timeframe: Timeframe = Timeframe.H1,
) -> CandleSeries:
    """Candles with these columns; each opens at the close before it, as far as its range allows."""
    count = len(close)
    opens = np.clip(np.concatenate((close[:1], close[:-1])), low, high)
    return CandleSeries(
        Symbol("XAU_USD"),
        timeframe,
        _FIRST_OPEN_S + np.arange(count, dtype=np.int64) * timeframe.seconds,
        opens,
        high,
        low,
        close,
        np.ones(count) if volume is None else volume,
        np.zeros(count, dtype=np.int64) if segment is None else segment,
    )


def walk(
    seed: int,
    count: int,
    *,
    grid: float = 2.0**-10,
    step: float = 0.4,
    pull: float = 0.0,
    flat_share: float = 0.0,
    idle_share: float = 0.0,
    holes: int = 0,
) -> CandleSeries:
    """A random walk around 100 on a price grid (a power of two: sums and differences of prices are exact).

    `pull` draws it back to 100, `flat_share` of the candles stand still, `idle_share` have no volume, and `holes`
    unscheduled holes cut it into segments. A coarse grid makes ties.
    """
    rng = np.random.default_rng(seed)
    moves = rng.normal(0.0, step, count)
    still = rng.random(count) < flat_share
    moves[still] = 0.0
    close = np.empty(count)
    price = 100.0
    for index, move in enumerate(moves):
        price = max(20.0, price + move - pull * (price - 100.0))
        close[index] = price
    opens = np.concatenate(([100.0], close[:-1]))
    wicks = np.abs(rng.normal(0.0, step / 2, (2, count))) * ~still
    high = np.ceil((np.maximum(opens, close) + wicks[0]) / grid) * grid
    low = np.floor((np.minimum(opens, close) - wicks[1]) / grid) * grid
    volume = np.floor(rng.exponential(1_000.0, count)) + 1.0
    volume[rng.random(count) < idle_share] = 0.0
    cuts = np.sort(rng.integers(1, count, holes)) if holes and count > 1 else np.empty(0, dtype=np.int64)
    segment = np.searchsorted(cuts, np.arange(count), side="right").astype(np.int64)
    return series_of(high, low, np.round(close / grid) * grid, volume=volume, segment=segment)


def scaled(series: CandleSeries, factor: float) -> CandleSeries:
    """Every price times `factor`."""
    return CandleSeries(
        series.symbol,
        series.timeframe,
        series.opened_at_s,
        series.open * factor,
        series.high * factor,
        series.low * factor,
        series.close * factor,
        series.volume,
        series.segment,
    )


def mirrored(series: CandleSeries, top: float) -> CandleSeries:
    """Every price x as top - x, so that highs and lows change places."""
    return CandleSeries(
        series.symbol,
        series.timeframe,
        series.opened_at_s,
        top - series.open,
        top - series.low,
        top - series.high,
        top - series.close,
        series.volume,
        series.segment,
    )


def columns_of(count: int, **given: Floats) -> FeatureColumns:
    """Columns of NaN but for those given."""
    names = FeatureColumns.__slots__
    return FeatureColumns(**{name: given.get(name, np.full(count, np.nan)) for name in names})


def recorded(name: str, rows: int) -> CandleSeries:
    """The first rows of a recorded file beside the project; only where there is one."""
    table = np.genfromtxt(
        RECORDED / f"{name}.csv.gz", delimiter=",", skip_header=1, usecols=(1, 2, 3, 4, 5), max_rows=rows
    )
    return series_of(table[:, 1].copy(), table[:, 2].copy(), table[:, 3].copy(), volume=table[:, 4].copy())
