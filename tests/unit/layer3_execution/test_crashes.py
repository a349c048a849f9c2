"""Killed after every single request to store and venue, and a second time during recovery.

The story: an entry in partial fills, a stop after each, half at target 1, a moved stop, the end.
"""

from decimal import Decimal

import pytest

from bot.clock import ManualClock
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import OrderRole, Side
from tests.builders import START, approved_order
from tests.fakes.slow_orders import SlowOrders
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import EVERY_CLASS

ENTRY = approved_order().client_order_id


class Killed(BaseException):
    """kill -9: nothing of the process goes on after it."""


class Life:
    """A desk that is killed after so many boundaries; None: never."""

    def __init__(self, venue: VenueTraits) -> None:
        self.left: int | None = None
        clock = ManualClock(START)
        self.desk = Desk(orders=SlowOrders(clock, self.boundary), clock=clock, liquidity=Decimal(4), venue=venue)
        self.desk.broker.latency = self.boundary

    def boundary(self) -> int:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed
        return 0

    async def trade(self, dies_at: int | None) -> bool:
        """The whole story; False if the process was killed in it."""
        self.left = dies_at
        desk = self.desk
        try:
            await desk.bought()
            for price in (100, 100, 104, 104, 106, 100, 100):
                desk.clock.advance(10)
                await desk.price(price)
        except Killed:
            return False
        finally:
            self.left = None
        return True

    async def recover(self, dies_at: int | None = None) -> bool:
        """What a start does; False if it was killed too."""
        self.left = dies_at
        try:
            await self.desk.restart()
            await self.desk.reconciler.run(BROKER)
            await self.desk.guard.verify(BROKER)
            self.desk.clock.advance(2)  # a close that two processes wrote and never sent is tried again after 2 s
            await self.desk.guard.attend(BROKER)
        except Killed:
            return False
        finally:
            self.left = None
        return True


async def assert_protected_once(life: Life, k: int) -> None:
    """Every position of the venue has a stop for exactly all of it, once, and our record says the same."""
    desk = life.desk
    venue = {each.entry_order_id: each.quantity for each in await desk.venue.positions()}
    stops = await desk.venue.protective_orders()
    rests = sum((each.quantity - each.filled_quantity for each in stops), Decimal(0))
    opened = sum(venue.values(), Decimal(0))
    if rests != opened:  # only where stops lock what they sell, and what has no stop is being sold
        closing = [each.quantity - each.filled_quantity for each in await desk.venue.open_orders() if each.reduces_only]
        assert desk.venue.capabilities.stop_reserves
        assert rests + sum(closing, Decimal(0)) == opened, f"killed at boundary {k}"
    assert len(stops) <= len(venue) <= 1, f"killed at boundary {k}"
    ours = {each.entry_order_id: each.quantity for each in desk.book.positions() if each.is_open}
    assert ours == venue, f"killed at boundary {k}"
    names = [each.client_order_id for each in desk.broker.placed]
    assert len(names) == len(set(names)), f"killed at boundary {k}"
    fills, _ = await desk.venue.fills_since("")
    bought = sum((each.quantity for each in fills if each.side is Side.BUY), Decimal(0))
    assert bought <= 10, f"killed at boundary {k}"


@pytest.mark.parametrize("venue", EVERY_CLASS.values(), ids=EVERY_CLASS)
async def test_killed_after_every_boundary_a_start_finds_everything_protected_once(venue: VenueTraits) -> None:
    k = 0
    while True:
        life = Life(venue)
        survived = await life.trade(k)
        if survived:
            break
        assert await life.recover()
        await assert_protected_once(life, k)
        k += 1
    assert k > 60


@pytest.mark.parametrize("venue", EVERY_CLASS.values(), ids=EVERY_CLASS)
async def test_killed_again_while_it_recovers_the_next_start_finds_its_way(venue: VenueTraits) -> None:
    pairs = 0
    for k in range(0, 400, 11):
        for again in range(60):
            life = Life(venue)
            if await life.trade(k):
                break
            recovered = await life.recover(again)
            if recovered:
                break
            assert await life.recover()
            await assert_protected_once(life, k)
            pairs += 1
    assert pairs > 40


@pytest.mark.parametrize("venue", EVERY_CLASS.values(), ids=EVERY_CLASS)
async def test_the_story_itself_ends_flat_with_nothing_left(venue: VenueTraits) -> None:
    life = Life(venue)
    assert await life.trade(None)
    desk = life.desk
    assert await desk.at_venue() is None
    assert (await desk.venue.protective_orders(), desk.book.orders()) == ((), ())
    roles = {each.role for each in await desk.stores.orders.orders_of(approved_order().position_id)}
    assert roles == {OrderRole.ENTRY, OrderRole.EXIT, OrderRole.STOP}
