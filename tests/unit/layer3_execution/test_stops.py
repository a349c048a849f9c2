"""Venues that attach no stop, or whose stop does not follow its position: each claim for every class of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from bot.clock import ManualClock
from bot.errors import BrokerError, BrokerUnavailable
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer3_execution.order_state import OrderEvent
from bot.models import OrderRole, OrderState, VenuePosition, leg_of
from bot.simulation.clock import LoopClock
from bot.simulation.loop import SimulatedLoop
from tests.builders import approved_order
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import ATTACHED, COINBASE, FUTURES, NAMELESS, OURS_TO_SIZE, SPOT, TRADIER

ENTRY = approved_order().client_order_id
EVERY = pytest.mark.parametrize("venue", OURS_TO_SIZE.values(), ids=OURS_TO_SIZE)
SEQUENTIAL = pytest.mark.parametrize("venue", [FUTURES, TRADIER, SPOT], ids=["futures", "tradier", "spot"])


async def resting(desk: Desk) -> list[tuple[Decimal, Decimal | None]]:
    """What is left of each resting stop, and where it rests."""
    return [(each.quantity - each.filled_quantity, each.price) for each in await desk.venue.protective_orders()]


async def open_desk(venue: VenueTraits, **options: Any) -> Desk:
    desk = Desk(venue=venue, **options)
    await desk.bought()
    return desk


@EVERY
async def test_a_filled_entry_has_one_stop_for_all_of_it_when_the_submission_returns(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    assert await resting(desk) == [(Decimal(10), Decimal(98))]
    assert not desk.guard.unprotected.is_open(BROKER)
    assert desk.incidents() == []


@SEQUENTIAL
async def test_the_stop_is_an_intent_of_its_own_stored_before_the_venue_hears_of_it(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    (name,) = desk.broker.stops_placed
    assert name == leg_of(ENTRY, "S1")
    events = await desk.stores.orders.order_events(name)
    assert [state for _, _, state, _ in events] == ["INTENT", "SENDING", "WORKING"]
    assert (await desk.position()).stop_order_id == name


@EVERY
async def test_after_each_partial_fill_the_stop_covers_what_has_filled(venue: VenueTraits) -> None:
    desk = Desk(venue=venue, liquidity=Decimal(4))
    await desk.bought()
    covered = [await resting(desk)]
    for _ in range(2):
        desk.observe(100)
        await desk.tracker.collect(BROKER)
        covered.append(await resting(desk))
    assert covered == [[(Decimal(size), Decimal(98))] for size in (4, 8, 10)]


@EVERY
async def test_a_target_fill_shrinks_the_stop_after_it(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    await desk.price(104)
    assert await resting(desk) == [(Decimal(5), Decimal(102))]
    assert ((await desk.position()).quantity, (await desk.position()).stop_price) == (Decimal(5), Decimal(102))


@EVERY
async def test_the_stop_follows_the_price_and_closes_the_rest(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    for price in (104, 106, "105.2", 107, "106.2"):
        await desk.price(price)
    assert await resting(desk) == [(Decimal(5), Decimal("106.125"))]
    await desk.price(106)
    position = await desk.position()
    assert (position.exit_reason, position.closed_at is not None) == ("TRAIL", True)
    assert (await resting(desk), desk.book.orders(), await desk.at_venue()) == ([], (), None)


@EVERY
async def test_when_everything_is_closed_no_stop_is_left_resting(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "TIMEOUT")
    assert (await resting(desk), desk.book.orders()) == ([], ())


@EVERY
async def test_a_stop_is_not_cancelled_before_the_venue_says_that_nothing_is_open(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    opened = await desk.venue.positions()
    desk.broker.stale_positions = opened
    if venue is SPOT:
        return  # a stop that locks what is sold has to go first: the gap is measured instead
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "TIMEOUT")
    assert len(await resting(desk)) == 1
    desk.broker.stale_positions = None
    assert await desk.guard.attend(BROKER)
    assert (await resting(desk), desk.book.orders()) == ([], ())
    assert not await desk.guard.attend(BROKER)


@EVERY
async def test_a_surplus_stop_is_cancelled_within_one_look(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    if venue is not SPOT:
        (opened,) = await desk.venue.positions()
        await desk.venue.place_stop(opened, leg_of(ENTRY, "S9"), Decimal(98))  # one that we know nothing of
        assert len(await resting(desk)) == 2
    await desk.guard.verify(BROKER)
    assert await resting(desk) == [(Decimal(10), Decimal(98))]


@EVERY
async def test_a_stop_left_behind_by_a_crash_after_the_close_is_cancelled_at_start_up(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    if venue is SPOT:
        return
    desk.broker.failing.add("positions")  # nothing is cancelled, then the process ends
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "TIMEOUT")
    await desk.restart()
    desk.broker.failing.clear()
    await desk.reconciler.run(BROKER)
    await desk.guard.verify(BROKER)
    assert (await resting(desk), desk.book.orders()) == ([], ())


@EVERY
async def test_a_leftover_stop_that_triggers_opens_nothing(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    desk.broker.failing.add("positions")
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "TIMEOUT")
    desk.observe(90)
    assert await desk.at_venue() is None


@SEQUENTIAL
async def test_a_stop_refused_twice_closes_the_position_at_once(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    desk.broker.stop_faults.extend([Fault.REJECTED] * 2)
    await desk.bought()
    assert await desk.at_venue() is None
    assert (await desk.position()).exit_reason == "UNPROTECTED"
    assert "unprotected position is closed" in desk.incidents()


@SEQUENTIAL
async def test_what_still_works_of_an_entry_is_taken_back_while_its_unprotected_position_is_closed(
    venue: VenueTraits,
) -> None:
    # Arrange: 4 of 10 are filled, no stop is taken, and the close finds nobody to sell to
    desk = Desk(venue=venue, liquidity=Decimal(4))
    desk.broker.stop_faults.extend([Fault.REJECTED] * 100)
    await desk.bought()
    assert [each.quantity for each in await desk.exits()] == [Decimal(4)]

    # Act
    await desk.guard.attend(BROKER)

    # Assert: what comes to market next is the close's
    assert (await desk.order(ENTRY)).state is OrderState.CANCELED
    await desk.price(100)
    assert ((await desk.position()).first_quantity, await desk.at_venue()) == (Decimal(4), None)


@SEQUENTIAL
async def test_an_entry_whose_cancel_gets_no_answer_is_taken_back_by_a_later_look(venue: VenueTraits) -> None:
    desk = Desk(venue=venue, liquidity=Decimal(4))
    desk.broker.stop_faults.extend([Fault.REJECTED] * 100)
    desk.broker.cancel_faults.extend([Fault.REQUEST_LOST] * 3)
    await desk.bought()
    assert [each.state for each in await desk.exits()] == [OrderState.WORKING]
    assert (await desk.order(ENTRY)).state is OrderState.CANCEL_PENDING
    for _ in range(4):
        desk.clock.advance(1)
        await desk.guard.attend(BROKER)
    assert (await desk.order(ENTRY)).state is OrderState.CANCELED


@SEQUENTIAL
async def test_a_stop_refused_once_is_asked_for_again_under_another_name(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    desk.broker.stop_faults.append(Fault.REJECTED)
    await desk.bought()
    assert await resting(desk) == [(Decimal(10), Decimal(98))]
    assert desk.broker.stops_placed == [leg_of(ENTRY, "S1"), leg_of(ENTRY, "S1", 1)]


@SEQUENTIAL
async def test_a_price_already_beyond_the_stop_closes_the_position_at_once(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)

    async def fall() -> None:
        desk.observe(97)

    desk.broker.while_placing = fall
    await desk.bought()
    assert await desk.at_venue() is None
    assert (await desk.position()).exit_reason == "UNPROTECTED"


@SEQUENTIAL
@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.REQUEST_LOST])
async def test_a_position_without_a_stop_for_ten_seconds_is_closed(venue: VenueTraits, fault: Fault) -> None:
    desk = Desk(venue=venue)
    desk.broker.stop_faults.extend([fault] * 100)
    await desk.bought()
    for _ in range(9):
        assert await desk.guard.attend(BROKER)
        assert await desk.at_venue() is not None
        desk.clock.advance(1)
    desk.clock.advance(1)
    await desk.guard.attend(BROKER)
    assert await desk.at_venue() is None
    assert desk.guard.unprotected.worst_s == 10


@SEQUENTIAL
async def test_closing_an_unprotected_position_backs_off_and_never_gives_up(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    desk.broker.stop_faults.extend([Fault.REJECTED] * 1000)
    desk.broker.place_faults.extend([Fault.UNREACHABLE] * 1000)
    desk.broker.place_faults[0] = Fault.REPLY_LOST
    await desk.bought()
    began = desk.clock.monotonic()
    tried: list[float] = []
    for _ in range(60):
        before = len(desk.broker.placed)
        await desk.reconciler.run(BROKER)
        await desk.guard.verify(BROKER)
        if len(desk.broker.placed) > before:
            tried.append(desk.clock.monotonic() - began)
        desk.clock.advance(1)
    assert tried == [0, 1, 3, 8, 18, 28, 38, 48, 58]
    desk.broker.place_faults.clear()
    desk.clock.advance(10)
    await desk.guard.verify(BROKER)
    assert await desk.at_venue() is None


@SEQUENTIAL
async def test_a_stop_whose_answer_was_lost_is_found_and_not_placed_twice(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    desk.broker.stop_faults.append(Fault.REPLY_LOST)
    await desk.bought()
    await desk.guard.verify(BROKER)
    assert await resting(desk) == [(Decimal(10), Decimal(98))]
    assert desk.broker.stops_placed == [leg_of(ENTRY, "S1")]
    assert (await desk.order(leg_of(ENTRY, "S1"))).state is OrderState.WORKING


@SEQUENTIAL
async def test_a_stop_whose_request_was_lost_is_placed_again_after_a_clean_question(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    desk.broker.stop_faults.append(Fault.REQUEST_LOST)
    await desk.bought()
    desk.broker.failing.add("find_order")
    with pytest.raises(BrokerUnavailable):
        await desk.guard.verify(BROKER)
    assert len(desk.broker.stops_placed) == 1
    desk.broker.failing.clear()
    await desk.guard.verify(BROKER)
    assert await resting(desk) == [(Decimal(10), Decimal(98))]
    assert "find_order" in desk.broker.asked


def in_virtual_time(
    trading: Callable[[Desk], Awaitable[None]], venue: VenueTraits, **options: Any
) -> tuple[float, Desk]:
    """Run `trading` on a desk of its own; how long it took, and the desk."""
    loop = SimulatedLoop(1)
    desk = Desk(clock=cast(ManualClock, LoopClock(loop)), venue=venue, **options)  # nobody advances it but its loop
    try:
        loop.run_until_complete(trading(desk))
        return loop.time(), desk
    finally:
        loop.bury()


def rested_within_s(venue: VenueTraits, *faults: Fault) -> tuple[float, Desk]:
    """How long it takes until a stop rests for what was bought, or it is sold again, while requests for it go wrong."""

    async def trade(desk: Desk) -> None:
        desk.broker.stop_faults.extend(faults)
        await desk.bought(valid_until=desk.clock.now() + timedelta(minutes=1))
        while not await resting(desk) and await desk.at_venue() is not None:
            await desk.guard.attend(BROKER)
            await desk.clock.sleep(1)

    return in_virtual_time(trade, venue)


def test_a_stop_that_gets_no_answer_is_asked_for_again_after_three_seconds_under_another_name() -> None:
    taken_s, desk = rested_within_s(TRADIER, Fault.SILENT)

    assert 3 <= taken_s < 6
    assert desk.broker.stops_placed == [leg_of(ENTRY, "S1"), leg_of(ENTRY, "S1", 1)]


def test_a_stop_that_gets_no_answer_twice_does_not_cost_the_position() -> None:
    taken_s, desk = rested_within_s(TRADIER, Fault.SILENT, Fault.SILENT)

    assert taken_s < 10
    assert len(desk.broker.placed) == 1


def test_where_stops_lock_what_they_sell_no_second_one_is_asked_for_while_the_first_one_may_arrive() -> None:
    taken_s, desk = rested_within_s(SPOT, Fault.SILENT)

    assert taken_s >= 10
    assert desk.broker.stops_placed == [leg_of(ENTRY, "S1")]


def test_where_a_position_has_one_stop_at_most_no_second_one_is_asked_for_while_the_first_one_may_arrive() -> None:
    async def trade(desk: Desk) -> None:
        await desk.bought(valid_until=desk.clock.now() + timedelta(minutes=1))
        await desk.broker.lose_stop(ENTRY)
        desk.broker.stop_faults.append(Fault.SILENT)
        looking = asyncio.ensure_future(desk.guard.verify(BROKER))
        while desk.clock.monotonic() < 9:
            await desk.clock.sleep(0.5)
            await desk.guard.attend(BROKER)
        looking.cancel()

    _, desk = in_virtual_time(trade, ATTACHED)

    assert len(desk.broker.stops_placed) == 1


def test_a_stop_that_rests_after_all_beside_the_one_that_was_asked_for_after_it_is_gone_within_seconds() -> None:
    most: list[int] = []

    async def trade(desk: Desk) -> None:
        desk.broker.stop_faults.append(Fault.SLOW)
        await desk.bought(valid_until=desk.clock.now() + timedelta(minutes=1))
        while desk.clock.monotonic() < 12:
            await desk.guard.attend(BROKER)
            await desk.clock.sleep(1)
            most.append(len(await resting(desk)))

    _, desk = in_virtual_time(trade, TRADIER)

    assert len(desk.broker.stops_placed) == 2
    assert (max(most), most[-1]) == (2, 1)


def test_a_refusal_that_nobody_waits_for_any_more_does_not_count_towards_closing_the_position() -> None:
    later = (Fault.REJECTED, *[Fault.UNREACHABLE] * 3)

    taken_s, desk = rested_within_s(TRADIER, Fault.REFUSED_LATE, *later)

    assert 6.5 < taken_s < 10
    assert len(desk.broker.placed) == 1


async def test_where_a_position_has_one_stop_at_most_it_is_not_taken_away_under_the_name_of_another_one() -> None:
    # Arrange: its first stop is gone, and so is one for a part that was acknowledged a moment ago
    desk = Desk(venue=NAMELESS)
    await desk.bought()
    await desk.broker.lose_stop(ENTRY)
    desk.clock.advance(6)
    await desk.engine.rest_stop(await desk.position(), Decimal(4), Decimal(98), "STOP")
    await desk.broker.lose_stop(ENTRY)

    # Act
    await desk.guard.verify(BROKER)

    # Assert
    assert await resting(desk) == [(Decimal(10), Decimal(98))]


@SEQUENTIAL
async def test_a_lost_stop_that_arrives_late_is_cancelled_as_surplus(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    desk.broker.stop_faults.append(Fault.REQUEST_LOST)
    await desk.bought()
    await desk.guard.verify(BROKER)
    (opened,) = await desk.venue.positions()
    await desk.venue.place_stop(opened, leg_of(ENTRY, "S1"), Decimal(98))
    await desk.guard.verify(BROKER)
    assert await resting(desk) == [(Decimal(10), Decimal(98))]
    states = [each.state for each in desk.book.orders_of((await desk.position()).id, OrderRole.STOP)]
    assert states.count(OrderState.WORKING) == 1


@pytest.mark.parametrize("venue", [FUTURES, TRADIER], ids=["futures", "tradier"])
async def test_a_stop_that_is_shown_late_is_not_placed_twice_and_counts_only_once_shown(venue: VenueTraits) -> None:
    desk = await open_desk(replace(venue, visible_after_s=4))
    await desk.guard.verify(BROKER)
    assert desk.guard.unprotected.is_open(BROKER)
    desk.clock.advance(4)
    assert await desk.guard.verify(BROKER) == 4
    assert not desk.guard.unprotected.is_open(BROKER)
    assert len(desk.broker.stops_placed) == 1


async def test_where_stops_are_replaced_the_old_one_goes_only_when_the_new_one_was_read_back() -> None:
    desk = await open_desk(TRADIER)
    desk.broker.failing.add("protective_orders")
    desk.observe(104)
    await desk.tracker.collect(BROKER)
    position = await desk.position()
    await desk.engine.reduce(position, Decimal(5), Decimal(104), "TARGET_1")
    assert desk.broker.cancelled == []
    desk.broker.failing.clear()
    await desk.guard.verify(BROKER)
    assert await resting(desk) == [(Decimal(5), Decimal(98))]


@pytest.mark.parametrize("limit", [None, Decimal("99.5")], ids=["market", "limit"])
@pytest.mark.parametrize("venue", [FUTURES, COINBASE, TRADIER], ids=["futures", "coinbase", "tradier"])
async def test_a_close_that_fills_in_parts_is_followed_every_three_seconds(
    venue: VenueTraits, limit: Decimal | None
) -> None:
    # Arrange: 10 are held, and the market takes 3 at a time
    desk = Desk(venue=venue, liquidity=Decimal(3))
    await desk.bought()
    for _ in range(3):
        desk.observe(100)
        await desk.tracker.collect(BROKER)
    await desk.guard.verify(BROKER)
    desk.observe("99.9")
    await desk.engine.reduce(await desk.position(), Decimal(10), limit, "TARGET_1")
    desk.observe("99.8")
    await desk.tracker.collect(BROKER)
    await desk.guard.verify(BROKER)
    (before,) = await resting(desk)

    # Act
    desk.observe("99.7")
    desk.clock.advance(3)
    await desk.guard.attend(BROKER)

    # Assert
    (after,) = await resting(desk)
    assert (before[0] - after[0], after[0]) == (Decimal(3), (await desk.position()).quantity)


async def test_where_stops_are_amended_no_second_one_is_placed() -> None:
    desk = await open_desk(FUTURES, liquidity=Decimal(4))
    for _ in range(3):
        desk.observe(100)
        await desk.tracker.collect(BROKER)
    assert desk.broker.stops_placed == [leg_of(ENTRY, "S1")]
    stop = await desk.order(leg_of(ENTRY, "S1"))
    assert (stop.quantity, stop.state) == (Decimal(10), OrderState.WORKING)


async def test_an_attached_stop_that_does_not_shrink_is_replaced_by_a_smaller_one() -> None:
    desk = await open_desk(COINBASE)
    await desk.price(104)
    assert desk.broker.cancelled == [leg_of(ENTRY, "S0"), leg_of(ENTRY, "S1")]
    assert (await desk.order(leg_of(ENTRY, "S0"))).state is OrderState.CANCELED


async def test_a_stop_that_locks_what_it_protects_makes_room_for_a_close() -> None:
    desk = await open_desk(SPOT)
    order = await desk.engine.reduce(await desk.position(), Decimal(4), None, "KILL_FLATTEN")
    assert order.state is OrderState.FILLED
    assert await resting(desk) == [(Decimal(6), Decimal(98))]


@EVERY
async def test_a_stop_taken_away_by_hand_is_rested_again(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    desk.clock.advance(10)
    for stop in await desk.venue.protective_orders():
        assert stop.client_order_id is not None
        await desk.venue.cancel(stop.client_order_id)
    await desk.guard.verify(BROKER)
    assert await resting(desk) == [(Decimal(10), Decimal(98))]
    assert "position without a stop" in desk.incidents()


@EVERY
async def test_an_entry_that_fills_while_nobody_waits_for_it_is_protected_by_the_next_look(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    desk.venue.pause(approved_order().symbol)  # between candles a market order rests
    await desk.bought()
    assert await desk.at_venue() is None
    desk.observe(100)
    assert await desk.guard.attend(BROKER)
    assert await resting(desk) == [(Decimal(10), Decimal(98))]


@EVERY
async def test_a_position_that_the_venue_shows_before_its_fill_is_told_is_protected(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    desk.broker.hold_fills = True
    await desk.bought()
    assert (await desk.position()).is_pending
    await desk.guard.verify(BROKER)
    assert await resting(desk) == [(Decimal(10), Decimal(98))]


@EVERY
async def test_where_the_price_is_beyond_a_moved_stop_already_the_rest_is_closed(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    await desk.price(104)
    desk.observe(103)
    await desk.look(106)  # seen before the fall: the stop should go to 104.75
    assert await desk.at_venue() is None
    # Where the old stop has to go first, it is a position without a stop that is closed.
    assert (await desk.position()).exit_reason == ("UNPROTECTED" if venue is SPOT else "TRAIL")
    assert (await resting(desk), desk.book.orders()) == ([], ())


@pytest.mark.parametrize("venue", [FUTURES, TRADIER], ids=["futures", "tradier"])
async def test_a_stop_that_would_trigger_is_asked_for_once_and_what_it_protects_is_closed(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    await desk.price(104)
    asked = len(desk.broker.stops_placed) + len(desk.broker.amended)
    desk.observe(103)
    await desk.look(106)
    assert len(desk.broker.stops_placed) + len(desk.broker.amended) == asked + 1
    assert await desk.at_venue() is None


@pytest.mark.parametrize("venue", [FUTURES, TRADIER], ids=["futures", "tradier"])
async def test_a_stop_found_behind_our_record_that_would_trigger_closes_at_the_next_look(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    position = await desk.position()
    await desk.tracker.change(position.id, lambda now: replace(now, stop_price=Decimal("100.5")))
    await desk.guard.verify(BROKER)  # decided before a crash, and the price has fallen since
    assert await desk.at_venue() is None


@pytest.mark.parametrize("fault", [Fault.REJECTED, Fault.REQUEST_LOST, Fault.UNREACHABLE])
@pytest.mark.parametrize("venue", [ATTACHED, FUTURES, TRADIER], ids=["attached", "futures", "tradier"])
async def test_a_move_that_fails_is_tried_again_after_1_2_5_and_then_every_10_seconds(
    venue: VenueTraits, fault: Fault
) -> None:
    desk = await open_desk(venue)
    await desk.price(104)
    desk.observe(106)
    desk.broker.stop_faults.extend([fault] * 100)
    desk.broker.amend_faults.extend([fault] * 100)
    began, tried = desk.clock.monotonic(), []
    for _ in range(40):
        before = len(desk.broker.stops_placed) + len(desk.broker.amended)
        await desk.look(106)  # the stop should go from 102 to 104.75
        if len(desk.broker.stops_placed) + len(desk.broker.amended) > before:
            tried.append(desk.clock.monotonic() - began)
        desk.clock.advance(1)
    assert tried == [0, 1, 3, 8, 18, 28, 38]
    assert await resting(desk) == [(Decimal(5), Decimal(102))]


@EVERY
async def test_a_size_that_the_venue_told_before_a_fill_is_not_believed_after_it(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    positions = desk.broker.positions

    async def answered_before_the_target_filled() -> Sequence[VenuePosition]:
        desk.broker.positions = positions  # type: ignore[method-assign]
        answer = await positions()
        await desk.price(104)
        return answer

    desk.broker.positions = answered_before_the_target_filled  # type: ignore[method-assign]
    stops = len(desk.broker.stops_placed) + len(desk.broker.amended)
    await desk.guard.verify(BROKER)
    assert await resting(desk) == [(Decimal(5), Decimal(102))]
    assert len(desk.broker.stops_placed) + len(desk.broker.amended) == stops + 2  # for what is left, then break-even
    assert (await desk.position()).is_open


async def test_a_stop_whose_cancel_got_no_answer_is_taken_away_before_the_other_one_is_moved() -> None:
    desk = await open_desk(TRADIER)
    desk.broker.cancel_faults.append(Fault.REQUEST_LOST)
    await desk.price(104)  # the stop for all of it should go, once one for what is left was read back
    desk.observe(106)
    desk.broker.stop_faults.extend([Fault.REQUEST_LOST] * 100)
    with suppress(BrokerError):
        await desk.guard.verify(BROKER)
    await desk.look(106)
    assert [size for size, _ in await resting(desk)] == [Decimal(5)]


async def test_a_surplus_stop_that_our_record_knows_goes_although_the_list_is_cut_short() -> None:
    desk = await open_desk(TRADIER)
    (opened,) = await desk.venue.positions()
    await desk.engine.rest_stop(await desk.position(), opened.quantity, Decimal(98), "STOP")
    first, second = desk.broker.stops_placed
    desk.broker.left_out = {first}
    await desk.guard.verify(BROKER)
    assert [each.client_order_id for each in await desk.venue.protective_orders()] == [second]
    assert (await desk.order(first)).state is OrderState.CANCELED


async def test_a_stop_that_was_delivered_twice_is_looked_at_again_within_seconds_where_the_list_was_cut_short() -> None:
    # Arrange: two under one name, of which the list that says what is protected shows one; that of what is left, both
    desk = await open_desk(TRADIER)
    (opened,) = await desk.venue.positions()
    (name,) = desk.broker.stops_placed
    await desk.venue.place_stop(opened, name, Decimal(98))
    desk.broker.cut_to.append(1)
    await desk.guard.verify(BROKER)
    assert len(await resting(desk)) == 2

    # Act
    desk.clock.advance(3)
    await desk.guard.attend(BROKER)

    # Assert
    assert await resting(desk) == [(Decimal(10), Decimal(98))]


async def test_a_second_stop_whose_cancel_was_lost_is_looked_for_though_one_list_lacks_it() -> None:
    # Arrange: two were seen, the cancel is lost, and the next lists are cut short
    desk = await open_desk(TRADIER)
    (opened,) = await desk.venue.positions()
    (name,) = desk.broker.stops_placed
    await desk.venue.place_stop(opened, name, Decimal(98))
    desk.broker.cancel_faults.extend([Fault.REQUEST_LOST] * 100)
    with suppress(BrokerError):
        await desk.guard.verify(BROKER)
    desk.clock.advance(3)
    desk.broker.cut_to.extend([1, 1])
    with suppress(BrokerError):
        await desk.guard.attend(BROKER)
    desk.broker.cancel_faults.clear()
    desk.broker.cut_to.clear()
    assert len(await resting(desk)) == 2

    # Act
    desk.clock.advance(3)
    await desk.guard.attend(BROKER)

    # Assert
    assert await resting(desk) == [(Decimal(10), Decimal(98))]


async def test_of_two_stops_that_are_too_large_one_goes_also_while_the_venue_refuses_a_smaller_one() -> None:
    desk = await open_desk(COINBASE)
    await desk.engine.rest_stop(await desk.position(), Decimal(8), Decimal(98), "STOP")
    desk.broker.stop_faults.extend([Fault.REJECTED] * 100)
    await desk.engine.reduce(await desk.position(), Decimal(5), None, "TIMEOUT")
    with suppress(BrokerError):
        await desk.guard.verify(BROKER)
    assert await resting(desk) == [(Decimal(8), Decimal(98))]


async def test_a_cancel_without_an_answer_is_sent_again_although_the_list_is_cut_short() -> None:
    desk = await open_desk(TRADIER)
    (first,) = desk.broker.stops_placed
    desk.broker.cancel_faults.extend([Fault.REQUEST_LOST] * 100)
    await desk.price(104)  # the stop for all of it should go, once one for what is left was read back
    desk.broker.cancel_faults.clear()
    desk.broker.left_out = {first}
    assert (await desk.order(first)).state is OrderState.CANCEL_PENDING
    await desk.guard.verify(BROKER)
    assert [size for size, _ in await resting(desk)] == [Decimal(5)]


async def test_a_stop_of_an_ended_position_is_cancelled_although_the_list_is_cut_short() -> None:
    desk = await open_desk(TRADIER)
    desk.broker.failing.add("positions")  # nothing is cancelled
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "TIMEOUT")
    desk.broker.failing.clear()
    desk.broker.left_out = set(desk.broker.stops_placed)
    desk.clock.advance(10)
    await desk.guard.verify(BROKER)
    assert (await resting(desk), desk.book.orders()) == ([], ())


async def test_what_a_position_leaves_is_looked_for_also_where_nobody_looked_while_it_was_open() -> None:
    # Arrange: the venue was quiet for long; then a position opens and ends between two looks, and its stop stays
    desk = Desk(venue=TRADIER)
    await desk.guard.attend(BROKER)
    desk.clock.advance(200)
    await desk.bought()
    (name,) = desk.broker.stops_placed
    desk.broker.cancel_faults.extend([Fault.REJECTED] * 10)
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "TIMEOUT")
    await desk.tracker.move(await desk.order(name), OrderEvent.CANCELED, "gone at the venue")
    desk.broker.cancel_faults.clear()

    # Act
    desk.clock.advance(30)
    await desk.guard.attend(BROKER)

    # Assert
    assert await resting(desk) == []


async def test_a_stop_that_protects_nothing_is_looked_for_as_long_as_the_venue_refuses_to_cancel_it() -> None:
    # Arrange: it rests after its position has ended, unknown to our record, and no cancel is taken for five minutes
    desk = await open_desk(TRADIER)
    (name,) = desk.broker.stops_placed
    desk.broker.cancel_faults.extend([Fault.REJECTED] * 1_000)
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "TIMEOUT")
    await desk.tracker.move(await desk.order(name), OrderEvent.CANCELED, "gone at the venue")
    for _ in range(300):
        desk.clock.advance(1)
        await desk.guard.attend(BROKER)
    assert len(await resting(desk)) == 1
    desk.broker.cancel_faults.clear()

    # Act
    desk.clock.advance(30)
    await desk.guard.attend(BROKER)

    # Assert
    assert await resting(desk) == []


@pytest.mark.parametrize("venue", [SPOT, COINBASE, TRADIER], ids=["spot", "coinbase", "tradier"])
async def test_being_told_to_stop_between_two_stops_leaves_no_part_without_one(venue: VenueTraits) -> None:
    desk = await open_desk(venue)
    desk.broker.held_answers = asyncio.Event()
    sent = len(desk.broker.placed) + len(desk.broker.cancelled)
    desk.observe(104)
    looking = asyncio.ensure_future(desk.look(104))  # half is closed here, and the stop made smaller
    while len(desk.broker.placed) + len(desk.broker.cancelled) == sent:
        await desk.clock.sleep(0)
    looking.cancel()
    await desk.clock.sleep(0)
    desk.broker.held_answers.set()
    with pytest.raises(asyncio.CancelledError):
        await looking
    opened = await desk.at_venue()
    assert opened is not None
    assert sum(size for size, _ in await resting(desk)) >= opened.quantity


async def test_being_told_to_stop_while_a_stop_that_locks_is_moved_leaves_it_moved() -> None:
    desk = await open_desk(SPOT)
    await desk.price(104)
    desk.broker.held_answers = asyncio.Event()
    cancelled = len(desk.broker.cancelled)
    desk.observe(106)
    looking = asyncio.ensure_future(desk.look(106))
    while len(desk.broker.cancelled) == cancelled:
        await desk.clock.sleep(0)
    looking.cancel()
    await desk.clock.sleep(0)
    desk.broker.held_answers.set()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert [size for size, _ in await resting(desk)] == [Decimal(5)]


@EVERY
async def test_a_stop_that_came_to_rest_although_its_answer_was_lost_keeps_a_position_from_being_closed(
    venue: VenueTraits,
) -> None:
    desk = await open_desk(venue)
    await desk.broker.lose_stop(ENTRY)
    desk.clock.advance(6)  # else the stop counts as taken a moment ago
    desk.broker.stop_faults.append(Fault.REQUEST_LOST)
    desk.broker.amend_faults.append(Fault.REQUEST_LOST)
    await desk.guard.verify(BROKER)
    desk.clock.advance(10)
    desk.broker.stop_faults.append(Fault.REPLY_LOST)
    await desk.guard.attend(BROKER)
    assert (len(desk.broker.placed), await resting(desk)) == (1, [(Decimal(10), Decimal(98))])
    await desk.guard.attend(BROKER)
    assert not desk.guard.unprotected.is_open(BROKER)
