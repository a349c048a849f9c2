"""B10 at a spot account: a stop has filled and a close arrives after it, beside coins that are somebody else's."""

from decimal import Decimal
from typing import Final

import pytest

from bot.errors import OrderFateUnknown
from bot.instruments import BINANCE
from bot.models import ApprovedOrder, OrderState
from tests.contract.test_binance_faults import BOUGHT, STOP, Desk, claimed, entry, exit_of
from tests.contract.test_binance_faults import desk as desk
from tests.contract.test_binance_order_path import TradingDesk
from tests.contract.test_binance_order_path import trading as trading
from tests.fakes.binance import Fault

D = Decimal
THEIRS: Final = D(1)  # what a person holds in the same account


def bought() -> ApprovedOrder:
    return entry(price_bound=D(50_500))


def sold(desk: Desk) -> Decimal:
    return sum((each.quantity for each in desk.venue.book.trades if each.order.side == "SELL"), D(0))


def falls(desk: Desk) -> None:
    """Below the stop, which fills."""
    desk.price("48900", "48910")


async def test_a_close_after_the_stop_has_filled_sells_nothing_of_somebody_else(desk: Desk) -> None:
    desk.venue.book.wallet.total["BTC"] = THEIRS
    broker = desk.connect()
    await broker.place(bought())
    await broker.place_stop(claimed(), STOP, D(49_000))
    falls(desk)

    ack = await broker.place(exit_of())

    assert (ack.state, ack.reason) == (OrderState.REJECTED, "POSITION_NOT_FOUND")
    assert sold(desk) == BOUGHT


async def test_a_stop_that_fills_while_a_close_looks_leaves_it_nothing_to_sell(desk: Desk) -> None:
    # Arrange
    desk.venue.book.wallet.total["BTC"] = THEIRS
    broker = desk.connect()
    await broker.place(bought())
    await broker.place_stop(claimed(), STOP, D(49_000))
    desk.venue.after = lambda name: falls(desk) if name == "GET myTrades" else None

    # Act
    ack = await broker.place(exit_of())

    # Assert
    assert ack.state is OrderState.REJECTED
    assert sold(desk) == BOUGHT


@pytest.mark.parametrize("fills", ["0.004", "1"], ids=["a part of it", "all of it"])
async def test_what_a_stop_has_sold_is_not_sold_again_while_the_list_of_trades_lacks_it(
    trading: TradingDesk, fills: str
) -> None:
    # Arrange
    trading.others("1")
    await trading.core.engine.submit(bought())
    (position,) = trading.core.book.positions()
    trading.venue.trades_visible_after_s = 20
    trading.clock.advance(21)
    trading.venue.book.liquidity["BTCUSDT"] = D(fills)
    falls(trading)
    trading.venue.book.liquidity.clear()
    assert sold(trading) == min(D(fills), BOUGHT)

    # Act
    await trading.core.engine.reduce(position, position.quantity, None, "TIME")
    trading.clock.advance(21)
    await trading.core.tracker.collect(BINANCE)

    # Assert
    assert sold(trading) <= BOUGHT
    assert trading.venue.book.wallet.total["BTC"] >= THEIRS


async def test_a_stop_whose_answer_was_lost_and_that_has_filled_is_not_sold_again(desk: Desk) -> None:
    # Arrange
    desk.venue.book.wallet.total["BTC"] = THEIRS
    broker = desk.connect()
    await broker.place(bought())
    desk.clock.advance(21)
    await broker.fills_since("")
    desk.venue.fail(Fault.REPLY_LOST, "POST order")
    with pytest.raises(OrderFateUnknown):
        await broker.place_stop(claimed(), STOP, D(49_000))
    desk.venue.trades_visible_after_s = 20
    falls(desk)
    assert sold(desk) == BOUGHT

    # Act
    ack = await broker.place(exit_of())

    # Assert
    assert (ack.state, ack.reason) == (OrderState.REJECTED, "POSITION_NOT_FOUND")
    assert sold(desk) == BOUGHT
