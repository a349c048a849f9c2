"""What happened to the positions of the believable day: stops, exits, fills, moved stops, one order of unknown fate."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from bot.database.memory import MemoryStores
from bot.models import (
    ClientOrderId,
    Fill,
    JournalEntry,
    Order,
    OrderKind,
    OrderRole,
    OrderState,
    Position,
    PositionId,
    Side,
)
from tests.fakes.dashboard_day import NOW, entry_order, entry_signal, signal_record

BITCOIN, EURO, GOLD, SOLANA = [PositionId(f"position-{number}") for number in (1, 2, 3, 5)]


async def fill_story(stores: MemoryStores) -> None:
    """Add it to a filled day."""
    bitcoin, euro, solana = [await stores.orders.position(each) for each in (BITCOIN, EURO, SOLANA)]
    for each in (bitcoin, euro, solana):
        await _filled(stores, each, entry_order(each), each.first_quantity, each.entry_price, each.opened_at)
    await _rests(stores, bitcoin)
    await _rests(stores, euro)
    half = _order(euro, "X1", OrderRole.EXIT, OrderKind.MARKET, quantity=Decimal(9200), reason="TARGET_1")
    await _sent(stores, half)
    await _filled(stores, euro, half, Decimal(9200), Decimal("1.07824"), NOW - timedelta(hours=4))
    for minutes, stop, reason in ((239, "1.09310", "TRAIL"), (150, "1.09120", "TRAIL"), (65, "1.08960", "TRAIL")):
        await _note(stores, "stop_moved", minutes, position=euro.id, symbol=euro.symbol, stop=stop, reason=reason)
    await stores.orders.save_position(replace(euro, stop_price=Decimal("1.08960")))
    out = _order(solana, "X1", OrderRole.EXIT, OrderKind.MARKET, quantity=solana.first_quantity, reason="TARGET_2")
    await _sent(stores, out)
    assert solana.exit_price is not None
    assert solana.closed_at is not None
    await _filled(stores, solana, out, solana.first_quantity, solana.exit_price, solana.closed_at)
    await _note(stores, "position_opened", 241, position=bitcoin.id, symbol=bitcoin.symbol, risk="99.61")
    await _lost(stores, euro)
    await _signals_behind(stores)


async def _signals_behind(stores: MemoryStores) -> None:
    """Those that setups and the waiting entry came from."""
    gold, plain = await stores.orders.position(GOLD), entry_signal("EUR_USD", 7)
    ids = [each.signal_id for each in await stores.setups.recent(10)]
    for number, signal_id in enumerate((*ids, gold.signal_id), start=1):
        record = signal_record(replace(plain, id=signal_id), "setup", decided_at=NOW - timedelta(days=number))
        await stores.signals.record(record)


async def _rests(stores: MemoryStores, position: Position) -> None:
    stop = _order(position, "S0", OrderRole.STOP, OrderKind.STOP, quantity=position.quantity, price=position.stop_price)
    await stores.orders.record_intent((stop,), signal_id=None)
    for before, after in ((OrderState.INTENT, OrderState.SENDING), (OrderState.SENDING, OrderState.WORKING)):
        await _moved(stores, stop, before, after, "attached to the entry")


async def _sent(stores: MemoryStores, order: Order) -> None:
    await stores.orders.record_intent((order,), signal_id=None)
    await _moved(stores, order, OrderState.INTENT, OrderState.SENDING, order.reason)


async def _lost(stores: MemoryStores, position: Position) -> None:
    """A second exit, of which the venue says nothing."""
    order = _order(position, "X2", OrderRole.EXIT, OrderKind.MARKET, quantity=Decimal(9200), reason="OPERATOR_CLOSE")
    await _sent(stores, order)
    await _moved(stores, order, OrderState.SENDING, OrderState.UNKNOWN, "oanda: no usable answer within 10 s")


async def _moved(stores: MemoryStores, order: Order, before: OrderState, after: OrderState, cause: str) -> None:
    await stores.orders.transition(
        order.client_order_id, expected=before, state=after, cause=cause, at=order.created_at + timedelta(seconds=1)
    )


async def _filled(
    stores: MemoryStores, position: Position, order: Order, quantity: Decimal, price: Decimal, at: datetime
) -> None:
    fill = Fill(
        broker_id=position.broker_id,
        venue_fill_id=f"f-{order.client_order_id}",
        client_order_id=order.client_order_id,
        symbol=position.symbol,
        side=order.side,
        quantity=quantity,
        price=price,
        fee=Decimal("4.98"),
        filled_at=at,
        cause="market",
    )
    after: dict[str, Any] = {
        "state": OrderState.FILLED,
        "filled_quantity": quantity,
        "filled_price": price,
        "updated_at": at,
    }
    await stores.orders.record_fill(fill, order=replace(order, **after), position=position)


def _order(position: Position, leg: str, role: OrderRole, kind: OrderKind, **changes: Any) -> Order:
    plain = {"role": role, "kind": kind, "side": Side.closing(position.direction), "signal_id": None}
    fresh = {"state": OrderState.INTENT, "filled_quantity": Decimal(0), "filled_price": None, "venue_order_id": None}
    name = ClientOrderId(f"{position.entry_order_id[:-2]}{leg}")
    return entry_order(position, client_order_id=name, **plain, **fresh, **changes)


async def _note(stores: MemoryStores, kind: str, minutes_ago: float, **data: object) -> None:
    at = NOW - timedelta(minutes=minutes_ago)
    await stores.journal.append(JournalEntry(at=at, kind=kind, task_id=None, data=data))
