"""Orders, positions and fills of a simulated venue as plain JSON types, and back. Decimals travel as text."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bot.instruments import BrokerId, Symbol
from bot.layer1_data.brokers.simulated.entries import BookOrder, BookPosition
from bot.models import ClientOrderId, Direction, Fill, OrderKind, OrderRole, OrderState, Side

VERSION: Final = 1

Plain = dict[str, Any]


def plain_order(order: BookOrder) -> Plain:
    """One order."""
    return {
        "id": order.client_order_id,
        "venue_id": order.venue_order_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "role": order.role.value,
        "kind": order.kind.value,
        "quantity": str(order.quantity),
        "price": str(order.price),
        "entry": order.entry_order_id,
        "attached_id": order.attached_id,
        "attached_venue_id": order.attached_venue_id,
        "attached_stop": str(order.attached_stop),
        "bound": None if order.bound is None else str(order.bound),
        "state": order.state.value,
        "reason": order.reason,
        "filled": str(order.filled),
        "triggered": order.triggered,
        "armed": order.armed,
    }


def order_of(plain: Mapping[str, Any]) -> BookOrder:
    """The order that `plain_order` wrote."""
    return BookOrder(
        client_order_id=ClientOrderId(plain["id"]),
        venue_order_id=plain["venue_id"],
        symbol=Symbol(plain["symbol"]),
        side=Side(plain["side"]),
        role=OrderRole(plain["role"]),
        kind=OrderKind(plain["kind"]),
        quantity=Decimal(plain["quantity"]),
        price=Decimal(plain["price"]),
        entry_order_id=ClientOrderId(plain["entry"]),
        attached_id=None if plain["attached_id"] is None else ClientOrderId(plain["attached_id"]),
        attached_venue_id=plain["attached_venue_id"],
        attached_stop=Decimal(plain["attached_stop"]),
        bound=None if plain.get("bound") is None else Decimal(plain["bound"]),  # earlier programs had none
        state=OrderState(plain["state"]),
        reason=plain["reason"],
        filled=Decimal(plain["filled"]),
        triggered=plain["triggered"],
        armed=plain["armed"],
    )


def plain_position(position: BookPosition) -> Plain:
    """One position; its stop by id only."""
    return {
        "entry": position.entry_order_id,
        "symbol": position.symbol,
        "direction": position.direction.value,
        "quantity": str(position.quantity),
        "average_price": str(position.average_price),
        "stop": None if position.stop is None else position.stop.client_order_id,
        "reach": str(position.reach),
        "conversion": str(position.conversion),
        "in_range": position.in_range,
        "dust": str(position.dust),
    }


def position_of(plain: Mapping[str, Any], orders: Mapping[ClientOrderId, BookOrder]) -> BookPosition:
    """The position that `plain_position` wrote, its stop taken from `orders`."""
    return BookPosition(
        entry_order_id=ClientOrderId(plain["entry"]),
        symbol=Symbol(plain["symbol"]),
        direction=Direction(plain["direction"]),
        quantity=Decimal(plain["quantity"]),
        average_price=Decimal(plain["average_price"]),
        stop=None if plain["stop"] is None else orders[ClientOrderId(plain["stop"])],
        reach=Decimal(plain["reach"]),
        conversion=Decimal(plain["conversion"]),
        in_range=plain["in_range"],
        dust=Decimal(plain.get("dust", 0)),  # states of earlier programs have none
    )


def plain_fill(fill: Fill) -> Plain:
    """One fill."""
    return {
        "broker": fill.broker_id,
        "id": fill.venue_fill_id,
        "order": fill.client_order_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "quantity": str(fill.quantity),
        "price": str(fill.price),
        "fee": str(fill.fee),
        "at": fill.filled_at.isoformat(),
        "cause": fill.cause,
        "withheld": str(fill.withheld),
    }


def fill_of(plain: Mapping[str, Any]) -> Fill:
    """The fill that `plain_fill` wrote."""
    return Fill(
        broker_id=BrokerId(plain["broker"]),
        venue_fill_id=plain["id"],
        client_order_id=ClientOrderId(plain["order"]),
        symbol=Symbol(plain["symbol"]),
        side=Side(plain["side"]),
        quantity=Decimal(plain["quantity"]),
        price=Decimal(plain["price"]),
        fee=Decimal(plain["fee"]),
        filled_at=datetime.fromisoformat(plain["at"]),
        cause=plain["cause"],
        withheld=Decimal(plain.get("withheld", 0)),
    )
