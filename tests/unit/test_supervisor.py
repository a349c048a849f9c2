"""The jobs over two venues, one of which misbehaves; nothing is scheduled, each run is called by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from loguru import logger

from bot.clock import ManualClock
from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.entry_gate import EntryGate
from bot.errors import BotError, BrokerUnavailable, DatabaseUnavailable, KeyRefused, NotFound
from bot.instruments import BrokerId, Currency, Instrument, InstrumentRegistry, Symbol
from bot.kill_watch import KillWatch
from bot.layer1_data.broker_interface import VenueOrder
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed
from bot.layer1_data.key_watch import Refusal
from bot.layer2_intelligence.features import LiveFeatures
from bot.models import (
    ApprovedOrder,
    CandleSeries,
    ClientOrderId,
    EntrySignal,
    FeatureSet,
    Fill,
    JobHealth,
    JournalEntry,
    KillCause,
    KillLevel,
    OrderKind,
    OrderState,
    PositionId,
    Quote,
    Side,
    SignalId,
    StrategyName,
    StrategyTask,
    TaskId,
    TaskState,
    Timeframe,
    leg_of,
)
from bot.pipeline import Pipeline, PipelineParts
from bot.supervisor import Supervisor, SupervisorParts
from bot.wiring.core import trading_core
from tests.builders import START, approved_order, frictionless
from tests.fakes.awkward_broker import AwkwardBroker, Fault

EUR = frictionless("EUR_USD", tick="0.001")
SOL = frictionless("SOL/USDT", tick="0.001")
BEGIN = START + timedelta(hours=400)


class ByHand:
    """A scheduler that runs nothing by itself."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def every(self, name: str, interval: timedelta, job: Callable[[], Awaitable[None]]) -> None:
        self.names.append(name)

    def health(self) -> Sequence[JobHealth]:
        return ()

    async def start(self) -> None:
        """Nothing begins."""

    async def stop(self) -> None:
        """Nothing ends."""


class Listener:
    """A strategy that says nothing and remembers what it was shown; it fails for the symbols in `fails_for`."""

    name = StrategyName("divergence")

    def __init__(self) -> None:
        self.shown: list[tuple[Symbol, int]] = []
        self.fails_for: set[Symbol] = set()

    def signals(self, task: StrategyTask, features: FeatureSet, instrument: Instrument) -> Sequence[EntrySignal]:
        if instrument.symbol in self.fails_for:
            raise ZeroDivisionError("api-key-123")
        self.shown.append((instrument.symbol, features.k))
        return ()


