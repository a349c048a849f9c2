"""Positions are looked after side by side: none waits for what a venue does not answer about another one."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from bot.errors import BrokerUnavailable
from bot.models import ApprovedOrder, ClientOrderId, OrderAck, PositionId, SignalId, TaskId, VenuePosition, leg_of
from tests.builders import EUR_USD
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import TRADIER

FIRST = ClientOrderId("TBd0123456789ABCDEFE00")
SECOND = ClientOrderId("TBd9876543210ZYXWVUE00")


class TwoPositions(Desk):
    """Two of the same symbol, whose stops are ours to size. Requests about the first one wait for `answered`."""

    def __init__(self) -> None:
        super().__init__(venue=TRADIER)
        self.answered = asyncio.Event()
        self.broker.place_stop = self._held(self.broker.place_stop)  # type: ignore[method-assign, assignment]
        self.answered.set()

    def _held(self, place_stop: Callable[..., Awaitable[OrderAck]]) -> Callable[..., Awaitable[OrderAck]]:
        async def place(position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
            if leg_of(stop_order_id, "E0") == FIRST:
                await self.answered.wait()
            return await place_stop(position, stop_order_id, stop)

        return place

    async def buy(self, name: ClientOrderId) -> ApprovedOrder:
        return await self.bought(
            client_order_id=name,
            stop_order_id=leg_of(name, "S0"),
            position_id=PositionId(f"position of {name}"),
            signal_id=SignalId(f"signal of {name}"),
            task_id=TaskId(f"task of {name}"),
        )

    async def lose(self, name: ClientOrderId) -> None:
        """Its stop is gone, as when a person removes it."""
        await self.broker.lose_stop(name)
        self.clock.advance(10)

    async def protected(self) -> set[ClientOrderId]:
        """Entries that have a stop at the venue."""
        names = [each.client_order_id for each in await self.venue.protective_orders()]
        return {leg_of(each, "E0") for each in names if each is not None}

    async def turns(self) -> None:
        for _ in range(100):
            await self.clock.sleep(0)


@pytest.fixture
async def desk() -> TwoPositions:
    two = TwoPositions()
    for name in (FIRST, SECOND):
        await two.buy(name)
    return two


async def test_the_stop_of_one_is_placed_while_no_answer_comes_about_another(desk: TwoPositions) -> None:
    for name in (FIRST, SECOND):
        await desk.lose(name)
    desk.answered.clear()
    looking = asyncio.ensure_future(desk.guard.verify(BROKER))
    await desk.turns()
    before = await desk.protected()
    desk.answered.set()
    await looking
    assert (before, await desk.protected()) == ({SECOND}, {FIRST, SECOND})


async def test_a_look_that_takes_long_keeps_no_later_look_from_the_other_position(desk: TwoPositions) -> None:
    desk.answered.clear()
    await desk.lose(FIRST)
    slow = asyncio.ensure_future(desk.guard.verify(BROKER))
    await desk.turns()
    await desk.lose(SECOND)
    again = asyncio.ensure_future(desk.guard.attend(BROKER))
    await desk.turns()
    before = await desk.protected()
    desk.answered.set()
    await asyncio.gather(slow, again)
    assert (before, await desk.protected()) == ({SECOND}, {FIRST, SECOND})
    assert len(desk.broker.stops_placed) == 4, "one more for each, not one for each look"


async def test_fills_of_two_entries_read_together_are_followed_side_by_side() -> None:
    desk = TwoPositions()
    desk.broker.hold_fills = True
    for name in (FIRST, SECOND):
        await desk.buy(name)
    desk.broker.hold_fills = False
    desk.answered.clear()
    reading = asyncio.ensure_future(desk.tracker.collect(BROKER))
    await desk.turns()
    before = await desk.protected()
    desk.answered.set()
    await reading
    assert (before, await desk.protected()) == ({SECOND}, {FIRST, SECOND})


async def test_a_price_reaches_one_position_while_no_answer_comes_about_another(desk: TwoPositions) -> None:
    held = desk.broker.place
    seen: list[ClientOrderId] = []

    async def place(order: ApprovedOrder, *_: object) -> OrderAck:
        seen.append(leg_of(order.client_order_id, "E0"))
        await desk.answered.wait()
        return await held(order)

    desk.broker.place = place  # type: ignore[method-assign, assignment]
    desk.answered.clear()
    desk.observe(104)
    looking = asyncio.ensure_future(desk.guard.on_price(EUR_USD, bid=Decimal(104), ask=Decimal(104)))
    await desk.turns()
    before = list(seen)
    desk.answered.set()
    await looking
    assert before == [FIRST, SECOND], "both have reached their target"


async def test_a_look_that_fails_keeps_nothing_from_the_other_position_and_is_told(desk: TwoPositions) -> None:
    for name in (FIRST, SECOND):
        await desk.lose(name)
    desk.broker.stop_faults.append(Fault.BROKEN)
    with pytest.raises(KeyError):
        await desk.guard.verify(BROKER)
    assert await desk.protected() >= {SECOND}


async def test_what_is_open_is_looked_at_again_before_long_whatever_keeps_the_monitor(desk: TwoPositions) -> None:
    await desk.guard.verify(BROKER)
    await desk.broker.lose_stop(SECOND)
    desk.clock.advance(29)
    looked_early = await desk.guard.attend(BROKER)
    desk.clock.advance(1)
    assert (looked_early, await desk.guard.attend(BROKER)) == (False, True)
    assert await desk.protected() == {FIRST, SECOND}


async def test_a_look_that_the_venue_did_not_answer_is_repeated_after_ten_seconds(desk: TwoPositions) -> None:
    await desk.guard.verify(BROKER)
    await desk.broker.lose_stop(SECOND)
    desk.clock.advance(30)
    desk.broker.failing = {"positions"}
    with pytest.raises(BrokerUnavailable):
        await desk.guard.attend(BROKER)

    desk.broker.failing = set()
    desk.clock.advance(9)
    looked_early = await desk.guard.attend(BROKER)
    desk.clock.advance(1)

    assert (looked_early, await desk.guard.attend(BROKER)) == (False, True)
    assert await desk.protected() == {FIRST, SECOND}


async def test_what_fails_when_nobody_waits_for_it_any_more_is_told_by_the_next_look() -> None:
    desk = TwoPositions()
    await desk.buy(SECOND)
    desk.broker.hold_fills = True
    await desk.buy(FIRST)
    desk.broker.hold_fills = False
    desk.answered.clear()
    desk.broker.stop_faults.append(Fault.BROKEN)
    reading = asyncio.ensure_future(desk.tracker.collect(BROKER))
    await desk.turns()
    reading.cancel()
    desk.answered.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await desk.turns()
    with pytest.raises(KeyError):
        await desk.guard.attend(BROKER)
