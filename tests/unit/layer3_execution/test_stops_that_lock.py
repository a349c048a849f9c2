"""Venues whose resting stop locks what it would sell: a replacement leaves a gap, and the gap has a timer."""

import asyncio
from contextlib import suppress
from decimal import Decimal

from bot.errors import BrokerError
from bot.models import ClientOrderId, OrderAck, OrderState, PositionId, SignalId, TaskId, VenuePosition, leg_of
from tests.builders import approved_order
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import SPOT

ENTRY = approved_order().client_order_id


async def open_desk(*, liquidity: Decimal | None = None) -> Desk:
    desk = Desk(venue=SPOT, liquidity=liquidity)
    await desk.bought()
    return desk


async def resting(desk: Desk) -> list[Decimal]:
    return [each.quantity - each.filled_quantity for each in await desk.venue.protective_orders()]


def closes_sent(desk: Desk) -> list[str]:
    return [each.client_order_id[-3:] for each in desk.broker.placed[1:]]


async def look_again(desk: Desk) -> None:
    """What the supervisor does each second."""
    with suppress(BrokerError):
        await desk.guard.attend(BROKER)


async def test_a_target_of_unknown_fate_does_not_take_the_stop_away_again_with_each_price() -> None:
    desk = await open_desk()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    await desk.price(104)
    await desk.guard.verify(BROKER)
    assert await resting(desk) == [Decimal(10)]
    asked = len(desk.broker.stops_placed)
    for _ in range(5):
        await desk.price(104)
    assert (await resting(desk), len(desk.broker.stops_placed)) == ([Decimal(10)], asked)


async def test_a_target_whose_answer_was_lost_is_found_and_its_part_gets_no_stop_beside_it() -> None:
    desk = await open_desk(liquidity=Decimal(4))
    for _ in range(2):
        await desk.price(100)
    desk.broker.place_faults.append(Fault.REPLY_LOST)
    desk.broker.hold_fills = True
    await desk.price(104)
    assert (await desk.exits())[0].state is OrderState.UNKNOWN
    desk.broker.hold_fills = False
    await desk.tracker.collect(BROKER)
    await desk.guard.verify(BROKER)
    (target,) = await desk.exits()
    assert (target.state, target.filled_quantity) == (OrderState.PARTIAL, Decimal(4))
    assert await resting(desk) == [Decimal(5)]


async def test_a_target_that_waits_for_its_price_is_taken_back_so_that_its_part_has_a_stop() -> None:
    desk = await open_desk(liquidity=Decimal(4))
    for _ in range(2):
        await desk.price(100)
    await desk.price(104)
    desk.observe(103)
    desk.clock.advance(6)
    await desk.guard.verify(BROKER)
    (target,) = await desk.exits()
    assert (target.state, target.filled_quantity) == (OrderState.CANCELED, Decimal(4))
    assert await resting(desk) == [Decimal(6)]
    assert not desk.guard.unprotected.is_open(BROKER)


async def test_while_a_close_of_everything_works_no_stop_competes_with_it() -> None:
    desk = await open_desk(liquidity=Decimal(4))
    for _ in range(2):
        await desk.price(100)
    asked = len(desk.broker.stops_placed)
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "KILL_FLATTEN")
    await desk.guard.verify(BROKER)
    assert (await desk.position()).quantity == 8
    assert (await resting(desk), len(desk.broker.stops_placed)) == ([], asked)
    for _ in range(2):
        desk.observe(100)
        await desk.tracker.collect(BROKER)
    assert (await desk.at_venue(), desk.book.orders()) == (None, ())


async def test_a_cancel_without_an_answer_does_not_keep_an_unprotected_position_from_being_closed() -> None:
    desk = await open_desk(liquidity=Decimal(4))
    desk.broker.cancel_faults.extend([Fault.REQUEST_LOST] * 100)
    await desk.price(100)  # the stop for 4 should go, so that one for 8 can rest
    assert closes_sent(desk) == []
    desk.clock.advance(10)
    await look_again(desk)
    assert closes_sent(desk) == ["X00"]
    desk.broker.cancel_faults.clear()  # that close was refused, and now a stop can rest after all
    await look_again(desk)
    assert await resting(desk) == [Decimal(8)]
    assert not desk.guard.unprotected.is_open(BROKER)


async def test_a_close_that_has_filled_meanwhile_is_not_sent_again() -> None:
    desk = await open_desk(liquidity=Decimal(4))
    desk.broker.stop_faults.extend([Fault.REQUEST_LOST] * 100)
    for _ in range(2):
        await desk.price(100)
    desk.clock.advance(10)
    await look_again(desk)
    assert closes_sent(desk) == ["X00"]
    for _ in range(3):  # it fills in parts, and nobody has read the last ones yet
        desk.observe(100)
    await desk.guard.verify(BROKER)
    await look_again(desk)
    assert (await desk.at_venue(), closes_sent(desk)) == (None, ["X00"])


