"""What a simulated venue can do to us beside matching: fees in what was bought (B15), new ids (B9), busts (B20), a
stop that fills before a close arrives (B10)."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

import pytest

from bot.clock import ManualClock
from bot.instruments import Currency, Symbol
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.snapshot import fill_of, plain_fill
from bot.layer1_data.brokers.simulated.state import MemoryVenueState
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import ApprovedOrder, OrderAck, OrderKind, OrderState, ReduceOrder, Side, VenuePosition, leg_of
from tests.builders import EUR_USD, START, approved_order, frictionless
from tests.unit.layer3_execution.venues import ATTACHED, EVERY_CLASS, FUTURES, NAMELESS, SPOT

D = Decimal
ENTRY: Final = approved_order().client_order_id
BALANCE: Final = D(1_000_000)
WITHHOLDS: Final = replace(SPOT, withheld_ratio=D("0.04"))


class Venue:
    """One account, and the state that it leaves behind."""

    def __init__(self, traits: VenueTraits) -> None:
        self.traits = traits
        self.state = MemoryVenueState()
        self.clock = ManualClock(START)
        self.restart()
        self.price(100)

    def restart(self) -> None:
        self.broker = SimulatedBroker(
            broker_id=frictionless().broker_id,
            instruments=[frictionless(tick="0.001")],
            clock=self.clock,
            currency=Currency("USD"),
            balance=BALANCE,
            state=self.state,
            traits=self.traits,
        )

    def price(self, price: int) -> None:
        self.broker.observe(EUR_USD, bid=D(price), ask=D(price), at=self.clock.now(), gap=True)

    async def buy(self, bound: int = 110) -> ApprovedOrder:
        order = approved_order(price_bound=D(bound))
        await self.broker.place(order)
        return order

    async def stop(self, quantity: str, number: int = 1) -> OrderAck:
        (held,) = await self.broker.positions()
        claimed = VenuePosition(
            entry_order_id=held.entry_order_id,
            symbol=held.symbol,
            direction=held.direction,
            quantity=D(quantity),
            average_price=held.average_price,
            stop_price=None,
            stop_order_id=None,
        )
        return await self.broker.place_stop(claimed, leg_of(ENTRY, f"S{number}"), D(98))

    async def protected(self) -> None:
        """Ten bought, and a stop for all of it."""
        await self.buy()
        if not self.traits.attached_stop:
            await self.stop("10")

    async def bust_newest(self) -> None:
        self.broker.take_back(self.broker.can_be_taken_back()[-1])

    async def equity(self) -> Decimal:
        return (await self.broker.account()).equity


def closing(quantity: str) -> ReduceOrder:
    entry = approved_order()
    return ReduceOrder(
        client_order_id=leg_of(ENTRY, "X0"),
        position_id=entry.position_id,
        entry_order_id=ENTRY,
        broker_id=entry.broker_id,
        symbol=entry.symbol,
        side=Side.SELL,
        kind=OrderKind.MARKET,
        quantity=D(quantity),
        limit_price=None,
        reason="TEST",
    )


async def test_a_fee_taken_from_the_purchase_leaves_whole_steps_to_sell_and_the_rest_to_the_account() -> None:
    venue = Venue(WITHHOLDS)
    await venue.buy()

    (held,) = await venue.broker.positions()
    (fill,), _ = await venue.broker.fills_since("")

    assert (held.quantity, fill.quantity, fill.withheld, fill.fee) == (D(9), D(10), D("0.4"), D(40))
    venue.price(110)
    assert await venue.equity() == BALANCE - 40 + D("9.6") * 10


async def test_who_asks_for_more_than_can_be_sold_is_refused() -> None:
    venue = Venue(WITHHOLDS)
    await venue.buy()

    too_much, enough = await venue.stop("10"), await venue.stop("9", 2)

    assert (too_much.state, too_much.reason) == (OrderState.REJECTED, "INSUFFICIENT_BALANCE")
    assert enough.state is OrderState.WORKING


async def test_dust_keeps_its_worth_after_its_position_has_ended_and_over_a_restart() -> None:
    venue = Venue(WITHHOLDS)
    await venue.buy()
    await venue.stop("9")
    venue.price(90)
    assert list(await venue.broker.positions()) == []
    before = await venue.equity()

    venue.restart()
    venue.price(100)

    assert before == BALANCE - 40 - D("9.6") * 10
    assert await venue.equity() == before + D("0.6") * 10


@pytest.mark.parametrize("named", ["S0", "S7"], ids=["its own name", "any other one"])
async def test_a_stop_that_is_a_level_of_its_position_goes_whichever_stop_of_that_position_is_cancelled(
    named: str,
) -> None:
    venue = Venue(NAMELESS)
    await venue.buy()

    ack = await venue.broker.cancel(leg_of(ENTRY, named))

    assert (ack.client_order_id, ack.state) == (leg_of(ENTRY, named), OrderState.CANCELED)
    assert list(await venue.broker.protective_orders()) == []


async def test_a_stop_with_a_name_stays_when_another_one_is_cancelled() -> None:
    venue = Venue(ATTACHED)
    await venue.buy()

    ack = await venue.broker.cancel(leg_of(ENTRY, "S7"))

    assert (ack.state, ack.reason) == (OrderState.REJECTED, "ORDER_NOT_FOUND")
    assert len(await venue.broker.protective_orders()) == 1


async def test_a_state_of_an_earlier_program_has_nothing_withheld() -> None:
    venue = Venue(ATTACHED)
    await venue.buy()
    (fill,), _ = await venue.broker.fills_since("")
    plain = plain_fill(fill)
    del plain["withheld"]

    assert fill_of(plain) == fill


async def test_a_replaced_order_goes_on_under_another_id_of_the_venue() -> None:
    venue = Venue(FUTURES)
    await venue.buy()
    first = await venue.stop("10")

    number = venue.broker.renumber(leg_of(ENTRY, "S1"))

    (stop,) = await venue.broker.protective_orders()
    assert (stop.venue_order_id, stop.client_order_id) == (number, leg_of(ENTRY, "S1"))
    assert number != first.venue_order_id


async def test_a_busted_entry_was_never_there() -> None:
    venue = Venue(ATTACHED)
    await venue.buy()
    venue.price(105)

    await venue.bust_newest()

    assert list(await venue.broker.positions()) == []
    assert list(await venue.broker.protective_orders()) == []
    assert list((await venue.broker.fills_since(""))[0]) == []
    assert await venue.equity() == BALANCE


async def test_a_busted_part_of_an_entry_leaves_the_others_at_their_price() -> None:
    venue = Venue(replace(ATTACHED, liquidity=D(6)))
    await venue.buy()
    venue.price(105)

    await venue.bust_newest()

    (held,) = await venue.broker.positions()
    assert (held.quantity, held.average_price, await venue.equity()) == (D(6), D(100), BALANCE + 30)


async def test_what_a_busted_stop_closed_is_open_again_without_a_stop() -> None:
    venue = Venue(ATTACHED)
    await venue.buy()
    venue.price(90)

    await venue.bust_newest()
    venue.restart()
    venue.price(95)

    (held,) = await venue.broker.positions()
    told, _ = await venue.broker.fills_since("")
    stop = await venue.broker.find_order(leg_of(ENTRY, "S0"))
    assert stop is not None
    assert (stop.state, stop.filled_quantity) == (OrderState.CANCELED, D(0))
    assert (held.quantity, held.average_price, held.stop_order_id) == (D(10), D(100), None)
    assert (len(told), await venue.equity()) == (1, BALANCE - 50)


async def test_the_opening_of_what_is_partly_closed_cannot_be_taken_back() -> None:
    venue = Venue(ATTACHED)
    await venue.buy()
    venue.broker.close_by_other(leg_of(ENTRY, "X0"), ENTRY, D(4))

    able = [each.fill.quantity for each in venue.broker.can_be_taken_back()]

    assert able == [D(4)]


async def test_a_split_is_remembered_over_a_restart() -> None:
    venue = Venue(ATTACHED)
    await venue.buy()
    venue.broker.split(ENTRY, 2)

    venue.restart()

    (held,) = await venue.broker.positions()
    assert (held.quantity, held.average_price, held.stop_price) == (D(20), D(50), D(98))


async def test_a_stop_that_was_refused_for_its_symbol_cannot_be_resized() -> None:
    venue = Venue(FUTURES)
    await venue.buy()
    (held,) = await venue.broker.positions()
    name = leg_of(ENTRY, "S1")
    await venue.broker.place_stop(replace(held, symbol=Symbol("EUR_GBP")), name, D(98))

    ack = await venue.broker.resize_stop(name, D(5), D(97))

    assert (ack.state, ack.reason) == (OrderState.REJECTED, "STOP_NOT_FOUND")


@pytest.mark.parametrize("traits", EVERY_CLASS.values(), ids=EVERY_CLASS)
async def test_a_close_that_comes_after_its_stop_has_filled_finds_nothing_and_turns_nothing(
    traits: VenueTraits,
) -> None:
    # Arrange
    venue = Venue(traits)
    await venue.protected()
    close = closing("10")
    assert venue.broker.can_stop_out(close)

    # Act
    stops = venue.broker.stop_out(ENTRY)
    ack = await venue.broker.place(close)

    # Assert
    told, _ = await venue.broker.fills_since("")
    assert stops == [each.client_order_id for each in told[1:]]
    assert [(each.quantity, each.price, each.cause) for each in told[1:]] == [(D(10), D(98), "stop")]
    assert (ack.state, ack.reason) == (OrderState.REJECTED, "POSITION_NOT_FOUND")
    assert list(await venue.broker.positions()) == []
    assert await venue.equity() == BALANCE - 20


@pytest.mark.parametrize("name", ["attached", "nameless", "futures", "coinbase", "tradier"])
async def test_where_the_stop_has_filled_in_part_a_close_takes_no_more_than_the_rest(name: str) -> None:
    # Arrange
    venue = Venue(replace(EVERY_CLASS[name], liquidity=D(6)))
    await venue.protected()
    venue.price(100)  # the rest of the entry
    venue.price(100)

    # Act
    venue.broker.stop_out(ENTRY)
    ack = await venue.broker.place(closing("10"))
    venue.price(100)
    venue.price(100)

    # Assert
    sold = [each.quantity for each in (await venue.broker.fills_since(""))[0] if each.side is Side.SELL]
    assert ack.state is OrderState.WORKING
    assert (sold[0], sum(sold)) == (D(6), D(10))
    assert list(await venue.broker.positions()) == []


async def test_a_stop_that_sells_its_part_leaves_a_target_its_own_where_stops_lock_what_they_sell() -> None:
    venue = Venue(SPOT)
    await venue.buy()
    await venue.stop("6")

    venue.broker.stop_out(ENTRY)
    ack = await venue.broker.place(closing("4"))

    assert ack.state is OrderState.FILLED
    assert list(await venue.broker.positions()) == []
    assert list(await venue.broker.protective_orders()) == []


async def test_a_stop_cannot_fill_before_a_close_where_none_rests_or_nobody_trades_any_more() -> None:
    # Arrange
    bare, traded_out = Venue(FUTURES), Venue(replace(ATTACHED, liquidity=D(10)))
    await bare.buy()
    await traded_out.buy()  # takes all that this price point has

    # Assert
    assert not bare.broker.can_stop_out(closing("10"))
    assert not traded_out.broker.can_stop_out(closing("10"))
    traded_out.price(100)
    assert traded_out.broker.can_stop_out(closing("10"))


async def test_a_close_that_was_taken_before_is_not_overtaken_when_it_arrives_again() -> None:
    venue = Venue(replace(ATTACHED, liquidity=D(6)))
    await venue.buy()
    venue.price(100)
    close = closing("10")
    await venue.broker.place(close)
    venue.price(100)

    assert not venue.broker.can_stop_out(close)
