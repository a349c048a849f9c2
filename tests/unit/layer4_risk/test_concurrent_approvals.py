"""Limits hold at every instant: many tasks that want in at once, in any interleaving, are counted one by one (I5)."""

import asyncio
import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clock import ManualClock
from bot.config import RiskSettings, Settings
from bot.database.memory import MemoryStores
from bot.errors import DatabaseUnavailable
from bot.instruments import Currency, Instrument, InstrumentRegistry, Symbol, default_registry
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer4_risk.entry_ledger import EntryLedger
from bot.models import (
    CandleSeries,
    EntrySignal,
    FeatureSet,
    JournalEntry,
    Quote,
    Side,
    SignalId,
    StrategyName,
    StrategyTask,
    Timeframe,
    leg_of,
)
from bot.wiring.core import Seams, TradingCore, trading_core
from tests.builders import approved_order, at, series
from tests.fakes.awkward_broker import AwkwardBroker, Fault
from tests.unit.layer2_intelligence.judged_scene import Scene

COINS = [replace(default_registry().get("SOL/USDT"), symbol=Symbol(f"S{number}/USDT")) for number in range(50)]
SMALL = {"risk_per_trade_ratio": Decimal("0.001"), "max_correlated_exposure": 100, "max_correlated_everywhere": 100}


class Turn:
    """Gives way to the others once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Turning:
    """Passes every question on, after others had their turn."""

    def __init__(self, inner: Any, turns: Callable[[], Any]) -> None:
        self._inner = inner
        self._turns = turns

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def asked(*values: Any, **more: Any) -> Any:
            await self._turns()
            answer = await found(*values, **more)
            await self._turns()
            return answer

        return asked


class Crowd:
    """Many tasks of one strategy, each on its own coin, over the real pipeline; a seed says who has a turn when."""

    name = StrategyName("divergence")

    def __init__(self, seed: int = 0, *, liquidity: Any = None, **limits: Any) -> None:
        self.dice = random.Random(seed)
        self.scene = Scene(timeframe=Timeframe.M15)
        now = self.scene.signal().candle_closed_at
        self.clock = ManualClock(now)
        self.venue = SimulatedBroker(
            broker_id=COINS[0].broker_id,
            instruments=COINS,
            clock=self.clock,
            currency=Currency("USD"),
            balance=Decimal(100_000),
            traits=VenueTraits(liquidity=liquidity),
        )
        self.quote()
        self.broker = AwkwardBroker(self.venue, self.clock)
        self.stores: Any = MemoryStores()
        self.stores.orders = Turning(self.stores.orders, self.turns)
        self.core = self.started(RiskSettings(**{**SMALL, **limits}))

    def started(self, risk: RiskSettings) -> TradingCore:
        """One process life."""
        broker: Any = Turning(self.broker, self.turns)
        return trading_core(
            settings=Settings(risk=risk),
            registry=InstrumentRegistry(COINS),
            clock=self.clock,
            stores=self.stores,
            journal=self,
            candles=self,
            broker_of=lambda _: broker,
            quote_of=self.quote_of,
            entries_blocked=lambda *_: "",
            strategies=[],
            environment="d",
            seams=Seams(strategies={"divergence": self}),
        )

    def quote(self) -> None:
        """The same price everywhere, of now."""
        for coin in COINS:
            self.venue.observe(coin.symbol, bid=self.scene.bid, ask=self.scene.ask, at=self.clock.now(), gap=True)

    async def turns(self) -> None:
        """None to three turns for the others."""
        for _ in range(self.dice.randrange(4)):
            await Turn()

    def signals(self, task: StrategyTask, _features: FeatureSet, _instrument: Instrument) -> Sequence[EntrySignal]:
        """The same sound signal for every task."""
        name = SignalId(f"signal of {task.id}")
        return [replace(self.scene.signal(), id=name, task_id=task.id, symbol=task.symbol)]

    async def all_want_in(self, count: int, first: int = 0) -> list[str]:
        """So many tasks at once; what was stored about each signal."""
        tasks = [StrategyTask.of("divergence", each, Timeframe.M15) for each in COINS[first : first + count]]
        await asyncio.gather(*(self.core.pipeline.on_candle(each, self.seen(each)) for each in tasks))
        records = [await self.stores.signals.get(SignalId(f"signal of {each.id}")) for each in tasks]
        return [each.status if each.status == "ordered" else each.reason.partition(":")[0] for each in records]

    async def what_is_open_closes(self) -> None:
        """Fills of the stop are told for what the entry has filled; its rest goes on."""
        (fill,) = self.broker._told
        stop = leg_of(fill.client_order_id, "S0")
        self.broker._told.append(replace(fill, client_order_id=stop, side=Side.SELL, venue_fill_id="closed"))
        await self.core.tracker.collect(fill.broker_id)

    def seen(self, task: StrategyTask) -> FeatureSet:
        """What that coin's candles show: the same for all."""
        features = self.scene.features()
        return replace(features, series=replace(features.series, symbol=task.symbol))

    async def record(self, entry: JournalEntry) -> None:
        """The journal is not what is tested here."""

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """No candles: outcomes are not followed further here."""
        return series([], symbol=symbol, timeframe=timeframe)

    async def quote_of(self, symbol: Symbol) -> Quote | None:
        """The venue's price."""
        await self.turns()
        return await self.venue.quote(symbol)


