"""Orders that Binance fills in several trades, each at its own price and with its own commission: one order to us."""

from decimal import Decimal
from typing import Final

import pytest

from bot.errors import OrderFateUnknown
from bot.instruments import BINANCE
from bot.models import Fill, OrderRole, OrderState, Side, leg_of
from tests.contract.test_binance_faults import BOUGHT, BTC, ENTRY, STOP, Desk, claimed, entry, exit_of, position_of
from tests.contract.test_binance_faults import desk as desk
from tests.contract.test_binance_order_path import TradingDesk
from tests.contract.test_binance_order_path import trading as trading
from tests.fakes.binance import Fault

D = Decimal
ZERO: Final = D(0)
ODD_FEE: Final = D("0.00073")  # of 0.0123 in three trades: 0.00000896, where one trade of it would cost 0.00000897


def of(fills: object, side: Side) -> list[Fill]:
    return [each for each in fills if each.side is side]  # type: ignore[attr-defined]


def quantity_of(fills: object) -> Decimal:
    return sum((each.quantity for each in fills), ZERO)  # type: ignore[attr-defined]


async def test_an_entry_is_filled_in_trades_that_are_told_one_by_one_under_its_name(desk: Desk) -> None:
    broker = desk.connect()
    ack = await broker.place(entry())

    fills, _ = await broker.fills_since("")
    found = await broker.find_order(ENTRY)

    assert found is not None
    assert (ack.state, found.state, found.filled_quantity) == (OrderState.FILLED, OrderState.FILLED, D("0.01"))
    assert [(each.client_order_id, each.quantity, each.price) for each in fills] == [
        (ENTRY, D("0.005"), D("50010")),
        (ENTRY, D("0.003"), D("50010.01")),
        (ENTRY, D("0.002"), D("50010.02")),
    ]
    assert (await position_of(broker)).average_price == D("50010.007")


async def test_what_is_held_is_what_each_trades_own_commission_left(desk: Desk) -> None:
    desk.venue.book.commission_ratio = ODD_FEE
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry(quantity=D("0.0123")))

    fills, _ = await broker.fills_since("")

    withheld = sum((each.withheld for each in fills), ZERO)
    assert withheld == D("0.00000896")
    assert D("0.0123") - withheld == desk.venue.book.wallet.total["BTC"]
    assert (await position_of(broker)).quantity == D("0.01229")


async def test_a_cursor_amid_the_trades_of_an_order_leads_to_the_rest_of_them(desk: Desk) -> None:
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    desk.venue.trades_behind = 2
    first, cursor = await broker.fills_since("")
    desk.venue.trades_behind = 0

    rest, end = await desk.connect(instruments=(BTC,)).fills_since(cursor)

    assert [each.quantity for each in (*first, *rest)] == [D("0.005"), D("0.003"), D("0.002")]
    assert list((await broker.fills_since(end))[0]) == []


@pytest.mark.parametrize("behind", [1, 2, 3])
async def test_trades_that_the_list_lacks_yet_are_held_by_the_answer_and_counted_once(desk: Desk, behind: int) -> None:
    broker = desk.connect(instruments=(BTC,))
    desk.venue.trades_behind = behind
    await broker.place(entry())

    early = await position_of(broker)
    desk.venue.trades_behind = 0
    later = await position_of(broker)

    assert early == later
    assert early.quantity == BOUGHT


@pytest.mark.parametrize("behind", [1, 2, 3])
async def test_a_sale_of_which_the_list_lacks_trades_yet_is_not_made_again(desk: Desk, behind: int) -> None:
    desk.venue.book.wallet.total["BTC"] = D(1)
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    desk.venue.trades_behind = behind
    await broker.place(exit_of())

    again = await broker.place(exit_of(name=leg_of(ENTRY, "X0", 1)))

    assert (again.state, again.reason) == (OrderState.REJECTED, "POSITION_NOT_FOUND")
    assert desk.venue.book.wallet.total["BTC"] >= D(1)


@pytest.mark.parametrize("behind", [1, 2, 3])
async def test_a_sale_whose_answer_was_lost_and_of_which_the_list_lacks_trades_is_not_made_again(
    desk: Desk, behind: int
) -> None:
    # Arrange
    desk.venue.book.wallet.total["BTC"] = D(1)
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    desk.venue.fail(Fault.REPLY_LOST, "POST order")
    desk.venue.trades_behind = behind
    with pytest.raises(OrderFateUnknown):
        await broker.place(exit_of())

    # Act
    again = await broker.place(exit_of(name=leg_of(ENTRY, "X0", 1)))

    # Assert
    assert (again.state, again.reason) == (OrderState.REJECTED, "POSITION_NOT_FOUND")
    assert desk.venue.book.wallet.total["BTC"] >= D(1)


@pytest.mark.parametrize("behind", [0, 2, 3])
async def test_after_a_part_was_sold_in_several_trades_all_the_rest_can_be_sold(desk: Desk, behind: int) -> None:
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    desk.venue.trades_behind = behind
    await broker.place(exit_of("0.004"))

    await broker.place(exit_of("0.00599", leg_of(ENTRY, "X0", 1)))

    assert quantity_of(each for each in desk.venue.book.trades if each.order.side == "SELL") == BOUGHT


