import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from bot.clock import ManualClock
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import OrderRole, OrderState, leg_of
from tests.builders import EUR_USD, START, approved_order, plan
from tests.fakes.awkward_broker import Fault
from tests.fakes.slow_orders import SlowOrders
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import ATTACHED, TRADIER

ENTRY = approved_order().client_order_id


async def open_desk(**changes: object) -> Desk:
    desk = Desk()
    await desk.bought(**changes)
    desk.clock.advance(10)  # venues may show a stop late: a young one is not missed
    return desk


# ------------------------------------------------------------------------------------------------------------ targets


async def test_target_1_closes_half_and_moves_the_stop_to_what_was_paid() -> None:
    desk = await open_desk()
    await desk.price(104)
    position, venue = await desk.position(), await desk.at_venue()
    assert (position.quantity, position.targets_hit, position.stop_price) == (Decimal(5), 1, Decimal(102))
    assert venue is not None
    assert (venue.quantity, venue.stop_price) == (Decimal(5), Decimal(102))


async def test_target_1_is_sent_once_when_two_prices_come_at_once() -> None:
    clock = ManualClock(START)
    desk = Desk(orders=SlowOrders(clock), clock=clock)
    await desk.bought()
    desk.observe(104)
    await asyncio.gather(desk.look(104), desk.look("104.5"))
    assert (await desk.position()).quantity == 5
    assert len(await desk.exits()) == 1


async def test_target_1_is_not_taken_again_after_a_crash_between_its_fill_and_what_follows() -> None:
    desk = await open_desk()
    desk.observe(104)
    position = await desk.position()
    await desk.engine.reduce(position, Decimal(5), Decimal(104), "TARGET_1")  # and here the process ends
    await desk.restart()
    await desk.price("104.5")
    await desk.price("105")
    position = await desk.position()
    assert (position.quantity, position.targets_hit, position.break_even) == (Decimal(5), 1, True)
    assert len(await desk.exits()) == 1


async def test_target_1_whose_answer_was_lost_before_a_crash_is_found_and_not_taken_again() -> None:
    desk = await open_desk()
    desk.observe(104)
    desk.broker.hold_fills = True
    desk.broker.place_faults.append(Fault.REPLY_LOST)
    await desk.look(104)
    await desk.restart()
    desk.broker.hold_fills = False
    await desk.reconciler.run(BROKER)
    await desk.price(104)
    assert ((await desk.position()).quantity, len(await desk.exits())) == (Decimal(5), 1)


@pytest.mark.parametrize("fault", [Fault.REJECTED, Fault.UNREACHABLE, Fault.REQUEST_LOST])
async def test_a_target_that_was_not_taken_is_not_called_hit_and_moves_no_stop(fault: Fault) -> None:
    desk = await open_desk()
    desk.broker.place_faults.append(fault)
    await desk.price(104)
    position = await desk.position()
    assert (position.quantity, position.targets_hit, position.break_even, position.stop_price) == (
        Decimal(10),
        0,
        False,
        Decimal(98),
    )


@pytest.mark.parametrize("fault", [Fault.REJECTED, Fault.UNREACHABLE])
async def test_a_target_that_was_refused_is_tried_again(fault: Fault) -> None:
    desk = await open_desk()
    desk.broker.place_faults.append(fault)
    await desk.price(104)
    desk.clock.advance(5)
    await desk.price(104)
    assert ((await desk.position()).quantity, (await desk.position()).targets_hit) == (Decimal(5), 1)


async def test_a_target_of_unknown_fate_is_not_tried_again_before_its_fate_is_known() -> None:
    desk = await open_desk()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    await desk.price(104)
    await desk.price(104)
    assert len(await desk.exits()) == 1
    for _ in range(4):
        await desk.reconciler.run(BROKER)
        desk.clock.advance(60)
    await desk.price(104)
    assert (await desk.position()).quantity == 5


async def test_a_target_filled_late_when_the_price_is_gone_still_starts_break_even() -> None:
    desk = await open_desk()
    desk.broker.hold_fills = True
    await desk.price(104)
    desk.broker.hold_fills = False
    await desk.price(103)
    assert ((await desk.position()).quantity, (await desk.position()).break_even) == (Decimal(5), True)
    await desk.price("104.2")
    assert (await desk.position()).quantity == 5


