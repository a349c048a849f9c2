"""Strategy tasks over time: start, the scheduled jobs, live prices, stop.

Jobs that never wait for each other: analysis judges closed candles, each venue has a monitor of its own for open
positions and for its truth, outcomes are followed. Prices that are streamed reach open positions between these runs.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final, ParamSpec, Protocol

from loguru import logger

from bot.config import Settings
from bot.differences import Reconciliation
from bot.errors import BotError, BrokerError, BrokerUnavailable
from bot.instruments import BrokerId, InstrumentRegistry, Symbol
from bot.interfaces import Clock, Scheduler, Stores
from bot.kill_watch import KillWatch
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import FeedReport
from bot.layer1_data.key_watch import Refusal, RefusedKeys
from bot.layer1_data.quality import QuoteScreen
from bot.layer1_data.venue_terms import VenueDescriptions
from bot.layer2_intelligence.analyst.desk import NO_ANALYST, AnalystDesk
from bot.layer2_intelligence.features import LiveFeatures
from bot.layer3_execution.answers import AnswerDesk
from bot.layer3_execution.book import Book
from bot.layer3_execution.order_tracker import OrderTracker
from bot.layer3_execution.protection import PositionGuard
from bot.layer3_execution.reconcile_report import ReconcileReport
from bot.layer4_risk.daily_loss import DailyLossWatch
from bot.layer4_risk.drawdown import DrawdownWatch
from bot.layer4_risk.kill_switch import KillSwitch
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

P = ParamSpec("P")

_STREAM_PAUSE_S: Final = 1.0
_LOCKED_OUT_PAUSE_S: Final = 10.0  # venues suspend who knocks again and again
_TRIED_AGAIN_AFTER_S: Final = 900.0  # where only orders are refused, nothing but an order shows that it is over
_PROTECTION_EVERY: Final = timedelta(seconds=1)
_RESOLVER_EVERY: Final = timedelta(seconds=2)
_ANSWERED_AFTER_S: Final = 10.0  # a comparison or a cancel that got no answer is tried again
_SETTLED_AFTER_S: Final = 30.0  # what it saw may be explained by then: a fill on its way, an order without an answer
_ANSWERS_EVERY: Final = timedelta(seconds=2)
_UNREAD_RUNS_MAX: Final = 3  # of the monitor, without an answer to what an account is worth


class Feed(Protocol):
    """What of a `CandleFeed` is asked for here."""

    def subscribe(self, symbol: Symbol, timeframe: Timeframe) -> None:
        """Follow it."""

    async def poll(self) -> FeedReport:
        """What has closed."""


class Comparing(Protocol):
    """What of a `Reconciler` is asked for here."""

    async def run(self, broker_id: BrokerId) -> ReconcileReport:
        """Compare one venue with our record."""

    async def resolve(self, broker_id: BrokerId) -> bool:
        """Ask for orders of unknown fate; True if that of one is known by now."""


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


@dataclass(slots=True)
class EntryGate:
    """Which entries may leave: none at a broker before its first clean reconciliation (invariant I14), none while it
    does not answer or refuses our key, and afterwards none of a symbol about which our record and the venue differ, or
    that the venue counts otherwise than we do. None anywhere while the writer lock is away, and then none until a
    comparison that began when it was back."""

    reports: dict[BrokerId, ReconcileReport] = field(default_factory=dict)
    opened: set[BrokerId] = field(default_factory=set)
    keys: RefusedKeys = field(default_factory=RefusedKeys)
    descriptions: VenueDescriptions = field(default_factory=VenueDescriptions)
    begun_s: dict[BrokerId, float] = field(default_factory=dict)
    is_writer: bool = True
    writer_since_s: float = 0.0

    def note(self, report: ReconcileReport, begun_s: float = 0.0) -> None:
        """The newest comparison of one broker, and when it began."""
        self.reports[report.broker_id] = report
        self.begun_s[report.broker_id] = begun_s
        if report.clean:
            self.opened.add(report.broker_id)

    def is_overtaken(self, broker_id: BrokerId) -> bool:
        """The writer lock was away since its last comparison began."""
        return self.begun_s.get(broker_id, 0.0) < self.writer_since_s

    def blocked(self, broker_id: BrokerId, symbol: Symbol | None = None) -> str:
        """Why entries of `symbol` (None: of any) are blocked at a broker; empty if they are not."""
        if not self.is_writer:
            return f"{broker_id}: the writer lock is away, nothing is sent"
        if refusal := self.keys.refusal(broker_id):
            return f"{broker_id} refuses our key: {refusal.why}"
        return self._unreconciled(broker_id, symbol) or self.descriptions.blocked(broker_id, symbol)

    def _unreconciled(self, broker_id: BrokerId, symbol: Symbol | None) -> str:
        report = self.reports.get(broker_id)
        if report is None or self.is_overtaken(broker_id):
            return f"{broker_id} is not reconciled yet"
        if report.clean:
            return ""
        if not report.complete:
            return f"{broker_id} did not answer: {report.error}"
        found = [each for each in report.differences if each.is_open]
        if broker_id in self.opened:
            found = [each for each in found if each.counts and symbol in (None, each.symbol)]
        named = ", ".join(f"{each.id} {each.kind.value} {each.symbol}" for each in found)
        return f"{broker_id}: {named}; see ./botctl reconcile" if found else ""


class Supervisor:
    """Runs everything that happens by itself."""

    def __init__(self, parts: SupervisorParts, gate: EntryGate) -> None:
        self._parts = parts
        self._gate = gate
        self._features: dict[tuple[Symbol, Timeframe], LiveFeatures] = {}
        self._tasks: dict[tuple[Symbol, Timeframe], list[StrategyTask]] = {}
        self._streams: list[asyncio.Task[None]] = []
        self._polling: asyncio.Future[FeedReport] | None = None
        self._last_analysis: datetime | None = None
        self._last_error = ""
        self._faults: Counter[str] = Counter()
        self._started_at = parts.clock.now()
        max_age = timedelta(seconds=parts.settings.risk.max_quote_age_s)
        self._screen = parts.screen(parts.registry, max_age=max_age)
        self._accounts: dict[BrokerId, AccountState] = {}
        self._compared_s: dict[BrokerId, float] = {}
        self._unread_runs: Counter[BrokerId] = Counter()
        self._equity_known_at: dict[BrokerId, datetime] = {}
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
            self._note_error(f"feed: {problem}")
        done = [
            await self._attempt(f"analysis of {symbol} {timeframe}", self._judge, symbol, timeframe, first_new)
            for (symbol, timeframe), first_new in report.new.items()
        ]
        self._last_analysis = self._parts.clock.now()
        _raise_if_failed("analysis", done)

    async def monitor(self) -> None:
        """What concerns all venues: the kill switch, marks and extremes, equity.

        Raises BotError when something failed in a way that no venue's silence explains.
        """
        await self._attempt("monitor: kill switch", self._parts.kill_watch.look)
        done = [await self._attempt("monitor: positions", self._parts.guard.save_extremes)]
        done.append(await self._attempt("monitor: equity", self._watch_equity))  # last: nothing waits for it
        _raise_if_failed("monitor", done)

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
        done.append(await self._attempt(f"monitor: reconciliation of {name}", self._reconcile, broker))
        done.append(await self._attempt(f"monitor: account at {name}", self._read_account, broker))
        _raise_if_failed(f"monitor {name}", done)

    async def protect(self, broker: BrokerInterface) -> None:
        """Between monitor runs: what waits for its stop, or for being closed without one. Usually there is nothing.

        Where our key is refused it is tried seldom; once it is taken, truth comes first, then what waits.
        Raises BotError when something failed in a way that no venue's silence explains.
        """
        name = broker.broker_id
        if not await self._is_let_in(name):
            return
        done = await self._attempt(f"protection at {name}", self._parts.guard.attend, name)
        _raise_if_failed(f"protection {name}", [done])

    async def resolve(self, broker: BrokerInterface) -> None:
        """Between monitor runs: what became of orders that got no answer. Usually there is nothing.

        Once the fate of one is known it is compared at once, because what was not known blocks entries; a comparison
        that was not answered, that saw what evidence may settle, or that the writer lock was away after, is repeated.
        Raises BotError when something failed in a way that no venue's silence explains.
        """
        name = broker.broker_id
        if self._gate.keys.refusal(name) is not None:
            return
        done = await self._attempt(f"orders without an answer at {name}", self._resolve, broker)
        _raise_if_failed(f"orders without an answer at {name}", [done])

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
        await self._attempt("reconciliation", self._reconcile, self._parts.router.broker(broker_id))

    async def quote_of(self, symbol: Symbol) -> Quote | None:
        """A price that may be decided on; None if there is none: the rules then use the close, and risk refuses."""
        try:
            quote = await self._parts.router.for_symbol(symbol).quote(symbol)
        except BotError:
            return None
        fault = self._screen.fault(quote, now=self._parts.clock.now(), known=self._last_close(symbol))
        if fault:
            self._note_error(f"quote: {fault}")
        return None if fault else quote

    def now(self) -> datetime:
        """The instant of its clock: market time."""
        return self._parts.clock.now()

    def entries_blocked(self, broker_id: BrokerId) -> str:
        """Why some entries are blocked at a broker; empty if none are."""
        return self._gate.blocked(broker_id)

    def reconciliations(self) -> Sequence[Reconciliation]:
        """Each venue against our record, as compared last."""
        return [self._reconciliation(each.broker_id) for each in self._parts.router]

    def accounts(self) -> Mapping[BrokerId, AccountState]:
        """Each account as it was read last; one that never answered is missing."""
        return dict(self._accounts)

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
        self._gate.is_writer = is_held
        if is_held:
            self._gate.writer_since_s = self._parts.clock.monotonic()

    def note_problem(self, job: str, text: str) -> None:
        """The scheduler tells of a missed or failed run."""
        self._note_error(f"{job}: {text}")

    # ------------------------------------------------------------------------------------------------------- status

    async def status(self, stores: Stores, *, mode: str, url: str, health: str, market: str) -> DaemonStatus:
        """All counts and figures of this moment; `stores` are those of whoever looks."""
        clock = self._parts.clock
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
            kill_level=self._parts.kill.known().level,
            kill=self._parts.kill.known().says,
        )

    def health(self) -> Mapping[str, object]:
        """What /health says, without any I/O."""
        jobs: Sequence[JobHealth] = self._parts.scheduler.health()
        failing = [each.name for each in jobs if each.failing]
        blocked = [why for why in (self._gate.blocked(each.broker_id) for each in self._parts.router) if why]
        not_current = self._equity_not_current()
        missed = Counter({each.name: each.missed for each in jobs})
        return {
            "status": "degraded" if failing or blocked or not_current else "ok",
            "failing_jobs": failing,
            "entries_blocked": blocked,
            "keys_refused": [each.broker_id for each in self._parts.router if self._gate.keys.refusal(each.broker_id)],
            "equity_not_current": not_current,
            "writer_lock": "held" if self._gate.is_writer else "away",
            "kill": self._parts.kill.known().level.value,
            "missed_runs": dict(missed),
            "unprotected_s": {
                "now": round(self._parts.guard.unprotected.longest_now_s, 3),
                "worst": round(self._parts.guard.unprotected.worst_s, 3),
            },
            "faults": dict(self._faults),
            "analyst": self._parts.analyst.health() if self._parts.analyst else NO_ANALYST,
            "last_analysis": self._last_analysis.isoformat() if self._last_analysis else None,
        }

    # ------------------------------------------------------------------------------------------------------- inside

    async def _begin(self, broker: BrokerInterface) -> None:
        """Compare one venue, and let its own jobs run: it waits for no other one. Then read stops and account."""
        parts, name = self._parts, broker.broker_id
        await self._attempt("reconciliation", self._reconcile, broker)
        monitored = timedelta(seconds=parts.settings.schedule.monitor_interval_s)
        parts.scheduler.every(f"monitor {name}", monitored, partial(self.look_after, broker))
        parts.scheduler.every(f"protection {name}", _PROTECTION_EVERY, partial(self.protect, broker))
        parts.scheduler.every(f"resolver {name}", _RESOLVER_EVERY, partial(self.resolve, broker))
        await self._attempt(f"stops at {name}", self._verify, name)
        await self._attempt(f"account at {name}", self._read_account, broker)

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
        _raise_if_failed(f"{symbol} {timeframe}", done)

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
            self._faults["unfit quotes"] += 1
            self._note_error(f"quote: {fault}; it is not acted on")
            return
        self._quotes[quote.symbol] = quote
        await self._parts.guard.on_price(quote.symbol, bid=quote.bid, ask=quote.ask, quoted_at=quote.at)

    async def _verify(self, broker_id: BrokerId) -> None:
        gap_s = await self._parts.guard.verify(broker_id)
        if gap_s:
            self._note_error(f"monitor: {broker_id}: a position had no stop for {gap_s:.1f} s")

    async def _read_account(self, broker: BrokerInterface) -> None:
        account = self._accounts[broker.broker_id] = await broker.account()
        self._unread_runs[broker.broker_id] = 0
        await self._parts.daily_loss.observe(account, self._parts.clock.now())

    async def _watch_equity(self) -> None:
        """Equity against its peak; a broker that does not answer counts at its last known value."""
        self._count_unread_runs()
        brokers = [each.broker_id for each in self._parts.router]
        opened = sum(1 for each in self._parts.book.positions() if each.is_open)
        accounts, now = list(self._accounts.values()), self._parts.clock.now()
        snapshot = await self._parts.drawdown.observe(accounts, opened, now, brokers=brokers)
        if snapshot is not None:
            self._equity_known_at = {each.broker_id: each.at for each in snapshot.accounts}

    def _count_unread_runs(self) -> None:
        for broker in self._parts.router:
            name = broker.broker_id
            self._unread_runs[name] += 1
            if self._unread_runs[name] == _UNREAD_RUNS_MAX + 1:  # told once, not with each run
                known_at = self._equity_not_current()[name]
                since = f"last known at {known_at}" if known_at else "never known"
                self._note_error(f"monitor: equity of {name} is not current, {since}")

    def _equity_not_current(self) -> Mapping[BrokerId, str | None]:
        """Of each broker whose account more than three monitor runs have not found read anew: when its equity was last
        known (ISO 8601); None if it never was. It is counted in runs, because a fast market has seconds of its own."""
        silent = [each for each, runs in self._unread_runs.items() if runs > _UNREAD_RUNS_MAX]
        known_at = self._equity_known_at
        return {each: known_at[each].isoformat() if each in known_at else None for each in silent}

    async def _resolve(self, broker: BrokerInterface) -> None:
        is_known = await self._parts.reconciler.resolve(broker.broker_id)
        if is_known or self._is_to_be_compared_again(broker.broker_id):
            await self._reconcile(broker)

    def _is_to_be_compared_again(self, broker_id: BrokerId) -> bool:
        """The writer lock was away since the last comparison, or that was not answered, or saw what evidence may settle
        by now: all keep entries out. Or the rest of an entry is to be cancelled. The next one does not wait for the
        monitor.
        """
        report = self._gate.reports.get(broker_id)
        if report is None:
            return False
        if self._gate.is_overtaken(broker_id):
            return True
        since_s = self._parts.clock.monotonic() - self._compared_s.get(broker_id, 0.0)
        if not report.complete or self._parts.book.rests(broker_id):
            return since_s >= _ANSWERED_AFTER_S
        return since_s >= _SETTLED_AFTER_S and any(each.is_open and not each.answers for each in report.differences)

    async def _reconcile(self, broker: BrokerInterface) -> None:
        """Compare, and let the gate know; a comparison that failed leaves it closed."""
        before, refusal = self._gate.reports.get(broker.broker_id), self._gate.keys.refusal(broker.broker_id)
        begun_s = self._parts.clock.monotonic()
        report = ReconcileReport(broker.broker_id, complete=False, error="reconciliation failed, see the log")
        try:
            await self._parts.tracker.give_up_rests(broker.broker_id)
            report = await self._parts.reconciler.run(broker.broker_id)
        finally:
            self._compared_s[broker.broker_id] = self._parts.clock.monotonic()
            self._gate.note(report, begun_s)
        if report.complete and refusal is not None:
            await self._let_in(broker.broker_id, refusal)
        if not report.clean and (before is None or before.clean):
            self._note_error(f"reconciliation: {self._gate.blocked(broker.broker_id)}")

    async def _is_let_in(self, broker_id: BrokerId) -> bool:
        """Whether it is looked after now. Where our key is refused that is tried seldom; truth is asked first, unless
        only orders are refused."""
        refusal = self._gate.keys.refusal(broker_id)
        if refusal is None:
            return True
        if self._parts.clock.monotonic() - refusal.at_s < _LOCKED_OUT_PAUSE_S:
            return False
        if not refusal.of_order:
            await self.settle(broker_id)
        return refusal.of_order or self._gate.keys.refusal(broker_id) is None

    async def _let_in(self, broker_id: BrokerId, refusal: Refusal) -> None:
        """A comparison was answered that began after a refusal: it is over, unless it was an order's and is young."""
        is_young = self._parts.clock.monotonic() - refusal.at_s < _TRIED_AGAIN_AFTER_S
        if self._gate.keys.refusal(broker_id) is refusal and not (refusal.of_order and is_young):
            self._gate.keys.forget(broker_id)
            what = "an entry may try it again" if refusal.of_order else "accepted again"
            await self._parts.pipeline.record("key", None, {"broker": broker_id, "what": what})

    def _reconciliation(self, broker_id: BrokerId) -> Reconciliation:
        report = self._gate.reports.get(broker_id)
        not_yet = ReconcileReport(broker_id, complete=False, error="not compared yet")
        shown = report or not_yet
        return Reconciliation(
            broker_id=broker_id,
            compared_at=shown.compared_at,
            complete=shown.complete,
            error=shown.error,
            matched=shown.matched,
            classes=shown.classes,
            blocked=self._gate.blocked(broker_id),
            differences=shown.differences,
            key_refused=self._gate.keys.refusal(broker_id) is not None,
        )

    async def _stream(self, broker: BrokerInterface) -> None:
        """Prices of one venue to the guard, for as long as the daemon runs; a fault ends neither."""
        where = f"prices of {broker.broker_id}"
        symbols = [each.symbol for each in self._parts.registry.of_broker(broker.broker_id)]
        while True:
            await self._attempt(where, self._read_prices, broker, symbols, where)
            refused = self._gate.keys.refusal(broker.broker_id)
            await self._parts.clock.sleep(_LOCKED_OUT_PAUSE_S if refused else _STREAM_PAUSE_S)

    async def _read_prices(self, broker: BrokerInterface, symbols: Sequence[Symbol], where: str) -> None:
        async for quote in broker.quotes(symbols):
            await self._attempt(where, self._show, quote)
        raise BrokerUnavailable(f"{broker.broker_id} ended the stream; it is opened again")

    async def _attempt(self, what: str, act: Callable[P, Awaitable[object]], *args: P.args, **named: P.kwargs) -> bool:
        """Do one thing of many: what fails is told and counted, and keeps nothing else from being done.

        False if it failed in a way that no venue's silence explains. Errors that are not ours are told by their kind
        only, because their texts may hold what must not be shown; the log, which is redacted, has all of it.
        """
        try:
            await act(*args, **named)
        except BrokerError as error:
            self._faults[what] += 1
            self._note_error(f"{what}: {error}")
        except Exception as error:
            self._faults[what] += 1
            logger.opt(exception=error).error("{} failed", what)
            self._note_error(f"{what}: {error if isinstance(error, BotError) else type(error).__name__}")
            return False
        return True

    def _note_error(self, text: str) -> None:
        if text != self._last_error:  # a stream repeats itself many times a second
            logger.warning("{}", text)
        self._last_error = text


def _raise_if_failed(what: str, done: Sequence[bool]) -> None:
    if failed := done.count(False):
        raise BotError(f"{what}: {failed} of {len(done)} steps failed, the others were done; see the log")
