"""Where the swing trader's stop lies: behind the latest unbroken swing, 5 minutes first, then 4 hours (SPEC 17.1).

The stop is part of the idea, not of its size: a signal without one is rejected before risk sees it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.layer2_intelligence.structure_events import SwingSide
from bot.models import Direction, Timeframe

NO_SWING_STOP: Final = "no_swing_stop"
TIMEFRAMES: Final = (Timeframe.M5, Timeframe.H4)
_BELOW_LOW: Final = 1 - Decimal("0.002")
_ABOVE_HIGH: Final = 1 + Decimal("0.003")
_MIN_DISTANCE_PERCENT: Final = Decimal("0.5")
_MAX_DISTANCE_PERCENT: Final = Decimal("3.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class SwingLevel:
    """A row of `swing_levels` (SPEC 9): `at` is the swing's candle, `broken_at` None while nothing closed beyond it."""

    timeframe: Timeframe
    side: SwingSide
    level: Decimal
    at: datetime
    known_at: datetime
    broken_at: datetime | None = None

    def stands(self, now: datetime) -> bool:
        """Known and not yet broken."""
        return self.known_at <= now and (self.broken_at is None or self.broken_at > now)


@dataclass(frozen=True, slots=True)
class SwingStop:
    """A stop and the swing it lies behind."""

    price: Decimal
    swing: SwingLevel


def swing_stop(direction: Direction, market: Decimal, swings: Iterable[SwingLevel], now: datetime) -> SwingStop | None:
    """The first stop that is neither too near nor too far; None: reject the signal (`NO_SWING_STOP`).

    `market` is the ask for a long, the bid for a short. One swing per timeframe is tried, and no percentage stop
    stands in for a missing one.
    """
    known = tuple(swings)
    for timeframe in TIMEFRAMES:
        swing = _latest(direction, market, (each for each in known if each.timeframe is timeframe), now)
        if swing is None:
            continue
        price = swing.level * (_BELOW_LOW if direction is Direction.LONG else _ABOVE_HIGH)
        if _MIN_DISTANCE_PERCENT <= abs(market - price) * 100 / market <= _MAX_DISTANCE_PERCENT:
            return SwingStop(price, swing)
    return None


def _latest(direction: Direction, market: Decimal, swings: Iterable[SwingLevel], now: datetime) -> SwingLevel | None:
    side = SwingSide.LOW if direction is Direction.LONG else SwingSide.HIGH
    behind = (
        each for each in swings if each.side is side and each.stands(now) and direction.sign * (market - each.level) > 0
    )
    return max(behind, key=lambda each: each.at, default=None)
