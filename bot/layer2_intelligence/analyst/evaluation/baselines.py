"""Analysts of known skill. Beside them a figure of a model means something; an exam that cannot tell them apart, none.

`perfect` knows what followed, `detector` is what the model has to beat, `random` and `always-long` know nothing, and
`fabricating` says what is not there, with great confidence.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from bot.config import DivergenceSettings
from bot.instruments import Rounding
from bot.layer2_intelligence.analyst.evaluation.marks import Examinee, Question
from bot.layer2_intelligence.analyst.nouns import Opinion
from bot.layer2_intelligence.indicators.pivots import pivot_lows
from bot.layer2_intelligence.levels import entry_price
from bot.layer2_intelligence.signals import signal_of
from bot.layer2_intelligence.strategies.divergence import DivergenceStrategy
from bot.models import (
    Direction,
    DivergenceClaim,
    DivergenceKind,
    EntrySignal,
    StrategyTask,
    decimal_of,
)

BASELINES: Final = ("perfect", "detector", "random", "always-long", "fabricating")
_SURE: Final = 0.98
_STOP_ATR: Final = Decimal(2)
_TARGET_ATR: Final = Decimal(5)

Foresight = Callable[[str, EntrySignal], bool | None]


def baseline(name: str, settings: DivergenceSettings, foresight: Foresight, seed: int) -> Examinee:
    """The baseline called `name`. `foresight` answers, for a chart's name, whether the signal's target came first."""
    makers: dict[str, Callable[[], Examinee]] = {
        "perfect": lambda: Perfect(settings, foresight),
        "detector": lambda: Detector(settings),
        "random": lambda: Guessing(settings, seed),
        "always-long": lambda: AlwaysLong(settings),
        "fabricating": lambda: Fabricating(settings),
    }
    return makers[name]()


class Detector:
    """The deterministic detector, with the confidence that it states."""

    name = "detector"

    def __init__(self, settings: DivergenceSettings) -> None:
        self._strategy = DivergenceStrategy(settings)

    async def opinion(self, question: Question) -> Opinion:
        """The first setup of the newest candle."""
        task = _task(question)
        found = self._strategy.signals(task, question.features, question.instrument)
        signal = replace(found[0], analyst=self.name) if found else None
        return Opinion(signal=signal, by=self.name)


class Perfect(Detector):
    """The detector, with a confidence that knows what followed."""

    name = "perfect"

    def __init__(self, settings: DivergenceSettings, foresight: Foresight) -> None:
        super().__init__(settings)
        self._foresight = foresight

    async def opinion(self, question: Question) -> Opinion:
        """The detector's signal, said with certainty where its target will be hit, and with doubt where not."""
        seen = await super().opinion(question)
        if seen.signal is None:
            return seen
        confidence = _SURE if self._foresight(question.name, seen.signal) else 1.0 - _SURE
        return replace(seen, signal=replace(seen.signal, confidence=confidence))


class AlwaysLong:
    """Sees a bullish divergence at the last two lows, whatever they are."""

    name = "always-long"

    def __init__(self, settings: DivergenceSettings) -> None:
        self._settings = settings

    async def opinion(self, question: Question) -> Opinion:
        """A long, mostly."""
        return Opinion(signal=_from_pivots(question, self._settings, Direction.LONG, 0.9, self.name), by=self.name)


class Guessing:
    """Long, short or nothing by dice, and a confidence by dice."""

    name = "random"

    def __init__(self, settings: DivergenceSettings, seed: int) -> None:
        self._settings = settings
        self._dice = random.Random(seed)  # noqa: S311 dice must be repeatable, not secret

    async def opinion(self, question: Question) -> Opinion:
        """A throw of the dice."""
        direction, confidence = self._dice.choice((Direction.LONG, Direction.SHORT, None)), self._dice.random()
        if direction is None:
            return Opinion(signal=None, by=self.name)
        return Opinion(signal=_from_pivots(question, self._settings, direction, confidence, self.name), by=self.name)


class Fabricating:
    """Follows the last candles and invents two lows, or highs, that suit it."""

    name = "fabricating"

    def __init__(self, settings: DivergenceSettings) -> None:
        self._settings = settings

    async def opinion(self, question: Question) -> Opinion:
        """A claim of two pivots at prices that no candle has."""
        series, k = question.features.series, question.features.k
        rose = series.close[k] > series.close[k - 10]
        direction = Direction.LONG if rose else Direction.SHORT
        far = decimal_of(question.features.columns.atr[k]) * direction.sign
        prices = tuple(decimal_of(series.close[each]) - far * each_far for each, each_far in ((k - 25, 3), (k - 6, 4)))
        signal = _signal(question, direction, (k - 25, k - 6), (prices[0], prices[1]), 0.99, self.name)
        return Opinion(signal=signal, by=self.name)


def _from_pivots(
    question: Question, settings: DivergenceSettings, direction: Direction, confidence: float, by: str
) -> EntrySignal | None:
    """A regular divergence claimed of the last two pivots of a side, at their true prices; None without two pivots."""
    features = question.features
    series, k = features.series, features.k
    column = series.low if direction is Direction.LONG else series.high
    shown = column[: k + 1] if direction is Direction.LONG else -column[: k + 1]
    pivots = pivot_lows(shown, series.segment[: k + 1], left=settings.left, right=settings.confirm)
    at = [int(each) for each in pivots.at[-2:]]
    if len(at) < 2:
        return None
    prices = (decimal_of(column[at[0]]), decimal_of(column[at[1]]))
    return _signal(question, direction, (at[0], at[1]), prices, confidence, by)


def _signal(
    question: Question,
    direction: Direction,
    pivots: tuple[int, int],
    prices: tuple[Decimal, Decimal],
    confidence: float,
    by: str,
) -> EntrySignal:
    features, instrument, sign = question.features, question.instrument, direction.sign
    entry, atr = entry_price(features), decimal_of(features.columns.atr[features.k])
    cautious = Rounding.DOWN if direction is Direction.LONG else Rounding.UP
    return signal_of(
        _task(question),
        features,
        question.name,
        direction=direction,
        stop=instrument.round_price(entry - sign * _STOP_ATR * atr, cautious),
        targets=(instrument.round_price(entry + sign * _TARGET_ATR * atr, cautious),),
        confidence=confidence,
        claim=DivergenceClaim(
            kind=DivergenceKind.REGULAR,
            oscillators=("rsi", "stoch_k"),
            p1_at=features.series.opened_at(pivots[0]),
            p2_at=features.series.opened_at(pivots[1]),
            p1_price=prices[0],
            p2_price=prices[1],
        ),
        analyst=by,
    )


def _task(question: Question) -> StrategyTask:
    return StrategyTask.of("divergence", question.instrument, question.features.series.timeframe)