async def test_the_account_is_worth_what_the_trades_of_an_order_have_left_of_it(desk: Desk) -> None:
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    opened = await broker.account()
    await broker.place(exit_of())
    closed = await broker.account()

    fills, _ = await broker.fills_since("")
    bought, sold = of(fills, Side.BUY), of(fills, Side.SELL)
    paid = sum((each.price * each.quantity for each in bought), ZERO)
    got = sum((each.price * each.quantity - each.fee for each in sold), ZERO)
    assert opened.equity == D(10_000) - paid + BOUGHT * 50_000
    assert closed.equity == closed.balance == D(10_000) - paid + got


# ------------------------------------------------------------------------------------------------ our own order path


async def test_an_entry_of_several_trades_is_one_position_at_their_average_with_one_stop_for_all_of_it(
    trading: TradingDesk,
) -> None:
    trading.venue.book.commission_ratio = ODD_FEE
    row = await trading.core.engine.submit(entry(quantity=D("0.0123")))

    (position,) = trading.core.book.positions()
    (stop,) = await trading.broker.protective_orders()
    assert (row.state, row.filled_quantity) == (OrderState.FILLED, D("0.0123"))
    assert (position.quantity, stop.quantity) == (D("0.01229"), D("0.01229"))
    assert D(50_010) < position.entry_price < D("50010.02")
    assert (await trading.core.reconciler.run(BINANCE)).clean


async def test_an_entry_whose_trades_are_told_bit_by_bit_is_protected_for_all_of_it_in_the_end(
    trading: TradingDesk,
) -> None:
    # Arrange
    trading.venue.trades_behind = 2
    await trading.core.engine.submit(entry())
    told = [each.quantity for each in trading.core.book.positions()]

    # Act
    for behind in (1, 0):
        trading.venue.trades_behind = behind
        await trading.core.tracker.collect(BINANCE)
        for _ in range(5):
            await trading.core.guard.on_price(BTC.symbol, bid=D(50_000), ask=D(50_010))
            await trading.core.guard.attend(BINANCE)
            trading.clock.advance(2)

    # Assert
    (position,) = trading.core.book.positions()
    stops = await trading.broker.protective_orders()
    assert told == [D("0.00499")]
    assert (position.quantity, sum((each.quantity for each in stops), ZERO)) == (BOUGHT, BOUGHT)
    assert (await trading.core.reconciler.run(BINANCE)).clean
    assert trading.incidents() == []


async def test_a_stop_that_fills_in_trades_which_are_told_bit_by_bit_ends_its_position_once(
    trading: TradingDesk,
) -> None:
    # Arrange
    trading.others("1")
    await trading.core.engine.submit(entry())
    trading.venue.trades_behind = 2
    trading.price("48900", "48910")

    # Act
    for behind in (2, 1, 0):
        trading.venue.trades_behind = behind
        await trading.core.tracker.collect(BINANCE)
        for _ in range(3):
            await trading.core.guard.on_price(BTC.symbol, bid=D(48_900), ask=D(48_910))
            await trading.core.guard.attend(BINANCE)
            trading.clock.advance(1)

    # Assert
    (stop,) = [each for each in await trading.stores.orders.recent_orders(100) if each.role is OrderRole.STOP]
    assert (stop.state, stop.filled_quantity) == (OrderState.FILLED, BOUGHT)
    assert trading.core.book.positions() == ()
    assert trading.venue.book.wallet.total["BTC"] >= D(1)
    assert trading.incidents() == []


@pytest.mark.parametrize("behind", [1, 2, 3])
async def test_a_close_after_a_stop_of_whose_trades_the_list_lacks_some_sells_nothing_of_somebody_else(
    trading: TradingDesk, behind: int
) -> None:
    # Arrange
    trading.others("1")
    await trading.core.engine.submit(entry())
    (position,) = trading.core.book.positions()
    trading.venue.trades_behind = behind
    trading.price("48900", "48910")

    # Act
    await trading.core.engine.reduce(position, position.quantity, None, "TIME")
    trading.venue.trades_behind = 0
    await trading.core.tracker.collect(BINANCE)

    # Assert
    assert quantity_of(each for each in trading.venue.book.trades if each.order.side == "SELL") == BOUGHT
    assert trading.venue.book.wallet.total["BTC"] >= D(1)
    assert trading.core.book.positions() == ()


async def test_a_stop_at_the_adapter_of_whose_trades_the_list_lacks_some_is_known_from_its_own_row(desk: Desk) -> None:
    # Arrange
    desk.venue.book.wallet.total["BTC"] = D(1)
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    await broker.place_stop(claimed(), STOP, D(49_000))
    desk.venue.trades_behind = 2
    desk.price("48900", "48910")

    # Act
    found = await broker.find_order(STOP)
    ack = await broker.place(exit_of())

    # Assert
    assert found is not None
    assert (found.state, found.filled_quantity) == (OrderState.FILLED, BOUGHT)
    assert (ack.state, ack.reason) == (OrderState.REJECTED, "POSITION_NOT_FOUND")