class House:
    """Two venues, EUR_USD at oanda and SOL/USDT at binance, and the supervisor over both."""

    def __init__(self, stores: MemoryStores | None = None, *, liquidity: Decimal | None = None) -> None:
        self.liquidity = liquidity
        self.clock = ManualClock(BEGIN)
        registry = InstrumentRegistry([EUR, SOL])
        self.oanda, self.binance = self.broker(EUR), self.broker(SOL)
        self.stores = stores or MemoryStores()
        self.journal: list[JournalEntry] = []
        router = BrokerRouter([self.oanda, self.binance], registry)
        cache, self.gate, settings = CandleCache(registry), EntryGate(), Settings()
        core = trading_core(
            settings=settings,
            registry=registry,
            clock=self.clock,
            stores=self.stores,
            journal=self,
            candles=cache,
            broker_of=router.broker,
            quote_of=self.quote_of,
            entries_blocked=self.gate.blocked,
            strategies=["divergence"],
            environment="d",
        )
        self.strategy = Listener()
        parts: PipelineParts = core.pipeline._parts
        self.book, self.engine, self.guard, self.reconciler = core.book, core.engine, core.guard, core.reconciler
        self.tracker = core.tracker
        self.supervisor = Supervisor(
            SupervisorParts(
                settings=settings,
                registry=registry,
                clock=self.clock,
                stores=self.stores,
                scheduler=ByHand(),
                router=router,
                feed=CandleFeed(router, cache, self.clock),
                cache=cache,
                book=core.book,
                tracker=core.tracker,
                guard=core.guard,
                reconciler=core.reconciler,
                answers=core.answers,
                kill=core.kill,
                kill_watch=KillWatch(
                    switch=core.kill,
                    flattener=core.flattener,
                    news=None,
                    settle=lambda broker_id: self.supervisor.settle(broker_id),
                    clock=self.clock,
                    record=core.pipeline.record,
                    on_problem=lambda text: self.supervisor.note_problem("kill switch", text),
                ),
                daily_loss=core.daily_loss,
                drawdown=core.drawdown,
                outcomes=core.outcomes,
                pipeline=Pipeline(replace(parts, strategies={"divergence": self.strategy})),
                tasks=[StrategyTask.of("divergence", each, Timeframe.H1) for each in (EUR, SOL)],
                new_features=lambda: LiveFeatures(settings.divergence, settings.validation.bandwidth_lookback),
            ),
            self.gate,
        )

    def broker(self, instrument: Instrument) -> AwkwardBroker:
        venue = SimulatedBroker(
            broker_id=instrument.broker_id,
            instruments=[instrument],
            clock=self.clock,
            currency=Currency("USD"),
            balance=Decimal(1_000_000),
            history=_History(),
            traits=VenueTraits(liquidity=self.liquidity),
        )
        venue.observe(instrument.symbol, bid=Decimal(100), ask=Decimal(100), at=BEGIN, gap=True)
        return AwkwardBroker(venue, self.clock)

    async def buy(self, instrument: Instrument) -> ApprovedOrder:
        name = ClientOrderId(f"TBd{instrument.base_currency:X<16}E00"[:22])
        order = approved_order(
            client_order_id=name,
            stop_order_id=leg_of(name, "S0"),
            position_id=PositionId(f"position in {instrument.symbol}"),
            signal_id=SignalId(f"signal in {instrument.symbol}"),
            task_id=TaskId(f"task in {instrument.symbol}"),
            broker_id=instrument.broker_id,
            symbol=instrument.symbol,
            valid_until=BEGIN + timedelta(days=1),
        )
        await self.engine.submit(order)
        return order

    async def monitor(self) -> None:
        """One run of all monitor jobs. Raises the first failure when all are done."""
        venues = (self.supervisor.look_after(each) for each in (self.oanda, self.binance))
        done = await asyncio.gather(*venues, return_exceptions=True)
        await self.supervisor.monitor()
        for error in filter(None, done):
            raise error

    async def protect(self) -> None:
        """One run of all protection jobs."""
        for venue in (self.oanda, self.binance):
            await self.supervisor.protect(venue)

    async def turns(self, number: int = 20) -> None:
        for _ in range(number):
            await self.clock.sleep(0)

    async def record(self, entry: JournalEntry) -> None:
        """The journal."""
        self.journal.append(entry)

    async def quote_of(self, symbol: Symbol) -> Quote | None:
        """Nobody asks here."""
        return None

    def last_error(self) -> str:
        return self.supervisor._attempts.last_error


class _History:
    """The same quiet candles for every instrument; the venue shows those that have closed."""

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """Hourly candles from START on."""
        count = 500
        wave = 100 + np.sin(np.arange(count) / 5)
        times = int(START.timestamp()) + np.arange(count, dtype=np.int64) * 3600
        volume, segment = np.full(count, 100.0), np.zeros(count, dtype=np.int64)
        return CandleSeries(symbol, timeframe, times, wave, wave + 0.5, wave - 0.5, wave, volume, segment)


# -------------------------------------------------------------------------------------------------------------- start


async def test_no_entries_anywhere_before_the_first_clean_reconciliation() -> None:
    house = House()
    assert house.gate.blocked(EUR.broker_id) == "oanda is not reconciled yet"
    await house.supervisor.start()
    assert house.gate.blocked(EUR.broker_id) == ""
    await house.supervisor.stop()


async def test_a_venue_that_is_down_at_the_start_is_closed_for_entries_and_the_other_one_is_open() -> None:
    house = House()
    house.oanda.failing.add("fills_since")
    await house.supervisor.start()
    assert house.gate.blocked(EUR.broker_id).startswith("oanda did not answer")
    assert house.gate.blocked(SOL.broker_id) == ""
    await house.supervisor.stop()


