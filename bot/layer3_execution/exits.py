"""Exit plans: one pure function of (plan, state, price) for every strategy, live and in replay (SPEC section 16).

Prices are those of the side we would exit at: the bid of a long, the ask of a short. The stop itself rests at the
venue; what is decided here is which targets close, when time is up, and where the stop goes next. `on_candle` plays a
whole candle for people who want to try a plan, and is what the venue's own matching is held against.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from bot.instruments import Rounding
from bot.models import Candle, Direction, ExitPlan, Order, Position, Trail, TrailKind

BREAKEVEN: Final = "BREAKEVEN"
TRAIL: Final = "TRAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitState:
    """What a plan needs to know of its position. `best` is the best exit-side price since entry.

    `break_even` and `trailing` say that the one or the other has moved the stop; `stop_reason` what it is called if
    the stop is hit now: whoever moved it last, or the plan.
    """

    entry: Decimal
    first_quantity: Decimal
    quantity: Decimal
    stop: Decimal
    best: Decimal
    targets_hit: int = 0
    break_even: bool = False
    trailing: bool = False
    stop_reason: str = "STOP"

    @classmethod
    def opened(cls, plan: ExitPlan, *, entry: Decimal, quantity: Decimal) -> "ExitState":
        """The state at the entry; the first stop goes to the tick like every other."""
        stop = _away(plan, plan.stop)
        return cls(
            entry=entry,
            first_quantity=quantity,
            quantity=quantity,
            stop=stop,
            best=entry,
            stop_reason=plan.stop_reason,
        )

    @classmethod
    def of(cls, position: Position) -> "ExitState":
        """The state of a position."""
        return cls(
            entry=position.entry_price,
            first_quantity=position.first_quantity,
            quantity=position.quantity,
            stop=position.stop_price,
            best=position.best_price,
            targets_hit=position.targets_hit,
            break_even=position.break_even,
            trailing=position.trailing,
            stop_reason=_stop_reason_of(position),
        )


def _stop_reason_of(position: Position) -> str:
    """A trail that came first leaves the stop behind the entry until break-even; one that came after, beyond it."""
    at_entry = position.direction.sign * (position.stop_price - position.entry_price) <= 0
    if position.break_even and (at_entry or not position.trailing):
        return BREAKEVEN
    return TRAIL if position.trailing else position.plan.stop_reason


def called(position: Position, stop: Order) -> str:
    """What a hit of `stop` is called. The position knows who moved it; where that was not stored, the stop does."""
    known = _stop_reason_of(position)
    return stop.reason if known == position.plan.stop_reason and stop.reason in (BREAKEVEN, TRAIL) else known


@dataclass(frozen=True, slots=True)
class Close:
    """Close `quantity`; at `price` or better if given, at market otherwise."""

    quantity: Decimal
    price: Decimal | None
    reason: str


@dataclass(frozen=True, slots=True)
class MoveStop:
    """Put the protective stop at `price`; only ever in favour of the position."""

    price: Decimal
    reason: str


ExitAction = Close | MoveStop


def on_price(
    plan: ExitPlan, state: ExitState, price: Decimal, at: datetime, *, check_deadline: bool = True
) -> tuple[ExitState, tuple[ExitAction, ...]]:
    """One observation after the venue had its look at the stop: targets, then time, then where the stop goes.

    A moved stop works from the next observation on.
    """
    state, closes = _targets(plan, state, price)
    if not state.quantity:
        return state, closes
    if check_deadline and plan.deadline is not None and at >= plan.deadline:
        return replace(state, quantity=Decimal(0)), (*closes, Close(state.quantity, None, plan.deadline_reason))
    followed = _follow(plan, state, price)
    return followed, closes + _moves(state, followed)


def stop_touched(plan: ExitPlan, state: ExitState, price: Decimal) -> bool:
    """The price is at or beyond the stop: the venue should have closed; if it did not, we do."""
    return plan.direction.sign * (price - state.stop) <= 0


def on_quote(
    plan: ExitPlan, state: ExitState, price: Decimal, at: datetime
) -> tuple[ExitState, tuple[ExitAction, ...]]:
    """One quote, the stop included: a gap fills worse than the stop, never better."""
    if stop_touched(plan, state, price):
        return replace(state, quantity=Decimal(0)), (Close(state.quantity, price, state.stop_reason),)
    return on_price(plan, state, price, at)


def on_candle(
    plan: ExitPlan,
    state: ExitState,
    *,
    open_: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    closed_at: datetime,
) -> tuple[ExitState, tuple[ExitAction, ...]]:
    """One candle of exit-side prices: open, then stop before target, then the close (SPEC 16, candle steps 1-6)."""
    best, worst = (high, low) if plan.direction is Direction.LONG else (low, high)
    if stop_touched(plan, state, open_):
        return replace(state, quantity=Decimal(0)), (Close(state.quantity, open_, state.stop_reason),)
    state, actions = on_price(plan, state, open_, closed_at, check_deadline=False)
    if state.quantity and stop_touched(plan, state, worst):
        closing = Close(state.quantity, state.stop, state.stop_reason)
        return replace(state, quantity=Decimal(0)), (*actions, closing)
    if state.quantity:
        before = state.stop
        state, more = on_price(plan, state, best, closed_at, check_deadline=False)
        actions += more
        if state.quantity and state.stop != before and stop_touched(plan, state, close):
            closing = Close(state.quantity, state.stop, state.stop_reason)
            return replace(state, quantity=Decimal(0)), (*actions, closing)
    if state.quantity and plan.deadline is not None and closed_at >= plan.deadline:
        return replace(state, quantity=Decimal(0)), (*actions, Close(state.quantity, close, plan.deadline_reason))
    return state, actions


def on_poll(
    plan: ExitPlan, state: ExitState, candles: Iterable[Candle], price: Decimal, at: datetime
) -> tuple[ExitState, tuple[ExitAction, ...]]:
    """What happened since the last look: the candles that opened since and have closed, oldest first, then the quote.

    Candles of exit-side prices; of what they close nothing is left for the quote, so nothing is closed twice.
    """
    done: tuple[ExitAction, ...] = ()
    for candle in candles:
        state, actions = on_candle(
            plan,
            state,
            open_=candle.open,
            high=candle.high,
            low=candle.low,
            close=candle.close,
            closed_at=candle.closed_at,
        )
        done += actions
        if not state.quantity:
            return state, done
    state, actions = on_quote(plan, state, price, at)
    return state, done + actions


def on_target_fill(
    plan: ExitPlan, state: ExitState, number: int, quantity: Decimal
) -> tuple[ExitState, tuple[ExitAction, ...]]:
    """A resting target `number` (1-based) was filled by `quantity`: hit with its first fill, however small.

    Break-even and trail start; the rest of the target stays at its price, the stop is for what is left.
    """
    left = max(Decimal(0), state.quantity - quantity)
    state = replace(state, quantity=left, targets_hit=max(state.targets_hit, number))
    if not left:
        return state, ()
    followed = _follow(plan, state, plan.targets[number - 1].price)
    return followed, _moves(state, followed)


def target_quantity(plan: ExitPlan, state: ExitState, number: int) -> Decimal:
    """Quantity that target `number` (1-based) closes now. Everything, if a split would leave dust on either side:
    what the venue takes no order for, by quantity or by worth."""
    upto = sum((each.fraction for each in plan.targets[:number]), Decimal(0))
    if upto >= 1:
        return state.quantity
    closed = _in_steps(plan, state.first_quantity - state.quantity)  # fees may have left less than a step unsold
    piece = _in_steps(plan, state.first_quantity * upto) - closed
    rest = state.quantity - piece
    fits = piece > 0 and can_be_ordered(plan, piece, plan.targets[number - 1].price)
    return piece if fits and (rest <= 0 or _can_stay(plan, state, rest, number)) else state.quantity


def can_be_ordered(plan: ExitPlan, quantity: Decimal, price: Decimal) -> bool:
    """An order for so much at `price` is neither below the venue's least quantity nor below its least notional."""
    return quantity >= plan.min_quantity and quantity * price >= plan.min_notional


