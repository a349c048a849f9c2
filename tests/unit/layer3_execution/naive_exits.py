"""Exit plans once more, written from the text of SPEC section 16 alone: slow, flat, one branch per sentence.

Everything is done in the space of a long: a short's prices are taken times -1, so worse is always lower. Only what
works in percent of the price looks at the direction.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from bot.models import ExitPlan, TrailKind

Row = tuple[str, Decimal, Decimal]  # reason, price, quantity


@dataclass
class NaivePosition:
    """A position and what happened to it. Prices inside are times the direction's sign."""

    plan: ExitPlan
    entry: Decimal
    first: Decimal
    closes: list[Row] = field(default_factory=list)
    moves: list[Decimal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.s = self.plan.direction.sign
        self.e = self.s * self.entry
        self.q = self.first
        self.stop = self.away(self.s * self.plan.stop)
        self.first_stop = self.stop
        self.w = self.e
        self.hit = 0
        self.reason = self.plan.stop_reason
        self.break_even_done = False
        self.trail_moved = False
        self.levels = [self.s * each.price for each in self.plan.targets]

    def away(self, price: Decimal) -> Decimal:
        """Down to the tick in the space of a long: down for a long's price, up for a short's."""
        ticks = (self.s * price / self.plan.tick).to_integral_value(ROUND_FLOOR if self.s > 0 else ROUND_CEILING)
        return self.s * ticks * self.plan.tick

    def close_all(self, price: Decimal, reason: str) -> None:
        """Close what is left."""
        self.closes.append((reason, self.s * price, self.q))
        self.q = Decimal(0)

    def targets(self, price: Decimal) -> None:
        """All targets that `price` has reached, in order, at their price."""
        while self.q > 0 and self.hit < len(self.levels) and price >= self.levels[self.hit]:
            n = self.hit + 1
            upto = sum((each.fraction for each in self.plan.targets[:n]), Decimal(0))
            closed_before = self.first - self.q
            steps = int(self.first * upto / self.plan.quantity_step)
            piece = self.q if upto == 1 else steps * self.plan.quantity_step - closed_before
            remainder = self.q - piece
            too_small = piece <= 0 or piece < self.plan.min_quantity
            if too_small or (remainder > 0 and remainder < self.plan.min_quantity):
                piece = self.q
            later = [self.s * self.stop, *(each.price for each in self.plan.targets[n:])]
            whole_steps = remainder // self.plan.quantity_step * self.plan.quantity_step
            if piece * self.plan.targets[n - 1].price < self.plan.min_notional:
                piece = self.q
            orders = [each for each in later if each > 0] or [self.plan.targets[n - 1].price]
            if remainder > 0 and whole_steps * min(orders) < self.plan.min_notional:
                piece = self.q
            self.closes.append((self.plan.target_reason or f"TARGET_{n}", self.s * self.levels[n - 1], piece))
            self.q -= piece
            self.hit = n

    def move(self, to: Decimal, reason: str) -> bool:
        """The stop only ever moves in favour."""
        if to <= self.stop:
            return False
        self.stop, self.reason = to, reason
        return True

    def follow(self, price: Decimal) -> bool:
        """High water, then break-even, then trail. True if the stop moved."""
        self.w = max(self.w, price)
        before = self.stop
        if not self.break_even_done:
            by_target = self.plan.break_even_target
            if by_target is not None and self.hit >= by_target:
                self.break_even_done = True
            fraction = self.plan.break_even_fraction
            if fraction is not None and price - self.e >= fraction * (self.levels[-1] - self.e):
                self.break_even_done = True
            if self.break_even_done:
                self.move(self.away(self.e), "BREAKEVEN")
        trail = self.plan.trail
        if trail is not None and trail.kind is TrailKind.PERCENT:
            w, e = self.s * self.w, self.s * self.e
            if self.s * (w - e * (1 + self.s * trail.activation_ratio)) >= 0:
                self.move(self.away(self.s * (w * (1 - self.s * trail.distance_ratio))), "TRAIL")
        if trail is not None and trail.kind is TrailKind.PROGRESSIVE and self.hit >= 1:
            tp1, tp2 = self.levels[0], self.levels[-1]
            p = Decimal(1) if tp1 == tp2 else min(max((self.w - tp1) / (tp2 - tp1), Decimal(0)), Decimal(1))
            r0 = self.e - self.first_stop
            candidate = self.away(max(self.w - r0 * (trail.start_r - (trail.start_r - trail.end_r) * p), self.e))
            far_enough = candidate - self.stop >= trail.step_r * r0
            if (far_enough or not self.trail_moved) and self.move(candidate, "TRAIL"):
                self.trail_moved = True
        if self.stop != before:
            self.moves.append(self.s * self.stop)
        return self.stop != before

    def quote(self, price: Decimal, at: datetime) -> None:
        """One quote of the exit side, steps 1 to 4."""
        x = self.s * price
        if x <= self.stop:
            self.close_all(x, self.reason)
            return
        self.targets(x)
        if self.q == 0:
            return
        if self.plan.deadline is not None and at >= self.plan.deadline:
            self.close_all(x, self.plan.deadline_reason)
            return
        self.follow(x)

    def candle(self, candle: tuple[Decimal, Decimal, Decimal, Decimal], closed_at: datetime) -> None:
        """One candle (open, high, low, close) of the exit side, steps 1 to 6."""
        o, c = self.s * candle[0], self.s * candle[3]
        h, low = max(self.s * candle[1], self.s * candle[2]), min(self.s * candle[1], self.s * candle[2])
        if o <= self.stop:
            self.close_all(o, self.reason)
            return
        self.targets(o)
        if self.q == 0:
            return
        self.follow(o)
        if low <= self.stop:
            self.close_all(self.stop, self.reason)
            return
        self.targets(h)
        if self.q == 0:
            return
        if self.follow(h) and c <= self.stop:
            self.close_all(self.stop, self.reason)
            return
        if self.plan.deadline is not None and closed_at >= self.plan.deadline:
            self.close_all(c, self.plan.deadline_reason)
