"""A simulated venue with a least notional refuses like Binance: spot all orders, elsewhere what opens something."""

from decimal import Decimal

import pytest

from bot.clock import ManualClock
from bot.instruments import Currency
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import (
    ApprovedOrder,
    OrderAck,
    OrderKind,
    OrderState,
    ReduceOrder,
    Side,
    VenuePosition,
    leg_of,
)
from tests.builders import EUR_USD, START, approved_order, instrument
from tests.unit.layer3_execution.venues import ATTACHED, FUTURES, SPOT

D = Decimal
LEAST = D(500)


class Venue:
    """One account at a price of 100, where nothing is dealt in that is worth less than 500."""

    def __init__(self, traits: VenueTraits) -> None:
        dealt = instrument(tick=D("0.001"), min_notional=LEAST, slippage_ratio=D(0), max_leverage=D(1_000_000))
        self.broker = SimulatedBroker(
            broker_id=dealt.broker_id,
            instruments=[dealt],
            clock=ManualClock(START),
            currency=Currency("USD"),
            balance=D(1_000_000),
            traits=traits,
        )
        self.broker.observe(EUR_USD, bid=D(100), ask=D(100), at=START, gap=True)

    async def buy(self, quantity: int) -> OrderAck:
        return await self.broker.place(approved_order(quantity=D(quantity)))

    async def stop(self, quantity: int, at: int) -> OrderAck:
        order = approved_order()
        claimed = VenuePosition(
            entry_order_id=order.client_order_id,
            symbol=order.symbol,
            direction=order.plan.direction,
            quantity=D(quantity),
            average_price=D(100),
            stop_price=None,
            stop_order_id=None,
        )
        return await self.broker.place_stop(claimed, leg_of(order.client_order_id, "S1"), D(at))

    async def sell(self, quantity: int, limit: int | None = None) -> OrderAck:
        order = approved_order()
        return await self.broker.place(_sale(order, D(quantity), None if limit is None else D(limit)))


def _sale(entry: ApprovedOrder, quantity: Decimal, limit: Decimal | None) -> ReduceOrder:
    return ReduceOrder(
        client_order_id=leg_of(entry.client_order_id, "T1"),
        entry_order_id=entry.client_order_id,
        position_id=entry.position_id,
        broker_id=entry.broker_id,
        symbol=entry.symbol,
        side=Side.SELL,
        kind=OrderKind.MARKET if limit is None else OrderKind.LIMIT,
        quantity=quantity,
        limit_price=limit,
        reason="TARGET_1",
    )


REFUSED = (OrderState.REJECTED, "BELOW_NOTIONAL")


@pytest.mark.parametrize("traits", [ATTACHED, FUTURES, SPOT], ids=["attached", "futures", "spot"])
async def test_an_entry_below_the_least_notional_is_refused_and_one_of_it_is_taken(traits: VenueTraits) -> None:
    too_small, enough = await Venue(traits).buy(4), await Venue(traits).buy(5)

    assert (too_small.state, too_small.reason) == REFUSED
    assert enough.state is OrderState.FILLED


async def test_spot_refuses_a_stop_that_is_worth_too_little_at_its_own_price() -> None:
    venue = Venue(SPOT)
    await venue.buy(5)

    ack = await venue.stop(5, 98)

    assert (ack.state, ack.reason) == REFUSED


@pytest.mark.parametrize(
    ("quantity", "limit", "state"),
    [
        (4, None, OrderState.REJECTED),
        (4, 130, OrderState.WORKING),
        (4, 124, OrderState.REJECTED),
        (5, None, OrderState.FILLED),
    ],
)
async def test_spot_values_a_sale_at_its_limit_or_at_the_price_of_now(
    quantity: int, limit: int | None, state: OrderState
) -> None:
    venue = Venue(SPOT)
    await venue.buy(10)

    ack = await venue.sell(quantity, limit)

    assert ack.state is state


async def test_a_reduce_only_exit_may_be_of_any_worth() -> None:
    """Binance USD-M, code -4164: "unless you choose reduce only"."""
    venue = Venue(FUTURES)
    await venue.buy(5)

    assert (await venue.stop(5, 98)).state is OrderState.WORKING
    assert (await venue.sell(1)).state is OrderState.FILLED


async def test_the_terms_tell_it() -> None:
    (told,) = await Venue(SPOT).broker.terms([EUR_USD])
    assert told.min_notional == LEAST