async def test_both_targets_passed_by_one_price_close_everything() -> None:
    desk = await open_desk()
    await desk.price(109)
    assert (await desk.position()).closed_at is not None
    assert await desk.at_venue() is None


# --------------------------------------------------------------------------------------------------------------- stop


async def test_the_stop_follows_the_price_up_and_never_down() -> None:
    desk = await open_desk()
    stops = []
    for price in (104, 106, "105.2", 107, "106.2"):
        await desk.price(price)
        stops.append((await desk.position()).stop_price)
    assert stops == sorted(stops)
    assert desk.broker.amended == sorted(desk.broker.amended)
    assert stops[-1] == Decimal("106.125")


@pytest.mark.parametrize("fault", [Fault.REJECTED, Fault.UNREACHABLE, Fault.REQUEST_LOST])
async def test_a_stop_that_the_venue_did_not_move_is_not_called_moved_and_is_tried_a_second_later(
    fault: Fault,
) -> None:
    desk = await open_desk()
    desk.broker.amend_faults.append(fault)
    await desk.price(104)
    assert ((await desk.position()).stop_price, (await desk.position()).break_even) == (Decimal(98), False)
    await desk.price(104)
    assert len(desk.broker.amended) == 1
    desk.clock.advance(1)
    await desk.price(104)
    venue = await desk.at_venue()
    assert venue is not None
    assert venue.stop_price == (await desk.position()).stop_price == 102
    assert [each.kind for each in desk.journal].count("stop_moved") == 1


async def test_a_stop_that_fills_while_it_is_moved_in_vain_leaves_the_position_closed() -> None:
    desk = await open_desk()

    async def stopped_out() -> None:
        desk.observe(97)
        await desk.tracker.collect(BROKER)

    real = desk.broker.amend_stop

    async def amend_stop(entry: object, stop: Decimal) -> object:
        await stopped_out()
        return await real(entry, stop)  # type: ignore[arg-type]

    desk.broker.amend_stop = amend_stop  # type: ignore[assignment, method-assign]
    await desk.price(104)
    assert desk.book.positions() == ()
    assert (await desk.position()).closed_at is not None


async def test_after_a_crash_that_forgot_a_moved_stop_the_venues_better_stop_stands() -> None:
    desk = await open_desk()
    await desk.price(104)
    await desk.venue.amend_stop(ENTRY, Decimal("103.5"))  # moved, and the process ended before it was stored
    await desk.restart()
    await desk.guard.verify(BROKER)
    await desk.price("104.6")
    venue = await desk.at_venue()
    assert venue is not None
    assert venue.stop_price is not None
    assert venue.stop_price >= Decimal("103.5")
    assert (await desk.position()).stop_price >= Decimal("103.5")


async def test_a_stop_that_somebody_loosened_is_put_back() -> None:
    desk = await open_desk()
    await desk.venue.amend_stop(ENTRY, Decimal(90))
    await desk.guard.verify(BROKER)
    venue = await desk.at_venue()
    assert venue is not None
    assert venue.stop_price == 98


async def test_a_price_beyond_a_stop_that_the_venue_let_pass_closes_once() -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    desk.observe(97)
    desk.broker.hold_fills = True  # the fill of our close is told late: looking again must not close again
    for _ in range(3):
        await desk.look(97)
    desk.broker.hold_fills = False
    await desk.tracker.collect(BROKER)
    assert len(await desk.exits()) == 1
    position = await desk.position()
    assert (position.exit_reason, position.quantity) == ("STOP", Decimal(0))


async def test_a_stop_that_the_venue_filled_and_told_late_is_not_closed_a_second_time() -> None:
    desk = await open_desk()
    desk.broker.hold_fills = True
    desk.observe(97)
    await desk.look(97)
    assert await desk.exits() == []


async def test_a_deadline_closes_what_is_left() -> None:
    desk = await open_desk(plan=plan(deadline=START + timedelta(minutes=30)))
    await desk.price(101)
    desk.clock.advance(1800)
    await desk.price(101)
    assert (await desk.position()).exit_reason == "TIMEOUT"