def _can_stay(plan: ExitPlan, state: ExitState, rest: Decimal, number: int) -> bool:
    """Whether what target `number` leaves can be ordered at every price that is planned for it: a long's stop, which
    only rises, is the lowest of them; for a short it is the last target. A stop that is no price never rests."""
    planned = (state.stop, *(each.price for each in plan.targets[number:]))
    lowest = min((each for each in planned if each > 0), default=plan.targets[number - 1].price)
    return rest >= plan.min_quantity and _in_steps(plan, rest) * lowest >= plan.min_notional


def _in_steps(plan: ExitPlan, quantity: Decimal) -> Decimal:
    return (quantity / plan.quantity_step).to_integral_value(rounding=ROUND_FLOOR) * plan.quantity_step


def _targets(plan: ExitPlan, state: ExitState, price: Decimal) -> tuple[ExitState, tuple[ExitAction, ...]]:
    sign = plan.direction.sign
    closes: tuple[ExitAction, ...] = ()
    for number in range(state.targets_hit + 1, len(plan.targets) + 1):
        target = plan.targets[number - 1]
        if not state.quantity or sign * (price - target.price) < 0:
            break
        quantity = target_quantity(plan, state, number)
        closes = (*closes, Close(quantity, target.price, plan.target_reason or f"TARGET_{number}"))
        state = replace(state, quantity=state.quantity - quantity, targets_hit=number)
    return state, closes


