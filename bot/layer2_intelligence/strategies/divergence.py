"""The divergence detector: setups of SPEC section 4 as signals with a stop and two targets.

The default analyst where no model is asked, the pre-filter in front of one, and the baseline it has to beat.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from bot.config import DivergenceSettings
from bot.instruments import Instrument, Rounding
from bot.models import (
    Direction,
    DivergenceClaim,
    DivergenceSetup,
    EntrySignal,
    FeatureSet,
    SignalId,
    StrategyName,
    StrategyTask,
    decimal_of,
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
        entry = decimal_of(features.series.close[features.k])
        stop, targets = self._levels(features, instrument, setup, entry)
        closed_at = features.closed_at
        return EntrySignal(
            id=SignalId(f"{task.id}/{closed_at:%Y-%m-%dT%H:%M}/{counter}"),
            task_id=task.id,
            strategy=task.strategy,
            broker_id=task.broker_id,
            symbol=task.symbol,
            timeframe=task.timeframe,
            candle_closed_at=closed_at,
            direction=setup.direction,
            entry=entry,
            stop_loss=stop,
            targets=targets,
            confidence=0.5 + 0.5 * setup.score,
            claim=_claim(features, setup),
        )

    def _levels(
        self, features: FeatureSet, instrument: Instrument, setup: DivergenceSetup, entry: Decimal
    ) -> tuple[Decimal, tuple[Decimal, Decimal]]:
        """Stop beyond the second pivot, and targets in multiples of what is risked from the price really paid."""
        settings, sign = self._settings, setup.direction.sign
        # Away from the entry for a stop and towards it for a target are the same direction on the price axis.
        cautious = Rounding.DOWN if setup.direction is Direction.LONG else Rounding.UP
        atr = decimal_of(features.columns.atr[features.k])
        paid = entry + sign * instrument.typical_spread.at(entry) / 2
        beyond = _pivot_price(features, setup, setup.p2) - sign * decimal_of(settings.stop_buffer_atr) * atr
        nearest = paid - sign * decimal_of(settings.min_stop_atr) * atr
        farther = min(beyond, nearest) if setup.direction is Direction.LONG else max(beyond, nearest)
        stop = instrument.round_price(farther, cautious)
        risk = sign * (paid - stop)
        one, two = (
            instrument.round_price(paid + sign * decimal_of(multiple) * risk, cautious)
            for multiple in (settings.target_one_r, settings.target_two_r)
        )
        return stop, (one, two)


def _pivot_price(features: FeatureSet, setup: DivergenceSetup, index: int) -> Decimal:
    column = features.series.low if setup.direction is Direction.LONG else features.series.high
    return decimal_of(column[index])


def _claim(features: FeatureSet, setup: DivergenceSetup) -> DivergenceClaim:
    """What the setup says; only oscillators whose own first pivot is the setup's are named, for only they are true."""
    return DivergenceClaim(
        kind=setup.kind,
        oscillators=tuple(sorted(each.oscillator for each in setup.divergences if each.p1 == setup.p1)),
        p1_at=features.series.opened_at(setup.p1),
        p2_at=features.series.opened_at(setup.p2),
        p1_price=_pivot_price(features, setup, setup.p1),
        p2_price=_pivot_price(features, setup, setup.p2),
    )
