"""Strategy tasks over time: start, the scheduled jobs, live prices, stop.

Jobs that never wait for each other: analysis judges closed candles, each venue has a monitor of its own for open
positions and for its truth, outcomes are followed. Prices that are streamed reach open positions between these runs.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final, Protocol

from bot.account_watch import AccountWatch
from bot.attempts import Attempts, raise_if_failed
from bot.config import Settings
from bot.differences import Reconciliation
from bot.entry_gate import EntryGate
from bot.errors import BotError, BrokerUnavailable
from bot.instruments import BrokerId, InstrumentRegistry, Symbol
from bot.interfaces import Clock, Scheduler, Stores
from bot.kill_watch import KillWatch
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import FeedReport
from bot.layer1_data.quality import QuoteScreen
from bot.layer2_intelligence.analyst.desk import NO_ANALYST, AnalystDesk
from bot.layer2_intelligence.features import LiveFeatures
from bot.layer3_execution.answers import AnswerDesk
from bot.layer3_execution.book import Book
from bot.layer3_execution.order_tracker import OrderTracker
from bot.layer3_execution.protection import PositionGuard
from bot.layer4_risk.daily_loss import DailyLossWatch
from bot.layer4_risk.drawdown import DrawdownWatch
from bot.layer4_risk.kill_switch import KillSwitch
from bot.layer4_risk.kill_words import said
from bot.layer4_risk.manager import Preview
from bot.layer5_monitoring.outcome_tracker import OutcomeTracker
from bot.models import (
    AccountState,
    DaemonStatus,
    EntrySignal,
    FeatureSet,
    JobHealth,
    Quote,
    StrategyTask,
    TaskId,
    TaskState,
    Timeframe,
    decimal_of,
)
from bot.pipeline import Pipeline
from bot.venue_truth import Comparing, VenueTruth

_STREAM_PAUSE_S: Final = 1.0
_PROTECTION_EVERY: Final = timedelta(seconds=1)
_RESOLVER_EVERY: Final = timedelta(seconds=2)
_ANSWERS_EVERY: Final = timedelta(seconds=2)


class Feed(Protocol):
    """What of a `CandleFeed` is asked for here."""

    def subscribe(self, symbol: Symbol, timeframe: Timeframe) -> None:
        """Follow it."""

    async def poll(self) -> FeedReport:
        """What has closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorParts:
    """What wiring hands over."""

    settings: Settings
    registry: InstrumentRegistry
    clock: Clock
    stores: Stores
    scheduler: Scheduler
    router: BrokerRouter
    feed: Feed
    cache: CandleCache
    book: Book
    tracker: OrderTracker
    guard: PositionGuard
    reconciler: Comparing
    answers: AnswerDesk
    kill: KillSwitch
    kill_watch: KillWatch
    daily_loss: DailyLossWatch
    drawdown: DrawdownWatch
    outcomes: OutcomeTracker
    pipeline: Pipeline
    tasks: Sequence[StrategyTask]
    new_features: Callable[[], LiveFeatures]
    screen: type[QuoteScreen] = QuoteScreen
    analyst: AnalystDesk | None = None