def _follow(plan: ExitPlan, state: ExitState, price: Decimal) -> ExitState:
    best = max(state.best, price) if plan.direction is Direction.LONG else min(state.best, price)
    state = replace(state, best=best) if best != state.best else state
    if not state.break_even and _break_even_due(plan, state):
        at_entry = _away(plan, state.entry)
        if plan.direction.sign * (at_entry - state.stop) > 0:
            state = replace(state, stop=at_entry, break_even=True, stop_reason=BREAKEVEN)
    if plan.trail is None:
        return state
    candidate = _trail_candidate(plan, plan.trail, state)
    if candidate is None or not _worth_moving(plan, plan.trail, state, candidate):
        return state
    return replace(state, stop=candidate, trailing=True, stop_reason=TRAIL)


def _moves(before: ExitState, after: ExitState) -> tuple[ExitAction, ...]:
    """Both break-even and trail may move the stop at one price: it is moved once, to where it ends."""
    return () if after.stop == before.stop else (MoveStop(after.stop, after.stop_reason),)


def _break_even_due(plan: ExitPlan, state: ExitState) -> bool:
    if plan.break_even_target is not None and state.targets_hit >= plan.break_even_target:
        return True
    if plan.break_even_fraction is None or not plan.targets:
        return False
    sign = plan.direction.sign
    way = sign * (plan.targets[-1].price - state.entry)
    return way > 0 and sign * (state.best - state.entry) >= plan.break_even_fraction * way


def _trail_candidate(plan: ExitPlan, trail: Trail, state: ExitState) -> Decimal | None:
    sign = plan.direction.sign
    if trail.kind is TrailKind.PERCENT:
        active = sign * (state.best - state.entry * (1 + sign * trail.activation_ratio)) >= 0
        return _away(plan, state.best * (1 - sign * trail.distance_ratio)) if active else None
    if state.targets_hit < 1:
        return None
    risk = first_risk(plan, state.entry)
    progress = _progress(plan, state.best)
    distance = risk * (trail.start_r - (trail.start_r - trail.end_r) * progress)
    candidate = state.best - sign * distance
    return _away(plan, candidate if sign * (candidate - state.entry) > 0 else state.entry)


def first_risk(plan: ExitPlan, entry: Decimal) -> Decimal:
    """R0: from the entry to the first stop; a price distance, also where the entry slipped beyond the stop."""
    return abs(entry - _away(plan, plan.stop))


def _progress(plan: ExitPlan, best: Decimal) -> Decimal:
    """How far `best` is from target 1 (0) to the last one (1). Where they are one price, hitting it is all the way."""
    first, last = plan.targets[0].price, plan.targets[-1].price
    if first == last:
        return Decimal(1)
    return min(Decimal(1), max(Decimal(0), (best - first) / (last - first)))


def _worth_moving(plan: ExitPlan, trail: Trail, state: ExitState, candidate: Decimal) -> bool:
    better = plan.direction.sign * (candidate - state.stop)
    if better <= 0:
        return False
    if trail.kind is TrailKind.PERCENT or not state.trailing:
        return True
    return better >= trail.step_r * first_risk(plan, state.entry)


def _away(plan: ExitPlan, price: Decimal) -> Decimal:
    """`price` on the tick, away from the market: down for a long's stop, up for a short's."""
    rounding = Rounding.DOWN if plan.direction is Direction.LONG else Rounding.UP
    return (price / plan.tick).to_integral_value(rounding=rounding.value) * plan.tick
