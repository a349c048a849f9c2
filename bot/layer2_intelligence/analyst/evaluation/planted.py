"""Made charts whose truth is known because they were built that way. The seed is the chart: the same one, always.

A planted chart falls hard, recovers, and falls once more to a slightly lower low, but without force: a regular bullish
divergence, or its mirror. The absent chart makes the same lower low with all its force. What was meant to be built is
held against the detector, which defines these words; a seed whose chance made something else is passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Final

import numpy as np

from bot.config import DivergenceSettings
from bot.instruments import Instrument
from bot.layer2_intelligence.analyst.evaluation.charts import ExamChart, Rung, mirrored
from bot.layer2_intelligence.features import BatchFeatures
from bot.models import CandleSeries, Direction, FeatureSet, Floats, Timeframe

HISTORY: Final = 300  # candles before the movement: recursive indicators have forgotten their seed
FOLLOWED: Final = 60  # candles after the last one shown
_FIRST_OPEN_S: Final = 1_704_067_200  # 2024-01-01T00:00Z, a Monday
_PATIENCE: Final = 200  # seeds tried for one chart; if none will do, the settings find nothing at all
_UNIT_RATIO: Final = 0.002  # one unit of the movements below as a share of the price, about one ATR

# Candles, and mean move of each in units.
_DROP: Final = (8, -0.9)
_RECOVERY: Final = (6, 0.6)
_WEAK_DROP: Final = (9, -0.45)
_STRONG_DROP: Final = (9, -0.95)
_CONFIRMATION: Final = (2, 0.55)
_AFTER: Final = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeMarket:
    """What made charts are charts of: an instrument near a price, under the detector's settings."""

    instrument: Instrument
    level: float
    timeframe: Timeframe
    divergence: DivergenceSettings
    bandwidth_lookback: int

    def planted(self, wanted: int, seed: int) -> list[ExamChart]:
        """Charts with a divergence at their newest candle, every second one bearish; about half keep their promise."""
        return list(islice(self._sound(Rung.PLANTED, seed, _WEAK_DROP, wanted), wanted))

    def absent(self, wanted: int, seed: int) -> list[ExamChart]:
        """Charts with such pivots at their newest candle, and no divergence."""
        return list(islice(self._sound(Rung.ABSENT, seed, _STRONG_DROP, wanted), wanted))

    def null(self, wanted: int, seed: int) -> list[ExamChart]:
        """Random walks, shown up to any candle: what is seen there was not built."""
        return [self._random_walk(seed + each) for each in range(wanted)]

    def features(self, chart: ExamChart) -> FeatureSet:
        """What is known at the newest candle shown."""
        return BatchFeatures(chart.shown, self.divergence, self.bandwidth_lookback).at(chart.k)

    def _sound(self, rung: Rung, seed: int, last_drop: tuple[int, float], wanted: int) -> Iterator[ExamChart]:
        """Charts that became what they were meant to be, in turn as they are and upside down."""
        turned = False
        for each in islice(count(seed), wanted * _PATIENCE):
            chart = self._movement(each, rung, last_drop)
            found = tuple(setup.direction for setup in self.features(chart).setups)
            if found == ((chart.planted,) if chart.planted else ()):
                yield replace(mirrored(chart), name=chart.name, rung=rung, twin="") if turned else chart
                turned = not turned

    def _movement(self, seed: int, rung: Rung, last_drop: tuple[int, float]) -> ExamChart:
        dice = np.random.default_rng([seed, len(rung.value)])
        after = _AFTER if dice.random() < 0.5 else -_AFTER
        legs = [_leg(dice, *each) for each in (_DROP, _RECOVERY, last_drop, _CONFIRMATION, (FOLLOWED, after))]
        moves = np.concatenate([dice.normal(0.0, 0.5, HISTORY), *legs])
        return ExamChart(
            name=f"{rung.value} {self.instrument.symbol} {seed}",
            rung=rung,
            series=self._series(dice, moves),
            k=len(moves) - FOLLOWED - 1,
            instrument=self.instrument,
            planted=Direction.LONG if rung is Rung.PLANTED else None,
        )

    def _random_walk(self, seed: int) -> ExamChart:
        dice = np.random.default_rng([seed, 0])
        return ExamChart(
            name=f"{Rung.NULL.value} {self.instrument.symbol} {seed}",
            rung=Rung.NULL,
            series=self._series(dice, dice.normal(0.0, 0.7, HISTORY + FOLLOWED)),
            k=HISTORY - 1,
            instrument=self.instrument,
        )

    def _series(self, dice: np.random.Generator, moves: Floats) -> CandleSeries:
        """Candles with these moves from close to close, in units, on the tick grid."""
        length, tick = len(moves), float(self.instrument.tick)
        close = self.level * (1.0 + _UNIT_RATIO * np.cumsum(moves))
        opens = np.concatenate((close[:1], close[:-1]))
        wicks = np.abs(dice.normal(0.0, 0.25, (2, length))) * self.level * _UNIT_RATIO
        high, low = np.maximum(opens, close) + wicks[0], np.minimum(opens, close) - wicks[1]
        digits = max(0, -int(self.instrument.tick.as_tuple().exponent))
        opens, high, low, close = (np.round(np.round(each / tick) * tick, digits) for each in (opens, high, low, close))
        return CandleSeries(
            self.instrument.symbol,
            self.timeframe,
            _FIRST_OPEN_S + np.arange(length, dtype=np.int64) * self.timeframe.seconds,
            opens,
            high,
            low,
            close,
            np.floor(dice.exponential(1_000.0, length)) + 100.0,
            np.zeros(length, dtype=np.int64),
        )


def _leg(dice: np.random.Generator, candles: int, move: float) -> Floats:
    return dice.normal(move, 0.3, candles)
