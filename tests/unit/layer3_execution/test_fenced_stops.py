"""A daemon that has lost the writer lock changes no stop: another one may be looking after it (I13)."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.database.memory_orders import MemoryOrders
from bot.errors import NotTheWriter
from tests.builders import approved_order
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import ATTACHED, FUTURES


class LockedOrders(MemoryOrders):
    """Of a process whose lock can be lost."""

    is_lost = False

    async def check_writer(self) -> None:
        if self.is_lost:
            raise NotTheWriter("the connection that holds the writer lock ended")


@pytest.mark.parametrize("venue", [ATTACHED, FUTURES], ids=["moved by its position", "resized"])
async def test_no_stop_is_moved_once_the_writer_lock_is_lost(venue: Mapping[str, Any]) -> None:
    # Arrange: at 103 the stop goes to the entry
    orders = LockedOrders()
    desk = Desk(orders=orders, venue=venue)
    plan = replace(approved_order().plan, break_even_target=None, break_even_fraction=Decimal("0.25"), trail=None)
    await desk.bought(plan=plan)
    await desk.guard.verify(BROKER)
    orders.is_lost = True

    # Act
    with pytest.raises(NotTheWriter):
        await desk.price(103)

    # Assert
    assert desk.broker.amended == []
    orders.is_lost = False
    desk.clock.advance(60)
    await desk.price(103)
    assert [each.price for each in await desk.broker.venue.protective_orders()] == [Decimal(100)]
