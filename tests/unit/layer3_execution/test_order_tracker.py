import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, CommitUnknown
from bot.layer3_execution.positions import marked
from bot.models import OrderState, Side
from tests.builders import START, approved_order
from tests.fakes.slow_orders import SlowOrders
from tests.unit.layer3_execution.desk import BROKER, Desk

ENTRY = approved_order().client_order_id


async def told_again(desk: Desk) -> None:
    """A crash after the fills were stored and before the cursor was: the venue tells everything once more."""
    await desk.stores.orders.save_fill_cursor(BROKER, "")
    await desk.restart()


async def test_a_fill_told_again_after_a_crash_changes_nothing_and_stops_nothing() -> None:
    desk = Desk()
    await desk.bought()
    await desk.price(104)
    before = await desk.position()
    await told_again(desk)
    assert await desk.tracker.collect(BROKER) == 0
    assert await desk.position() == before
    assert desk.incidents() == []


async def test_fills_of_a_closed_position_told_again_do_not_open_it() -> None:
    desk = Desk()
    await desk.bought()
    await desk.price(97)
    before = await desk.position()
    await told_again(desk)
    await desk.tracker.collect(BROKER)
    assert await desk.position() == before
    assert desk.book.positions() == ()


async def test_fills_told_twice_are_applied_once() -> None:
    desk = Desk()
    desk.broker.repeat_fills = True
    await desk.bought()
    await desk.price(104)
    position = await desk.position()
    assert (position.first_quantity, position.quantity, position.realised) == (Decimal(10), Decimal(5), Decimal(20))


async def part_filled_and_closed() -> Desk:
    """4 of 10 are filled, a stop closes them, and the other 6 go on working at the venue."""
    desk = Desk(liquidity=Decimal(4))
    await desk.bought()
    (fill,), _ = await desk.venue.fills_since("")
    stop = approved_order().stop_order_id
    closing = replace(fill, client_order_id=stop, side=Side.SELL, venue_fill_id="stop-1", price=Decimal(97))
    desk.broker._told.append(closing)
    await desk.tracker.collect(BROKER)
    return desk


async def test_the_rest_of_an_entry_goes_on_after_its_position_has_closed() -> None:
    desk = await part_filled_and_closed()
    assert (desk.book.positions(), (await desk.position()).closed_at) == ((), START)
    assert (await desk.states())["entry"] is OrderState.PARTIAL
    assert [each.client_order_id for each in desk.book.rests(BROKER)] == [ENTRY]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_rest_whose_position_has_closed_is_cancelled_at_the_venue_by_the_next_comparison(
    restarted: bool,
) -> None:
    desk = await part_filled_and_closed()
    if restarted:
        await desk.restart()
    await desk.tracker.give_up_rests(BROKER)
    await desk.reconciler.run(BROKER)
    assert desk.broker.cancelled == [ENTRY]
    assert (await desk.states())["entry"] is OrderState.CANCELED
    assert desk.incidents() == []


async def test_a_rest_that_fills_after_its_position_has_closed_opens_it_again() -> None:
    desk = await part_filled_and_closed()
    desk.observe(100)
    await desk.tracker.collect(BROKER)
    assert [each.quantity for each in desk.book.positions()] == [Decimal(4)]


async def test_a_stop_told_before_the_entry_that_it_closed_gives_a_closed_position() -> None:
    desk = Desk()
    desk.broker.hold_fills = True
    await desk.bought()
    desk.observe(97)
    desk.broker.hold_fills, desk.broker.reverse_fills = False, True
    await desk.tracker.collect(BROKER)
    position = await desk.position()
    assert (position.quantity, position.realised) == (Decimal(0), Decimal(-30))
    assert position.closed_at is not None
    assert await desk.states() == {"entry": OrderState.FILLED, "stop": OrderState.FILLED}
    assert (desk.book.positions(), desk.book.orders()) == ((), ())
    assert [each.kind for each in desk.journal if each.kind.startswith("position")] == [
        "position_opened",
        "position_closed",
    ]


async def test_a_late_fill_of_an_entry_that_was_given_up_is_an_incident_and_a_position_again() -> None:
    desk = Desk()
    desk.broker.hold_fills = True
    approved = await desk.bought()
    entry = await desk.order(approved.client_order_id)
    await desk.stores.orders.transition(
        ENTRY, expected=entry.state, state=OrderState.NOT_PLACED, cause="absent", at=desk.clock.now()
    )
    desk.book.put_order(await desk.order(ENTRY))
    await desk.engine.abandon(entry, "not placed")
    desk.broker.hold_fills = False
    await desk.tracker.collect(BROKER)
    assert (await desk.position()).is_open
    assert [each.quantity for each in desk.book.positions()] == [10]
    assert "fill of an order that had ended" in desk.incidents()


async def test_more_fills_than_were_ordered_are_recorded_and_an_incident_never_an_exception() -> None:
    desk = Desk()
    await desk.bought()
    (fill,), _ = await desk.venue.fills_since("")
    desk.broker._told.append(replace(fill, venue_fill_id="bust-1", quantity=Decimal(2)))
    await desk.tracker.collect(BROKER)
    assert (await desk.position()).quantity == 12
    assert (await desk.order(ENTRY)).filled_quantity == 12
    assert "fill of an order that had ended" in desk.incidents()


