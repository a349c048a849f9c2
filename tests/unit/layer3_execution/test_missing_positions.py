"""A position that the venue does not have any more, and whose fills nobody tells."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.errors import BrokerError
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer3_execution.missing import MissingPositions
from bot.models import ClientOrderId, Fill
from tests.builders import approved_order
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import ATTACHED, EVERY_CLASS, OURS_TO_SIZE

ENTRY = approved_order().client_order_id
LOOSE = pytest.mark.parametrize("venue", OURS_TO_SIZE.values(), ids=OURS_TO_SIZE)
EVERY = pytest.mark.parametrize("venue", EVERY_CLASS.values(), ids=EVERY_CLASS)


async def closed_by_hand(venue: VenueTraits) -> Desk:
    """A desk whose position a person has closed; its fills are not told."""
    desk = Desk(venue=venue)
    await desk.bought()
    desk.broker.hold_fills = True
    if venue is not ATTACHED:
        for stop in await desk.venue.protective_orders():
            assert stop.client_order_id is not None
    desk.venue.close_by_other(ClientOrderId("by-hand"), ENTRY, Decimal(10))
    return desk


async def resting(desk: Desk) -> list[Decimal]:
    """What is left of each stop that really rests."""
    return [each.quantity - each.filled_quantity for each in await desk.venue.protective_orders()]


async def looks(desk: Desk, count: int, *, seconds: float) -> None:
    for _ in range(count):
        desk.clock.advance(seconds)
        desk.observe(100)
        with suppress(BrokerError):
            await desk.guard.verify(BROKER)


@LOOSE
async def test_nothing_rests_for_it_when_it_was_missing_for_half_a_minute(venue: VenueTraits) -> None:
    desk = await closed_by_hand(venue)
    await looks(desk, 2, seconds=10)
    assert len(await desk.venue.protective_orders()) == 1
    await looks(desk, 3, seconds=10)
    assert await desk.venue.protective_orders() == ()


@LOOSE
async def test_a_stop_of_it_that_could_not_be_cancelled_is_tried_again_with_the_next_look(
    venue: VenueTraits,
) -> None:
    desk = await closed_by_hand(venue)
    await looks(desk, 3, seconds=10)
    desk.broker.cancel_faults.append(Fault.REQUEST_LOST)
    await looks(desk, 1, seconds=10)
    assert len(await desk.venue.protective_orders()) == 1
    assert await desk.guard.attend(BROKER)
    assert await desk.venue.protective_orders() == ()
    assert not await desk.guard.attend(BROKER), "nothing waits any more"


@EVERY
async def test_nothing_is_sent_for_it_any_more(venue: VenueTraits) -> None:
    desk = await closed_by_hand(venue)
    await looks(desk, 5, seconds=10)
    sent = (len(desk.broker.placed), len(desk.broker.stops_placed))
    for _ in range(20):
        await looks(desk, 1, seconds=5)
        await desk.look(104)
    assert (len(desk.broker.placed), len(desk.broker.stops_placed)) == sent


@LOOSE
async def test_when_the_venue_shows_it_again_it_is_protected_again(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    await desk.bought()
    desk.broker.stale_positions = ()
    await looks(desk, 5, seconds=10)
    desk.broker.stale_positions = None
    await looks(desk, 1, seconds=1)
    assert [each.quantity for each in await desk.venue.protective_orders()] == [Decimal(10)]


@LOOSE
async def test_where_a_part_is_missing_for_half_a_minute_no_more_rests_than_is_open(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    await desk.bought()
    desk.venue.close_by_other(ClientOrderId("by-hand"), ENTRY, Decimal(4))
    await looks(desk, 2, seconds=10)
    assert await resting(desk) == [Decimal(10)]
    await looks(desk, 3, seconds=10)
    assert await resting(desk) == [Decimal(6)]
    assert (await desk.position()).quantity == Decimal(10), "what became of the rest is for a person to say"
    assert not desk.guard.unprotected.is_open(BROKER)


@LOOSE
async def test_a_part_that_goes_on_shrinking_is_not_believed_before_it_rests(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    await desk.bought()
    for quantity in (1, 1, 1, 1):
        desk.venue.close_by_other(ClientOrderId(f"by-hand-{desk.clock.now()}"), ENTRY, Decimal(quantity))
        await looks(desk, 1, seconds=10)
    assert await resting(desk) == [Decimal(10)]


@LOOSE
async def test_when_the_venue_shows_a_missing_part_again_all_of_it_is_protected(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    await desk.bought()
    desk.broker.stale_positions = [replace(each, quantity=Decimal(6)) for each in await desk.venue.positions()]
    await looks(desk, 5, seconds=10)
    before = await resting(desk)
    desk.broker.stale_positions = None
    await looks(desk, 1, seconds=1)
    assert (before, await resting(desk)) == ([Decimal(6)], [Decimal(10)])


async def test_fills_that_were_told_twice_close_it_like_fills_that_were_told_once() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.repeat_fills = True
    desk.venue.close_by_other(ClientOrderId("by-hand"), ENTRY, Decimal(10))
    assert (await desk.reconciler.run(BROKER)).clean
    assert (await desk.position()).exit_reason == "CLOSED_BY_HAND"
    assert desk.incidents().count("fill of an unknown order") == 1


async def test_a_close_by_hand_is_as_large_as_its_fills_also_those_that_come_after_its_position_has_ended() -> None:
    desk = Desk()
    await desk.bought()
    by_hand = ClientOrderId("by-hand")
    desk.venue.close_by_other(by_hand, ENTRY, Decimal(10))
    assert (await desk.reconciler.run(BROKER)).clean
    (_, fill), cursor = await desk.broker.fills_since("")

    async def one_more(_: str) -> tuple[Sequence[Fill], str]:
        return [replace(fill, venue_fill_id="one more", quantity=Decimal(3))], cursor

    desk.broker.fills_since = one_more  # type: ignore[assignment,method-assign]
    await desk.tracker.collect(BROKER)
    close = await desk.order(by_hand)
    assert (close.quantity, close.filled_quantity) == (Decimal(13), Decimal(13))
    assert "more was filled than ordered" not in desk.incidents()


@LOOSE
async def test_a_stop_that_is_too_large_waits_for_no_monitor_to_be_made_smaller(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    await desk.bought()
    desk.broker.hold_fills = True
    desk.venue.close_by_other(ClientOrderId("by-hand"), ENTRY, Decimal(4))
    await desk.guard.verify(BROKER)
    for _ in range(33):
        desk.clock.advance(1)
        await desk.guard.attend(BROKER)
    assert await resting(desk) == [Decimal(6)]
    desk.clock.advance(5)
    assert not await desk.guard.attend(BROKER), "a person answers for the rest"


@LOOSE
async def test_a_smaller_stop_whose_request_was_lost_is_asked_for_again_before_the_next_monitor_run(
    venue: VenueTraits,
) -> None:
    desk = Desk(venue=venue)
    await desk.bought()
    desk.broker.stale_positions = [replace(each, quantity=Decimal(6)) for each in await desk.venue.positions()]
    await looks(desk, 3, seconds=10)
    for faults in (desk.broker.stop_faults, desk.broker.amend_faults):
        faults.append(Fault.REQUEST_LOST)
    await looks(desk, 1, seconds=11)
    assert await resting(desk) != [Decimal(6)]
    desk.clock.advance(4)
    assert await desk.guard.attend(BROKER)
    assert await resting(desk) == [Decimal(6)]


@pytest.mark.parametrize("shown_before_told", [False, True], ids=["told at once", "shown before it is told"])
async def test_what_we_close_of_the_rest_ourselves_does_not_make_the_missing_part_be_counted_anew(
    shown_before_told: bool,
) -> None:
    # Arrange: somebody has sold 4 of 10, and before that is believed a target sells 5 of the 6 that are left
    desk = Desk()
    await desk.bought()
    before = await desk.position()
    after = replace(before, quantity=Decimal(5), closed_quantity=Decimal(5))
    missing = MissingPositions(desk.clock)

    # Act
    for position, shown in ((before, 6), (before, 6), (before if shown_before_told else after, 1), (after, 1)):
        missing.note(position, Decimal(shown))
        desk.clock.advance(10)

    # Assert
    assert missing.open_of(after) == Decimal(1)


async def test_what_is_believed_to_be_missing_is_missing_also_while_more_is_for_a_moment() -> None:
    # Arrange: 4 of 10 are believed to be gone
    desk = Desk()
    await desk.bought()
    position = await desk.position()
    missing = MissingPositions(desk.clock)
    for _ in range(4):
        missing.note(position, Decimal(6))
        desk.clock.advance(10)

    # Act: the venue shows what a target of ours has sold before it tells the fill
    missing.note(position, Decimal(1))

    # Assert
    assert missing.open_of(position) == Decimal(6)