class Supervisor:
    """Runs everything that happens by itself."""

    def __init__(self, parts: SupervisorParts, gate: EntryGate) -> None:
        self._parts = parts
        self._attempts = Attempts()
        self._attempt, self._note = self._attempts.attempt, self._attempts.note
        self._truth = VenueTruth(
            gate=gate,
            reconciler=parts.reconciler,
            tracker=parts.tracker,
            book=parts.book,
            clock=parts.clock,
            record=parts.pipeline.record,
            attempts=self._attempts,
        )
        self._accounts = AccountWatch(
            router=parts.router,
            book=parts.book,
            clock=parts.clock,
            daily_loss=parts.daily_loss,
            drawdown=parts.drawdown,
            note=self._note,
        )
        self._features: dict[tuple[Symbol, Timeframe], LiveFeatures] = {}
        self._tasks: dict[tuple[Symbol, Timeframe], list[StrategyTask]] = {}
        self._streams: list[asyncio.Task[None]] = []
        self._polling: asyncio.Future[FeedReport] | None = None
        self._last_analysis: datetime | None = None
        self._started_at = parts.clock.now()
        max_age = timedelta(seconds=parts.settings.risk.max_quote_age_s)
        self._screen = parts.screen(parts.registry, max_age=max_age)
        self._quotes: dict[Symbol, Quote] = {}
        self._paused: set[TaskId] = set()
        parts.pipeline.is_paused = self._paused.__contains__

    async def start(self) -> None:
        """Load what is known, reconcile every venue, then let the jobs run."""
        parts = self._parts
        await parts.tracker.load()
        await parts.answers.load()
        await parts.stores.tasks.ensure(parts.tasks)
        for task in await parts.stores.tasks.all():
            if task.state is not TaskState.STOPPED and task.symbol in parts.registry:
                self._follow(task)
        await parts.kill_watch.start()  # before reconciliation: what was pressed closes positions at once
        await parts.scheduler.start()
        await asyncio.gather(*map(self._begin, parts.router))
        schedule = parts.settings.schedule
        parts.scheduler.every("monitor", timedelta(seconds=schedule.monitor_interval_s), self.monitor)
        parts.scheduler.every("answers", _ANSWERS_EVERY, self.answers)
        parts.scheduler.every("analysis", timedelta(seconds=schedule.analysis_interval_s), self.analysis)
        parts.scheduler.every("outcomes", timedelta(seconds=schedule.outcome_interval_s), self.follow_outcomes)
        self._streams = [
            asyncio.create_task(self._stream(broker), name=f"prices of {broker.broker_id}")
            for broker in parts.router
            if broker.capabilities.streams_quotes
        ]

    async def stop(self) -> None:
        """No new decision; what is open stays protected at the venue."""
        if self._polling is not None:
            self._polling.cancel()  # candles are only read: nothing is lost by not waiting for a long history
        await self._attempt("stop", self._parts.scheduler.stop)
        if self._parts.analyst is not None:
            await self._attempt("stop", self._parts.analyst.close)
        await self._attempt("stop", self._parts.kill_watch.stop)
        await self._attempt("stop", self._parts.guard.stop)
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)
        await self._attempt("stop", self._parts.guard.save_extremes)
        await self._parts.router.close()

    # --------------------------------------------------------------------------------------------------------- jobs

    async def analysis(self) -> None:
        """Fetch what has closed, and take each new candle of each task through the pipeline, in order.

        Raises BotError when all had their turn and one of them failed: its candle is not judged again.
        """
        self._polling = asyncio.ensure_future(self._parts.feed.poll())
        report = await self._polling
        for problem in report.errors:
            self._note(f"feed: {problem}")
        done = [
            await self._attempt(f"analysis of {symbol} {timeframe}", self._judge, symbol, timeframe, first_new)
            for (symbol, timeframe), first_new in report.new.items()
        ]
        self._last_analysis = self._parts.clock.now()
        raise_if_failed("analysis", done)

    async def monitor(self) -> None:
        """What concerns all venues: the kill switch, marks and extremes, equity.

        Raises BotError when something failed in a way that no venue's silence explains.
        """
        await self._attempt("monitor: kill switch", self._parts.kill_watch.look)
        done = [await self._attempt("monitor: positions", self._parts.guard.save_extremes)]
        done.append(await self._attempt("monitor: equity", self._accounts.watch_equity))  # last: nothing waits for it
        raise_if_failed("monitor", done)

    async def look_after(self, broker: BrokerInterface) -> None:
        """One venue: its fills, our open positions against its price, its stops, its truth and its account.

        Raises BotError when all had their turn and something failed in a way that no venue's silence explains.
        """
        parts, name = self._parts, broker.broker_id
        done = [await self._attempt(f"monitor: fills of {name}", parts.tracker.collect, name)]
        symbols = {each.symbol: None for each in parts.book.positions() if each.broker_id == name}
        watching = (self._attempt(f"monitor: {symbol}", self._watch, broker, symbol) for symbol in symbols)
        done += await asyncio.gather(*watching)
        done.append(await self._attempt(f"monitor: stops at {name}", self._verify, name))
        done.append(await self._attempt(f"monitor: reconciliation of {name}", self._truth.compare, name))
        done.append(await self._attempt(f"monitor: account at {name}", self._accounts.read, broker))
        raise_if_failed(f"monitor {name}", done)

    async def protect(self, broker: BrokerInterface) -> None:
        """Between monitor runs: what waits for its stop, or for being closed without one. Usually there is nothing.

        Where our key is refused it is tried seldom; once it is taken, truth comes first, then what waits.
        Raises BotError when something failed in a way that no venue's silence explains.
        """
        name = broker.broker_id
        if not await self._truth.is_let_in(name):
            return
        done = await self._attempt(f"protection at {name}", self._parts.guard.attend, name)
        raise_if_failed(f"protection {name}", [done])

    async def resolve(self, broker: BrokerInterface) -> None:
        """Between monitor runs: what became of orders that got no answer. Usually there is nothing.

        Once the fate of one is known it is compared at once, because what was not known blocks entries; a comparison
        that was not answered, that saw what evidence may settle, or that the writer lock was away after, is repeated.
        Raises BotError when something failed in a way that no venue's silence explains.
        """
        name = broker.broker_id
        if self._truth.is_refused(name):
            return
        done = await self._attempt(f"orders without an answer at {name}", self._truth.resolve, name)
        raise_if_failed(f"orders without an answer at {name}", [done])

    async def answers(self) -> None:
        """What people have answered to differences: carried out, protected and compared at once. Usually nothing."""
        for broker_id in await self._parts.answers.attend():
            await self._attempt(f"stops at {broker_id}", self._verify, broker_id)
            await self.settle(broker_id)

    async def follow_outcomes(self) -> None:
        """Take the candles that have closed into the outcomes of signals."""
        for outcome in await self._parts.outcomes.update():
            facts = {"signal": outcome.signal_id, "accepted": outcome.accepted, "verdict": outcome.verdict.value}
            await self._parts.pipeline.record("outcome", None, {**facts, "r": outcome.r})

    async def settle(self, broker_id: BrokerId) -> None:
        """Compare one venue with our record now, outside the monitor's turn. Never raises."""
        await self._truth.settle(broker_id)

    async def quote_of(self, symbol: Symbol) -> Quote | None:
        """A price that may be decided on; None if there is none: the rules then use the close, and risk refuses."""
        try:
            quote = await self._parts.router.for_symbol(symbol).quote(symbol)
        except BotError:
            return None
        fault = self._screen.fault(quote, now=self._parts.clock.now(), known=self._last_close(symbol))
        if fault:
            self._note(f"quote: {fault}")
        return None if fault else quote

    def now(self) -> datetime:
        """The instant of its clock: market time."""
        return self._parts.clock.now()

    def entries_blocked(self, broker_id: BrokerId) -> str:
        """Why some entries are blocked at a broker; empty if none are."""
        return self._truth.shown(broker_id).blocked

    def reconciliations(self) -> Sequence[Reconciliation]:
        """Each venue against our record, as compared last."""
        return [self._truth.shown(each.broker_id) for each in self._parts.router]

    def accounts(self) -> Mapping[BrokerId, AccountState]:
        """Each account as it was read last; one that never answered is missing."""
        return dict(self._accounts.known)

    def features(self, symbol: Symbol, timeframe: Timeframe) -> FeatureSet | None:
        """The closed candles known now with their indicators, for whoever draws them; None if there are none.

        A series whose next candle has not closed since the start was judged by nobody yet: it is computed here.
        """
        if (symbol, timeframe) not in self._tasks:
            return None
        series = self._parts.cache.series(symbol, timeframe)
        judged = self._features.get((symbol, timeframe))
        newest = judged.newest() if judged is not None else None
        return newest or (self._parts.new_features().advance(series) if len(series) else None)

    def judged(self) -> Mapping[tuple[Symbol, Timeframe], datetime]:
        """Close of the newest candle of each series that was judged since the start."""
        newest = {series: features.newest() for series, features in self._features.items()}
        return {series: each.closed_at for series, each in newest.items() if each is not None}

    def quotes(self) -> Mapping[Symbol, Quote]:
        """The newest fit price of each instrument whose prices were read."""
        return dict(self._quotes)

    async def preview(self, signal: EntrySignal) -> Preview:
        """What risk would say to an idea now; nothing follows from it."""
        return await self._parts.pipeline.preview(signal, self._last_close(signal.symbol))

    async def run_task(self, task_id: TaskId, state: TaskState) -> StrategyTask:
        """Let a task judge candles or not, from the next one on, also over restarts; what it has open is looked after
        either way. Raises NotFound."""
        before = await self._parts.stores.tasks.get(task_id)
        if before.state is not state:
            await self._parts.stores.tasks.set_state(task_id, state)
            await self._parts.pipeline.record("task", task_id, {"what": state.value})
        task = replace(before, state=state)
        if task.symbol in self._parts.registry:
            self._follow(task)
        return task

    def _follow(self, task: StrategyTask) -> None:
        """Take it among those that judge, in the order of their ids, or out of them."""
        key = task.symbol, task.timeframe
        others = [each for each in self._tasks.get(key, ()) if each.id != task.id]
        running = [task] if task.state is TaskState.RUNNING else []
        self._paused.discard(task.id)
        if not running:
            self._paused.add(task.id)
        self._tasks[key] = sorted(others + running, key=lambda each: each.id)
        self._parts.feed.subscribe(task.symbol, task.timeframe)

    def note_writer(self, *, is_held: bool) -> None:
        """The writer lock is away, or it is back: then each venue is compared with the next turn of its resolver."""
        self._truth.note_writer(is_held=is_held)

    def note_problem(self, job: str, text: str) -> None:
        """The scheduler tells of a missed or failed run."""
        self._note(f"{job}: {text}")

    # ------------------------------------------------------------------------------------------------------- status

    async def status(self, stores: Stores, *, mode: str, url: str, health: str, market: str) -> DaemonStatus:
        """All counts and figures of this moment; `stores` are those of whoever looks."""
        clock = self._parts.clock
        return DaemonStatus(
            mode=mode,
            url=url,
            health=health,
            equity=self._accounts.equity,
            balance=self._accounts.balance,
            currency=self._parts.settings.risk.account_currency,
            open_positions=sum(1 for each in self._parts.book.positions() if each.is_open),
            closed_positions=await stores.orders.closed_count(),
            signals=await stores.signals.counts(),
            orders=await stores.orders.order_counts(),
            last_analysis=self._last_analysis,
            last_error=self._attempts.last_error,
            jobs=self._parts.scheduler.health(),
            started_at=self._started_at,
            now=clock.now(),
            market=market,
            kill_level=self._parts.kill.known().level,
            kill=said(self._parts.kill.latches()),
        )

    def health(self) -> Mapping[str, object]:
        """What /health says, without any I/O."""
        jobs: Sequence[JobHealth] = self._parts.scheduler.health()
        failing = [each.name for each in jobs if each.failing]
        venues = self.reconciliations()
        blocked = [each.blocked for each in venues if each.blocked]
        not_current = self._accounts.not_current()
        missed = Counter({each.name: each.missed for each in jobs})
        return {
            "status": "degraded" if failing or blocked or not_current else "ok",
            "failing_jobs": failing,
            "entries_blocked": blocked,
            "keys_refused": [each.broker_id for each in venues if each.key_refused],
            "equity_not_current": not_current,
            "writer_lock": "held" if self._truth.is_writer else "away",
            "kill": self._parts.kill.known().level.value,
            "missed_runs": dict(missed),
            "unprotected_s": {
                "now": round(self._parts.guard.unprotected.longest_now_s, 3),
                "worst": round(self._parts.guard.unprotected.worst_s, 3),
            },
            "faults": dict(self._attempts.faults),
            "analyst": self._parts.analyst.health() if self._parts.analyst else NO_ANALYST,
            "last_analysis": self._last_analysis.isoformat() if self._last_analysis else None,
        }

    # ------------------------------------------------------------------------------------------------------- inside

    async def _begin(self, broker: BrokerInterface) -> None:
        """Compare one venue, and let its own jobs run: it waits for no other one. Then read stops and account."""
        parts, name = self._parts, broker.broker_id
        await self._truth.settle(name)
        monitored = timedelta(seconds=parts.settings.schedule.monitor_interval_s)
        parts.scheduler.every(f"monitor {name}", monitored, partial(self.look_after, broker))
        parts.scheduler.every(f"protection {name}", _PROTECTION_EVERY, partial(self.protect, broker))
        parts.scheduler.every(f"resolver {name}", _RESOLVER_EVERY, partial(self.resolve, broker))
        await self._attempt(f"stops at {name}", self._verify, name)
        await self._attempt(f"account at {name}", self._accounts.read, broker)

    async def _judge(self, symbol: Symbol, timeframe: Timeframe, first_new: int) -> None:
        series = self._parts.cache.series(symbol, timeframe)
        features = self._features.get((symbol, timeframe))
        if features is None:
            features = self._features[symbol, timeframe] = self._parts.new_features()
        newest = features.advance(series).k
        done = [
            await self._attempt(f"analysis of {task.id}", self._parts.pipeline.on_candle, task, features.at(k))
            for k in range(first_new, newest + 1)
            for task in self._tasks.get((symbol, timeframe), ())
        ]
        raise_if_failed(f"{symbol} {timeframe}", done)

    async def _watch(self, broker: BrokerInterface, symbol: Symbol) -> None:
        await self._show(await broker.quote(symbol))

    def _last_close(self, symbol: Symbol) -> Decimal | None:
        """Close of the newest candle of the shortest timeframe that is followed; None before the first."""
        followed = [timeframe for name, timeframe in self._tasks if name == symbol]
        series = [self._parts.cache.series(symbol, each) for each in sorted(followed, key=lambda each: each.seconds)]
        return next((decimal_of(each.close[-1]) for each in series if len(each)), None)

    async def _show(self, quote: Quote) -> None:
        """One quote to the guard; one that is unfit suspends targets and trails, and the stop at the venue stays."""
        mark = next((each.mark_price for each in self._parts.book.open_of(quote.symbol)), None)
        if fault := self._screen.fault(quote, now=self._parts.clock.now(), known=mark):
            self._attempts.faults["unfit quotes"] += 1
            self._note(f"quote: {fault}; it is not acted on")
            return
        self._quotes[quote.symbol] = quote
        await self._parts.guard.on_price(quote.symbol, bid=quote.bid, ask=quote.ask, quoted_at=quote.at)

    async def _verify(self, broker_id: BrokerId) -> None:
        gap_s = await self._parts.guard.verify(broker_id)
        if gap_s:
            self._note(f"monitor: {broker_id}: a position had no stop for {gap_s:.1f} s")

    async def _stream(self, broker: BrokerInterface) -> None:
        """Prices of one venue to the guard, for as long as the daemon runs; a fault ends neither."""
        where = f"prices of {broker.broker_id}"
        symbols = [each.symbol for each in self._parts.registry.of_broker(broker.broker_id)]
        while True:
            await self._attempt(where, self._read_prices, broker, symbols, where)
            await self._parts.clock.sleep(self._truth.pause_s(broker.broker_id, _STREAM_PAUSE_S))

    async def _read_prices(self, broker: BrokerInterface, symbols: Sequence[Symbol], where: str) -> None:
        async for quote in broker.quotes(symbols):
            await self._attempt(where, self._show, quote)
        raise BrokerUnavailable(f"{broker.broker_id} ended the stream; it is opened again")
