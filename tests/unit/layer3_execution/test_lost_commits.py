"""A connection lost during a commit (fault D1): what is stored and not known here is read back before anything else.

Each of these was first seen in a simulated seed.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from bot.clock import ManualClock
from bot.differences import DifferenceKind
from bot.errors import CommitUnknown, DatabaseUnavailable
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer3_execution.exits import BREAKEVEN
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.reconciliation import Reconciler
from bot.models import ClientOrderId, Order, OrderState, Quote
from tests.builders import EUR_USD, START, approved_order
from tests.fakes.awkward_broker import Fault
from tests.fakes.slow_orders import SlowOrders
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import TRADIER


def slow_desk(venue: VenueTraits | None = None) -> tuple[Desk, SlowOrders]:
    clock = ManualClock(START)
    orders = SlowOrders(clock, lambda: 0)
    return Desk(orders=orders, clock=clock, liquidity=Decimal(5), venue=venue), orders


async def test_a_fill_whose_commit_was_not_confirmed_is_not_taken_back_by_the_next_flag() -> None:
    # Arrange: the second half of the entry is stored, and nobody here knows
    desk, orders = slow_desk()
    await desk.engine.submit(approved_order())
    desk.observe(100)
    orders.lost_commits = 1
    with pytest.raises(CommitUnknown):
        await desk.tracker.collect(BROKER)

    # Act
    await desk.guard.save_extremes()

    # Assert
    assert (await orders.position(approved_order().position_id)).quantity == Decimal(10)


async def test_an_intent_whose_commit_was_not_confirmed_is_read_back_and_sent_once() -> None:
    desk, orders = slow_desk()
    orders.lost_commits = 1

    order = await desk.engine.submit(approved_order())

    assert order.state in (OrderState.PARTIAL, OrderState.FILLED)
    assert [each.client_order_id for each in desk.broker.placed] == [approved_order().client_order_id]


class Vanishing(SlowOrders):
    """The commit is not confirmed, and the look-up after it finds no database."""

    async def order(self, client_order_id: ClientOrderId) -> Order:
        raise DatabaseUnavailable("connection refused")


async def test_an_intent_that_nobody_here_knows_is_found_and_ended_by_reconciliation() -> None:
    # Arrange
    clock = ManualClock(START)
    orders = Vanishing(clock, lambda: 0)
    desk = Desk(orders=orders, clock=clock)
    orders.lost_commits = 1
    with pytest.raises(DatabaseUnavailable):
        await desk.engine.submit(approved_order())
    assert desk.book.orders() == ()

    # Act
    report = await desk.reconciler.run(BROKER)

    # Assert
    assert report.clean
    assert await orders.open_positions() == []
    assert await orders.unfinished_orders() == []
    assert desk.broker.placed == []


async def test_two_minutes_of_absence_are_not_counted_by_a_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # Arrange (fault C1)
    desk = Desk()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    await desk.engine.submit(approved_order())
    reconciler: Reconciler = desk.reconciler
    await reconciler.run(BROKER)

    # Act: the wall clock steps by an hour, monotonic time does not
    now = desk.clock.now()
    monkeypatch.setattr(desk.clock, "now", lambda: now + timedelta(hours=1))
    for _ in range(5):
        await reconciler.run(BROKER)

    # Assert
    assert (await desk.stores.orders.order(approved_order().client_order_id)).state is OrderState.UNKNOWN


async def test_a_quote_from_before_the_entry_closes_nothing() -> None:
    # Arrange (fault M3)
    desk = Desk()
    desk.clock.advance(10)
    await desk.engine.submit(approved_order())
    old = Quote(symbol=EUR_USD, bid=Decimal(110), ask=Decimal(110), at=START)

    # Act
    await desk.guard.on_price(EUR_USD, bid=old.bid, ask=old.ask, quoted_at=old.at)

    # Assert
    assert [each.client_order_id for each in desk.broker.placed] == [ClientOrderId(approved_order().client_order_id)]


async def test_an_entry_that_the_venue_dates_after_now_waits_for_no_quote() -> None:
    # Arrange: IG does not promise that its instants are UTC; those of an account an hour ahead lie in the future
    desk = Desk()
    await desk.bought()
    position = await desk.position()
    ahead = desk.clock.now() + timedelta(hours=1)
    await desk.tracker.change(position.id, lambda now: replace(now, opened_at=ahead))

    # Act
    desk.observe(104)
    quoted_at = desk.clock.now()
    await desk.guard.on_price(EUR_USD, bid=Decimal(104), ask=Decimal(104), quoted_at=quoted_at)

    # Assert
    assert [each.reason for each in await desk.exits()] == ["TARGET_1"]


async def test_a_quote_from_before_the_entry_closes_nothing_also_where_the_clock_of_the_venue_is_ahead() -> None:
    # Arrange
    desk = Desk()
    await desk.bought()
    position, ahead = await desk.position(), desk.clock.now() + timedelta(minutes=2)
    await desk.tracker.change(position.id, lambda now: replace(now, opened_at=ahead))

    # Act
    quoted_at = ahead - timedelta(seconds=1)
    await desk.guard.on_price(EUR_USD, bid=Decimal(104), ask=Decimal(104), quoted_at=quoted_at)

    # Assert
    assert await desk.exits() == []


async def test_a_close_whose_intent_was_stored_unnoticed_gives_way_to_one_for_what_is_open_by_now() -> None:
    # Arrange: the intent to close 5 is stored, its answer was lost, and since then 5 more have filled
    desk, orders = slow_desk()
    await desk.bought()
    orders.lost_commits = 1
    with pytest.raises(CommitUnknown):
        await desk.engine.reduce(await desk.position(), Decimal(5), None, "UNPROTECTED")
    desk.observe(100)
    await desk.tracker.collect(BROKER)

    # Act
    close = await desk.engine.reduce(await desk.position(), Decimal(10), None, "UNPROTECTED")

    # Assert
    assert (close.quantity, desk.broker.placed[-1].quantity) == (Decimal(10), Decimal(10))
    assert [each.client_order_id for each in desk.broker.placed[1:]] == [close.client_order_id]
    assert {each.state for each in await orders.orders_of(close.position_id)}.isdisjoint({OrderState.INTENT})


async def test_a_close_whose_intent_was_stored_unnoticed_is_sent_under_its_own_name_if_it_is_still_meant() -> None:
    desk, orders = slow_desk()
    await desk.bought()
    orders.lost_commits = 1
    with pytest.raises(CommitUnknown):
        await desk.engine.reduce(await desk.position(), Decimal(5), None, "TIME")

    close = await desk.engine.reduce(await desk.position(), Decimal(5), None, "TIME")

    assert [each.client_order_id for each in await orders.orders_of(close.position_id) if each.reason == "TIME"] == [
        close.client_order_id
    ]
    assert desk.broker.placed[-1].client_order_id == close.client_order_id


async def test_a_stop_whose_intent_was_stored_unnoticed_does_not_come_back_at_a_price_that_nobody_wants_now() -> None:
    # Arrange: it was to go to 101, the answer of the commit was lost, and the price has fallen since then
    desk, orders = slow_desk(venue=TRADIER)
    await desk.bought()
    orders.lost_commits = 1
    with pytest.raises(CommitUnknown):
        await desk.engine.rest_stop(await desk.position(), Decimal(5), Decimal(101), "STOP")

    # Act
    stop = await desk.engine.rest_stop(await desk.position(), Decimal(5), Decimal(90), "STOP")

    # Assert
    resting = {each.client_order_id: each.price for each in await desk.venue.protective_orders()}
    assert (resting[stop.client_order_id], stop.state) == (Decimal(90), OrderState.WORKING)
    assert Decimal(101) not in resting.values()


class LosingOne(SlowOrders):
    """Of the commits to come exactly one is not confirmed: the one after `confirmed` others; none while it is None."""

    confirmed: int | None = None

    async def _committed(self) -> None:
        if self.confirmed is not None:
            self.lost_commits = int(self.confirmed == 0)
            self.confirmed = self.confirmed - 1 if self.confirmed else None
        await super()._committed()


@pytest.mark.parametrize("confirmed", range(6))
async def test_a_close_by_hand_is_counted_to_its_end_whichever_commit_of_it_was_not_confirmed(confirmed: int) -> None:
    # Arrange: a person has closed all of it, in three parts; the venue has told them
    clock = ManualClock(START)
    orders = LosingOne(clock, lambda: 0)
    desk = Desk(orders=orders, clock=clock, liquidity=Decimal(4), venue=TRADIER)
    await desk.bought()
    for _ in range(2):
        await desk.price(100)
    desk.venue.close_by_other(ClientOrderId("by-hand"), approved_order().client_order_id, Decimal(10))
    for _ in range(3):
        desk.observe(100)
    stops = list(desk.broker.stops_placed)

    # Act: looks at the venue that come in between read back what is stored
    await desk.tracker.collect(BROKER)
    orders.confirmed = confirmed
    with suppress(CommitUnknown):
        await desk.reconciler.run(BROKER)
    await desk.guard.save_extremes()
    await desk.reconciler.run(BROKER)
    await desk.guard.attend(BROKER)

    # Assert
    ended = await desk.position()
    assert (ended.exit_reason, ended.closed_quantity) == ("CLOSED_BY_HAND", Decimal(10))
    assert await desk.venue.protective_orders() == ()
    assert desk.broker.stops_placed == stops, "the venue had nothing left to protect"


async def test_a_second_delivery_whose_fill_was_stored_unnoticed_is_reduced_to_what_was_ordered() -> None:
    # Arrange: as meant so far; then the same request arrives once more, and nobody hears that its fill was stored
    clock = ManualClock(START)
    orders = LosingOne(clock, lambda: 0)
    desk = Desk(orders=orders, clock=clock, venue=TRADIER)
    await desk.bought()
    await desk.guard.verify(BROKER)
    await desk.venue.place(approved_order())
    orders.confirmed = 0
    with suppress(CommitUnknown):
        await desk.tracker.collect(BROKER)

    # Act
    await desk.tracker.collect(BROKER)
    await desk.guard.verify(BROKER)

    # Assert
    assert (await desk.position()).quantity == 10
    assert [each.reason for each in await desk.exits()] == ["SURPLUS"]


async def moved_to_the_entry_and_not_remembered() -> Desk:
    """The stop rests at what was paid, and the commit that would have told why was lost."""
    desk = Desk(venue=TRADIER)
    await desk.bought()
    desk.observe(101)
    await desk.engine.rest_stop(await desk.position(), Decimal(10), Decimal(100), BREAKEVEN)
    return desk


async def test_a_stop_that_was_moved_before_its_flag_was_stored_closes_under_its_own_name() -> None:
    desk = await moved_to_the_entry_and_not_remembered()

    desk.observe(99)
    await desk.tracker.collect(BROKER)

    assert (await desk.position()).exit_reason == BREAKEVEN


async def test_a_close_in_place_of_such_a_stop_bears_the_name_of_the_stop() -> None:
    # Arrange: the venue finds that the price is beyond the one that is to take the place of both
    desk = await moved_to_the_entry_and_not_remembered()
    desk.broker.stop_faults.append(Fault.BEYOND)
    await desk.engine.reduce(await desk.position(), Decimal(4), None, "TARGET_1")

    # Act
    await desk.guard.verify(BROKER)

    # Assert
    assert (await desk.position()).exit_reason == BREAKEVEN


async def test_an_order_that_was_ended_unnoticed_is_forgotten_by_the_next_comparison() -> None:
    # Arrange: the cancel was answered, its commit was not, and the venue has nothing more to tell
    desk, orders = slow_desk(TRADIER)
    await desk.bought()
    (stop,) = desk.broker.stops_placed
    await desk.venue.cancel(stop)
    orders.lost_commits = 1
    with pytest.raises(CommitUnknown):
        await desk.tracker.move(await desk.order(stop), OrderEvent.CANCELED, "gone at the venue")
    assert desk.book.order(stop) is not None

    # Act
    await desk.reconciler.run(BROKER)

    # Assert
    assert desk.book.order(stop) is None


async def test_a_fill_that_was_stored_unnoticed_and_taken_back_is_told_as_a_difference() -> None:
    # Arrange (faults D1 and B20): nobody will tell that fill again
    clock = ManualClock(START)
    orders = SlowOrders(clock, lambda: 0)
    desk = Desk(orders=orders, clock=clock, venue=TRADIER)
    desk.broker.hold_fills = True
    await desk.bought()
    desk.broker.hold_fills = False
    orders.lost_commits = 1
    with suppress(CommitUnknown):
        await desk.tracker.collect(BROKER)
    desk.venue.take_back(desk.venue.can_be_taken_back()[-1])

    # Act
    reports = []
    for _ in range(3):
        reports.append(await desk.reconciler.run(BROKER))
        desk.clock.advance(5)

    # Assert
    assert [each.kind for each in reports[-1].differences] == [DifferenceKind.LOST_POSITION]
    assert desk.book.positions() == tuple(await orders.open_positions())


async def test_an_intent_that_was_stored_unnoticed_is_ended_within_seconds_also_when_its_position_has_closed() -> None:
    # Arrange: the commit of a close got no answer, and the stop closed the position meanwhile
    desk, orders = slow_desk(TRADIER)
    await desk.bought()
    orders.lost_commits = 1
    with pytest.raises(CommitUnknown):
        await desk.engine.reduce(await desk.position(), Decimal(10), None, "OPERATOR_CLOSE")
    await desk.price(97)
    (close,) = await desk.exits()
    assert ((await desk.position()).is_open, close.state) == (False, OrderState.INTENT)

    # Act
    await desk.reconciler.resolve(BROKER)
    desk.clock.advance(5)
    await desk.reconciler.resolve(BROKER)

    # Assert
    assert [each.state for each in await desk.exits()] == [OrderState.DENIED]
    assert desk.book.order(close.client_order_id) is None


class StoresIntentsLate(SlowOrders):
    """Intents wait for `gate` when there is one: their connection is slow, those of others are not."""

    gate: asyncio.Event | None = None

    async def record_intent(self, *values: Any, **more: Any) -> bool:
        if self.gate is not None:
            await self.gate.wait()
        return await super().record_intent(*values, **more)


async def test_a_fill_of_unknown_commit_stays_in_doubt_when_an_intent_of_its_position_is_stored_meanwhile() -> None:
    # Arrange: a target is being stored when the commit of another fill gets no answer
    clock = ManualClock(START)
    orders = StoresIntentsLate(clock, lambda: 0)
    desk = Desk(orders=orders, clock=clock, liquidity=Decimal(5))
    await desk.bought()
    orders.gate = asyncio.Event()
    storing = asyncio.ensure_future(desk.engine.reduce(await desk.position(), Decimal(2), None, "TARGET_1"))
    await clock.run_for(0)
    desk.observe(100)
    orders.lost_commits = 1
    with pytest.raises(CommitUnknown):
        await desk.tracker.collect(BROKER)

    # Act: it is stored, and a position is written before fills are told again
    desk.broker.failing.add("fills_since")
    orders.gate.set()
    await storing
    await desk.guard.save_extremes()
    desk.broker.failing.clear()
    await desk.tracker.collect(BROKER)

    # Assert
    at_venue = await desk.at_venue()
    assert at_venue is not None
    assert (await desk.position()).quantity == at_venue.quantity