async def test_an_adapter_that_fails_in_an_unforeseen_way_does_not_keep_the_daemon_from_starting() -> None:
    house = House()
    house.oanda.open_orders = _broken  # type: ignore[method-assign, assignment]
    await house.supervisor.start()
    assert house.gate.blocked(EUR.broker_id)
    assert house.gate.blocked(SOL.broker_id) == ""
    await house.supervisor.stop()


async def test_a_venue_that_keeps_us_waiting_keeps_no_other_one_from_being_looked_after() -> None:
    house, answered = House(), asyncio.Event()

    async def waits(_: str) -> tuple[Sequence[Fill], str]:
        await answered.wait()
        return (), ""

    house.oanda.fills_since = waits  # type: ignore[method-assign, assignment]
    starting = asyncio.ensure_future(house.supervisor.start())
    await house.turns()
    names = house.supervisor._parts.scheduler.names  # type: ignore[attr-defined]
    assert (starting.done(), names) == (False, ["monitor binance", "protection binance", "resolver binance"])
    answered.set()
    await starting
    assert {"monitor oanda", "protection oanda", "resolver oanda"} <= set(names)
    await house.supervisor.stop()


async def test_a_position_of_before_is_known_and_looked_after_after_a_restart() -> None:
    house = House()
    order = await house.buy(EUR)
    house.book.put_position(replace(house.book.positions()[0], closed_at=BEGIN))  # the new process knows nothing
    await house.supervisor.start()
    assert [each.id for each in house.book.positions()] == [order.position_id]
    await house.supervisor.stop()


async def _broken(*_: object) -> object:
    raise KeyError("https://venue.example/orders?api-key=api-key-123")


# ------------------------------------------------------------------------------------------------------------ monitor


@pytest.mark.parametrize("question", ["fills_since", "quote", "positions", "account", "open_orders"])
async def test_one_venue_down_does_not_stop_the_others(question: str) -> None:
    house = House()
    await house.buy(EUR)
    order = await house.buy(SOL)
    house.clock.advance(10)
    house.oanda.failing.add(question)
    await house.binance.lose_stop(order.client_order_id)
    await house.monitor()
    (position,) = await house.binance.venue.positions()
    assert position.stop_price == 98
    assert house.gate.blocked(SOL.broker_id) == ""


async def test_a_venue_whose_adapter_breaks_does_not_stop_the_others_and_the_run_counts_as_failed() -> None:
    house = House()
    order = await house.buy(SOL)
    house.clock.advance(10)
    house.oanda.fills_since = _broken  # type: ignore[method-assign, assignment]
    await house.binance.lose_stop(order.client_order_id)
    with pytest.raises(BotError, match="monitor oanda: 2 of"):
        await house.monitor()
    (position,) = await house.binance.venue.positions()
    assert position.stop_price == 98


async def test_a_symbol_without_a_quote_does_not_keep_the_stops_of_its_venue_from_being_checked() -> None:
    house = House()
    order = await house.buy(EUR)
    house.clock.advance(10)
    house.oanda.failing.add("quote")
    await house.oanda.lose_stop(order.client_order_id)
    await house.monitor()
    (position,) = await house.oanda.venue.positions()
    assert position.stop_price == 98


async def test_a_venue_that_stops_answering_is_closed_for_entries_and_opens_when_it_answers() -> None:
    house = House()
    await house.monitor()
    house.oanda.failing.update({"fills_since", "positions", "open_orders"})
    await house.monitor()
    assert house.gate.blocked(EUR.broker_id).startswith("oanda did not answer")
    house.oanda.failing.clear()
    await house.monitor()
    assert house.gate.blocked(EUR.broker_id) == ""


async def test_a_reconciliation_that_fails_itself_closes_the_gate() -> None:
    house = House()
    await house.monitor()

    async def run(_: BrokerId) -> object:
        raise DatabaseUnavailable("gone")

    house.reconciler.run = run  # type: ignore[method-assign, assignment]
    with pytest.raises(BotError):
        await house.monitor()
    assert house.gate.blocked(EUR.broker_id)


