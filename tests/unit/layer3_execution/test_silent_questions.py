"""Protection while the venue answers no questions: time runs, and what can be done is done (rule: exits first)."""

from contextlib import suppress
from decimal import Decimal

import pytest

from bot.errors import BrokerUnavailable
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import OrderRole
from tests.builders import approved_order
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import FUTURES, SPOT, TRADIER

ENTRY = approved_order().client_order_id
OWN_STOPS = pytest.mark.parametrize("venue", [FUTURES, TRADIER, SPOT], ids=["futures", "tradier", "spot"])


async def bought_bare(venue: VenueTraits) -> Desk:
    """10 are open, and the venue took no stop for them."""
    desk = Desk(venue=venue)
    desk.broker.stop_faults.extend([Fault.UNREACHABLE] * 3)
    await desk.bought()
    desk.broker.stop_faults.clear()
    assert await desk.broker.venue.protective_orders() == ()
    return desk


async def attended(desk: Desk, seconds: int) -> None:
    for _ in range(seconds):
        desk.clock.advance(1)
        with suppress(BrokerUnavailable):
            await desk.guard.attend(BROKER)


@OWN_STOPS
@pytest.mark.parametrize("question", ["fills_since", "positions"])
async def test_no_question_that_gets_no_answer_keeps_a_stop_from_being_placed(
    venue: VenueTraits, question: str
) -> None:
    desk = await bought_bare(venue)
    desk.broker.failing.add(question)

    await attended(desk, 5)

    assert [each.quantity for each in await desk.broker.venue.protective_orders()] == [Decimal(10)]


@OWN_STOPS
async def test_what_cannot_be_protected_is_closed_in_time_though_no_question_is_answered(
    venue: VenueTraits,
) -> None:
    desk = await bought_bare(venue)
    desk.broker.stop_faults.extend([Fault.UNREACHABLE] * 1_000)
    desk.broker.failing.update({"positions", "fills_since", "protective_orders", "find_order"})

    await attended(desk, 12)

    assert await desk.at_venue() is None


async def test_the_time_without_a_stop_begins_before_it_is_taken_away_to_make_room() -> None:
    # Arrange: stops lock what they sell; the cancel is carried out, what follows it gets no answer
    desk = Desk(venue=SPOT)
    await desk.bought()
    await desk.guard.verify(BROKER)
    desk.broker.failing.add("fills_since")

    # Act
    with pytest.raises(BrokerUnavailable):
        await desk.engine.reduce(await desk.position(), Decimal(4), None, "OPERATOR_CLOSE")

    # Assert
    assert await desk.broker.venue.protective_orders() == ()
    assert desk.guard.unprotected.is_open(BROKER)
    desk.broker.failing.clear()
    await attended(desk, 2)
    assert [each.quantity for each in await desk.broker.venue.protective_orders()] == [Decimal(10)]
    assert len(desk.book.orders_of((await desk.position()).id, OrderRole.EXIT)) == 0


async def test_a_stop_that_was_taken_for_gone_and_shows_after_its_position_has_ended_is_taken_away_soon() -> None:
    # Arrange: the venue hides a stop, another one is placed, and the position is closed with that
    desk = Desk(venue=TRADIER)
    await desk.bought()
    (hidden,) = desk.broker.stops_placed
    desk.broker.left_out.add(hidden)
    desk.broker.hidden_for = 1
    desk.clock.advance(6)
    await desk.guard.verify(BROKER)
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "OPERATOR_CLOSE")
    await desk.tracker.collect(BROKER)
    await attended(desk, 5)
    desk.broker.left_out.clear()
    assert [each.client_order_id for each in await desk.broker.venue.protective_orders()] == [hidden]

    # Act
    await attended(desk, 31)

    # Assert
    assert await desk.broker.venue.protective_orders() == ()
