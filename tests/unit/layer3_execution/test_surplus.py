"""A request that was delivered twice: where the venue knows no duplicates it is a second order."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.layer1_data.broker_interface import DuplicateIds
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import OrderState, leg_of
from tests.builders import approved_order, plan
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import ATTACHED, SPOT, TRADIER

ENTRY = approved_order().client_order_id
IG = replace(ATTACHED, duplicate_ids=DuplicateIds.NONE)
NO_DUPLICATES = pytest.mark.parametrize("venue", [TRADIER, IG], ids=["tradier", "ig"])


async def doubled(venue: VenueTraits, *, liquidity: Decimal | None = None) -> Desk:
    """A desk whose entry reached the venue twice, before the answer to the first one came."""
    desk = Desk(venue=venue, liquidity=liquidity)

    async def again() -> None:
        desk.broker.while_placing = None
        await desk.venue.place(approved_order())

    desk.broker.while_placing = again
    await desk.bought()
    return desk


async def stops(desk: Desk) -> list[Decimal]:
    return [each.quantity - each.filled_quantity for each in await desk.venue.protective_orders()]


@NO_DUPLICATES
async def test_an_entry_that_was_delivered_twice_is_reduced_to_what_was_ordered(venue: VenueTraits) -> None:
    desk = await doubled(venue)
    opened = await desk.at_venue()
    assert opened is not None
    assert (opened.quantity, (await desk.position()).quantity) == (Decimal(10), Decimal(10))
    assert await stops(desk) == [Decimal(10)]
    (closed,) = await desk.exits()
    assert (closed.reason, closed.quantity, closed.state) == ("SURPLUS", Decimal(10), OrderState.FILLED)


@NO_DUPLICATES
async def test_the_surplus_is_told_as_an_incident_once(venue: VenueTraits) -> None:
    desk = await doubled(venue)
    await desk.guard.verify(BROKER)
    told = desk.incidents()
    assert told.count("more was opened than ordered: the surplus is closed") == 1
    assert "more was filled than ordered" in told


@NO_DUPLICATES
@pytest.mark.parametrize("shown", [0, 10], ids=["nothing", "one of both"])
async def test_a_surplus_that_the_venue_does_not_show_yet_is_closed_when_it_does(
    venue: VenueTraits, shown: int
) -> None:
    # Arrange: positions and fills disagree, as where positions are answered from a cache
    desk = Desk(venue=venue)
    await desk.bought()
    before = await desk.venue.positions()
    desk.broker.stale_positions = [replace(each, quantity=Decimal(shown)) for each in before] if shown else []
    await desk.venue.place(approved_order())
    await desk.tracker.collect(BROKER)
    assert (await desk.position()).quantity == 20

    # Act
    desk.broker.stale_positions = None
    desk.clock.advance(3)
    await desk.guard.verify(BROKER)

    # Assert
    assert (await desk.position()).quantity == 10
    assert await stops(desk) == [Decimal(10)]


@NO_DUPLICATES
async def test_the_row_of_an_entry_keeps_what_was_ordered(venue: VenueTraits) -> None:
    desk = await doubled(venue)
    entry = await desk.order(ENTRY)
    assert (entry.quantity, entry.filled_quantity) == (Decimal(10), Decimal(20))


@NO_DUPLICATES
async def test_a_surplus_that_fills_in_parts_is_never_reduced_below_what_was_ordered(venue: VenueTraits) -> None:
    desk = await doubled(venue, liquidity=Decimal(4))
    held = []
    for _ in range(12):
        opened = await desk.at_venue()
        held.append(Decimal(0) if opened is None else opened.quantity)
        desk.clock.advance(1)
        desk.observe(100)
        await desk.tracker.collect(BROKER)
        await desk.guard.verify(BROKER)
    assert max(held) > 10
    grown = held[held.index(max(held)) :]
    assert (min(grown), grown[-1]) == (Decimal(10), Decimal(10))


@NO_DUPLICATES
async def test_a_surplus_found_only_after_a_restart_is_closed_by_the_first_look(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    desk.broker.hold_fills = True
    await desk.bought()
    await desk.venue.place(approved_order())
    desk.broker.hold_fills = False
    desk.broker.failing.add("positions")
    await desk.tracker.collect(BROKER)
    assert await desk.exits() == []
    desk.broker.failing.clear()
    await desk.restart()
    await desk.guard.verify(BROKER)
    assert (await desk.position()).quantity == 10
    assert await stops(desk) == [Decimal(10)]


@NO_DUPLICATES
async def test_a_fill_that_was_only_told_twice_closes_nothing(venue: VenueTraits) -> None:
    desk = Desk(venue=venue)
    await desk.bought()
    (fill,), _ = await desk.venue.fills_since("")
    desk.broker._told.append(replace(fill, venue_fill_id="told again under another name"))
    await desk.tracker.collect(BROKER)
    await desk.guard.verify(BROKER)
    opened = await desk.at_venue()
    assert opened is not None
    assert (opened.quantity, await desk.exits()) == (Decimal(10), [])


async def test_a_stop_that_was_delivered_twice_rests_once_after_a_look() -> None:
    desk = Desk(venue=TRADIER)
    await desk.bought()
    (opened,) = await desk.venue.positions()
    await desk.venue.place_stop(opened, leg_of(ENTRY, "S1"), Decimal(98))
    assert await stops(desk) == [Decimal(10), Decimal(10)]
    for _ in range(2):
        await desk.guard.verify(BROKER)
    assert await stops(desk) == [Decimal(10)]
    assert not desk.guard.unprotected.is_open(BROKER)


async def test_a_second_delivery_that_fills_while_the_stop_is_placed_is_noticed_too() -> None:
    desk = Desk(venue=SPOT)

    async def again_with_the_stop() -> None:
        if desk.broker.stops_placed:
            desk.broker.while_placing = None
            await desk.venue.place(approved_order())

    desk.broker.while_placing = again_with_the_stop
    await desk.bought()
    await desk.guard.attend(BROKER)
    assert ((await desk.position()).quantity, await stops(desk)) == (Decimal(10), [Decimal(10)])


async def test_a_surplus_that_the_venue_refuses_does_not_take_the_stop_away_all_the_time() -> None:
    desk = Desk(venue=SPOT)
    await desk.bought()
    desk.venue.raise_minimum(approved_order().symbol, Decimal(5))
    assert desk.venue.fill_more(ENTRY)
    await desk.tracker.collect(BROKER)
    for _ in range(120):
        desk.clock.advance(1)
        desk.observe(100)
        await desk.guard.attend(BROKER)
    refused = [each for each in await desk.exits() if each.state is OrderState.REJECTED]
    assert 3 <= len(refused) <= 8
    assert await stops(desk) == [Decimal(11)]


@pytest.mark.parametrize(
    ("minimum", "is_kept"),
    [
        ({"min_quantity": Decimal(2)}, True),
        ({"min_notional": Decimal(101)}, True),
        ({"min_notional": Decimal(100)}, False),
    ],
    ids=str,
)
async def test_a_surplus_that_is_too_little_to_be_sold_never_takes_a_stop_away_that_locks_it(
    minimum: dict[str, Any], is_kept: bool
) -> None:
    desk = Desk(venue=SPOT)
    approved = await desk.bought(plan=plan(**minimum))
    (before,) = await desk.venue.protective_orders()

    assert desk.venue.fill_more(approved.client_order_id)  # one more than the ten
    for _ in range(10):
        await desk.price(100)
        await desk.guard.verify(BROKER)
        desk.clock.advance(2)

    told = [each for each in desk.incidents() if each.startswith("more was opened than ordered")]
    assert await stops(desk) == [Decimal(11 if is_kept else 10)]
    assert len(await desk.exits()) == (0 if is_kept else 1)
    assert told == [
        f"more was opened than ordered: {'too little to be closed alone' if is_kept else 'the surplus is closed'}"
    ]
    assert before.price == approved.plan.stop
