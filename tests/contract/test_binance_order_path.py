"""Our own order path over Binance: what spot does differently (fees in the coin, stops that lock it) ends in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import pytest_asyncio

from bot.differences import AnswerKind, AnswerState, Difference
from bot.instruments import BINANCE
from bot.models import ClientOrderId, OrderState, PositionId, SignalId
from bot.wiring.core import TradingCore
from tests.contract.order_path import OrderPath
from tests.contract.test_binance_faults import BOUGHT, BTC, Desk, entry
from tests.fakes.binance import Fault


class TradingDesk(Desk, OrderPath):
    """The desk with the real order path over its broker; a restart keeps the stores and the venue."""

    def __init__(self) -> None:
        Desk.__init__(self)
        OrderPath.__init__(self)
        self.core: TradingCore

    async def restart(self) -> None:
        """A new process."""
        self.broker = self.connect(instruments=(BTC,))
        self.core = await self.begun(self.broker, BTC, self.clock)

    async def differences(self) -> list[Difference]:
        """What one comparison finds that nobody has answered."""
        report = await self.core.reconciler.run(BINANCE)
        assert report.complete, report.error
        return [each for each in report.differences if each.is_open]

    def others(self, quantity: str) -> None:
        """Somebody else pays bitcoins in."""
        self.venue.book.wallet.add("BTC", Decimal(quantity))


@asynccontextmanager
async def opened() -> AsyncIterator[TradingDesk]:
    """At 50,000, and nothing trades by itself."""
    made = TradingDesk()
    made.url = await made.venue.start(matching=False)
    made.price("50000", "50010")
    await made.restart()
    try:
        yield made
    finally:
        await made.close()


@pytest_asyncio.fixture
async def trading() -> AsyncIterator[TradingDesk]:
    async with opened() as made:
        yield made


async def test_an_entry_is_protected_for_what_the_fee_left_of_it_and_its_stop_ends_it(trading: TradingDesk) -> None:
    await trading.core.engine.submit(entry())

    (position,) = trading.core.book.positions()
    (stop,) = await trading.broker.protective_orders()
    assert (position.quantity, stop.quantity, stop.price) == (BOUGHT, BOUGHT, Decimal(49_000))
    assert (await trading.core.reconciler.run(BINANCE)).clean

    trading.price("48900", "48910")
    await trading.core.tracker.collect(BINANCE)

    assert trading.core.book.positions() == ()
    assert (await trading.core.reconciler.run(BINANCE)).clean
    assert trading.incidents() == []


@pytest.mark.parametrize("there", ["0.004", "0.00005"], ids=["less", "less than could be sold again"])
async def test_an_entry_that_is_not_there_whole_within_its_bound_buys_nothing(trading: TradingDesk, there: str) -> None:
    trading.venue.book.liquidity["BTCUSDT"] = Decimal(there)

    row = await trading.core.engine.submit(entry())

    assert (row.state, row.filled_quantity) == (OrderState.REJECTED, Decimal(0))
    assert trading.core.book.positions() == ()
    assert (await trading.core.reconciler.run(BINANCE)).clean
    assert trading.incidents() == []


async def test_an_entry_that_was_not_there_and_whose_answer_was_lost_is_ended_by_its_look_up(
    trading: TradingDesk,
) -> None:
    trading.venue.book.liquidity["BTCUSDT"] = Decimal("0.004")
    trading.venue.fail(Fault.REPLY_LOST, "POST order")
    assert (await trading.core.engine.submit(entry())).state is OrderState.UNKNOWN

    for _ in range(3):
        trading.clock.advance(5)
        await trading.core.reconciler.resolve(BINANCE)
    await trading.core.reconciler.run(BINANCE)

    ended = await trading.stores.orders.order(entry().client_order_id)
    assert (ended.state, ended.filled_quantity) == (OrderState.EXPIRED, Decimal(0))
    assert trading.core.book.positions() == ()


async def test_an_entry_that_the_price_has_left_opens_nothing_and_says_why(trading: TradingDesk) -> None:
    trading.price("50300", "50310")

    row = await trading.core.engine.submit(entry())

    position = await trading.stores.orders.position(PositionId("p"))
    assert row.state is OrderState.REJECTED
    assert position.exit_reason.startswith("NOT_OPENED: EXPIRED: it cannot be bought at 50260 or less")
    assert trading.core.book.positions() == ()


async def test_a_close_takes_the_stop_away_first_and_sells_all_that_can_be_sold(trading: TradingDesk) -> None:
    await trading.core.engine.submit(entry(quantity=Decimal("0.0123")))  # less 0.1 %: 0.0122877, in steps 0.01228
    (position,) = trading.core.book.positions()

    row = await trading.core.engine.reduce(position, position.quantity, None, "TIME")

    assert (row.state, row.filled_quantity) == (OrderState.FILLED, Decimal("0.01228"))
    assert (await trading.broker.positions(), await trading.broker.protective_orders()) == ((), ())
    assert (await trading.core.reconciler.run(BINANCE)).clean


async def test_an_entry_whose_answer_was_lost_is_found_and_protected_after_a_restart(trading: TradingDesk) -> None:
    trading.venue.fail(Fault.REPLY_LOST, "POST order")
    sent = await trading.core.engine.submit(entry())
    assert sent.state is OrderState.UNKNOWN

    await trading.restart()
    await trading.core.reconciler.run(BINANCE)
    await trading.core.guard.on_price(BTC.symbol, bid=Decimal(50_000), ask=Decimal(50_010))
    trading.clock.advance(1)
    report = await trading.core.reconciler.run(BINANCE)

    (stop,) = await trading.broker.protective_orders()
    assert (stop.quantity, len(trading.venue.seen("POST order"))) == (BOUGHT, 2)
    assert report.clean


async def test_an_entry_that_never_arrived_ends_once_the_venue_can_no_longer_take_it(trading: TradingDesk) -> None:
    trading.venue.fail(Fault.REQUEST_LOST, "POST order")
    await trading.core.engine.submit(entry())

    for _ in range(4):  # two of these answers come after the venue could have taken it
        await trading.core.reconciler.run(BINANCE)
        trading.clock.advance(20)

    row = await trading.stores.orders.order(entry().client_order_id)
    assert row.state is OrderState.NOT_PLACED
    assert trading.core.book.positions() == ()


# ------------------------------------------------------------------------------------------- what is not ours


async def test_coins_of_others_may_be_left_alone_whatever_the_market_does_and_stay_so_after_a_restart(
    trading: TradingDesk,
) -> None:
    trading.others("0.5")
    (found,) = await trading.differences()
    assert (found.subject, found.answers) == ("foreign:BTC", (AnswerKind.IGNORE,))
    assert found.theirs == "long 0.50000 (from 0.36 to 0.76 counts as the same)"

    await trading.answer(found, AnswerKind.IGNORE, trading.clock)
    trading.price("51000", "51010")
    await trading.core.answers.attend()
    (answer,) = await trading.stores.answers.recent(1)
    assert (answer.state, answer.outcome) == (AnswerState.DONE, "left alone, counted in exposure")

    trading.price("52000", "52010")
    assert await trading.differences() == []
    await trading.restart()
    assert await trading.differences() == []
    (stake,) = trading.core.reconciler.foreign.all()
    assert (stake.quantity, stake.price) == (Decimal("0.5"), Decimal(52_005))
    assert trading.incidents() == ["foreign position"]


async def test_coins_of_others_that_were_left_alone_are_asked_about_again_when_there_are_many_more_of_them(
    trading: TradingDesk,
) -> None:
    trading.others("0.5")
    await trading.answer((await trading.differences())[0], AnswerKind.IGNORE, trading.clock)
    await trading.core.answers.attend()

    trading.others("0.1")
    assert await trading.differences() == []
    trading.others("0.4")
    (found,) = await trading.differences()

    assert found.theirs == "long 1.00000 (from 0.76 to 1.6 counts as the same)"


async def test_what_the_fees_of_our_trades_leave_behind_is_nobodys_position(trading: TradingDesk) -> None:
    for count in range(5):  # 0.0000077 of each 0.0123 stay there, and two of those are a step
        name = ClientOrderId(f"TBp{count:016d}")
        await trading.core.engine.submit(
            entry(
                quantity=Decimal("0.0123"),
                client_order_id=ClientOrderId(f"{name}E00"),
                stop_order_id=ClientOrderId(f"{name}S00"),
                position_id=PositionId(name),
                signal_id=SignalId(name),
            )
        )
        (position,) = trading.core.book.positions()
        await trading.core.engine.reduce(position, position.quantity, None, "TIME")

    assert trading.venue.book.wallet.total["BTC"] == Decimal("0.0000385")
    assert await trading.differences() == []
    assert await trading.broker.positions() == ()


async def test_what_the_fees_leave_behind_does_not_ask_again_about_coins_that_were_left_alone(
    trading: TradingDesk,
) -> None:
    trading.others("1")
    await trading.answer((await trading.differences())[0], AnswerKind.IGNORE, trading.clock)
    await trading.core.answers.attend()

    trading.others("0.0000385")

    assert [each.quantity for each in await trading.broker.positions()] == [Decimal("1.00003")]
    assert await trading.differences() == []


async def test_coins_count_from_the_worth_that_can_be_sold_and_until_they_are_worth_half_of_it(
    trading: TradingDesk,
) -> None:
    trading.others("0.0001")
    told = []
    for bid in (49_000, 50_000, 49_000, 26_000, 24_000, 49_000, 50_000):  # 4.9, 5.0, 4.9, 2.6, 2.4, 4.9, 5.0
        trading.price(str(bid), str(bid + 10))
        told.append(len(await trading.broker.positions()))

    assert told == [0, 1, 1, 1, 0, 0, 1]


async def test_coins_of_which_nobody_tells_whether_they_can_be_sold_count(trading: TradingDesk) -> None:
    trading.others("0.00002")
    trading.venue.fail(Fault.REQUEST_LOST, "GET exchangeInfo")

    counted = await trading.broker.positions()
    known = await trading.broker.positions()

    assert ([each.quantity for each in counted], known) == ([Decimal("0.00002")], ())