async def test_fifty_tasks_at_once_against_a_limit_of_three_give_exactly_three_orders() -> None:
    crowd = Crowd(max_open_positions_binance=3, max_entries_per_minute=600, max_entries_per_minute_strategy=600)
    told = await crowd.all_want_in(50)
    assert told.count("ordered") == 3
    assert told.count("MAX_OPEN_POSITIONS") == 47
    assert len(crowd.broker.placed) == len(crowd.core.book.positions()) == 3


LIMITS = (
    ("MAX_OPEN_POSITIONS", "max_open_positions_binance"),
    ("CORRELATED_EXPOSURE", "max_correlated_exposure_binance"),
    ("CORRELATED_EVERYWHERE", "max_correlated_everywhere"),
    ("STRATEGY_POSITIONS", "max_positions_per_strategy"),
    ("ENTRY_RATE", "max_entries_per_minute"),
    ("STRATEGY_RATE", "max_entries_per_minute_strategy"),
)
ROOM = {name: 100 for _, name in LIMITS}


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    limit=st.sampled_from(LIMITS),
    allowed=st.integers(1, 4),
    count=st.integers(1, 9),
    lost=st.integers(0, 3),
)
async def test_in_any_interleaving_no_limit_is_ever_passed_and_unknown_entries_count_in_full(
    seed: int, limit: tuple[str, str], allowed: int, count: int, lost: int
) -> None:
    code, name = limit
    crowd = Crowd(seed, **{**ROOM, name: allowed})
    crowd.broker.place_faults.extend([Fault.REQUEST_LOST] * lost)
    told = await crowd.all_want_in(count)
    assert told.count("ordered") == min(count, allowed)
    assert set(told) <= {"ordered", code}
    assert len(crowd.core.book.positions()) == min(count, allowed)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), count=st.integers(2, 8))
async def test_in_any_interleaving_the_money_limits_hold_for_all_entries_together(seed: int, count: int) -> None:
    crowd = Crowd(seed, **{**ROOM, "max_gross_leverage": Decimal("0.1"), "max_open_risk_ratio": Decimal("0.0025")})
    told = await crowd.all_want_in(count)
    positions = crowd.core.book.positions()
    value = sum(each.quantity * each.entry_price * each.value_per_point for each in positions)
    assert value <= Decimal("0.1") * 100_000
    assert sum(each.risk_amount for each in positions) <= Decimal("0.0025") * 100_000
    assert told.count("ordered") == len(positions) >= 1


