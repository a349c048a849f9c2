"""B9: a venue that changes an order by replacing it: another id of its own, and the old one has ended."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

import pytest

from bot.layer1_data.broker_interface import VenueOrder
from bot.models import ClientOrderId, OrderAck, OrderState, leg_of
from tests.builders import approved_order
from tests.fakes.awkward_broker import AwkwardBroker
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import ATTACHED, FUTURES

ENTRY: Final = approved_order().client_order_id
ATTACHED_STOP: Final = leg_of(ENTRY, "S0")
OWN_STOP: Final = leg_of(ENTRY, "S1")


class ReplacingBroker(AwkwardBroker):
    """Each change gives the order a new id of the venue. A look-up by our id tells of the old one, which has ended."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.venue, desk.clock)
        self.ended: dict[ClientOrderId, VenueOrder] = {}

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        return await self._renamed(await super().amend_stop(entry_order_id, stop))

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        return await self._renamed(await super().resize_stop(stop_order_id, quantity, stop))

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        return self.ended.get(client_order_id) or await super().find_order(client_order_id)

    async def _renamed(self, ack: OrderAck) -> OrderAck:
        old = await self.venue.find_order(ack.client_order_id)
        assert old is not None
        self.ended[ack.client_order_id] = replace(old, state=OrderState.CANCELED)
        return replace(ack, venue_order_id=self.venue.renumber(ack.client_order_id))


async def open_desk(venue: object = FUTURES) -> Desk:
    """10 bought in parts of 4, so that the stop is resized; a stop of its own rests as the venue's order 2."""
    desk = Desk(venue=venue, liquidity=Decimal(4) if venue is FUTURES else None)  # type: ignore[arg-type]
    desk.broker = ReplacingBroker(desk)
    await desk.bought()
    return desk


@pytest.mark.parametrize(("venue", "stop"), [(FUTURES, OWN_STOP), (ATTACHED, ATTACHED_STOP)], ids=["own", "attached"])
async def test_the_chain_of_ids_is_recorded(venue: object, stop: ClientOrderId) -> None:
    desk = await open_desk(venue)

    for _ in range(3):
        await desk.price(104)

    told = await desk.venue.find_order(stop)
    assert told is not None
    assert (await desk.order(stop)).venue_order_id == told.venue_order_id
    causes = [cause for _, _, _, cause in await desk.stores.orders.order_events(stop)]
    assert any(cause.endswith(f"as {told.venue_order_id}") for cause in causes)


async def test_an_id_whose_change_got_no_answer_is_learned_when_the_stop_is_read_back() -> None:
    desk = await open_desk()
    desk.venue.renumber(OWN_STOP)

    await desk.guard.verify(BROKER)

    told = await desk.venue.find_order(OWN_STOP)
    assert told is not None
    assert (await desk.order(OWN_STOP)).venue_order_id == told.venue_order_id


async def test_a_stop_that_no_list_shows_does_not_end_with_its_old_id() -> None:
    # Arrange: resized once, then left out of the list of resting stops; the look-up tells of the old id
    desk = await open_desk()
    await desk.price(100)
    desk.clock.advance(6)
    desk.broker.left_out.add(OWN_STOP)

    # Act
    await desk.guard.verify(BROKER)

    # Assert: nothing rests beside it, and its row lives
    assert (await desk.order(OWN_STOP)).state is OrderState.WORKING
    assert desk.broker.stops_placed == [OWN_STOP]
    desk.broker.left_out.clear()
    await desk.guard.verify(BROKER)
    assert not desk.guard.unprotected.is_open(BROKER)
    assert desk.broker.stops_placed == [OWN_STOP]


async def test_a_second_delivery_that_was_refused_is_not_taken_for_the_old_id_of_a_stop_that_is_gone() -> None:
    # Arrange: sent once, delivered twice; the look-up tells of the second one, and the first one is gone
    desk = await open_desk()
    await desk.price(100)
    stop = await desk.venue.find_order(OWN_STOP)
    assert stop is not None
    assert isinstance(desk.broker, ReplacingBroker)
    desk.broker.ended[OWN_STOP] = replace(stop, state=OrderState.REJECTED, venue_order_id="delivered again")
    await desk.broker.lose_stop(ENTRY)
    desk.clock.advance(6)

    # Act
    await desk.guard.verify(BROKER)

    # Assert
    assert (await desk.order(OWN_STOP)).state is OrderState.CANCELED
    assert [each.quantity for each in await desk.venue.protective_orders()] == [Decimal(8)]
