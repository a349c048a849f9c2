"""Where the entries of a simulation come from: a strategy that speaks often, and a judge that lets it.

What is tried here is what follows a signal. The rules that judge real ones have their own tests.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import Instrument, Rounding
from bot.layer2_intelligence.features import LiveFeatures
from bot.models import (
    CandleSeries,
    Direction,
    Endorsed,
    EntrySignal,
    FeatureColumns,
    FeatureSet,
    Quote,
    SignalId,
    StrategyName,
    StrategyTask,
    Verdict,
    decimal_of,
)
from bot.simulation.tape import Tape

SEEDED: Final = StrategyName("seeded")
STEP_RATIO: Final = Decimal("0.0002")  # of the price: the unit in which stops and targets are drawn
_SPEAKS: Final = 0.9
_NOTHING: Final = np.empty(0)
_NO_COLUMNS: Final = FeatureColumns(*[_NOTHING] * 11)


class SeededStrategy:
    """A function of seed, task and candle: the same candle gives the same signals, also after a restart.

    Sometimes it says the same thing twice under two names (C4). `numbers` are those that may speak, None all: signals
    are numbered by minute and symbol.
    """

    name: Final = SEEDED

    def __init__(self, tape: Tape, symbols: Sequence[str], numbers: frozenset[int] | None, starts_at: datetime) -> None:
        self._tape = tape
        self._symbols = list(symbols)
        self._numbers = numbers
        self._starts_at = starts_at
        self.spoken: set[int] = set()
        self.is_silent = False

    def signals(self, task: StrategyTask, features: FeatureSet, instrument: Instrument) -> Sequence[EntrySignal]:
        """Mostly one signal."""
        chance = random.Random(f"{self._tape.seed}/{task.id}/{features.closed_at.isoformat()}")
        minute = round((features.closed_at - self._starts_at).total_seconds() / 60)
        number = minute * len(self._symbols) + self._symbols.index(task.symbol)
        if self.is_silent or chance.random() > _SPEAKS or (self._numbers is not None and number not in self._numbers):
            return ()
        self.spoken.add(number)
        signal = _signal(task, features, instrument, chance)
        if self._tape.fires("C4"):
            return [signal, replace(signal, id=_named(task, features, 1))]
        return [signal]


def _signal(task: StrategyTask, features: FeatureSet, instrument: Instrument, chance: random.Random) -> EntrySignal:
    entry = decimal_of(features.series.close[features.k])
    direction = chance.choice((Direction.LONG, Direction.SHORT))
    unit = entry * STEP_RATIO * direction.sign
    away = Rounding.DOWN if direction is Direction.LONG else Rounding.UP
    risk = Decimal(chance.randint(8, 24))
    reach = Decimal(0)
    targets = []
    for _ in range(chance.choice((1, 2, 2))):
        reach += risk * Decimal(chance.randint(5, 15)) / 10
        targets.append(instrument.round_price(entry + unit * reach, away))
    return EntrySignal(
        id=_named(task, features, 0),
        task_id=task.id,
        strategy=task.strategy,
        broker_id=task.broker_id,
        symbol=task.symbol,
        timeframe=task.timeframe,
        candle_closed_at=features.closed_at,
        direction=direction,
        entry=entry,
        stop_loss=instrument.round_price(entry - unit * risk, away),
        targets=tuple(targets),
        confidence=0.9,
    )


def _named(task: StrategyTask, features: FeatureSet, counter: int) -> SignalId:
    return SignalId(f"{task.id}/{features.closed_at:%Y-%m-%dT%H:%M}/{counter}")


def endorse(
    signal: EntrySignal,
    features: FeatureSet,
    quote: Quote | None,
    instrument: Instrument,
    validation: ValidationSettings,
    divergence: DivergenceSettings,
) -> Verdict:
    """A judge that lets everything pass."""
    return Endorsed(signal, (), 7.0)


class NoFeatures(LiveFeatures):
    """Candles without indicators: the seeded strategy looks at closes only."""

    def __init__(self) -> None:
        super().__init__(DivergenceSettings(), 20)
        self._candles: CandleSeries | None = None

    def advance(self, series: CandleSeries) -> FeatureSet:
        """The newest candle."""
        self._candles = series
        return self.at(len(series) - 1)

    def at(self, k: int) -> FeatureSet:
        """Candle `k`."""
        if self._candles is None:
            raise AssertionError("advance comes first")
        return FeatureSet(self._candles, _NO_COLUMNS, k, ())
