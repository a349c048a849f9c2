"""The divergence detector: setups of SPEC section 4 as signals with a stop and two targets.

The default analyst where no model is asked, the pre-filter in front of one, and the baseline it has to beat.
"""

from collections.abc import Sequence
from typing import Final

from bot.config import DivergenceSettings
from bot.instruments import Instrument
from bot.layer2_intelligence.levels import pivot_price, stop_and_targets
from bot.layer2_intelligence.signals import signal_of
from bot.models import (
    DivergenceClaim,
    DivergenceSetup,
    EntrySignal,
    FeatureSet,
    StrategyName,
    StrategyTask,
)

DIVERGENCE: Final = StrategyName("divergence")


class DivergenceStrategy:
    """One signal per setup, in its order; what it claims is true of the candles by construction."""

    name: Final = DIVERGENCE

    def __init__(self, settings: DivergenceSettings) -> None:
        self._settings = settings

    def signals(self, task: StrategyTask, features: FeatureSet, instrument: Instrument) -> Sequence[EntrySignal]:
        """Signals of the newest candle of `features`; mostly none, both directions are possible."""
        if not features.setups:
            return ()
        return [self._signal(task, features, instrument, setup, each) for each, setup in enumerate(features.setups)]

    def _signal(
        self, task: StrategyTask, features: FeatureSet, instrument: Instrument, setup: DivergenceSetup, counter: int
    ) -> EntrySignal:
        stop, targets = stop_and_targets(features, instrument, setup.direction, setup.p2, self._settings)
        return signal_of(
            task,
            features,
            counter,
            direction=setup.direction,
            stop=stop,
            targets=targets,
            confidence=0.5 + 0.5 * setup.score,
            claim=_claim(features, setup),
        )


def _claim(features: FeatureSet, setup: DivergenceSetup) -> DivergenceClaim:
    """What the setup says; only oscillators whose own first pivot is the setup's are named, for only they are true."""
    return DivergenceClaim(
        kind=setup.kind,
        oscillators=tuple(sorted(each.oscillator for each in setup.divergences if each.p1 == setup.p1)),
        p1_at=features.series.opened_at(setup.p1),
        p2_at=features.series.opened_at(setup.p2),
        p1_price=pivot_price(features, setup.direction, setup.p1),
        p2_price=pivot_price(features, setup.direction, setup.p2),
    )
