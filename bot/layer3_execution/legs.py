"""The orders of one entry: their names, their rows and what a venue is asked. No state, no input, no output.

Legs of one entry: E0, S0 attached, S1 rested later, T1.. targets, X0 closes; behind it the number of the attempt. No
name ever comes again: what is refused all weekend has another one each time.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Order,
    OrderKind,
    OrderRole,
    OrderState,
    Position,
    ReduceOrder,
    Side,
    VenuePosition,
    leg_of,
)

_TARGET: Final = "TARGET_"


def is_attached(stop: Order) -> bool:
    """It travelled with its entry, and shares its fate."""
    return is_attached_id(stop.client_order_id)


def is_attached_id(client_order_id: ClientOrderId) -> bool:
    """It names the stop that travels with its entry."""
    return client_order_id == leg_of(client_order_id, "S0")


def is_target(reason: str) -> bool:
    """`reason` is a target: wanted once, for a part; every other one closes what is there."""
    return reason.startswith(_TARGET)


def is_attempt(row: Order, reason: str) -> bool:
    """`row` is an ended attempt at what `reason` wants: a target is wanted once, a close until nothing is left."""
    if row.role is not OrderRole.EXIT or not row.state.is_terminal:
        return False
    if is_target(reason):
        return row.reason == reason and not row.filled_quantity
    return not is_target(row.reason)


def exit_name(position: Position, reason: str, ended: int) -> ClientOrderId:
    """The leg's own name, so that the same close decided twice collides.

    Only attempts that have ended without the wanted effect count; while one is unresolved its name is used again and
    so blocks a second one.
    """
    return leg_of(position.entry_order_id, f"T{reason[-1]}" if is_target(reason) else "X0", ended)


def exit_row(
    position: Position, name: ClientOrderId, quantity: Decimal, limit: Decimal | None, reason: str, now: datetime
) -> Order:
    """The intent to close `quantity`, at `limit` or better if given."""
    return Order(
        client_order_id=name,
        position_id=position.id,
        signal_id=None,
        task_id=position.task_id,
        broker_id=position.broker_id,
        symbol=position.symbol,
        role=OrderRole.EXIT,
        side=Side.closing(position.direction),
        kind=OrderKind.MARKET if limit is None else OrderKind.LIMIT,
        quantity=quantity,
        price=limit,
        state=OrderState.INTENT,
        reason=reason,
        created_at=now,
        updated_at=now,
    )


def exit_request(row: Order, position: Position) -> ReduceOrder:
    """What the venue is asked for it."""
    return ReduceOrder(
        client_order_id=row.client_order_id,
        position_id=position.id,
        entry_order_id=position.entry_order_id,
        broker_id=row.broker_id,
        symbol=row.symbol,
        side=row.side,
        kind=row.kind,
        quantity=row.quantity,
        limit_price=row.price,
        reason=row.reason,
    )


def stop_row(position: Position, quantity: Decimal, price: Decimal, reason: str, tried: int, now: datetime) -> Order:
    """The intent to rest one more stop, when `tried` have been before it. `reason`: what it is called if it is hit."""
    row = exit_row(position, leg_of(position.entry_order_id, "S1", tried), quantity, price, reason, now)
    return replace(row, role=OrderRole.STOP, kind=OrderKind.STOP)


def stop_request(row: Order, position: Position) -> tuple[VenuePosition, ClientOrderId, Decimal]:
    """What the venue is asked for it: so much of the position, the stop's name and its price."""
    claimed = VenuePosition(
        entry_order_id=position.entry_order_id,
        symbol=position.symbol,
        direction=position.direction,
        quantity=row.quantity,
        average_price=position.entry_price,
        stop_price=None,
        stop_order_id=None,
    )
    return claimed, row.client_order_id, row.price or position.stop_price


def entry_rows(approved: ApprovedOrder, now: datetime) -> tuple[Order, Order]:
    """The intents of an entry and of the stop that travels with it."""
    entry = Order(
        client_order_id=approved.client_order_id,
        position_id=approved.position_id,
        signal_id=approved.signal_id,
        task_id=approved.task_id,
        broker_id=approved.broker_id,
        symbol=approved.symbol,
        role=OrderRole.ENTRY,
        side=approved.side,
        kind=approved.kind,
        quantity=approved.quantity,
        price=approved.limit_price,
        state=OrderState.INTENT,
        reason="ENTRY",
        created_at=now,
        updated_at=now,
    )
    stop = replace(
        entry,
        client_order_id=approved.stop_order_id,
        role=OrderRole.STOP,
        side=Side.closing(approved.plan.direction),
        kind=OrderKind.STOP,
        price=approved.plan.stop,
        reason="STOP",
    )
    return entry, stop
