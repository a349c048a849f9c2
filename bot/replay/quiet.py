"""Which candles an open position sleeps through: none of its levels lies in them."""

from collections.abc import Sequence
from math import inf

from bot.instruments import Instrument
from bot.models import Direction, Position, TrailKind


class QuietBand:
    """A band of mid prices, a little too narrow on purpose. Candles inside it change no order, stop or extreme that
    counts; the others are played. Float comparison is safe: rounding to float never reverses an order."""

    def __init__(self, instrument: Instrument) -> None:
        spread = instrument.typical_spread
        self._wider = 1 + float(spread.ratio)
        self._distance = float(spread.price)
        self._floor = -inf
        self._ceiling = inf
        self._until_s = inf

    def set(self, positions: Sequence[Position], *, pending: bool) -> None:
        """Fit the band to what is open. A pending entry fills at the next open, so nothing is quiet."""
        self._floor, self._ceiling, self._until_s = (inf, -inf, -inf) if pending else (-inf, inf, inf)
        for position in positions:
            stop, trigger = float(position.stop_price), _next_trigger(position)
            if position.direction is Direction.LONG:
                self._floor = max(self._floor, stop * self._wider + self._distance)
                self._ceiling = min(self._ceiling, trigger)
            else:
                self._floor = max(self._floor, trigger)
                self._ceiling = min(self._ceiling, stop / self._wider - self._distance)
            if position.plan.deadline is not None:
                self._until_s = min(self._until_s, position.plan.deadline.timestamp())

    def holds(self, low: float, high: float, closes_at_s: int) -> bool:
        """Nothing can happen in a candle of these extremes."""
        return self._floor < low and high < self._ceiling and closes_at_s < self._until_s


def _next_trigger(position: Position) -> float:
    """The nearest exit-side price in favour at which something is decided."""
    plan, sign = position.plan, position.direction.sign
    levels = [float(each.price) for each in plan.targets[position.targets_hit :]]
    trail = plan.trail
    if trail is not None and (trail.kind is TrailKind.PERCENT or position.targets_hit > 0):
        levels.append(float(position.best_price))
    if plan.break_even_fraction is not None and not position.break_even and plan.targets:
        way = (plan.targets[-1].price - position.entry_price) * plan.break_even_fraction
        levels.append(float(position.entry_price + way))
    return min(levels, key=lambda level: sign * level) if levels else sign * inf
