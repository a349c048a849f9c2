"""Our own order path over Binance: what spot does differently (fees in the coin, stops that lock it) ends in order."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest_asyncio

from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.instruments import BINANCE, InstrumentRegistry, Symbol
from bot.models import CandleSeries, JournalEntry, OrderState, Timeframe
from bot.wiring.core import TradingCore, trading_core
from tests.builders import series
from tests.contract.test_binance_faults import BOUGHT, BTC, Desk, entry
from tests.fakes.binance import Fault


class TradingDesk(Desk):
    """The desk with the real order path over its broker; a restart keeps the stores and the venue."""

    def __init__(self) -> None:
        super().__init__()
        self.stores = MemoryStores()
        self.journal: list[JournalEntry] = []
        self.core: TradingCore

    async def restart(self) -> None:
        """A new process."""
        self.broker = self.connect(instruments=(BTC,))
        self.core = trading_core(
            settings=Settings(),
            registry=InstrumentRegistry([BTC]),
            clock=self.clock,
            stores=self.stores,
            journal=self,
            candles=self,
            broker_of=lambda _: self.broker,
            quote_of=lambda symbol: self.broker.quote(symbol),
            entries_blocked=lambda *_: "",
            strategies=["divergence"],
            environment="p",
        )
        await self.core.tracker.load()

    async def record(self, written: JournalEntry) -> None:
        """The journal."""
        self.journal.append(written)

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """No candles: outcomes are not what is tested here."""
        return series([], symbol=symbol, timeframe=timeframe)

    def incidents(self) -> list[Any]:
        """What the incidents were about."""
        return [each.data["what"] for each in self.journal if each.kind == "incident"]


@pytest_asyncio.fixture
async def trading() -> AsyncIterator[TradingDesk]:
    made = TradingDesk()
    made.url = await made.venue.start(matching=False)
    made.price("50000", "50010")
    await made.restart()
    yield made
    await made.close()


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
