"""Start to reconciled: 50 positions and 200 open orders at OANDA, and 8 positions with stops of their own at Binance,
each venue 200 ms away. The target is 15 s. The reference is one question to the same venue in the same minute.

What is timed is what a daemon does before it may enter: read its orders, compare the venue, read every stop back. The
venues are the fakes, on loopback, behind a proxy that waits; the stores are in memory.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import cycle, islice

from bot.clock import SystemClock
from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.instruments import BINANCE, DEFAULT_UNIVERSE, OANDA, Instrument, Rounding, Symbol, default_registry
from bot.interfaces import Journal, Stores
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.brokers.binance.adapter import BinanceBroker
from bot.layer1_data.brokers.binance.wire import Access as BinanceAccess
from bot.layer1_data.brokers.oanda.access import Access as OandaAccess
from bot.layer1_data.brokers.oanda.access import Environment
from bot.layer1_data.brokers.oanda.adapter import OandaBroker
from bot.layer4_risk.kill_file import KillFile
from bot.models import (
    ApprovedOrder,
    CandleSeries,
    JournalEntry,
    OrderKind,
    PositionId,
    Quote,
    Side,
    SignalId,
    Target,
    Timeframe,
    client_order_id,
    leg_of,
)
from bot.simulation.fault_proxy import FaultProxy
from bot.simulation.tape import Tape
from bot.wiring.core import TradingCore, trading_core
from tests.builders import approved_order, plan, series
from tests.fakes import binance
from tests.fakes.binance import FakeBinance
from tests.fakes.oanda.book import ACCOUNT
from tests.fakes.oanda.server import TOKEN, FakeOanda
from tests.fakes.venue_market import FakeMarket

ROUND_TRIP_S = 0.2
POSITIONS = 50
OPEN_ORDERS = 200  # the stops of the positions among them
OWN_STOPS = 8  # opening them spends of the venue's weight per minute, and it is asked again in the same minute
BALANCE = "10000000"
CLOCK = SystemClock()


class OpenMarket(FakeMarket):
    """The figure must not depend on the day of the week."""

    def is_open(self, symbol: Symbol, at: datetime) -> bool:
        """At all hours."""
        return True


def run() -> dict[str, float]:
    """Seconds by name."""
    return asyncio.run(_measured())


async def _measured() -> dict[str, float]:
    market = OpenMarket(default_registry())
    figures: dict[str, float] = {}
    async with oanda_behind(market) as url:
        instruments = market.registry.of_broker(OANDA)
        entries = entries_for(market, instruments, POSITIONS, OPEN_ORDERS - POSITIONS)
        figures |= await _of(f"OANDA, {POSITIONS} positions, {OPEN_ORDERS} orders", market, entries, url, oanda_broker)
    async with binance_behind(market) as url:
        entries = entries_for(market, spot_instruments(), OWN_STOPS, 0)
        figures |= await _of(f"Binance, {OWN_STOPS} positions with stops", market, entries, url, binance_broker)
    return figures


async def _of(
    name: str,
    market: FakeMarket,
    entries: list[ApprovedOrder],
    url: str,
    broker_at: Callable[[str, FakeMarket], BrokerInterface],
) -> dict[str, float]:
    """Open everything without a delay; then a new process finds it from far away."""
    stores = MemoryStores()
    near = broker_at(url, market)
    core = core_over(near, market, stores)
    for each in entries:
        await core.engine.submit(each)
    await near.close()
    proxy = FaultProxy(entries[0].broker_id, url, Tape.drawn(1, {}), CLOCK, latency_s=ROUND_TRIP_S)
    far = broker_at(await proxy.start(), market)
    try:
        asked = time.monotonic()
        await far.server_time()
        reference_s = time.monotonic() - asked
        core = core_over(far, market, stores)
        begun = time.monotonic()
        await core.tracker.load()
        report = await core.reconciler.run(far.broker_id)
        await core.guard.verify(far.broker_id)
        took_s = time.monotonic() - begun
        held = [each for each in core.book.positions() if each.is_open]
        rest = await stores.orders.order_counts()
    finally:
        await far.close()
        await proxy.close()
    return {
        f"{name}: one question, s": round(reference_s, 2),
        f"{name}: start to reconciled, s": round(took_s, 2),
        f"{name}: compared without difference (1: yes)": float(report.clean),
        f"{name}: positions": float(len(held)),
        f"{name}: orders that rest": float(rest.get("WORKING", 0)),
    }


def entries_for(
    market: FakeMarket, instruments: Sequence[Instrument], filled: int, resting: int
) -> list[ApprovedOrder]:
    """Small purchases at the market, and others that wait a tenth below it."""
    chosen = list(islice(cycle(instruments), filled + resting))
    return [_entry(market, each, number, rests=number >= filled) for number, each in enumerate(chosen)]


def _entry(market: FakeMarket, instrument: Instrument, number: int, *, rests: bool) -> ApprovedOrder:
    now = CLOCK.now()
    ask = market.quote(instrument.symbol, now)[1]
    price = instrument.round_price(ask * Decimal("0.9"), Rounding.DOWN) if rests else ask
    quantity = max(instrument.min_quantity, instrument.round_quantity(200 / price))
    name = client_order_id(
        environment="p",
        account="bench",
        strategy="divergence",
        symbol=instrument.symbol,
        timeframe="1h",
        candle_closed_at=now + timedelta(hours=number),
        side=Side.BUY,
        leg="E0",
    )
    levels = [instrument.round_price(price * Decimal(share), Rounding.DOWN) for share in ("0.95", "1.5", "2")]
    return approved_order(
        client_order_id=name,
        stop_order_id=leg_of(name, "S0"),
        position_id=PositionId(f"position-{number}"),
        signal_id=SignalId(f"signal-{number}"),
        broker_id=instrument.broker_id,
        symbol=instrument.symbol,
        kind=OrderKind.LIMIT if rests else OrderKind.MARKET,
        limit_price=price if rests else None,
        quantity=quantity,
        decided_price=price,
        plan=replace(
            plan(),
            stop=levels[0],
            targets=tuple(Target(price=each, fraction=Decimal("0.5")) for each in levels[1:]),
            tick=instrument.tick,
            quantity_step=instrument.quantity_step,
            min_quantity=instrument.min_quantity,
        ),
        valid_until=now + timedelta(days=1),
    )


def core_over(
    broker: BrokerInterface,
    market: FakeMarket,
    stores: Stores,
    *,
    journal: Journal | None = None,
    file: KillFile | None = None,
) -> TradingCore:
    """What trades in a daemon, for one broker."""

    async def quote_of(symbol: Symbol) -> Quote | None:
        return await broker.quote(symbol)

    return trading_core(
        settings=Settings(),
        registry=market.registry,
        clock=CLOCK,
        stores=stores,
        journal=journal or _NoJournal(),
        candles=_NoCandles(),
        broker_of=lambda _: broker,
        quote_of=quote_of,
        entries_blocked=lambda *_: "",
        strategies=["divergence"],
        environment="p",
        kill_file=file,
    )


class _NoJournal:
    async def record(self, entry: JournalEntry) -> None:
        """Nobody reads it."""


class _NoCandles:
    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """Outcomes are not measured here."""
        return series([])


@asynccontextmanager
async def oanda_behind(market: FakeMarket) -> AsyncIterator[str]:
    venue = FakeOanda(market, CLOCK, balance=BALANCE, hedging=True)
    try:
        yield await venue.start(by_itself=False)
    finally:
        await venue.close()


@asynccontextmanager
async def binance_behind(market: FakeMarket) -> AsyncIterator[str]:
    venue = FakeBinance(market, CLOCK, balances={"USDT": BALANCE})
    try:
        yield await venue.start(matching=False)
    finally:
        await venue.close()


def oanda_broker(url: str, market: FakeMarket) -> BrokerInterface:
    access = OandaAccess(token=TOKEN, account=ACCOUNT, environment=Environment.PRACTICE, url=url)
    return OandaBroker(access, instruments=market.registry.of_broker(OANDA), clock=CLOCK)


def binance_broker(url: str, market: FakeMarket) -> BrokerInterface:
    access = BinanceAccess(environment="testnet", key=binance.KEY, secret=binance.SECRET, url=url)
    return BinanceBroker(access=access, instruments=spot_instruments(), clock=CLOCK)


def spot_instruments() -> list[Instrument]:
    return [each for each in DEFAULT_UNIVERSE if each.broker_id == BINANCE]


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:<70}{value:>10}")
