"""A venue cuts a reduce-only order down to what is left: FILLED there, with less than we ordered."""

from decimal import Decimal

from bot.models import OrderState
from tests.builders import approved_order
from tests.unit.layer3_execution.desk import BROKER, Desk


async def test_a_close_that_the_venue_cut_down_is_over_when_the_venue_says_so() -> None:
    # Arrange: a resting close that the venue, as reduce-only orders go, cut to what it had filled
    desk = Desk(liquidity=Decimal(10))
    await desk.engine.submit(approved_order())
    position = desk.book.position(approved_order().position_id)
    assert position is not None
    close = await desk.engine.reduce(position, Decimal(10), Decimal(200), "TARGET_1")
    venue_order = desk.venue._orders[close.client_order_id]
    venue_order.quantity = venue_order.filled = Decimal(0)
    venue_order.state = OrderState.FILLED
    desk.venue._books[venue_order.symbol].orders.pop(close.client_order_id)

    # Act
    report = await desk.reconciler.run(BROKER)

    # Assert
    assert close.client_order_id not in report.orders
    assert (await desk.stores.orders.order(close.client_order_id)).state is OrderState.CANCELED
