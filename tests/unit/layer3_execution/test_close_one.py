"""Closing one position because a person wants it."""

from decimal import Decimal

from bot.layer3_execution.close_one import CLOSE_REASON, close_one
from bot.models import PositionId
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import Desk


async def test_it_is_closed_at_market_and_says_so() -> None:
    desk = Desk()
    await desk.bought()
    opened = await desk.position()
    assert await close_one(desk.book, desk.engine, opened.id) == "EUR_USD is closed"
    closed = await desk.position()
    assert (closed.quantity, closed.exit_reason) == (Decimal(0), CLOSE_REASON)
    assert await desk.at_venue() is None


async def test_twice_is_once() -> None:
    desk = Desk()
    await desk.bought()
    opened = await desk.position()
    await close_one(desk.book, desk.engine, opened.id)
    assert await close_one(desk.book, desk.engine, opened.id) == f"{opened.id} is closed already"
    assert await desk.at_venue() is None


async def test_what_is_not_open_is_not_closed() -> None:
    desk = Desk()
    assert "closed already" in await close_one(desk.book, desk.engine, PositionId("nosuch"))


async def test_a_venue_that_refuses_leaves_the_position_with_its_stop_and_says_what_is_left() -> None:
    desk = Desk()
    await desk.bought()
    opened = await desk.position()
    desk.broker.place_faults.append(Fault.REJECTED)
    said = await close_one(desk.book, desk.engine, opened.id)
    assert f"{opened.quantity:f} left" in said
    resting = await desk.at_venue()
    assert resting is not None
    assert resting.stop_price is not None


async def test_a_venue_that_is_not_reached_leaves_the_position_as_it_is() -> None:
    desk = Desk()
    await desk.bought()
    opened = await desk.position()
    desk.broker.place_faults.append(Fault.UNREACHABLE)
    assert "left" in await close_one(desk.book, desk.engine, opened.id)
    assert (await desk.position()).quantity == opened.quantity
