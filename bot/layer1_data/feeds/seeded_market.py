"""Endless candles for an instrument after its recording: the same seed gives the same candles, block by block.

Made to be lived in by strategies, not to forecast: trends and ranges alternate, volatility comes in clusters, shocks
happen, and the price is drawn back to where it began, so that swings, divergences and stops occur for years on end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zlib import crc32

import numpy as np

from bot.errors import DataError
from bot.instruments import Instrument
from bot.models import Candle, CandleSeries, Floats, Timeframe

BLOCK_CANDLES: Final = 256

_REGIME_CANDLES: Final = 40  # mean length of a trend or a range
_TREND_DRIFT: Final = 0.18  # per candle, in volatilities
_RANGE_PULL: Final = 0.06  # share of the way back to the middle of a range, per candle
_HOME_PULL: Final = 0.002  # share of the way back to the first price: half of it in about 350 candles
_CLUSTER_MEMORY: Final = 0.95  # of the log of volatility, per candle
_CLUSTER_NOISE: Final = 0.14
_SHOCK_CHANCE: Final = 0.004
_SHOCK_SIZE: Final = 4.0  # in volatilities, before its own spread
_WICK: Final = 0.35  # mean wick, in volatilities
_VOLATILITY_MIN: Final = 1e-5
_VOLATILITY_MAX: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Shapes:
    """Random numbers of one block, each of shape (n,): they depend on the block's number, not on its anchor."""

    drift: Floats
    is_range: Floats
    volatility: Floats
    shock: Floats
    upper_wick: Floats
    lower_wick: Floats
    volume_noise: Floats


class SeededMarket:
    """Candles of one instrument and timeframe from `start` on, without holes.

    `volatility` is the standard deviation of the log return of a candle, `typical_volume` the mean volume; both are
    measured from the recording. `anchor_price` is the last recorded close; the price is drawn back to it. A block needs
    only its number and the close before it, so a run continues from a saved (number, close) as if never interrupted.
    """

    def __init__(
        self,
        *,
        seed: int,
        instrument: Instrument,
        timeframe: Timeframe,
        anchor_price: float,
        volatility: float,
        start: datetime,
        typical_volume: float = 1_000.0,
    ) -> None:
        if not anchor_price > 0:
            raise DataError(
                f"seeded market {instrument.symbol}: anchor price {anchor_price} must be above 0; "
                "give the last close of its recording"
            )
        self._key = (seed, crc32(instrument.symbol.encode()), timeframe.seconds)
        self._instrument = instrument
        self._timeframe = timeframe
        self._home = float(anchor_price)
        self._volatility = min(max(volatility, _VOLATILITY_MIN), _VOLATILITY_MAX)
        self._start_s = int(start.timestamp())
        self._typical_volume = typical_volume if instrument.has_volume else 0.0
        self._tick = float(instrument.tick)
        self._digits = max(0, -int(instrument.tick.normalize().as_tuple().exponent))

    @property
    def anchor_price(self) -> float:
        """The close before block 0."""
        return self._home

    def block(self, number: int, anchor: float) -> CandleSeries:
        """Block `number` (from 0) of BLOCK_CANDLES candles, opening at `anchor`, the last close of the block before."""
        shapes = self._shapes(number)
        closes = self._closes(shapes, anchor)
        opens = np.concatenate(([anchor], closes[:-1]))
        high = np.maximum(opens, closes) * np.exp(shapes.upper_wick)
        low = np.minimum(opens, closes) * np.exp(-shapes.lower_wick)
        first_s = self._start_s + number * BLOCK_CANDLES * self._timeframe.seconds
        opened_at_s = first_s + self._timeframe.seconds * np.arange(BLOCK_CANDLES, dtype=np.int64)
        return CandleSeries(
            self._instrument.symbol,
            self._timeframe,
            opened_at_s,
            self._on_tick(opens),
            self._on_tick(np.ceil(high / self._tick) * self._tick),
            self._on_tick(np.floor(low / self._tick) * self._tick),
            self._on_tick(closes),
            self._volume(shapes, opens, closes, opened_at_s),
            np.zeros(BLOCK_CANDLES, dtype=np.int64),
        )

    def candles(self, number: int = 0, anchor: float | None = None) -> Iterator[Candle]:
        """Endless candles from the first of block `number` on; `anchor` as for `block`, None for block 0 only."""
        close = self._home if anchor is None else anchor
        while True:
            block = self.block(number, close)
            yield from (block.candle(index) for index in range(len(block)))
            number, close = number + 1, float(block.close[-1])

    def _shapes(self, number: int) -> _Shapes:
        random = np.random.default_rng(np.random.SeedSequence((*self._key, number)))
        drift, is_range = _regimes(random)
        volatility = self._volatility * _clusters(random)
        shocks = random.random(BLOCK_CANDLES) < _SHOCK_CHANCE
        signs = random.choice((-1.0, 1.0), BLOCK_CANDLES)
        sizes = signs * (_SHOCK_SIZE + random.exponential(1.0, BLOCK_CANDLES))
        noise = np.clip(random.standard_normal(BLOCK_CANDLES), -4, 4)
        return _Shapes(
            drift=drift,
            is_range=is_range,
            volatility=volatility,
            shock=noise + np.where(shocks, sizes, 0.0),
            upper_wick=volatility * random.exponential(_WICK, BLOCK_CANDLES),
            lower_wick=volatility * random.exponential(_WICK, BLOCK_CANDLES),
            volume_noise=np.exp(0.35 * random.standard_normal(BLOCK_CANDLES)),
        )

    def _closes(self, shapes: _Shapes, anchor: float) -> Floats:
        """Each close follows from the one before, on the tick, so that the next block may start from what was shown."""
        log_home, log_price = np.log(self._home), np.log(anchor)
        middle, closes = log_price, np.empty(BLOCK_CANDLES)
        was_range = False
        for index in range(BLOCK_CANDLES):
            volatility = shapes.volatility[index]
            is_range = bool(shapes.is_range[index])
            if is_range and not was_range:
                middle = log_price  # a range forms around where it begins
            was_range = is_range
            pull = _HOME_PULL * (log_home - log_price) + (_RANGE_PULL * (middle - log_price) if is_range else 0.0)
            log_price += pull + volatility * (shapes.drift[index] + shapes.shock[index])
            closes[index] = np.exp(log_price)
        rounded: Floats = self._on_tick(closes)
        return rounded

    def _on_tick(self, prices: Floats) -> Floats:
        """Prices on the tick, at least one tick, as the floats that their decimal text reads back as."""
        ticks = np.maximum(np.rint(prices / self._tick), 1.0)
        rounded: Floats = np.round(ticks * self._tick, self._digits)
        return rounded

    def _volume(self, shapes: _Shapes, opens: Floats, closes: Floats, opened_at_s: np.ndarray) -> Floats:
        """More at the busy hours and on large moves; whole units."""
        hours = opened_at_s % 86_400 / 3_600
        busy = 1.0 + 0.5 * np.cos((hours - 15) * np.pi / 12)  # most at 15 UTC, when both continents trade
        moves = np.abs(np.log(closes / opens)) / self._volatility
        volume: Floats = np.rint(self._typical_volume * busy * shapes.volume_noise * (0.6 + 0.5 * moves))
        return volume


