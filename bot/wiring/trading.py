"""Wiring of what trades in a daemon: from the venues of its market to the supervisor that drives everything."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from bot.clock import SystemClock
from bot.config import Settings
from bot.entry_gate import EntryGate
from bot.instruments import BrokerId, Symbol
from bot.interfaces import KillNews
from bot.kill_watch import KillWatch
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed
from bot.layer1_data.key_watch import KeyWatch
from bot.layer2_intelligence.analyst.desk import AnalystDesk
from bot.layer2_intelligence.features import LiveFeatures
from bot.layer2_intelligence.strategies.divergence import DIVERGENCE
from bot.layer4_risk.exposure import RiskReport
from bot.layer4_risk.kill_file import KillFile
from bot.layer5_monitoring.events import JournalEvents
from bot.layer5_monitoring.journal import StoredJournal
from bot.models import DaemonStatus, Quote, TaskId
from bot.scheduler import IntervalScheduler
from bot.supervisor import Supervisor, SupervisorParts
from bot.wiring.analyst_desk import AnalystSeat
from bot.wiring.core import TradingCore, trading_core
from bot.wiring.market import Market
from bot.wiring.metrics import Metering
from bot.wiring.risk import report_of
from bot.wiring.shares import Shares


class Trading:
    """The parts that trade, each made of those before it; `supervisor.start()` sets them going.

    Some speak to what is made after them: they do so through this, and not before the supervisor has begun.
    """

    def __init__(
        self,
        settings: Settings,
        data: Path,
        *,
        shares: Shares,
        market: Market,
        brokers: Sequence[BrokerInterface],
        seat: AnalystSeat,
        kill_news: KillNews,
    ) -> None:
        """`brokers` are the venues of `market` as they may be traded at."""
        self.settings = settings
        self.data = data
        self.shares = shares
        self.market = market
        self.events = JournalEvents()
        self.kill_file = KillFile(data)
        self.metering = Metering(settings, market)
        self.scheduler = IntervalScheduler(
            market.clock,
            speed=market.speed,
            least_interval_s=market.least_interval_s,
            on_problem=self._note_problem,
        )
        self._away_since: datetime | None = None
        self._cache, self._gate = CandleCache(market.registry), EntryGate(descriptions=market.descriptions)
        measured = [self.metering.broker(each) for each in brokers]
        watched = [KeyWatch(each, self._gate.keys, market.clock) for each in measured]
        self.router = BrokerRouter(watched, market.registry)
        self.feed = CandleFeed(self.router, self._cache, market.clock)
        analyst = self._analyst(seat)
        self.core = self._core(analyst)
        self.supervisor = self._supervisor(analyst, self._kill_watch(kill_news))

    # ------------------------------------------------------------------------------------------------ what is asked

    def health(self) -> Mapping[str, object]:
        """What /health says, without any I/O."""
        away = self._away_since
        return {
            "mode": self.settings.run.mode,
            "database": "elsewhere" if self.settings.run.database_url else "embedded",
            "writer_lock_away_since": away.isoformat() if away is not None else None,
            **self.supervisor.health(),
        }

    async def status(self, url: str) -> DaemonStatus:
        """All counts and figures of this moment; `url` is where the pages are."""
        health, market = str(self.supervisor.health()["status"]), self.market.note()
        return await self.supervisor.status(
            self.shares.pages, mode=self.settings.run.mode, url=url, health=health, market=market
        )

    async def risk(self) -> RiskReport:
        """Limits and exposure now. Raises DatabaseUnavailable."""
        return await report_of(
            settings=self.settings,
            stores=self.shares.pages,
            router=self.router,
            supervisor=self.supervisor,
            core=self.core,
        )

    # ------------------------------------------------------------------------------------------------- what is told

    def note_writer(self, *, is_held: bool) -> None:
        """The writer lock is away, or it is back."""
        self._away_since = None if is_held else self._away_since or SystemClock().now()
        self.supervisor.note_writer(is_held=is_held)

    # --------------------------------------------------------------------------------------------------- how it is made

    def _analyst(self, seat: AnalystSeat) -> AnalystDesk | None:
        return self.metering.seat(seat).desk(
            self.settings,
            self.shares.trading,
            self.market.clock,
            record=self._record,
            on_problem=lambda text: self._note_problem("analyst", text),
        )

    def _core(self, analyst: AnalystDesk | None) -> TradingCore:
        stores = self.shares.trading
        return trading_core(
            settings=self.settings,
            registry=self.market.registry,
            clock=self.market.clock,
            stores=stores,
            journal=StoredJournal(stores.journal, self.events),
            candles=self._cache,
            broker_of=self.router.broker,
            quote_of=self._quote_of,
            entries_blocked=self._gate.blocked,
            strategies=[DIVERGENCE],
            environment=self.settings.run.mode[0],
            kill_file=self.kill_file,
            analyst=analyst,
        )

    def _kill_watch(self, news: KillNews) -> KillWatch:
        return KillWatch(
            switch=self.core.kill,
            flattener=self.core.flattener,
            news=news,
            settle=self._settle,
            clock=SystemClock(),  # a person presses it, at whatever speed the market runs
            record=self.core.pipeline.record,
            on_problem=lambda text: self._note_problem("kill switch", text),
        )

    def _supervisor(self, analyst: AnalystDesk | None, kill_watch: KillWatch) -> Supervisor:
        settings, market, core = self.settings, self.market, self.core
        parts = SupervisorParts(
            settings=settings,
            registry=market.registry,
            clock=market.clock,
            stores=self.shares.trading,
            scheduler=self.scheduler,
            router=self.router,
            feed=self.metering.feed(self.feed),
            cache=self._cache,
            book=core.book,
            tracker=core.tracker,
            guard=core.guard,
            reconciler=self.metering.reconciler(core.reconciler),
            answers=core.answers,
            kill=core.kill,
            kill_watch=kill_watch,
            daily_loss=core.daily_loss,
            drawdown=core.drawdown,
            outcomes=core.outcomes,
            pipeline=core.pipeline,
            analyst=analyst,
            tasks=market.tasks(settings),
            new_features=lambda: LiveFeatures(settings.divergence, settings.validation.bandwidth_lookback),
        )
        return Supervisor(parts, self._gate)

    # --------------------------------------------------------------------------------------- for parts made earlier

    def _note_problem(self, who: str, text: str) -> None:
        self.supervisor.note_problem(who, text)

    async def _record(self, kind: str, task_id: TaskId | None, data: Mapping[str, object]) -> None:
        await self.core.pipeline.record(kind, task_id, data)

    async def _quote_of(self, symbol: Symbol) -> Quote | None:
        return await self.supervisor.quote_of(symbol)

    async def _settle(self, broker_id: BrokerId) -> None:
        await self.supervisor.settle(broker_id)