async def test_the_gap_of_a_replacement_is_timed_from_the_cancel_of_the_old_stop() -> None:
    desk = await open_desk(liquidity=Decimal(4))
    desk.broker.stop_faults.append(Fault.REQUEST_LOST)
    await desk.price(100)
    assert (await resting(desk), desk.guard.unprotected.is_open(BROKER)) == ([], True)
    desk.clock.advance(3)
    await look_again(desk)
    assert await resting(desk) == [Decimal(8)]
    assert desk.guard.unprotected.worst_s == 3


async def test_an_overfill_read_while_the_stop_is_exchanged_ends_with_one_stop_for_what_was_ordered() -> None:
    desk = Desk(venue=SPOT, liquidity=Decimal(8))
    await desk.bought()
    desk.broker.hold_fills = True
    desk.observe(100)  # the entry is full, and nobody has read it
    await desk.venue.place(approved_order())  # it reaches the venue a second time
    for _ in range(2):
        desk.observe(100)
    desk.broker.hold_fills = False
    async with asyncio.timeout(5):  # a lock that waits for itself would never end
        await desk.price(100)
        for _ in range(4):
            desk.clock.advance(1)
            desk.observe(100)
            await look_again(desk)
    opened = await desk.at_venue()
    assert opened is not None
    assert (opened.quantity, await resting(desk)) == (Decimal(10), [Decimal(10)])


async def test_a_working_exit_locks_what_it_sells() -> None:
    desk = await open_desk(liquidity=Decimal(4))
    for _ in range(2):
        await desk.price(100)
    for stop in await desk.venue.protective_orders():
        assert stop.client_order_id is not None
        await desk.venue.cancel(stop.client_order_id)
    desk.observe(100)
    close = await desk.engine.reduce(await desk.position(), Decimal(10), Decimal(200), "KILL_FLATTEN")
    opened = await desk.at_venue()
    assert (close.state, opened is not None) == (OrderState.WORKING, True)
    assert opened is not None
    refused = await desk.venue.place_stop(opened, leg_of(ENTRY, "S9"), Decimal(98))
    assert (refused.state, refused.reason) == (OrderState.REJECTED, "INSUFFICIENT_BALANCE")


async def test_a_position_whose_stop_is_being_replaced_waits_for_no_answer_about_another_one() -> None:
    # Arrange: the stop of the first is for 4 of 10; the cancel of it reads the fills of a second one
    desk = await open_desk(liquidity=Decimal(4))
    desk.broker.hold_fills = True
    name = ClientOrderId("TBd9876543210ZYXWVUE00")
    other = {"client_order_id": name, "stop_order_id": leg_of(name, "S0"), "position_id": PositionId("other")}
    await desk.bought(**other, signal_id=SignalId("other"), task_id=TaskId("other"))
    for _ in range(3):
        desk.observe(100)
    place_stop, answered = desk.broker.place_stop, asyncio.Event()

    async def slow_for_the_other(position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        if leg_of(stop_order_id, "E0") == name:
            await answered.wait()
        return await place_stop(position, stop_order_id, stop)

    async def tell_fills() -> None:
        desk.broker.hold_fills = False

    desk.broker.place_stop = slow_for_the_other  # type: ignore[method-assign]
    desk.broker.while_placing = tell_fills

    # Act
    looking = asyncio.ensure_future(desk.guard.verify(BROKER))
    for _ in range(100):
        await desk.clock.sleep(0)
    before = await resting(desk)
    answered.set()
    await looking

    # Assert
    assert before == [Decimal(10)], "the first one, while nothing is heard of the second"
    assert await resting(desk) == [Decimal(10), Decimal(6)]


async def test_a_fill_read_while_the_lock_is_taken_away_is_not_counted_twice_in_the_close() -> None:
    # Arrange: the venue holds 9, fills tell of 6, and no list shows the stop that locks those
    desk = await open_desk(liquidity=Decimal(3))
    await desk.price(100)
    (stop,) = await desk.venue.protective_orders()
    assert stop.client_order_id is not None
    desk.broker.left_out.add(stop.client_order_id)
    desk.broker.hold_fills = True
    desk.observe(100)

    async def fills_are_told_with_the_cancel() -> None:
        if desk.broker.cancelled[-1:] == [stop.client_order_id]:
            desk.broker.while_placing, desk.broker.hold_fills = None, False
            await desk.tracker.collect(BROKER)

    desk.broker.while_placing = fills_are_told_with_the_cancel

    # Act
    for _ in range(4):
        desk.clock.advance(3)
        await look_again(desk)

    # Assert
    assert [each.quantity for each in await desk.exits()][:1] == [Decimal(9)]
