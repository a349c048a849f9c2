"""The order path under a believable day: simulated venues that quote its prices, and hold nothing of it."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from bot.clock import ManualClock
from bot.config import Settings
from bot.dashboard.parts import TradingParts
from bot.database.memory import MemoryStores
from bot.instruments import BINANCE, IG, OANDA, Currency, Symbol, default_registry
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.candle_cache import CandleCache
from bot.layer4_risk.manager import Preview
from bot.layer5_monitoring.events import JournalEvents
from bot.layer5_monitoring.journal import StoredJournal
from bot.models import AccountState, EntrySignal, Quote, StrategyTask, TaskId, TaskState
from bot.wiring.core import TradingCore, trading_core


class DayTrading:
    """Accounts of 10,000 USD at three venues, in market time."""

    def __init__(self, stores: MemoryStores, clock: ManualClock, prices: Mapping[Symbol, Decimal]) -> None:
        registry = default_registry()
        venues = [
            SimulatedBroker(
                broker_id=each,
                instruments=registry.of_broker(each),
                clock=clock,
                currency=Currency("USD"),
                balance=Decimal(10_000),
            )
            for each in (BINANCE, OANDA, IG)
        ]
        self._stores = stores
        self._clock = clock
        self._prices = prices
        self.router = BrokerRouter(venues, registry)
        for symbol, price in prices.items():
            venue = next(each for each in venues if each.broker_id == registry.get(symbol).broker_id)
            spread = registry.get(symbol).typical_spread.at(price)
            venue.observe(symbol, bid=price, ask=price + spread, at=clock.now(), gap=True)
        self.core: TradingCore = trading_core(
            settings=Settings(),
            registry=registry,
            clock=clock,
            stores=stores,
            journal=StoredJournal(stores.journal, JournalEvents()),
            candles=CandleCache(registry),
            broker_of=self.router.broker,
            quote_of=self.quote_of,
            entries_blocked=lambda *_: "",
            strategies=["divergence"],
            environment="d",
        )
        self.parts = TradingParts(
            desk=self.core.desk,
            accounts=lambda: {
                each: AccountState(
                    broker_id=each,
                    currency=Currency("USD"),
                    balance=Decimal("10032.38"),
                    equity=Decimal("10095.47"),
                    margin_used=Decimal("1200.00"),
                    at=clock.now(),
                )
                for each in (BINANCE, OANDA, IG)
            },
            quotes=lambda: {each: self._quote(each) for each in prices},
            positions=self.core.book.positions,
            preview=self._preview,
            rehearse=self.core.pipeline.rehearse,
            run_task=self._run_task,
        )

    async def quote_of(self, symbol: Symbol) -> Quote | None:
        """The price of the day."""
        return self._quote(symbol) if symbol in self._prices else None

    def _quote(self, symbol: Symbol) -> Quote:
        bid = self._prices[symbol]
        spread = default_registry().get(symbol).typical_spread.at(bid)
        return Quote(symbol=symbol, bid=bid, ask=bid + spread, at=self._clock.now())

    async def _preview(self, idea: EntrySignal) -> Preview:
        return await self.core.pipeline.preview(idea, self._prices.get(idea.symbol))

    async def _run_task(self, task_id: TaskId, state: TaskState) -> StrategyTask:
        await self._stores.tasks.set_state(task_id, state)
        return replace(await self._stores.tasks.get(task_id), state=state)
