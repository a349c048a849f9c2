"""Fills into positions: average entry, partial closes, result. A position knows nothing but its fills and prices."""

from dataclasses import replace
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from bot.models import ApprovedOrder, Direction, Fill, Position, Side

ZERO = Decimal(0)


def pending_position(order: ApprovedOrder, *, at: datetime) -> Position:
    """The position that `order` will open: stored with its intent, quantity still 0."""
    return Position(
        id=order.position_id,
        task_id=order.task_id,
        signal_id=order.signal_id,
        strategy=order.strategy,
        broker_id=order.broker_id,
        symbol=order.symbol,
        direction=Direction.LONG if order.side is Side.BUY else Direction.SHORT,
        plan=order.plan,
        entry_order_id=order.client_order_id,
        stop_order_id=order.stop_order_id,
        first_quantity=ZERO,
        quantity=ZERO,
        entry_price=order.decided_price,
        stop_price=order.plan.stop,
        exit_price=None,
        closed_quantity=ZERO,
        realised=ZERO,
        fees=ZERO,
        risk_amount=order.risk_amount,
        targets_hit=0,
        best_price=order.decided_price,
        worst_price=order.decided_price,
        mark_price=order.decided_price,
        break_even=False,
        trailing=False,
        value_per_point=order.value_per_point,
        opened_at=at,
        closed_at=None,
        exit_reason="",
    )


def tradable(quantity: Decimal, position: Position) -> Decimal:
    """As much of `quantity` as can be sold: whole steps, never below zero."""
    step = position.plan.quantity_step
    return max((quantity / step).to_integral_value(ROUND_FLOOR) * step, ZERO)


def with_entry(position: Position, fill: Fill, *, goes_on: bool = False) -> Position:
    """After one more fill of the entry: the average price moves, and what was closed before is counted from it anew.

    Fills come in any order: a close may have been told first, and an entry that was given up may fill after all. What
    the venue withheld as its fee was never ours. Less than one step cannot be sold: it stays behind, and is not open;
    while the entry `goes_on`, its next fill may make it a whole one. An extreme that was only the average so far
    follows it: the market may never have been where a part was filled.
    """
    grown = fill.quantity - fill.withheld
    opened = position.first_quantity + grown
    average = (position.entry_price * position.first_quantity + fill.price * grown) / opened
    shift = (position.entry_price - average) * position.direction.sign * position.value_per_point
    left = tradable(opened - position.closed_quantity, position)
    first = position.first_quantity == 0
    waits = goes_on and not position.closed_quantity
    entered = replace(
        position,
        first_quantity=opened,
        quantity=left,
        entry_price=average,
        realised=position.realised + shift * position.closed_quantity,
        fees=position.fees + fill.fee,
        mark_price=fill.price,
        opened_at=fill.filled_at if first else min(position.opened_at, fill.filled_at),
        closed_at=None if left or waits else position.closed_at or fill.filled_at,
        exit_reason=position.exit_reason if position.closed_quantity else "",
    )
    return replace(
        entered,
        best_price=average if first or position.best_price == position.entry_price else position.best_price,
        worst_price=average if first or position.worst_price == position.entry_price else position.worst_price,
    )


def with_exit(position: Position, fill: Fill, reason: str) -> Position:
    """After a fill that closes some of it. `exit_price` averages all closes; `entry_price` stays what was paid.

    A close that was told before any entry leaves the position pending. A target is hit with its first fill.
    """
    closed = position.closed_quantity + fill.quantity
    earned = (position.exit_price or ZERO) * position.closed_quantity + fill.price * fill.quantity
    gain = (fill.price - position.entry_price) * position.direction.sign * fill.quantity * position.value_per_point
    left = tradable(position.first_quantity - closed, position)
    ended = not left and position.first_quantity > 0
    return replace(
        position,
        quantity=left,
        exit_price=earned / closed,
        closed_quantity=closed,
        realised=position.realised + gain,
        fees=position.fees + fill.fee,
        targets_hit=max(position.targets_hit, _target_number(reason)),
        mark_price=fill.price,
        closed_at=max(fill.filled_at, position.closed_at or fill.filled_at) if ended else None,
        exit_reason=reason,
    )


def marked(position: Position, price: Decimal) -> Position:
    """With the current exit-side price as mark, and the extremes widened by it."""
    long = position.direction is Direction.LONG
    best = max(position.best_price, price) if long else min(position.best_price, price)
    worst = min(position.worst_price, price) if long else max(position.worst_price, price)
    return replace(position, mark_price=price, best_price=best, worst_price=worst)


def with_extremes_of(position: Position, seen: Position) -> Position:
    """With the mark of `seen`, and the extremes of both: the same position as prices have left it meanwhile.

    An extreme of `seen` that is only its average was no price.
    """
    for extreme in (seen.best_price, seen.worst_price):
        if extreme != seen.entry_price:
            position = marked(position, extreme)
    return replace(position, mark_price=seen.mark_price)


def _target_number(reason: str) -> int:
    name, _, number = reason.rpartition("_")
    return int(number) if name == "TARGET" and number.isdecimal() else 0
