"""Binance refuses what is worth less than its least notional: a stop at its own price, a target at its own, too."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest_asyncio

from bot.config import Settings
from bot.instruments import BINANCE
from bot.layer1_data.venue_terms import refreshed
from bot.layer3_execution.exit_plans import divergence_plan
from bot.models import Direction, Order, OrderRole, OrderState
from tests.contract.test_binance_faults import BTC, entry
from tests.contract.test_binance_order_path import TradingDesk, opened

D = Decimal
_STOP, _TARGETS = D(49_000), (D(51_000), D(53_000))  # half of it closes at the first target


@pytest_asyncio.fixture
async def small() -> AsyncIterator[TradingDesk]:
    async with opened() as made:
        yield made


async def buy(desk: TradingDesk, quantity: str) -> None:
    """With the plan that is made for the instrument as the venue describes it."""
    (terms,) = await desk.broker.terms([BTC.symbol])
    plan = divergence_plan(
        instrument=refreshed(replace(BTC, min_notional=D(0)), terms),
        direction=Direction.LONG,
        stop=_STOP,
        targets=_TARGETS,
        settings=Settings().exits,
    )
    await desk.core.engine.submit(replace(entry(quantity=D(quantity)), plan=plan))


async def half_a_minute_at(desk: TradingDesk, bid: int) -> None:
    desk.price(str(bid), str(bid + 10))
    for _ in range(15):
        await desk.core.guard.on_price(BTC.symbol, bid=D(bid), ask=D(bid + 10))
        await desk.core.guard.attend(BINANCE)
        desk.clock.advance(2)


async def orders(desk: TradingDesk, role: OrderRole) -> list[Order]:
    return [each for each in await desk.stores.orders.recent_orders(100) if each.role is role]


async def test_a_position_that_cannot_be_split_closes_whole_at_target_one_and_its_stop_is_taken_once(
    small: TradingDesk,
) -> None:
    await buy(small, "0.00018")  # the fee leaves 0.00017, worth 8.5 USDT: a half of it is worth less than 5
    (before,) = await small.broker.protective_orders()

    await half_a_minute_at(small, 50_900)
    (after,) = await small.broker.protective_orders()
    await half_a_minute_at(small, 51_050)

    (stop,) = await orders(small, OrderRole.STOP)
    (target,) = await orders(small, OrderRole.EXIT)
    assert (after.client_order_id, after.quantity) == (before.client_order_id, D("0.00017"))
    assert (stop.quantity, stop.state) == (D("0.00017"), OrderState.CANCELED)
    assert (target.reason, target.filled_quantity, target.state) == ("TARGET_1", D("0.00017"), OrderState.FILLED)
    assert (small.core.book.positions(), await small.broker.protective_orders()) == ((), ())


async def test_a_position_whose_pieces_are_worth_enough_is_split(small: TradingDesk) -> None:
    await buy(small, "0.00023")  # 0.00022 of it can be sold: 0.00011 at 51,000 and, at break-even, at 50,010

    await half_a_minute_at(small, 51_050)

    (target,) = await orders(small, OrderRole.EXIT)
    (stop,) = await small.broker.protective_orders()
    assert (target.reason, target.filled_quantity, stop.quantity) == ("TARGET_1", D("0.00011"), D("0.00011"))
    refused = [each for each in await small.stores.orders.recent_orders(100) if each.state is OrderState.REJECTED]
    assert refused == []
