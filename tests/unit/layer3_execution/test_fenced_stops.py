"""A daemon that has lost the writer lock changes nothing: another one may be looking after it (I13)."""

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.database.memory_orders import MemoryOrders
from bot.errors import BrokerError, NotTheWriter
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import OrderState
from tests.builders import approved_order
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import ATTACHED, FUTURES


class LockedOrders(MemoryOrders):
    """Of a process whose lock can be lost."""

    is_lost = False

    async def check_writer(self) -> None:
        if self.is_lost:
            raise NotTheWriter("the connection that holds the writer lock ended")

    async def record_intent(self, *values: Any, **more: Any) -> bool:
        await self.check_writer()
        return await super().record_intent(*values, **more)


@pytest.mark.parametrize("venue", [ATTACHED, FUTURES], ids=["moved by its position", "resized"])
async def test_no_stop_is_moved_once_the_writer_lock_is_lost(venue: VenueTraits) -> None:
    # Arrange: at 103 the stop goes to the entry
    orders = LockedOrders()
    desk = Desk(orders=orders, venue=venue)
    plan = replace(approved_order().plan, break_even_target=None, break_even_fraction=Decimal("0.25"), trail=None)
    await desk.bought(plan=plan)
    await desk.guard.verify(BROKER)
    orders.is_lost = True

    # Act
    await desk.price(103)

    # Assert
    assert desk.broker.amended == []
    orders.is_lost = False
    desk.clock.advance(60)
    await desk.price(103)
    assert [each.price for each in await desk.broker.venue.protective_orders()] == [Decimal(100)]


async def test_nothing_is_cancelled_once_the_writer_lock_is_lost() -> None:
    orders = LockedOrders()
    desk = Desk(orders=orders, venue=FUTURES)
    await desk.bought()
    await desk.guard.verify(BROKER)
    position = await desk.position()
    await desk.engine.rest_stop(position, Decimal(10), Decimal(99), "STOP")
    orders.is_lost = True

    with suppress(BrokerError):
        await desk.guard.verify(BROKER)

    assert desk.broker.cancelled == []
    orders.is_lost = False
    desk.clock.advance(60)
    await desk.guard.verify(BROKER)
    assert len(desk.broker.cancelled) == 1


async def test_an_entry_that_waits_when_the_writer_lock_is_lost_never_leaves() -> None:
    orders = LockedOrders()
    desk = Desk(orders=orders)

    async def lose_it() -> None:
        orders.is_lost = True

    desk.broker.before_placing = lose_it

    await desk.bought()

    assert (await desk.order(approved_order().client_order_id)).state is OrderState.DENIED
    assert await desk.at_venue() is None


async def test_a_close_that_waits_when_the_writer_lock_is_lost_goes_when_it_is_back() -> None:
    # Arrange
    orders = LockedOrders()
    desk = Desk(orders=orders)
    await desk.bought()

    async def lose_it() -> None:
        orders.is_lost = True

    desk.broker.before_placing = lose_it

    # Act
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "OPERATOR_CLOSE")
    stays = await desk.at_venue()
    orders.is_lost, desk.broker.before_placing = False, None
    desk.clock.advance(60)
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "OPERATOR_CLOSE")

    # Assert
    assert stays is not None
    assert await desk.at_venue() is None


async def test_a_stop_that_could_not_be_moved_for_want_of_the_lock_was_not_refused() -> None:
    # Arrange: somebody takes the stop away, and the lock is lost for some prices
    orders = LockedOrders()
    desk = Desk(orders=orders)
    await desk.bought()
    await desk.price(104)
    await desk.broker.lose_stop(approved_order().client_order_id)
    orders.is_lost = True
    with suppress(NotTheWriter):
        await desk.guard.verify(BROKER)
    for price in (105, 105.5, 106):
        desk.clock.advance(0.3)
        desk.observe(price)
        with suppress(NotTheWriter):
            await desk.look(price)

    # Act
    orders.is_lost = False
    desk.clock.advance(3)
    await desk.guard.verify(BROKER)

    # Assert
    assert [each.quantity for each in await desk.venue.protective_orders()] == [Decimal(5)]
    assert [each.reason for each in await desk.exits()] == ["TARGET_1"]