async def test_more_closed_than_was_open_is_an_incident() -> None:
    desk = Desk()
    await desk.bought()
    await desk.price(97)
    fills, _ = await desk.venue.fills_since("")
    desk.broker._told.append(replace(fills[-1], venue_fill_id="oco-2"))
    await desk.tracker.collect(BROKER)
    assert (await desk.position()).quantity == 0
    assert "more closed than was opened" in desk.incidents()


async def test_a_fill_of_an_order_that_is_not_ours_is_told_and_does_not_hold_up_the_others() -> None:
    desk = Desk()
    desk.broker.hold_fills = True
    await desk.bought()
    (fill,), _ = await desk.venue.fills_since("")
    desk.broker._told.append(replace(fill, client_order_id="by-hand", venue_fill_id="h-1"))  # type: ignore[arg-type]
    desk.broker.hold_fills = False
    await desk.tracker.collect(BROKER)
    assert desk.incidents() == ["fill of an unknown order"]
    assert (await desk.position()).quantity == 10


async def test_a_venue_that_does_not_tell_its_fills_moves_no_cursor() -> None:
    desk = Desk()
    desk.broker.hold_fills = True
    await desk.bought()
    desk.broker.failing.add("fills_since")
    with pytest.raises(BrokerUnavailable):
        await desk.tracker.collect(BROKER)
    desk.broker.failing.clear()
    desk.broker.hold_fills = False
    assert await desk.tracker.collect(BROKER) == 1


async def test_a_target_counts_as_hit_with_its_first_fill_whoever_reads_it() -> None:
    desk = Desk(liquidity=Decimal(10))
    await desk.bought()
    desk.broker.hold_fills = True
    await desk.price(104)
    assert (await desk.position()).targets_hit == 0
    desk.broker.hold_fills = False
    await desk.tracker.collect(BROKER)
    assert (await desk.position()).targets_hit == 1


async def test_a_stop_filled_while_a_close_is_on_its_way_ends_the_position_and_nothing_else_breaks() -> None:
    desk = Desk()
    await desk.bought()

    async def stopped_out() -> None:
        desk.observe(97)
        await desk.tracker.collect(BROKER)

    desk.broker.before_placing = stopped_out
    order = await desk.engine.reduce(await desk.position(), Decimal(10), None, "DEADLINE")
    assert order.state.is_terminal
    assert desk.book.orders() == ()
    assert (await desk.position()).exit_reason == "STOP"


@pytest.mark.parametrize("head_start", range(8))
async def test_a_fill_read_while_a_position_is_saved_is_not_overwritten(head_start: int) -> None:
    clock = ManualClock(START)
    desk = Desk(orders=SlowOrders(clock, lambda: 3), clock=clock)
    await desk.bought()
    desk.observe(97)
    saving = asyncio.ensure_future(desk.guard.save_extremes())
    for _ in range(head_start):
        await clock.sleep(0)
    await desk.tracker.collect(BROKER)
    await saving
    assert (await desk.position()).closed_at is not None
    assert desk.book.positions() == ()


async def test_a_fill_whose_commit_was_never_confirmed_is_not_forgotten() -> None:
    clock = ManualClock(START)
    orders = SlowOrders(clock)
    desk = Desk(orders=orders, clock=clock)
    await desk.bought()
    desk.observe(97)
    orders.lost_commits = 1
    with pytest.raises(CommitUnknown):
        await desk.tracker.collect(BROKER)
    await desk.tracker.collect(BROKER)
    assert (desk.book.positions(), desk.book.orders()) == ((), ())


async def test_a_price_seen_while_a_fill_is_stored_still_counts_as_an_extreme() -> None:
    clock = ManualClock(START)
    desk = Desk(orders=SlowOrders(clock, lambda: 3), clock=clock)
    await desk.bought()
    desk.observe(104)
    reducing = asyncio.ensure_future(desk.engine.reduce(await desk.position(), Decimal(5), Decimal(104), "TARGET_1"))
    while not (await desk.venue.fills_since("1"))[0]:
        await clock.sleep(0)
    await clock.sleep(0)
    (position,) = desk.book.positions()
    desk.book.put_position(marked(position, Decimal("103.9")))
    await reducing
    (position,) = desk.book.positions()
    assert (position.quantity, position.best_price) == (Decimal(5), Decimal("103.9"))


@given(seed=st.permutations(range(4)), twice=st.booleans())
@settings(deadline=None, max_examples=50)
async def test_fills_read_in_any_order_and_twice_give_the_position_that_the_venue_has(
    seed: list[int], twice: bool
) -> None:
    desk = Desk(liquidity=Decimal(4))
    desk.broker.hold_fills = True
    approved = await desk.bought()
    desk.observe("100.5")
    desk.observe("101.25")
    await desk.venue.cancel(approved.stop_order_id)
    desk.broker.hold_fills = False
    told = [each for number in seed for each in (desk.broker._held)[number : number + 1]]
    desk.broker._told.extend([*told, *told] if twice else told)
    await desk.tracker.collect(BROKER)
    venue = await desk.at_venue()
    assert venue is not None
    assert (await desk.position()).quantity == venue.quantity