def measured_volatility(series: CandleSeries) -> float:
    """Standard deviation of the log returns of `series`, the hundredth at either end left out: holes are not moves.

    Raises DataError if there are fewer than three candles.
    """
    if len(series) < 3:
        raise DataError(
            f"recording {series.symbol} {series.timeframe.value}: {len(series)} candles, a market after it needs at "
            "least 3 to measure its volatility; give a longer recording"
        )
    returns = np.diff(np.log(series.close))
    low, high = np.quantile(returns, (0.01, 0.99))
    return float(np.std(returns[(returns >= low) & (returns <= high)]))


def _regimes(random: np.random.Generator) -> tuple[Floats, Floats]:
    """Drift in volatilities and whether it is a range, per candle: up, down and ranging follow each other by chance."""
    drift, is_range = np.zeros(BLOCK_CANDLES), np.zeros(BLOCK_CANDLES)
    start = 0
    while start < BLOCK_CANDLES:
        end = start + 8 + int(random.exponential(_REGIME_CANDLES))
        kind = int(random.integers(0, 4))  # up, down, and two chances of a range
        strength = random.uniform(0.5, 1.5)
        if kind < 2:
            drift[start:end] = _TREND_DRIFT * strength * (1 if kind == 0 else -1)
        else:
            is_range[start:end] = 1.0
        start = end
    return drift, is_range


def _clusters(random: np.random.Generator) -> Floats:
    """Factor on the volatility, per candle: its log remembers itself; the mean of its square is 1."""
    variance = _CLUSTER_NOISE**2 / (1 - _CLUSTER_MEMORY**2)
    steps = _CLUSTER_NOISE * random.standard_normal(BLOCK_CANDLES)
    level, levels = float(random.normal(0.0, np.sqrt(variance))), np.empty(BLOCK_CANDLES)
    for index in range(BLOCK_CANDLES):
        level = _CLUSTER_MEMORY * level + steps[index]
        levels[index] = level
    factors: Floats = np.exp(np.clip(levels, -2.0, 2.0) - variance)
    return factors
