"""Where a divergence entry has its stop and its targets: worked out here, whoever claims the divergence."""

from decimal import Decimal

from bot.config import DivergenceSettings
from bot.instruments import Instrument, Rounding
from bot.models import Direction, FeatureSet, decimal_of


def entry_price(features: FeatureSet) -> Decimal:
    """The close of candle k: what an idea of this candle is measured from."""
    return decimal_of(features.series.close[features.k])


def pivot_price(features: FeatureSet, direction: Direction, index: int) -> Decimal:
    """The low of a candle for a long, its high for a short."""
    column = features.series.low if direction is Direction.LONG else features.series.high
    return decimal_of(column[index])


def stop_and_targets(
    features: FeatureSet, instrument: Instrument, direction: Direction, p2: int, settings: DivergenceSettings
) -> tuple[Decimal, tuple[Decimal, Decimal]]:
    """Stop beyond the second pivot, and targets in multiples of what is risked from the price really paid."""
    entry, sign = entry_price(features), direction.sign
    # Away from the entry for a stop and towards it for a target are the same direction on the price axis.
    cautious = Rounding.DOWN if direction is Direction.LONG else Rounding.UP
    atr = decimal_of(features.columns.atr[features.k])
    paid = entry + sign * instrument.typical_spread.at(entry) / 2
    beyond = pivot_price(features, direction, p2) - sign * decimal_of(settings.stop_buffer_atr) * atr
    nearest = paid - sign * decimal_of(settings.min_stop_atr) * atr
    farther = min(beyond, nearest) if direction is Direction.LONG else max(beyond, nearest)
    stop = instrument.round_price(farther, cautious)
    risk = sign * (paid - stop)
    one, two = (
        instrument.round_price(paid + sign * decimal_of(multiple) * risk, cautious)
        for multiple in (settings.target_one_r, settings.target_two_r)
    )
    return stop, (one, two)
