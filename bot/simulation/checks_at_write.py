"""Invariants looked at when something is stored."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bot.layer3_execution.order_state import TRANSITIONS
from bot.models import (
    ClientOrderId,
    Fill,
    KillCause,
    KillLevel,
    KillState,
    Order,
    OrderRole,
    OrderState,
    Position,
)
from bot.simulation.ports import at_once

if TYPE_CHECKING:
    from bot.simulation.checks import Checks

ABSENT_ANSWERS: Final = 3
ABSENT_S: Final = 120.0
_MOVES: Final = frozenset((before, after) for (before, _), after in TRANSITIONS.items())


def illegal_move(checks: Checks, name: ClientOrderId, before: OrderState, after: OrderState) -> str | None:
    """I10: only moves of the state table."""
    if before is after or (before, after) in _MOVES:
        return None
    return f"{name} goes from {before.value} to {after.value}"


def ended_by_its_old_id(checks: Checks, name: ClientOrderId, after: OrderState, cause: str) -> str | None:
    """I10: no phantom cancel: what goes on under a new id, which our record has, does not end with its old one."""
    row, old = checks.order(name), checks.replaced.get(name)
    if row is None or old in (None, row.venue_order_id) or not after.is_terminal or "at the venue" not in cause:
        return None
    found = at_once(checks.world.lines[row.broker_id].venue.find_order(name))
    if found is None or found.state.is_terminal:
        return None
    return f"{name} rests as {found.venue_order_id} and ends as {after.value}, because {old} has"


def ended_without_evidence(checks: Checks, name: ClientOrderId, before: OrderState, after: OrderState) -> str | None:
    """I4: absence is presumed only after three clean answers over two minutes, counted since this process began; where
    the venue throws away old requests, after two of which the last came when the request was too old."""
    row = checks.order(name)
    if after is not OrderState.NOT_PLACED or row is None:
        return None
    if row.role is OrderRole.STOP and name.endswith("S00"):
        return None  # it shares the fate of its entry
    answers = [at for at in checks.absent.get(name, ()) if at >= checks.world.started_at]
    expires_s = checks.world.lines[row.broker_id].capabilities.request_expires_after_s
    if expires_s is not None and len(answers) > 1 and answers[-1] - answers[0] >= expires_s:
        return None
    if len(answers) >= ABSENT_ANSWERS and answers[-1] - answers[0] >= ABSENT_S - 1.0:
        return None
    over = answers[-1] - answers[0] if answers else 0.0
    return f"{name} ends NOT_PLACED after {len(answers)} clean answers over {over:.0f} s"


def position_is_not_its_fills(checks: Checks, position: Position) -> str | None:
    """I9: quantity, fees and fills agree, each fill counted once."""
    opened = closed = fees = Decimal(0)
    for fill in checks.orders._fills.values():
        order = checks.orders._orders[fill.client_order_id]
        if order.position_id == position.id:
            fees += fill.fee
            if order.role is OrderRole.ENTRY:
                opened += fill.quantity - fill.withheld
            else:
                closed += fill.quantity
    stored = checks.orders._positions[position.id]
    if (stored.first_quantity, stored.closed_quantity, stored.fees) != (opened, closed, fees):
        said = f"{stored.first_quantity} opened, {stored.closed_quantity} closed, fees {stored.fees}"
        return f"position {position.id} says {said}; its fills say {opened}, {closed}, {fees}"
    left = max(opened - closed, Decimal(0))
    if stored.quantity != left - left % stored.plan.quantity_step:
        return f"position {position.id} has {stored.quantity} left of {opened} - {closed}"
    return None


def overfilled(checks: Checks, fill: Fill, order: Order) -> str | None:
    """I2: no more than was ordered, but by the venue's mistake or by an order that reached it twice."""
    name, times = order.client_order_id, 2 if order.client_order_id in checks.doubled else 1
    if name in checks.overfilled or order.role is OrderRole.STOP or order.filled_quantity <= times * order.quantity:
        return None
    return f"{order.client_order_id}: {order.filled_quantity} filled of {order.quantity}"


def filled_beyond_its_bound(checks: Checks, fill: Fill) -> str | None:
    """I15: no entry fills worse than it was bounded, but by the venue's mistake (M6, B7)."""
    name, bound = fill.client_order_id, checks.bounds.get(fill.client_order_id)
    if bound is None or fill.venue_fill_id in checks.worsened or name in checks.overfilled:
        return None
    worse = (fill.price - bound) * fill.side.sign > 0
    return f"{name} fills at {fill.price}, beyond its worst price {bound}" if worse else None


def daily_losses(checks: Checks) -> Sequence[KillState]:
    """The limits of the day that hold now."""
    return [each for each in at_once(checks.world.stores.kills.active()) if each.cause is KillCause.DAILY_LOSS]


def released_within_the_day(checks: Checks, state: KillState) -> str | None:
    """I12: what was lost in a session day keeps entries out until that day has ended, by the clock of the process (C5).

    The day of a simulation is that of the settings: from midnight to midnight, UTC.
    """
    if state.level is not KillLevel.NONE or state.cause is not KillCause.DAILY_LOSS or state.by != "daemon":
        return None
    today = checks.world.clock.now().date()
    held = [each for each in daily_losses(checks) if each.broker_id == state.broker_id and each.at.date() >= today]
    return f"{held[0].says} is lifted on the same day" if held else None


def latch_lifted_by_nobody(state: KillState) -> str | None:
    """I12: only what ends by itself is lifted by the daemon."""
    if state.level is KillLevel.NONE and state.by == "daemon" and not state.cause.ends_by_itself:
        return f"the daemon lifts the kill switch of {state.cause.value}"
    return None
