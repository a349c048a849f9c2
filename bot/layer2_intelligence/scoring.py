"""How good a setup is, 0..10: six dimensions over recomputed facts. The model's confidence is not one of them."""

import math
from collections.abc import Sequence
from typing import Final

CONFLUENCE_WEIGHT: Final = 3.0
MAGNITUDE_WEIGHT: Final = 2.0
SWING_WEIGHT: Final = 1.5
PRICE_WEIGHT: Final = 1.0
REWARD_WEIGHT: Final = 1.5
VOLUME_WEIGHT: Final = 1.0
_WITHOUT_VOLUME: Final = CONFLUENCE_WEIGHT + MAGNITUDE_WEIGHT + SWING_WEIGHT + PRICE_WEIGHT + REWARD_WEIGHT


def share(value: float, full: float) -> float:
    """`value / full` cut to 0..1; 0 where either is NaN, 1 where any positive value is already full."""
    if value > 0.0 and full >= 0.0:
        return 1.0 if value >= full else value / full
    return 0.0


def quality(
    *,
    families: int,
    magnitudes: Sequence[float],
    swing_bars: float,
    swing_minimum: float,
    price_atr: float,
    reward_risk: float,
    volume_ratio: float | None,
) -> float:
    """Score 0..10; a missing fact (NaN, or nothing left) gives 0 in its dimension.

    `families` counts confirming oscillator families, `magnitudes` are 0..1, one for each oscillator left. `swing_bars`
    and `swing_minimum` are candles, `price_atr` the price difference of the pivots in ATR. `volume_ratio` is volume
    against its mean; None where the instrument has no volume: the dimension then does not apply.
    Source: SPEC section 5.3.
    """
    total = (
        CONFLUENCE_WEIGHT * max(0.0, (families - 1) / 3)
        + MAGNITUDE_WEIGHT * _median(magnitudes)
        + SWING_WEIGHT * share(swing_bars, 3 * swing_minimum)
        + PRICE_WEIGHT * share(price_atr, 1.0)
        + REWARD_WEIGHT * share(reward_risk, 4.0)
    )
    if volume_ratio is None:
        return 10.0 * total / _WITHOUT_VOLUME
    return 10.0 * (total + VOLUME_WEIGHT * share(volume_ratio, 2.0)) / (_WITHOUT_VOLUME + VOLUME_WEIGHT)


def _median(values: Sequence[float]) -> float:
    """Median of at most six numbers, 0 of none; the standard library's form takes longer than a whole rule."""
    if not values:
        return 0.0
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def magnitude(difference: float, least: float) -> float:
    """Share, 0..1, of four times the least difference that counts as a divergence of its oscillator."""
    return share(math.fabs(difference), 4.0 * least)
