"""The chart as a model reads it: whole numbers only, and the same bytes for the same candles.

Prices are counted in units above an arbitrary zero, oscillators in tenths: short for a tokenizer, and exact to claim.
Neither a date nor the price itself is told, so that nothing can be remembered of the chart. There is no account in it,
and no text that anybody outside wrote. A change of the form is a new version; a test pins the bytes.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from bot.config import DivergenceSettings
from bot.instruments import Instrument
from bot.layer2_intelligence.indicators.divergence import OSCILLATORS, UNBOUNDED
from bot.layer2_intelligence.indicators.pivots import pivot_lows
from bot.models import CandleSeries, Direction, FeatureSet, Floats, Timeframe, decimal_of

PAYLOAD_VERSION: Final = 1
LEAST_HISTORY: Final = 250  # index of k before which no signal can pass (evidence rule E11)
OSCILLATOR_SCALE: Final = 10  # shown in tenths, but for macd_hist, which is a price distance
_MOST_BARS: Final = 80
_FRESH_BARS: Final = 5  # a second pivot may be that much older than its confirmation, with a little room
_COARSE_BARS: Final = 24
_ATR_DIGITS: Final = 3  # an ATR is 100 to 999 units
_SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9_/.\-]{0,19}")

COARSER: Final = {
    Timeframe.M1: Timeframe.M5,
    Timeframe.M5: Timeframe.M30,
    Timeframe.M15: Timeframe.H1,
    Timeframe.M30: Timeframe.H4,
    Timeframe.H1: Timeframe.H4,
    Timeframe.H4: Timeframe.D1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The text, and how its numbers lead back: bar 1 is candle `first`, price 0 is `zero`, and one step is `unit`."""

    text: str
    first: int
    bars: int
    zero: Decimal
    unit: Decimal

    def index_of(self, bar: int) -> int:
        """Candle of the series that a bar is."""
        return self.first + bar - 1

    def price_of(self, units: int) -> Decimal:
        """The price that is shown as `units`."""
        return self.zero + units * self.unit

    def shown(self, oscillator: str, values: Floats) -> Floats:
        """Oscillator values as whole numbers; NaN where there is none."""
        return oscillator_units(oscillator, values, self.unit)


def oscillator_units(name: str, values: Floats, unit: Decimal) -> Floats:
    """Oscillator values as they are shown."""
    whole: Floats = np.rint(values / float(unit) if name == UNBOUNDED else values * OSCILLATOR_SCALE)
    return whole


def payload_of(features: FeatureSet, instrument: Instrument, settings: DivergenceSettings) -> Payload | None:
    """The chart at the close of candle k; None where no answer could be used: too little history, or no ATR.

    Reads candles up to k only. None also for a symbol that could be read as anything but a symbol.
    """
    series, k = features.series, features.k
    atr = features.columns.atr.item(k)
    if k < LEAST_HISTORY or not 0.0 < atr < math.inf or not _SYMBOL.fullmatch(instrument.symbol):
        return None
    bars = min(_MOST_BARS, settings.max_sep + settings.left + settings.confirm + _FRESH_BARS)
    first = k + 1 - bars
    coarser = COARSER.get(series.timeframe)
    coarse = _coarse_candles(series, k, coarser) if coarser else []
    unit = Decimal(1).scaleb(math.floor(math.log10(atr)) - _ATR_DIGITS + 1)
    lowest = min([series.low[first : k + 1].min(), *(row[2] for row in coarse)])
    zero = (decimal_of(lowest) / unit).to_integral_value(rounding="ROUND_FLOOR") * unit
    scale = _Scale(float(zero), float(unit))
    lines = [
        f"chart {PAYLOAD_VERSION}: {instrument.symbol}, {instrument.asset_class.value}, "
        f"bars of {series.timeframe.value}, ATR {scale.distance(atr)}",
        *_table(features, first, scale, unit),
        *_pivot_lines(series, first, k, settings),
    ]
    if coarser:
        lines += [f"bars of {coarser.value}, oldest first: open,high,low,close", *(scale.row(row) for row in coarse)]
    return Payload(text="\n".join(lines) + "\n", first=first, bars=bars, zero=zero, unit=unit)