async def test_the_throttle_counts_on_over_a_restart_and_opens_when_the_minute_is_over() -> None:
    limits: dict[str, Any] = {**SMALL, **ROOM, "max_entries_per_minute": 2}
    crowd = Crowd(**limits)
    assert (await crowd.all_want_in(3)).count("ordered") == 2
    crowd.core = crowd.started(RiskSettings(**limits))
    assert await crowd.all_want_in(1, first=3) == ["ENTRY_RATE"]
    crowd.clock.advance(61)
    crowd.quote()
    assert await crowd.all_want_in(1, first=4) == ["ordered"]


async def test_what_the_engine_could_not_store_counts_until_it_may_no_longer_be_sent() -> None:
    ledger, order = EntryLedger(MemoryStores().orders), approved_order(valid_until=at(60))
    ledger.reserve(order, at(0))
    assert ledger.reserved(at(60)) == (order,)
    assert ledger.reserved(at(60) + timedelta(microseconds=1)) == ()


async def test_an_entry_that_was_stored_too_late_is_not_sent_when_others_may_have_its_room() -> None:
    crowd, counted = Crowd(), []
    store = crowd.stores.orders.record_intent

    async def record_intent(*values: Any, **more: Any) -> bool:
        counted.append(len(crowd.core.ledger.reserved(crowd.clock.now())))
        crowd.clock.advance(RiskSettings().entry_validity_s + 1)
        counted.append(len(crowd.core.ledger.reserved(crowd.clock.now())))
        return bool(await store(*values, **more))

    crowd.stores.orders.record_intent = record_intent
    await crowd.all_want_in(1)
    assert counted == [1, 0]
    assert (crowd.broker.placed, crowd.core.book.positions()) == ([], ())


async def test_an_order_that_the_engine_has_answered_counts_as_what_the_book_says_of_it() -> None:
    ledger, order = EntryLedger(MemoryStores().orders), approved_order()
    ledger.reserve(order, at(0))
    ledger.settle(order)
    assert ledger.reserved(at(0)) == ()
    assert [each.stake.worst for each in ledger.entries(at(0))] == [Decimal(1_000)]


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_rest_of_an_entry_counts_after_its_position_has_closed_until_the_venue_has_ended_it(
    restarted: bool,
) -> None:
    limits: dict[str, Any] = {**SMALL, **ROOM, "max_open_positions_binance": 1}
    crowd = Crowd(liquidity=COINS[0].quantity_step * 10, **limits)
    assert await crowd.all_want_in(1) == ["ordered"]
    await crowd.what_is_open_closes()
    assert crowd.core.book.positions() == ()
    if restarted:
        crowd.core = crowd.started(RiskSettings(**limits))
        await crowd.core.tracker.load()

    assert await crowd.all_want_in(1, first=1) == ["MAX_OPEN_POSITIONS"]
    await crowd.core.flattener.cancel_entries(COINS[0].broker_id)
    assert crowd.core.book.orders() == ()
    assert await crowd.all_want_in(1, first=2) == ["ordered"]


async def test_nobody_decides_while_another_has_not_decided() -> None:
    ledger, seen = EntryLedger(MemoryStores().orders), []

    async def decide(number: int) -> None:
        async with ledger.deciding(at(0)):
            seen.append(number)
            for _ in range(3):
                await Turn()
            seen.append(number)

    await asyncio.gather(*(decide(number) for number in range(4)))
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3]


async def test_without_the_days_entries_nothing_is_decided() -> None:
    stores: Any = MemoryStores()

    async def recent_orders(limit: int) -> Any:
        raise DatabaseUnavailable(f"no answer to a question for {limit} orders")

    stores.orders.recent_orders = recent_orders
    with pytest.raises(DatabaseUnavailable):
        async with EntryLedger(stores.orders).deciding(at(0)):
            pytest.fail("it decided on a throttle that knows nothing")