async def test_the_monitor_closes_what_the_venue_let_pass() -> None:
    house = House()
    order = await house.buy(EUR)
    await house.oanda.lose_stop(order.client_order_id)
    house.oanda.venue.observe(EUR.symbol, bid=Decimal(97), ask=Decimal(97), at=BEGIN, gap=True)
    await house.monitor()
    assert await house.oanda.venue.positions() == ()


async def test_equity_falls_and_the_kill_switch_latches() -> None:
    house = House()
    await house.monitor()
    house.oanda.venue._ledger.balance -= Decimal(400_000)
    await house.monitor()
    assert "below its peak" in (await house.stores.kills.current()).reason


async def test_a_venue_that_is_silent_since_the_start_does_not_switch_the_drawdown_limit_off() -> None:
    # Arrange
    before = House()
    await before.monitor()
    house = House(before.stores)
    house.binance.failing.add("account")
    await house.monitor()
    pressed_before = await house.stores.kills.active()

    # Act
    house.oanda.venue._ledger.balance -= Decimal(320_000)  # 16 % of both
    await house.monitor()

    # Assert
    assert pressed_before == ()
    held = await house.stores.kills.current()
    assert (held.level, held.cause) == (KillLevel.PAUSE, KillCause.DRAWDOWN)
    assert "equity 1680000.00 is 16.0% below its peak 2000000.00" in held.reason


async def test_a_venue_that_answers_for_the_first_time_ever_neither_hides_nor_makes_a_drawdown() -> None:
    house = House()
    house.binance.failing.add("account")
    await house.monitor()
    house.oanda.venue._ledger.balance -= Decimal(100_000)
    house.binance.failing.clear()
    await house.monitor()
    snapshot = await house.stores.snapshots.latest()
    assert snapshot is not None
    assert (f"{snapshot.equity:.0f}", f"{snapshot.peak:.0f}") == ("1900000", "2000000")
    assert await house.stores.kills.active() == ()


async def test_equity_that_is_not_current_is_told_with_its_instant_and_logged_once_until_it_is_read_again() -> None:
    # Arrange
    house, told = House(), []
    sink = logger.add(
        lambda line: told.append(str(line)), format="{message}", filter=lambda row: "equity" in row["message"]
    )
    await house.monitor()
    house.binance.failing.add("account")

    # Act
    shown = []
    for _ in range(6):
        house.clock.advance(120)
        await house.monitor()
        shown.append(house.supervisor.health()["equity_not_current"])
    degraded = house.supervisor.health()["status"]
    house.binance.failing.clear()
    await house.monitor()
    logger.remove(sink)

    # Assert
    since = {"binance": BEGIN.isoformat()}
    assert shown == [{}, {}, since, since, since, since]
    assert told == [f"monitor: equity of binance is not current, last known at {BEGIN.isoformat()}\n"]
    assert degraded == "degraded"
    assert (house.supervisor.health()["equity_not_current"], house.supervisor.health()["status"]) == ({}, "ok")


async def test_equity_that_was_never_known_is_told_without_an_instant_and_after_a_restart_with_it() -> None:
    first = House()
    first.binance.failing.add("account")
    for _ in range(4):
        await first.monitor()
    never = first.supervisor.health()["equity_not_current"]
    first.binance.failing.clear()
    await first.monitor()
    again = House(first.stores)
    again.binance.failing.add("account")
    for _ in range(4):
        await again.monitor()

    assert never == {"binance": None}
    assert again.supervisor.health()["equity_not_current"] == {"binance": BEGIN.isoformat()}


async def test_equity_that_cannot_be_stored_keeps_nothing_else_of_the_monitor_from_being_done() -> None:
    house, done = House(), []

    async def latest() -> None:
        done.append("equity")
        raise DatabaseUnavailable("gone")

    async def save_extremes() -> None:
        done.append("extremes")

    house.stores.snapshots.latest = latest  # type: ignore[method-assign]
    house.guard.save_extremes = save_extremes  # type: ignore[method-assign]
    with pytest.raises(BotError, match="monitor: 1 of 2"):
        await house.monitor()
    assert done == ["extremes", "equity"]