@dataclass(frozen=True, slots=True)
class _Scale:
    zero: float
    unit: float

    def distance(self, value: float) -> int:
        """A price distance in units."""
        return round(value / self.unit)

    def row(self, prices: tuple[float, ...]) -> str:
        """Prices in units, comma-separated."""
        return ",".join(str(round((each - self.zero) / self.unit)) for each in prices)


def _table(features: FeatureSet, first: int, scale: _Scale, unit: Decimal) -> list[str]:
    series, columns, seen = features.series, features.columns, slice(first, features.k + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = np.rint(100.0 * series.volume[seen] / columns.volume_mean[seen])
    prices = [column[seen].tolist() for column in (series.open, series.high, series.low, series.close)]
    figures = [oscillator_units(name, columns.oscillator(name)[seen], unit).tolist() for name in OSCILLATORS]
    rows = zip(zip(*prices, strict=True), zip(volume.tolist(), *figures, strict=True), strict=True)
    return [
        ",".join(("bar", "open", "high", "low", "close", "volume", *OSCILLATORS)),
        *(f"{bar},{scale.row(row)},{','.join(map(_whole, found))}" for bar, (row, found) in enumerate(rows, 1)),
    ]


def _whole(value: float) -> str:
    return str(int(value)) if math.isfinite(value) else ""


def _pivot_lines(series: CandleSeries, first: int, k: int, settings: DivergenceSettings) -> list[str]:
    """Pivots that are known by now; "young" ones have fewer candles to their right than a full one needs."""
    lines = []
    for name, direction in (("highs", Direction.SHORT), ("lows", Direction.LONG)):
        full = _pivots(series, first, k, direction, settings.left, settings.right)
        young = [
            each
            for each in _pivots(series, first, k, direction, settings.left, settings.confirm)
            if each not in full and each > _bar(first, k - settings.right)
        ]
        lines += [f"pivot {name}: {_list(full)}", f"young pivot {name}: {_list(young)}"]
    return lines


def _bar(first: int, index: int) -> int:
    """Bar number of a candle."""
    return index - first + 1


def _pivots(series: CandleSeries, first: int, k: int, direction: Direction, left: int, right: int) -> list[int]:
    start = max(0, first - left)
    column = series.low if direction is Direction.LONG else -series.high
    found = pivot_lows(column[start : k + 1], series.segment[start : k + 1], left=left, right=right).at + start
    return [_bar(first, index) for index in found.tolist() if index >= first]


def _list(bars: list[int]) -> str:
    return ",".join(map(str, bars)) or "none"


def _coarse_candles(series: CandleSeries, k: int, length: Timeframe) -> list[tuple[float, float, float, float]]:
    """The newest complete candles of a coarser timeframe, made of the fine ones; none that is still forming."""
    fine = length.seconds // series.timeframe.seconds
    start = max(0, k + 1 - (_COARSE_BARS + 2) * fine)
    seen = slice(start, k + 1)
    bucket = series.opened_at_s[seen] // length.seconds
    cuts = (np.flatnonzero(np.diff(bucket)) + 1).tolist()
    bounds = list(zip(cuts, [*cuts[1:], len(bucket)], strict=True))  # the first bucket may be cut off: it is left out
    end_s = int(series.opened_at_s[k]) + series.timeframe.seconds
    if bounds and (int(bucket[-1]) + 1) * length.seconds > end_s:
        bounds.pop()
    opens, highs, lows, closes = (column[seen] for column in (series.open, series.high, series.low, series.close))
    return [
        (float(opens[a]), float(highs[a:b].max()), float(lows[a:b].min()), float(closes[b - 1]))
        for a, b in bounds[-_COARSE_BARS:]
    ]
