"""The bot's orders into the venue's, and what the venue has back into the contract's words. Pure."""

from decimal import Decimal

from bot.layer1_data.broker_interface import VenueOrder
from bot.layer1_data.brokers.simulated.entries import ZERO, BookOrder, BookPosition
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    OrderAck,
    OrderKind,
    OrderRole,
    OrderState,
    ReduceOrder,
    Side,
    VenuePosition,
)


def entered(order: ApprovedOrder, key: ClientOrderId, venue_id: str) -> BookOrder:
    """An entry without its stop."""
    return BookOrder(
        client_order_id=key,
        venue_order_id=venue_id,
        symbol=order.symbol,
        side=order.side,
        role=OrderRole.ENTRY,
        kind=order.kind,
        quantity=order.quantity,
        price=_limit(order.kind, order.limit_price),
        entry_order_id=order.client_order_id,
        bound=None if order.kind is OrderKind.LIMIT else order.price_bound,
    )


def reduction_of(order: ReduceOrder, key: ClientOrderId, venue_id: str, position: BookPosition | None) -> BookOrder:
    """A reduction, of no more than there is."""
    return BookOrder(
        client_order_id=key,
        venue_order_id=venue_id,
        symbol=order.symbol,
        side=order.side,
        role=OrderRole.EXIT,
        kind=order.kind,
        quantity=order.quantity if position is None else min(order.quantity, position.quantity),
        price=_limit(order.kind, order.limit_price),
        entry_order_id=order.entry_order_id,
    )


def stop_of(claimed: VenuePosition, key: ClientOrderId, venue_id: str, stop: Decimal) -> BookOrder:
    """A protective stop for what the client says is open."""
    return BookOrder(
        client_order_id=key,
        venue_order_id=venue_id,
        symbol=claimed.symbol,
        side=Side.closing(claimed.direction),
        role=OrderRole.STOP,
        kind=OrderKind.STOP,
        quantity=claimed.quantity,
        price=stop,
        entry_order_id=claimed.entry_order_id,
    )


def rejection(client_order_id: ClientOrderId, reason: str) -> OrderAck:
    """A no to something that has no order of its own."""
    return OrderAck(client_order_id=client_order_id, state=OrderState.REJECTED, venue_order_id=None, reason=reason)


def answer_of(order: BookOrder) -> OrderAck:
    """What the venue says about an order it has taken."""
    return OrderAck(
        client_order_id=order.told_id,
        state=order.state if order.state.is_terminal else OrderState.WORKING,
        venue_order_id=order.venue_order_id,
        reason=order.reason,
    )


def told(order: BookOrder) -> VenueOrder:
    """An order as a question about it is answered."""
    return VenueOrder(
        client_order_id=order.told_id,
        venue_order_id=order.venue_order_id,
        symbol=order.symbol,
        side=order.side,
        state=order.state,
        quantity=order.quantity,
        filled_quantity=order.filled,
        price=None if order.kind is OrderKind.MARKET else order.price,
        reduces_only=order.role is not OrderRole.ENTRY,
    )


def open_position(position: BookPosition, stops: list[BookOrder]) -> VenuePosition:
    """What is open. A stop is told only if all of it is covered: the one that triggers last of those needed."""
    stop = _covering(position, stops)
    return VenuePosition(
        entry_order_id=position.entry_order_id,
        symbol=position.symbol,
        direction=position.direction,
        quantity=position.quantity,
        average_price=position.average_price,
        stop_price=None if stop is None else stop.price,
        stop_order_id=None if stop is None else stop.told_id,
    )


def _covering(position: BookPosition, stops: list[BookOrder]) -> BookOrder | None:
    covered = ZERO
    for stop in sorted(stops, key=lambda each: -position.direction.sign * each.price):
        covered += stop.left
        if covered >= position.quantity:
            return stop
    return None


def _limit(kind: OrderKind, limit: Decimal | None) -> Decimal:
    return ZERO if kind is OrderKind.MARKET else limit or ZERO
