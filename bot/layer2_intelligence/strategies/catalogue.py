"""Every strategy by name: a literal table, so that what exists can be read here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from bot.config import Settings
from bot.errors import UsageError
from bot.instruments import Instrument
from bot.layer2_intelligence.strategies.divergence import DIVERGENCE, DivergenceStrategy
from bot.models import EntrySignal, FeatureSet, StrategyName, StrategyTask


class Strategy(Protocol):
    """Says what it would do, and nothing else: a pure function of the features."""

    @property
    def name(self) -> StrategyName:
        """Its name in the catalogue."""

    def signals(self, task: StrategyTask, features: FeatureSet, instrument: Instrument) -> Sequence[EntrySignal]:
        """Signals of the newest candle of `features`, in a fixed order; empty for most candles."""


CATALOGUE: Final[Mapping[StrategyName, Callable[[Settings], Strategy]]] = {
    DIVERGENCE: lambda settings: DivergenceStrategy(settings.divergence),
}


def strategy_named(name: str, settings: Settings) -> Strategy:
    """The strategy called `name`. Raises UsageError, listing the known ones."""
    factory = CATALOGUE.get(StrategyName(name))
    if factory is None:
        raise UsageError(f"strategy {name!r} is not known; use one of: {', '.join(sorted(CATALOGUE))}")
    return factory(settings)