async def test_one_broken_analysis_keeps_neither_the_other_tasks_nor_the_monitor_from_their_work() -> None:
    house = House()
    await house.supervisor.start()
    await house.supervisor.analysis()  # the history, which is not judged
    house.clock.advance(3600)
    house.strategy.fails_for = {EUR.symbol}
    with pytest.raises(BotError, match="analysis"):
        await house.supervisor.analysis()
    assert [symbol for symbol, _ in house.strategy.shown] == [SOL.symbol]
    await house.monitor()
    assert house.gate.blocked(EUR.broker_id) == ""
    await house.supervisor.stop()


async def test_every_new_candle_is_shown_once() -> None:
    house = House()
    await house.supervisor.start()
    await house.supervisor.analysis()
    house.clock.advance(2 * 3600)
    await house.supervisor.analysis()
    await house.supervisor.analysis()
    assert sorted(house.strategy.shown) == [
        *((EUR.symbol, k) for k in (400, 401)),
        *((SOL.symbol, k) for k in (400, 401)),
    ]
    await house.supervisor.stop()


async def test_a_paused_task_judges_no_candle_also_after_a_restart_and_goes_on_with_the_next_one() -> None:
    # Arrange
    house = House()
    await house.supervisor.start()
    await house.supervisor.analysis()
    paused = TaskId(f"divergence:{EUR.symbol}:1h")

    # Act
    task = await house.supervisor.run_task(paused, TaskState.PAUSED)
    house.clock.advance(3600)
    await house.supervisor.analysis()
    while_paused = list(house.strategy.shown)
    await house.supervisor.stop()
    again = House()
    again.stores.tasks = house.stores.tasks
    await again.supervisor.start()
    await again.supervisor.analysis()
    again.clock.advance(3600)
    await again.supervisor.analysis()
    after_restart = list(again.strategy.shown)
    await again.supervisor.run_task(paused, TaskState.RUNNING)
    again.clock.advance(3600)
    await again.supervisor.analysis()

    # Assert
    assert task.state is TaskState.PAUSED
    assert [(entry.kind, entry.task_id, entry.data["what"]) for entry in house.journal if entry.kind == "task"] == [
        ("task", paused, "paused")
    ]
    assert while_paused == [(SOL.symbol, 400)]
    assert after_restart == [(SOL.symbol, 400)]
    assert (EUR.symbol, 401) in again.strategy.shown
    assert (EUR.symbol, 400) not in again.strategy.shown
    await again.supervisor.stop()


async def test_a_task_that_never_was_is_not_paused() -> None:
    house = House()
    await house.supervisor.start()
    with pytest.raises(NotFound, match="no such"):
        await house.supervisor.run_task(TaskId("no such"), TaskState.PAUSED)
    await house.supervisor.stop()


async def test_the_candles_that_are_followed_are_known_with_their_indicators_before_anything_is_judged() -> None:
    house = House()
    await house.supervisor.start()
    assert house.supervisor.features(EUR.symbol, Timeframe.H1) is None
    await house.supervisor.analysis()
    seeded = house.supervisor.features(EUR.symbol, Timeframe.H1)
    house.clock.advance(3600)
    await house.supervisor.analysis()
    judged = house.supervisor.features(EUR.symbol, Timeframe.H1)

    assert seeded is not None
    assert judged is not None
    assert (seeded.k, judged.k) == (399, 400)
    assert seeded.columns.rsi[399] == judged.columns.rsi[399]
    assert house.supervisor.features(EUR.symbol, Timeframe.H4) is None
    await house.supervisor.stop()


async def test_the_newest_fit_price_is_known_and_an_unfit_one_is_not() -> None:
    house = House()
    await house.supervisor.start()
    await house.buy(EUR)
    await house.monitor()
    seen = dict(house.supervisor.quotes())
    house.clock.advance(3600)  # the venue still tells the price of an hour ago
    with suppress(BotError):
        await house.monitor()

    assert list(seen) == [EUR.symbol]
    assert house.supervisor.quotes() == seen
    await house.supervisor.stop()