# --------------------------------------------------------------------------------------------------------- protection


async def test_a_protected_position_is_left_alone() -> None:
    desk = await open_desk()
    assert await desk.guard.verify(BROKER) == 0
    assert desk.broker.stops_placed == []
    assert desk.incidents() == []


async def test_a_stop_that_vanished_is_rested_again_and_the_gap_is_measured() -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    desk.broker.stop_faults.append(Fault.UNREACHABLE)
    await desk.guard.verify(BROKER)
    desk.clock.advance(7)
    assert await desk.guard.verify(BROKER) == 7
    venue = await desk.at_venue()
    assert venue is not None
    assert venue.stop_price == 98
    desk.clock.advance(5)
    assert await desk.guard.verify(BROKER) == 0
    told = [each.data.get("gap_s") for each in desk.journal if each.data.get("what") == "stop rests again"]
    assert told == [7.0]


async def test_the_fill_of_a_repaired_stop_closes_our_position_too() -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    await desk.guard.verify(BROKER)
    await desk.price(97)
    position = await desk.position()
    assert (position.exit_reason, position.realised) == ("STOP", Decimal(-30))
    assert desk.incidents() == ["position without a stop"]


async def test_a_stop_of_repair_is_stored_before_the_venue_hears_of_it() -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    await desk.guard.verify(BROKER)
    (name,) = desk.broker.stops_placed
    events = await desk.stores.orders.order_events(name)
    assert [state for _, _, state, _ in events] == ["INTENT", "SENDING", "WORKING"]
    assert (await desk.position()).stop_order_id == name


async def test_a_stop_that_vanishes_again_and_again_is_rested_again_and_again() -> None:
    desk = await open_desk()
    for _ in range(25):
        await desk.broker.lose_stop(ENTRY)
        await desk.guard.verify(BROKER)
        venue = await desk.at_venue()
        assert venue is not None
        assert venue.stop_price == 98
        desk.clock.advance(60)
    stops = [
        each.state
        for each in await desk.stores.orders.orders_of(approved_order().position_id)
        if each.role is OrderRole.STOP
    ]
    assert stops.count(OrderState.WORKING) == 1


async def test_a_stop_that_the_venue_refuses_once_is_asked_for_again() -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    desk.broker.stop_faults.append(Fault.REJECTED)
    await desk.guard.verify(BROKER)
    venue = await desk.at_venue()
    assert venue is not None
    assert venue.stop_price == 98


async def test_a_stop_that_the_venue_refuses_twice_closes_the_position() -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    desk.broker.stop_faults.extend([Fault.REJECTED] * 2)
    await desk.guard.verify(BROKER)
    assert await desk.at_venue() is None
    assert (await desk.position()).exit_reason == "UNPROTECTED"


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.REQUEST_LOST])
async def test_a_stop_that_cannot_be_rested_for_ten_seconds_closes_the_position(fault: Fault) -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    desk.broker.stop_faults.extend([fault] * 50)
    for _ in range(2):
        await desk.guard.verify(BROKER)
        desk.clock.advance(5)
    assert await desk.at_venue() is not None
    await desk.guard.verify(BROKER)
    assert await desk.at_venue() is None


async def test_a_stop_whose_answer_was_lost_is_not_rested_twice() -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    desk.broker.stop_faults.append(Fault.REPLY_LOST)
    await desk.guard.verify(BROKER)
    await desk.guard.verify(BROKER)
    await desk.reconciler.run(BROKER)
    assert desk.broker.stops_placed == [leg_of(ENTRY, "S1")]
    assert (await desk.order(leg_of(ENTRY, "S1"))).state is OrderState.WORKING


async def test_a_position_whose_entry_is_still_being_sent_is_not_repaired() -> None:
    desk = Desk()

    async def look() -> None:
        await desk.broker.lose_stop(ENTRY)  # a venue that rests the stop only after the entry's answer
        await desk.guard.verify(BROKER)

    desk.broker.while_placing = look
    await desk.bought()
    assert desk.broker.stops_placed == []


async def test_an_old_answer_about_a_position_that_has_closed_repairs_nothing() -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    desk.broker.stale_positions = await desk.venue.positions()
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "STOP")
    await desk.guard.verify(BROKER)
    assert (desk.broker.stops_placed, len(await desk.exits())) == ([], 1)


