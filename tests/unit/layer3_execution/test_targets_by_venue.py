"""Targets where a venue takes no exit with a price, and where what rests outlives its position."""

from dataclasses import replace
from decimal import Decimal

from bot.layer1_data.broker_interface import DuplicateIds
from bot.models import OrderKind, OrderState
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import ATTACHED

IG = replace(ATTACHED, duplicate_ids=DuplicateIds.NONE, limit_exits=False)
EXITS_OUTLIVE = replace(ATTACHED, exits_end_with_position=False)


async def test_where_every_exit_closes_at_the_market_a_target_is_sent_without_its_price() -> None:
    desk = Desk(venue=IG)
    await desk.bought()

    await desk.price(104)

    (target,) = await desk.exits()
    assert (target.kind, target.price, target.state) == (OrderKind.MARKET, None, OrderState.FILLED)
    assert (await desk.position()).quantity == Decimal(5)


async def test_a_target_that_outlived_its_position_is_cancelled_by_the_next_reconciliation() -> None:
    desk = Desk(venue=EXITS_OUTLIVE)
    await desk.bought()
    desk.clock.advance(10)
    await desk.look(104)  # the price is gone again when the target arrives: it rests
    await desk.price(97)
    left = [each.client_order_id for each in await desk.venue.open_orders()]

    await desk.reconciler.run(BROKER)

    (target,) = await desk.exits()
    assert left == [target.client_order_id]
    assert await desk.venue.open_orders() == ()
    assert target.state is OrderState.CANCELED