async def test_the_text_of_an_error_that_is_not_ours_is_not_shown() -> None:
    house = House()
    house.oanda.fills_since = _broken  # type: ignore[method-assign, assignment]
    with pytest.raises(BotError) as told:
        await house.monitor()
    assert "api-key-123" not in str(told.value)
    assert "api-key-123" not in house.last_error()
    assert "api-key-123" not in str(house.supervisor.health())


# ------------------------------------------------------------------------------------------------------------- stream


class _Prices:
    """A price stream that fails as it is told: with an error each time it is opened, until it is well."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.opened = 0

    async def read(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """One quote, then the next fault, or the end."""
        self.opened += 1
        fault = self.faults.pop(0) if self.faults else None
        price = Decimal(100 - self.opened)
        yield Quote(symbol=EUR.symbol, bid=price, ask=price, at=BEGIN)
        if fault is not None:
            raise fault


@pytest.mark.parametrize("fault", [BrokerUnavailable("reset"), KeyError("bid"), None])
async def test_a_stream_that_ends_for_whatever_reason_is_told_counted_and_opened_again(fault: Exception | None) -> None:
    house = House()
    prices = _Prices(fault, fault)
    house.oanda.quotes = prices.read  # type: ignore[method-assign]
    await house.supervisor.start()
    for _ in range(3):
        await house.turns()
        house.clock.advance(1)
    await house.turns()
    assert prices.opened == 4
    faults = house.supervisor.health()["faults"]
    assert isinstance(faults, dict)
    assert faults["prices of oanda"] >= 3
    assert "prices of oanda" in house.last_error()
    await house.supervisor.stop()


async def test_a_stream_of_a_venue_that_refuses_our_key_is_opened_every_ten_seconds() -> None:
    house = House()
    prices = _Prices(*[KeyRefused("revoked")] * 20)
    house.oanda.quotes = prices.read  # type: ignore[method-assign]
    await house.supervisor.start()
    house.gate.keys.note(EUR.broker_id, Refusal(why="revoked", of_order=False, at_s=0.0))
    for _ in range(40):
        await house.turns()
        house.clock.advance(1)
    assert 3 <= prices.opened <= 5
    await house.supervisor.stop()


async def test_a_price_that_cannot_be_worked_on_does_not_end_the_stream() -> None:
    house = House()
    await house.supervisor.start()
    await house.turns()
    seen: list[Decimal] = []

    async def on_price(symbol: Symbol, *, bid: Decimal, ask: Decimal, **_: object) -> None:
        seen.append(bid)
        if len(seen) == 1:
            raise ZeroDivisionError

    house.guard.on_price = on_price  # type: ignore[method-assign]
    for price in (101, 102):
        house.oanda.venue.observe(EUR.symbol, bid=Decimal(price), ask=Decimal(price), at=BEGIN, gap=True)
        await house.turns()
    assert seen == [101, 102]
    await house.supervisor.stop()


async def test_streamed_prices_reach_open_positions_without_the_monitor() -> None:
    house = House()
    await house.supervisor.start()
    await house.turns()
    await house.buy(EUR)
    house.oanda.venue.observe(EUR.symbol, bid=Decimal(104), ask=Decimal(104), at=BEGIN, gap=True)
    await house.turns()
    (position,) = house.book.positions()
    assert (position.quantity, position.stop_price) == (Decimal(5), Decimal(102))
    await house.supervisor.stop()


async def test_stopping_waits_for_an_order_that_a_price_has_set_off() -> None:
    house = House()
    await house.supervisor.start()
    await house.turns()
    order = await house.buy(EUR)
    house.oanda.held_answers = asyncio.Event()
    house.oanda.venue.observe(EUR.symbol, bid=Decimal(104), ask=Decimal(104), at=BEGIN, gap=True)
    await house.turns()
    stopping = asyncio.ensure_future(house.supervisor.stop())
    await house.turns()
    assert not stopping.done()
    house.oanda.held_answers.set()
    await stopping
    states = [each.state.value for each in await house.stores.orders.orders_of(order.position_id)]
    assert "SENDING" not in states


async def test_what_cannot_be_saved_at_the_end_does_not_keep_the_venues_open() -> None:
    house = House()
    await house.supervisor.start()
    await house.buy(EUR)
    closed: list[str] = []

    async def close() -> None:
        closed.append("oanda")

    async def save_position(_: object) -> None:
        raise DatabaseUnavailable("gone")

    house.oanda.close = close  # type: ignore[method-assign]
    house.stores.orders.save_position = save_position  # type: ignore[method-assign, assignment]
    await house.supervisor.stop()
    assert closed == ["oanda"]


async def test_the_gate_names_every_difference_and_where_to_answer() -> None:
    house = House()
    await house.supervisor.start()
    by_hand = approved_order(
        broker_id=EUR.broker_id,
        symbol=EUR.symbol,
        client_order_id=ClientOrderId("foreign:1"),
        stop_order_id=ClientOrderId("foreign:2"),
    )
    await house.oanda.venue.place(by_hand)
    await house.supervisor.settle(EUR.broker_id)
    (compared, _) = house.supervisor.reconciliations()
    (difference,) = compared.differences
    assert house.gate.blocked(EUR.broker_id, EUR.symbol) == (
        f"oanda: {difference.id} foreign position EUR_USD; see ./botctl reconcile"
    )
    assert house.gate.blocked(EUR.broker_id, SOL.symbol) == ""


# ---------------------------------------------------------------------------------------------------- protection round


async def test_the_start_reads_every_stop_back_and_places_what_is_missing() -> None:
    house = House()
    order = await house.buy(EUR)
    house.clock.advance(10)
    await house.oanda.lose_stop(order.client_order_id)
    await house.supervisor.start()
    (venue,) = await house.oanda.venue.positions()
    assert venue.stop_price == order.plan.stop
    assert "protection oanda" in house.supervisor._parts.scheduler.names  # type: ignore[attr-defined]
    await house.supervisor.stop()


async def test_what_waits_for_its_stop_is_looked_after_between_monitor_runs_and_its_gap_is_told() -> None:
    house = House()
    order = await house.buy(EUR)
    house.clock.advance(10)
    await house.oanda.lose_stop(order.client_order_id)
    house.oanda.stop_faults.append(Fault.UNREACHABLE)
    await house.monitor()
    house.clock.advance(3)
    assert house.supervisor.health()["unprotected_s"] == {"now": 3, "worst": 3}
    await house.protect()
    (venue,) = await house.oanda.venue.positions()
    assert venue.stop_price == order.plan.stop
    assert house.supervisor.health()["unprotected_s"] == {"now": 0, "worst": 3}


async def test_where_nothing_waits_for_a_stop_the_protection_round_asks_no_venue() -> None:
    house = House()
    await house.buy(EUR)
    house.oanda.asked.clear()
    await house.protect()
    assert house.oanda.asked == []


async def test_a_comparison_that_was_not_answered_is_repeated_long_before_the_next_monitor_run() -> None:
    house = House()
    await house.monitor()
    house.oanda.failing.add("fills_since")
    await house.monitor()
    house.oanda.failing.clear()

    house.clock.advance(9)
    await house.supervisor.resolve(house.oanda)
    too_early = house.gate.blocked(EUR.broker_id)
    house.clock.advance(1)
    await house.supervisor.resolve(house.oanda)

    assert too_early.startswith("oanda did not answer")
    assert house.gate.blocked(EUR.broker_id) == ""


async def test_a_difference_that_a_person_may_answer_is_looked_at_again_before_the_next_monitor_run() -> None:
    # Arrange: an order of ours that our record never had; it ends at the venue, and nobody has to answer any more
    house = House()
    await house.monitor()
    stray = approved_order(valid_until=BEGIN + timedelta(days=1), kind=OrderKind.LIMIT, limit_price=Decimal(99))
    await house.oanda.venue.place(stray)
    await house.monitor()
    assert "orphan order" in house.gate.blocked(EUR.broker_id)
    await house.oanda.venue.cancel(stray.client_order_id)

    # Act
    house.clock.advance(30)
    await house.supervisor.resolve(house.oanda)

    # Assert
    assert house.gate.blocked(EUR.broker_id) == ""


async def test_what_waits_for_a_person_is_looked_at_ever_more_seldom_while_nothing_changes() -> None:
    house = House()
    await house.monitor()
    await house.oanda.venue.place(
        approved_order(valid_until=BEGIN + timedelta(days=1), kind=OrderKind.LIMIT, limit_price=Decimal(99))
    )
    await house.monitor()
    compared = []
    for second in range(1, 1000):
        house.clock.advance(1)
        house.oanda.asked.clear()
        await house.supervisor.resolve(house.oanda)
        compared += [second] if "open_orders" in house.oanda.asked else []
    assert compared == [30, 90, 210, 450, 690, 930]


async def test_an_order_without_an_answer_is_known_and_compared_before_the_next_monitor_run() -> None:
    house = House()
    await house.monitor()
    house.oanda.place_faults.append(Fault.REPLY_LOST)
    order = await house.buy(EUR)
    assert (await house.stores.orders.order(order.client_order_id)).state is OrderState.UNKNOWN

    house.clock.advance(5)
    await house.supervisor.resolve(house.oanda)

    assert (await house.stores.orders.order(order.client_order_id)).state is OrderState.FILLED
    assert house.gate.blocked(EUR.broker_id, EUR.symbol) == ""


async def test_the_rest_of_an_entry_whose_position_has_closed_does_not_wait_for_the_monitor_to_be_cancelled() -> None:
    # Arrange
    house = House(liquidity=Decimal(4))
    await house.monitor()
    order = await house.buy(EUR)
    (fill,) = house.oanda._told
    closing = replace(fill, client_order_id=order.stop_order_id, side=Side.SELL, venue_fill_id="stop-1")
    house.oanda._told.append(closing)
    await house.tracker.collect(EUR.broker_id)

    # Act
    house.clock.advance(9)
    await house.supervisor.resolve(house.oanda)
    too_early = list(house.oanda.cancelled)
    house.clock.advance(1)
    await house.supervisor.resolve(house.oanda)

    # Assert
    assert (too_early, house.oanda.cancelled) == ([], [order.client_order_id])


async def test_while_the_writer_lock_is_away_no_entry_leaves_and_health_says_so() -> None:
    house = House()
    await house.monitor()

    house.supervisor.note_writer(is_held=False)
    blocked, health = house.gate.blocked(EUR.broker_id, EUR.symbol), house.supervisor.health()
    await house.monitor()

    assert blocked == house.gate.blocked(EUR.broker_id, EUR.symbol) == "oanda: the writer lock is away, nothing is sent"
    assert (health["writer_lock"], health["status"]) == ("away", "degraded")


async def test_when_the_writer_lock_is_back_entries_wait_for_a_comparison_which_begins_at_once() -> None:
    house = House()
    await house.monitor()
    house.supervisor.note_writer(is_held=False)
    house.clock.advance(1)

    house.supervisor.note_writer(is_held=True)
    blocked = [house.gate.blocked(each) for each in (EUR.broker_id, SOL.broker_id)]
    await house.supervisor.resolve(house.oanda)

    assert blocked == ["oanda is not reconciled yet", "binance is not reconciled yet"]
    assert (house.gate.blocked(EUR.broker_id), house.gate.blocked(SOL.broker_id)) == ("", blocked[1])
    assert house.supervisor.health()["writer_lock"] == "held"


async def test_a_comparison_that_began_before_the_writer_lock_was_back_opens_nothing() -> None:
    house = House()
    await house.monitor()

    asked = house.oanda.open_orders

    async def open_orders() -> Sequence[VenueOrder]:
        house.clock.advance(1)
        house.supervisor.note_writer(is_held=True)
        return await asked()

    house.oanda.open_orders = open_orders  # type: ignore[method-assign]
    await house.supervisor.settle(EUR.broker_id)

    assert house.gate.blocked(EUR.broker_id) == "oanda is not reconciled yet"


async def test_where_every_fate_is_known_and_everything_agrees_the_resolver_asks_no_venue() -> None:
    house = House()
    await house.monitor()
    await house.buy(EUR)
    await house.monitor()
    house.clock.advance(100)
    house.oanda.asked.clear()

    await house.supervisor.resolve(house.oanda)

    assert house.oanda.asked == []