async def test_a_stop_too_young_to_be_shown_is_not_rested_twice() -> None:
    desk = Desk()
    await desk.bought()
    (venue,) = await desk.venue.positions()
    desk.broker.stale_positions = (replace(venue, stop_price=None, stop_order_id=None),)
    desk.clock.advance(4)
    await desk.guard.verify(BROKER)
    assert (desk.broker.stops_placed, len(desk.broker.placed)) == ([], 1)


KEPT_OR_OWN = pytest.mark.parametrize("venue", [ATTACHED, TRADIER], ids=["stop attached", "stop of its own"])


async def seen_protected(venue: VenueTraits, *, liquidity: Decimal | None = None) -> Desk:
    """A position whose stop was seen 25 s ago."""
    desk = Desk(venue=venue, liquidity=liquidity)
    await desk.bought()
    for _ in range(2):  # the parts that are still to come
        desk.observe(100)
        await desk.tracker.collect(BROKER)
    await desk.guard.verify(BROKER)
    desk.clock.advance(25)
    return desk


@KEPT_OR_OWN
async def test_a_stop_that_is_found_gone_counts_as_gone_since_it_was_last_seen(venue: VenueTraits) -> None:
    desk = await seen_protected(venue)
    await desk.broker.lose_stop(ENTRY)
    desk.broker.stop_faults.append(Fault.UNREACHABLE)
    await desk.guard.verify(BROKER)

    desk.clock.advance(2)
    known_for_s = desk.guard.unprotected.longest_now_s
    await desk.guard.attend(BROKER)

    unprotected = desk.guard.unprotected
    assert (known_for_s, unprotected.longest_now_s, unprotected.worst_s, unprotected.total_s) == (2, 0, 27, 27)
    told = [each.data for each in desk.journal if each.data.get("what") == "stop rests again"][-1]
    assert (told["gap_s"], told["unseen_s"]) == (2, 25)


@KEPT_OR_OWN
async def test_what_was_closed_for_want_of_a_stop_had_none_since_it_was_last_seen(venue: VenueTraits) -> None:
    desk = await seen_protected(venue)
    await desk.broker.lose_stop(ENTRY)
    desk.broker.stop_faults.extend([Fault.UNREACHABLE] * 100)
    await desk.guard.verify(BROKER)

    desk.clock.advance(10)
    await desk.guard.attend(BROKER)
    await desk.guard.verify(BROKER)

    assert (await desk.position()).exit_reason == "UNPROTECTED"
    assert (desk.guard.unprotected.worst_s, desk.guard.unprotected.total_s) == (35, 35)


@pytest.mark.parametrize("liquidity", [None, Decimal(4)], ids=["whole", "in part"])
async def test_a_stop_that_has_filled_was_there_until_then(liquidity: Decimal | None) -> None:
    # Arrange: the look comes before its fills are told
    desk = await seen_protected(TRADIER, liquidity=liquidity)
    desk.broker.hold_fills = True
    desk.observe(90)
    await desk.guard.verify(BROKER)
    seen = [desk.guard.unprotected.longest_now_s, desk.guard.unprotected.total_s]

    # Act
    desk.broker.hold_fills = False
    await desk.tracker.collect(BROKER)
    await desk.guard.verify(BROKER)

    # Assert
    assert [*seen, desk.guard.unprotected.total_s] == [0, 0, 0]


async def test_what_is_remembered_of_unprotected_positions_ends_with_them() -> None:
    desk = await open_desk()
    await desk.broker.lose_stop(ENTRY)
    desk.broker.stop_faults.extend([Fault.REJECTED] * 2)
    await desk.guard.verify(BROKER)
    await desk.guard.verify(BROKER)
    assert not desk.guard.unprotected.is_open(BROKER)


async def test_extremes_survive_a_restart() -> None:
    desk = await open_desk()
    await desk.price("103.5")
    await desk.price("99.5")
    await desk.guard.save_extremes()
    await desk.restart()
    (position,) = desk.book.open_of(EUR_USD)
    assert (position.best_price, position.worst_price) == (Decimal("103.5"), Decimal("99.5"))
