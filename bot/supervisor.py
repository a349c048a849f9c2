"""Strategy tasks over time: start, the scheduled jobs, live prices, stop.

Three jobs that never wait for each other: analysis judges closed candles, the monitor looks after open positions and
the venue's truth, outcomes are followed. Prices that are streamed reach open positions between the monitor's runs.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from loguru import logger

from bot.config import Settings
from bot.errors import BotError, BrokerError
from bot.instruments import BrokerId, InstrumentRegistry, Symbol
from bot.interfaces import Clock, Scheduler, Stores
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed
from bot.layer2_intelligence.features import LiveFeatures
from bot.layer3_execution.book import Book
from bot.layer3_execution.order_tracker import OrderTracker
from bot.layer3_execution.protection import PositionGuard
from bot.layer3_execution.reconciliation import Reconciler, ReconcileReport
from bot.layer4_risk.drawdown import DrawdownWatch
from bot.layer5_monitoring.outcome_tracker import OutcomeTracker
from bot.models import AccountState, DaemonStatus, JobHealth, StrategyTask, TaskState, Timeframe
from bot.pipeline import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorParts:
    """What wiring hands over."""

    settings: Settings
    registry: InstrumentRegistry
    clock: Clock
    stores: Stores
    scheduler: Scheduler
    router: BrokerRouter
    feed: CandleFeed
    cache: CandleCache
    book: Book
    tracker: OrderTracker
    guard: PositionGuard
    reconciler: Reconciler
    drawdown: DrawdownWatch
    outcomes: OutcomeTracker
    pipeline: Pipeline
    tasks: Sequence[StrategyTask]
    new_features: Callable[[], LiveFeatures]


@dataclass(slots=True)
class EntryGate:
    """Which brokers may take entries: none before its first clean reconciliation (invariant I14)."""

    reports: dict[BrokerId, ReconcileReport] = field(default_factory=dict)

    def blocked(self, broker_id: BrokerId) -> str:
        """Why entries are blocked at a broker; empty if they are not."""
        report = self.reports.get(broker_id)
        if report is None:
            return f"{broker_id} is not reconciled yet"
        if report.clean:
            return ""
        if not report.complete:
            return f"{broker_id} did not answer: {report.error}"
        found = len(report.unresolved) + len(report.unknown_positions) + len(report.lost_positions)
        return f"{broker_id}: {found} differences between the venue and our record"


class Supervisor:
    """Runs everything that happens by itself."""

    def __init__(self, parts: SupervisorParts, gate: EntryGate) -> None:
        self._parts = parts
        self._gate = gate
        self._features: dict[tuple[Symbol, Timeframe], LiveFeatures] = {}
        self._tasks: dict[tuple[Symbol, Timeframe], list[StrategyTask]] = {}
        self._streams: list[asyncio.Task[None]] = []
        self._last_analysis: datetime | None = None
        self._last_error = ""
        self._started_at = parts.clock.now()
        self._accounts: dict[BrokerId, AccountState] = {}

    async def start(self) -> None:
        """Load what is known, reconcile every venue, then let the jobs run."""
        parts = self._parts
        await parts.tracker.load()
        await asyncio.gather(*(self._reconcile(broker) for broker in parts.router))
        await parts.stores.tasks.ensure(parts.tasks)
        for task in await parts.stores.tasks.all():
            if task.state is TaskState.RUNNING and task.symbol in parts.registry:
                self._tasks.setdefault((task.symbol, task.timeframe), []).append(task)
                parts.feed.subscribe(task.symbol, task.timeframe)
        schedule = parts.settings.schedule
        parts.scheduler.every("monitor", timedelta(seconds=schedule.monitor_interval_s), self.monitor)
        parts.scheduler.every("analysis", timedelta(seconds=schedule.analysis_interval_s), self.analysis)
        parts.scheduler.every("outcomes", timedelta(seconds=schedule.outcome_interval_s), self.follow_outcomes)
        await parts.scheduler.start()
        self._streams = [
            asyncio.create_task(self._stream(broker), name=f"prices of {broker.broker_id}")
            for broker in parts.router
            if broker.capabilities.streams_quotes
        ]

    async def stop(self) -> None:
        """No new decision; what is open stays protected at the venue."""
        await self._parts.scheduler.stop()
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)
        await self._parts.guard.save_extremes()
        await self._parts.router.close()

    # --------------------------------------------------------------------------------------------------------- jobs

    async def analysis(self) -> None:
        """Fetch what has closed, and take each new candle of each task through the pipeline, in order."""
        report = await self._parts.feed.poll()
        for problem in report.errors:
            self._note_error(f"feed: {problem}")
        for (symbol, timeframe), first_new in report.new.items():
            await self._judge(symbol, timeframe, first_new)
        self._last_analysis = self._parts.clock.now()

    async def monitor(self) -> None:
        """Every venue: its fills, our open positions against its price, its stops, its truth, and equity."""
        for broker in self._parts.router:
            try:
                await self._look_after(broker)
            except BrokerError as error:
                self._note_error(f"monitor: {broker.broker_id}: {error}")
        await self._parts.guard.save_extremes()
        if len(self._accounts) == len(list(self._parts.router)):
            opened = sum(1 for each in self._parts.book.positions() if each.is_open)
            await self._parts.drawdown.observe(list(self._accounts.values()), opened, self._parts.clock.now())

    async def follow_outcomes(self) -> None:
        """Take the candles that have closed into the outcomes of signals."""
        for outcome in await self._parts.outcomes.update():
            facts = {"signal": outcome.signal_id, "accepted": outcome.accepted, "verdict": outcome.verdict.value}
            await self._parts.pipeline.record("outcome", None, {**facts, "r": outcome.r})

    def note_problem(self, job: str, text: str) -> None:
        """The scheduler tells of a missed or failed run."""
        self._note_error(f"{job}: {text}")

    # ------------------------------------------------------------------------------------------------------- status

    async def status(self, *, mode: str, url: str, health: str, market: str) -> DaemonStatus:
        """All counts and figures of this moment."""
        stores, clock = self._parts.stores, self._parts.clock
        return DaemonStatus(
            mode=mode,
            url=url,
            health=health,
            equity=sum((each.equity for each in self._accounts.values()), start=Decimal(0)),
            balance=sum((each.balance for each in self._accounts.values()), start=Decimal(0)),
            currency=self._parts.settings.risk.account_currency,
            open_positions=sum(1 for each in self._parts.book.positions() if each.is_open),
            closed_positions=await stores.orders.closed_count(),
            signals=await stores.signals.counts(),
            orders=await stores.orders.order_counts(),
            last_analysis=self._last_analysis,
            last_error=self._last_error,
            jobs=self._parts.scheduler.health(),
            started_at=self._started_at,
            now=clock.now(),
            market=market,
        )

    def health(self) -> Mapping[str, object]:
        """What /health says, without any I/O."""
        jobs: Sequence[JobHealth] = self._parts.scheduler.health()
        failing = [each.name for each in jobs if each.failing]
        blocked = [why for why in (self._gate.blocked(each.broker_id) for each in self._parts.router) if why]
        missed = Counter({each.name: each.missed for each in jobs})
        return {
            "status": "degraded" if failing or blocked else "ok",
            "failing_jobs": failing,
            "entries_blocked": blocked,
            "missed_runs": dict(missed),
            "last_analysis": self._last_analysis.isoformat() if self._last_analysis else None,
        }

    # ------------------------------------------------------------------------------------------------------- inside

    async def _judge(self, symbol: Symbol, timeframe: Timeframe, first_new: int) -> None:
        series = self._parts.cache.series(symbol, timeframe)
        features = self._features.get((symbol, timeframe))
        if features is None:
            features = self._features[symbol, timeframe] = self._parts.new_features()
        newest = features.advance(series).k
        for k in range(first_new, newest + 1):
            for task in self._tasks.get((symbol, timeframe), ()):
                await self._parts.pipeline.on_candle(task, features.at(k))

    async def _look_after(self, broker: BrokerInterface) -> None:
        broker_id = broker.broker_id
        await self._parts.tracker.collect(broker_id)
        for symbol in {each.symbol: None for each in self._parts.book.positions() if each.broker_id == broker_id}:
            quote = await broker.quote(symbol)
            await self._parts.guard.on_price(symbol, bid=quote.bid, ask=quote.ask)
        gap_s = await self._parts.guard.verify(broker_id)
        if gap_s:
            self._note_error(f"monitor: {broker_id}: a position had no stop for {gap_s:.1f} s")
        await self._reconcile(broker)
        self._accounts[broker_id] = await broker.account()

    async def _reconcile(self, broker: BrokerInterface) -> None:
        report = await self._parts.reconciler.run(broker.broker_id)
        before = self._gate.reports.get(broker.broker_id)
        self._gate.reports[broker.broker_id] = report
        if not report.clean and (before is None or before.clean):
            self._note_error(f"reconciliation: {self._gate.blocked(broker.broker_id)}")

    async def _stream(self, broker: BrokerInterface) -> None:
        """Prices of one venue to the guard, for as long as the daemon runs; a fault ends neither."""
        symbols = [each.symbol for each in self._parts.registry.of_broker(broker.broker_id)]
        while True:
            try:
                async for quote in broker.quotes(symbols):
                    await self._parts.guard.on_price(quote.symbol, bid=quote.bid, ask=quote.ask)
                return
            except BotError as error:
                self._note_error(f"prices of {broker.broker_id}: {error}")
                await self._parts.clock.sleep(1)

    def _note_error(self, text: str) -> None:
        self._last_error = text
        logger.warning("{}", text)
