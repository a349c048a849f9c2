"""Fills that a venue tells again after a restart: the cursor is saved after them, so a crash between repeats some."""

from datetime import timedelta
from decimal import Decimal

from bot.clock import ManualClock
from bot.database.memory import MemoryStores
from bot.instruments import Currency
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.order_tracker import OrderTracker
from bot.models import Direction
from tests.builders import approved_order, frictionless, plan


async def test_all_fills_told_again_after_a_restart_change_nothing_and_raise_nothing() -> None:
    # Arrange: a position that was opened and stopped out
    instrument = frictionless(tick="0.01")
    clock, stores = ManualClock(), MemoryStores()
    venue = SimulatedBroker(
        broker_id=instrument.broker_id,
        instruments=[instrument],
        clock=clock,
        currency=Currency("USD"),
        balance=Decimal(1_000_000),
    )
    kinds: list[str] = []

    async def record(kind: str, task_id: object, data: object) -> None:
        kinds.append(kind)

    async def never(broker_id: object) -> str:
        return ""

    def started() -> tuple[OrderTracker, ExecutionEngine]:
        book = Book()
        tracker = OrderTracker(store=stores.orders, book=book, broker_of=lambda _: venue, clock=clock, record=record)
        engine = ExecutionEngine(
            store=stores.orders,
            book=book,
            tracker=tracker,
            broker_of=lambda _: venue,
            clock=clock,
            entry_refusal=never,
            known_refusal=lambda _: "",
        )
        return tracker, engine

    tracker, engine = started()
    order = approved_order(
        plan=plan(Direction.LONG, tick=Decimal("0.01")), valid_until=clock.now() + timedelta(hours=1)
    )
    venue.observe(instrument.symbol, bid=Decimal(100), ask=Decimal(100), at=clock.now(), gap=True)
    await engine.submit(order)
    venue.observe(instrument.symbol, bid=Decimal(97), ask=Decimal(97), at=clock.now(), gap=True)
    await tracker.collect(instrument.broker_id)
    before = await stores.orders.position(order.position_id)
    assert before.exit_reason == "STOP"

    # Act: the cursor was lost with the process
    await stores.orders.save_fill_cursor(instrument.broker_id, "")
    kinds.clear()
    tracker, _ = started()
    await tracker.load()
    applied = await tracker.collect(instrument.broker_id)

    # Assert
    assert applied == 0
    assert kinds == []
    assert await stores.orders.position(order.position_id) == before
