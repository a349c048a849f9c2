"""Fills into positions: average entry, partial closes, result. A position knows nothing but its fills and prices."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

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


def with_entry(position: Position, fill: Fill) -> Position:
    """After one more fill of the entry: the average price moves, the extremes start at it."""
    quantity = position.first_quantity + fill.quantity
    cost = position.entry_price * position.first_quantity + fill.price * fill.quantity
    average = cost / quantity
    first = position.first_quantity == 0
    return replace(
        position,
        first_quantity=quantity,
        quantity=position.quantity + fill.quantity,
        entry_price=average,
        fees=position.fees + fill.fee,
        best_price=average,
        worst_price=average,
        mark_price=fill.price,
        opened_at=fill.filled_at if first else position.opened_at,
    )


def with_exit(position: Position, fill: Fill, reason: str) -> Position:
    """After a fill that closes some of it. `exit_price` averages all closes; `entry_price` stays what was paid."""
    closed = position.closed_quantity + fill.quantity
    earned = (position.exit_price or ZERO) * position.closed_quantity + fill.price * fill.quantity
    gain = (fill.price - position.entry_price) * position.direction.sign * fill.quantity * position.value_per_point
    left = position.quantity - fill.quantity
    return replace(
        position,
        quantity=max(left, ZERO),
        exit_price=earned / closed,
        closed_quantity=closed,
        realised=position.realised + gain,
        fees=position.fees + fill.fee,
        mark_price=fill.price,
        closed_at=fill.filled_at if left <= 0 else None,
        exit_reason=reason,
    )


def marked(position: Position, price: Decimal) -> Position:
    """With the current exit-side price as mark, and the extremes widened by it."""
    long = position.direction is Direction.LONG
    best = max(position.best_price, price) if long else min(position.best_price, price)
    worst = min(position.worst_price, price) if long else max(position.worst_price, price)
    return replace(position, mark_price=price, best_price=best, worst_price=worst)
