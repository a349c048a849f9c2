"""THE STORY: one closed candle, from features to an order. Live, paper, replay and simulation all run this.

    FeatureSet -> Signal -> Endorsed | Vetoed -> ApprovedOrder | Refused -> Order -> Fill -> Position -> Outcome

What happens to a position afterwards is told by prices, not by candles: `layer3_execution/protection.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from bot.config import DivergenceSettings, Settings, ValidationSettings
from bot.differences import ForeignStake
from bot.errors import BrokerError
from bot.instruments import BrokerId, Currency, Instrument, InstrumentRegistry, Symbol
from bot.interfaces import Clock, Journal, SetupStore, SignalStore, SnapshotStore
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer2_intelligence.analyst.advice import Advice
from bot.layer2_intelligence.analyst.desk import AnalystDesk
from bot.layer2_intelligence.strategies.catalogue import Strategy
from bot.layer2_intelligence.validator import judge
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer4_risk.conversion import Conversion, conversion
from bot.layer4_risk.daily_loss import DailyLossWatch
from bot.layer4_risk.entry_ledger import EntryLedger
from bot.layer4_risk.kill_switch import KillSwitch
from bot.layer4_risk.limits import RiskView
from bot.layer4_risk.manager import Preview, RiskManager
from bot.layer5_monitoring.outcome_tracker import OutcomeTracker
from bot.models import (
    ApprovedOrder,
    Direction,
    Endorsed,
    EntrySignal,
    FeatureSet,
    JournalEntry,
    Quote,
    Refused,
    SignalRecord,
    StrategyTask,
    TaskId,
    Timeframe,
    TradingSetup,
    Verdict,
    Vetoed,
)

SETUP_TIMEFRAME = Timeframe.H4
TRIGGER_TIMEFRAME = Timeframe.H1
_PAUSED = "the task was paused before the answer about its candle came"

Judge = Callable[[EntrySignal, FeatureSet, Quote | None, Instrument, ValidationSettings, DivergenceSettings], Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """How far an idea would come: what the rules say, whether it would only wait as a setup, and what risk says."""

    record: SignalRecord
    is_setup: bool
    risk: Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineParts:
    """What wiring hands over. Modes differ in these, and in nothing else."""

    settings: Settings
    registry: InstrumentRegistry
    clock: Clock
    journal: Journal
    signals: SignalStore
    setups: SetupStore
    snapshots: SnapshotStore
    book: Book
    kill: KillSwitch
    daily_loss: DailyLossWatch
    risk: RiskManager
    ledger: EntryLedger
    engine: ExecutionEngine
    outcomes: OutcomeTracker
    strategies: Mapping[str, Strategy]
    broker_of: Callable[[BrokerId], BrokerInterface]
    quote_of: Callable[[Symbol], Awaitable[Quote | None]]
    entries_blocked: Callable[[BrokerId, Symbol], str]
    foreign: Callable[[], tuple[ForeignStake, ...]]
    judge: Judge = judge
    analyst: AnalystDesk | None = None


class Pipeline:
    """Takes one closed candle of one task through all steps."""

    def __init__(self, parts: PipelineParts) -> None:
        self._parts = parts
        self._setup_ttl = timedelta(hours=parts.settings.tasks.setup_ttl_hours)
        self.is_paused: Callable[[TaskId], bool] = lambda _: False  # the supervisor: who paused what, and when
        self._turn = asyncio.Lock()  # answers of an analyst come at any time, and one candle is decided after the other

    async def on_candle(self, task: StrategyTask, features: FeatureSet) -> bool:
        """Judge whatever the task's strategy says at this close, and act on what is left of it; True if it spoke.

        Where an analyst is asked, signals may wait for its answer and be judged later; other candles do not wait.
        """
        async with self._turn:
            if task.timeframe is TRIGGER_TIMEFRAME and self._confirms(task):
                await self._end_broken_setup(task, features)
            instrument, analyst = self._parts.registry.get(task.symbol), self._parts.analyst
            signals = self._parts.strategies[task.strategy].signals(task, features, instrument)
            now = signals if analyst is None else await analyst.take(task, features, instrument, signals, self._advised)
            for signal in now:
                await self._consider(task, signal, features)
        return bool(signals)

    async def _advised(self, task: StrategyTask, features: FeatureSet, advice: Advice) -> None:
        """What an analyst's answer leaves of a candle, whenever it comes."""
        async with self._turn:
            paused = _PAUSED if self.is_paused(task.id) else ""
            for each in advice.signals:
                await self._consider(task, each.signal, features, withheld=paused or each.withheld)

    async def preview(self, signal: EntrySignal, last_close: Decimal | None) -> Preview:
        """What risk would say to an idea now. Nothing is decided, kept or sent. Raises DatabaseUnavailable."""
        parts = self._parts
        quote = await parts.quote_of(signal.symbol)
        await parts.ledger.load(parts.clock.now())
        return parts.risk.preview(signal, await self._view(signal, quote, last_close))

    async def rehearse(self, task: StrategyTask, signal: EntrySignal, features: FeatureSet) -> Rehearsal:
        """How far an idea of that task would come now. Nothing is decided, kept or sent. Raises DatabaseUnavailable."""
        verdict = self._judged(signal, features, await self._parts.quote_of(signal.symbol))
        return Rehearsal(
            record=await self._ruled(task, verdict, signal, withheld=""),
            is_setup=self._makes_setups(task),
            risk=await self.preview(signal, _last_close(features)),
        )

    async def record(self, kind: str, task_id: TaskId | None, data: Mapping[str, object]) -> None:
        """Write one fact into the journal at the clock's now."""
        entry = JournalEntry(at=self._parts.clock.now(), kind=kind, task_id=task_id, data=data)
        await self._parts.journal.record(entry)

    async def _consider(
        self, task: StrategyTask, signal: EntrySignal, features: FeatureSet, *, withheld: str = ""
    ) -> None:
        quote = await self._parts.quote_of(signal.symbol)
        verdict = self._judged(signal, features, quote)
        record = await self._ruled(task, verdict, signal, withheld)
        if not await self._parts.signals.record(record):
            return  # judged before: a restart does not make a second chance
        accepted = record.status != "vetoed"
        await self._parts.outcomes.follow(signal, accepted=accepted, paid=self._paid(signal, quote))
        if isinstance(verdict, Vetoed) or not accepted:
            failed = verdict.failed if isinstance(verdict, Vetoed) else ()
            await self._tell(signal, "vetoed", record.rejected_by, record.reason, verdict.score, failed)
        elif not await self._becomes_setup(task, verdict):
            await self._execute(task, verdict, quote, _last_close(features))

    async def _ruled(self, task: StrategyTask, verdict: Verdict, signal: EntrySignal, withheld: str) -> SignalRecord:
        """What the rules, the analyst and the setup that is to be confirmed leave of it."""
        record = _record_of(verdict, signal)
        if isinstance(verdict, Endorsed) and withheld:
            return replace(record, status="vetoed", rejected_by="AN", reason=withheld)
        if isinstance(verdict, Endorsed) and await self._lacks_setup(task, signal):
            reason = f"no live 4h setup {signal.direction}"
            return replace(record, status="vetoed", rejected_by="MTF", reason=reason)
        return record

    def _judged(self, signal: EntrySignal, features: FeatureSet, quote: Quote | None) -> Verdict:
        settings, instrument = self._parts.settings, self._parts.registry.get(signal.symbol)
        return self._parts.judge(signal, features, quote, instrument, settings.validation, settings.divergence)

    async def _execute(
        self, task: StrategyTask, endorsed: Endorsed, quote: Quote | None, last_close: Decimal | None
    ) -> None:
        signal, ledger = endorsed.signal, self._parts.ledger
        async with ledger.deciding(self._parts.clock.now()):
            view = await self._view(signal, quote, last_close)
            decision = self._parts.risk.decide(endorsed, view)
            if isinstance(decision, ApprovedOrder):
                ledger.reserve(decision, view.now)
        if isinstance(decision, Refused):
            await self._set_status(signal, "refused", decision.code, decision.says, endorsed.score)
            return
        if task.timeframe is TRIGGER_TIMEFRAME and self._confirms(task):
            await self._consume_setup(signal)
        await self._set_status(signal, "ordered", "", _approval(decision), endorsed.score)
        await self._parts.engine.submit(decision)
        ledger.settle(decision)

    async def _view(self, signal: EntrySignal, quote: Quote | None, last_close: Decimal | None) -> RiskView:
        parts, now = self._parts, self._parts.clock.now()
        try:
            account = await parts.broker_of(signal.broker_id).account()
        except BrokerError:
            account = None
        snapshot = await parts.snapshots.latest()
        realised = await parts.daily_loss.observe(account, now) if account is not None else Decimal(0)
        rate = await self._conversion(quote, account.currency if account is not None else None, now)
        kill = await parts.kill.state(signal.broker_id)
        return RiskView(  # nothing is awaited from here on: a fill between two of these would count nowhere
            now=now,
            account=account,
            positions=parts.book.positions(),
            realised_today=realised,
            quote=quote,
            kill=kill,
            entries_blocked=parts.entries_blocked(signal.broker_id, signal.symbol),
            conversion=rate,
            orders=parts.book.orders(),
            reserved=parts.ledger.reserved(now),
            foreign=parts.foreign(),
            entries=parts.ledger.entries(now),
            last_close=last_close,
            total_equity=snapshot.equity if snapshot is not None else None,
            allows_short=parts.broker_of(signal.broker_id).capabilities.allows_short,
        )

    async def _conversion(self, quote: Quote | None, account: Currency | None, now: datetime) -> Conversion:
        """Of the quote currency into account currency, over the pairs that are quoted now."""
        if quote is None or account is None:
            return Conversion(rate=None, at=now, says="no quote or no account to convert for")
        max_age = timedelta(seconds=self._parts.settings.risk.max_conversion_age_s)
        return await conversion(quote, account, self._parts.registry, self._parts.quote_of, now=now, max_age=max_age)

    # ------------------------------------------------------------------ 4h setups, 1h triggers (SPEC section 15)

    def _confirms(self, task: StrategyTask) -> bool:
        """The setting, unless the task says otherwise for itself."""
        own = task.parameters.get("use_multi_tf_confirmation")
        return self._parts.settings.tasks.use_multi_tf_confirmation if own is None else own == "true"

    def _makes_setups(self, task: StrategyTask) -> bool:
        """What it says is not entered, but waits for a confirmation."""
        return task.timeframe is SETUP_TIMEFRAME and self._confirms(task)

    async def _lacks_setup(self, task: StrategyTask, signal: EntrySignal) -> bool:
        """True if it needs a live setup to confirm, and there is none."""
        if task.timeframe is not TRIGGER_TIMEFRAME or not self._confirms(task) or signal.direction is None:
            return False
        return not await self._is_confirmed(signal, signal.direction)

    async def _becomes_setup(self, task: StrategyTask, endorsed: Endorsed) -> bool:
        """True if the signal goes no further, because it waits for a confirmation."""
        signal = endorsed.signal
        if not self._makes_setups(task):
            return False
        if signal.direction is None or signal.stop_loss is None:
            return False
        created = signal.candle_closed_at
        await self._parts.setups.put(
            TradingSetup(
                signal_id=signal.id,
                task_id=task.id,
                symbol=signal.symbol,
                direction=signal.direction,
                stop=signal.stop_loss,
                created_at=created,
                expires_at=created + self._setup_ttl,
            )
        )
        reason = f"waits for a 1h confirmation until {created + self._setup_ttl:%Y-%m-%d %H:%M} UTC"
        await self._set_status(signal, "setup", "", reason, endorsed.score)
        return True

    async def _is_confirmed(self, signal: EntrySignal, direction: Direction) -> bool:
        setup = await self._parts.setups.live(signal.symbol)
        if setup is None or setup.direction is not direction:
            return False
        return setup.created_at <= signal.candle_closed_at < setup.expires_at

    async def _end_broken_setup(self, task: StrategyTask, features: FeatureSet) -> None:
        """A close beyond the stop of the live setup ends it, before signals of that candle are judged."""
        setup = await self._parts.setups.live(task.symbol)
        if setup is None or features.closed_at < setup.created_at:  # a candle that came late cannot have broken it
            return
        if features.closed_at >= setup.expires_at:
            await self._parts.setups.end(setup.signal_id, "expired", setup.expires_at)
        elif setup.direction.sign * (float(features.series.close[features.k]) - float(setup.stop)) < 0:
            await self._parts.setups.end(setup.signal_id, "invalidated", features.closed_at)

    async def _consume_setup(self, signal: EntrySignal) -> None:
        setup = await self._parts.setups.live(signal.symbol)
        if setup is not None:
            await self._parts.setups.end(setup.signal_id, "consumed", signal.candle_closed_at)

    # ------------------------------------------------------------------------------------------------- what is told

    async def _set_status(self, signal: EntrySignal, status: str, code: str, reason: str, score: float) -> None:
        await self._parts.signals.update_status(signal.id, status, f"{code}: {reason}" if code else reason)
        await self._tell(signal, status, code, reason, score)

    async def _tell(
        self, signal: EntrySignal, status: str, code: str, reason: str, score: float, failed: Sequence[str] = ()
    ) -> None:
        facts = {
            "signal": signal.id,
            "symbol": signal.symbol,
            "direction": signal.direction.value if signal.direction else None,
            "entry": str(signal.entry),
            "stop": str(signal.stop_loss),
            "targets": [str(each) for each in signal.targets],
            "confidence": round(signal.confidence, 12),
            "score": round(score, 12),
            "status": status,
            "code": code,
            "failed": list(failed),  # every failing rule, so that a report can ask what one of them alone was worth
            "reason": reason,
        }
        await self.record("signal", signal.task_id, facts)

    def _paid(self, signal: EntrySignal, quote: Quote | None) -> Decimal:
        """What the entry would really cost: the ask for a long, the bid for a short."""
        if quote is None or signal.direction is None:
            return signal.entry or Decimal("NaN")
        return quote.ask if signal.direction is Direction.LONG else quote.bid


def _record_of(verdict: Verdict, signal: EntrySignal) -> SignalRecord:
    vetoed = isinstance(verdict, Vetoed)
    return SignalRecord(
        signal=signal,
        findings=verdict.findings,
        score=verdict.score,
        status="vetoed" if vetoed else "endorsed",
        rejected_by=verdict.rejected_by if isinstance(verdict, Vetoed) else "",
        reason=verdict.reason if isinstance(verdict, Vetoed) else "",
        decided_at=signal.candle_closed_at,
    )


def _last_close(features: FeatureSet) -> Decimal | None:
    closes = features.series.close
    return Decimal(str(closes[features.k])) if 0 <= features.k < len(closes) else None


def _approval(order: ApprovedOrder) -> str:
    return f"{order.side.value} {order.quantity} near {order.decided_price}, {order.risk_amount:.2f} at risk"
