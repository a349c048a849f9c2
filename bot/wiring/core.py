"""Layers 3 to 5 and the pipeline over them: the same parts in every mode."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bot.config import Settings
from bot.instruments import BrokerId, InstrumentRegistry, Symbol
from bot.interfaces import CandleSource, Clock, Journal, Stores
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.fenced_broker import FencedBroker
from bot.layer1_data.quality import QuoteScreen
from bot.layer2_intelligence.analyst.desk import AnalystDesk
from bot.layer2_intelligence.strategies.catalogue import Strategy, strategy_named
from bot.layer2_intelligence.validator import judge
from bot.layer3_execution.adoption import Adoption
from bot.layer3_execution.answers import AnswerDesk
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.exit_plans import divergence_plan
from bot.layer3_execution.flatten import Flattener
from bot.layer3_execution.order_tracker import OrderTracker, never_failing
from bot.layer3_execution.protection import PositionGuard
from bot.layer3_execution.reconciliation import Reconciler
from bot.layer3_execution.trading_desk import TradingDesk
from bot.layer4_risk.daily_loss import DailyLossWatch
from bot.layer4_risk.drawdown import DrawdownWatch
from bot.layer4_risk.entry_ledger import EntryLedger
from bot.layer4_risk.kill_file import KillFile
from bot.layer4_risk.kill_switch import KillSwitch
from bot.layer4_risk.manager import RiskManager
from bot.layer4_risk.session_day import session_day_of
from bot.layer5_monitoring.outcome_tracker import OutcomeTracker
from bot.models import JournalEntry, Quote, TaskId
from bot.pipeline import Judge, Pipeline, PipelineParts
from bot.wiring.adoption import adoption_terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What a simulation replaces: its own source of signals with a judge for them, and single parts, so that a test can
    leave one safeguard out and see the campaign fail. Every other mode takes this as it is."""

    strategies: Mapping[str, Strategy] = field(default_factory=dict)
    judge: Judge = judge
    tracker: type[OrderTracker] = OrderTracker
    engine: type[ExecutionEngine] = ExecutionEngine
    guard: type[PositionGuard] = PositionGuard
    reconciler: type[Reconciler] = Reconciler
    risk: type[RiskManager] = RiskManager
    kill: type[KillSwitch] = KillSwitch
    screen: type[QuoteScreen] = QuoteScreen
    fence: type[FencedBroker] = FencedBroker


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingCore:
    """Layers 3 to 5 and the pipeline over them: the same in every mode."""

    book: Book
    tracker: OrderTracker
    engine: ExecutionEngine
    guard: PositionGuard
    reconciler: Reconciler
    answers: AnswerDesk
    outcomes: OutcomeTracker
    kill: KillSwitch
    daily_loss: DailyLossWatch
    drawdown: DrawdownWatch
    ledger: EntryLedger
    flattener: Flattener
    desk: TradingDesk
    pipeline: Pipeline


def trading_core(
    *,
    settings: Settings,
    registry: InstrumentRegistry,
    clock: Clock,
    stores: Stores,
    journal: Journal,
    candles: CandleSource,
    broker_of: Callable[[BrokerId], BrokerInterface],
    quote_of: Callable[[Symbol], Awaitable[Quote | None]],
    entries_blocked: Callable[[BrokerId, Symbol], str],
    strategies: Sequence[str],
    environment: str,
    kill_file: KillFile | None = None,
    seams: Seams | None = None,
    analyst: AnalystDesk | None = None,
) -> TradingCore:
    """Everything between a feature set and an outcome. `environment` is the letter of client order ids.

    `kill_file` is None where nobody could write one, `analyst` where the detector decides alone.
    """

    async def record(kind: str, task_id: TaskId | None, data: Mapping[str, object]) -> None:
        await journal.record(JournalEntry(at=clock.now(), kind=kind, task_id=task_id, data=data))

    seams = seams or Seams()
    kill = seams.kill(stores.kills, clock=clock, record=never_failing(record), file=kill_file)
    daily_loss = DailyLossWatch(
        kill,
        stores.orders.realised_since,
        limit_ratio=settings.risk.daily_loss_limit_ratio,
        day=session_day_of(settings.risk),
    )

    def fenced_of(broker_id: BrokerId) -> BrokerInterface:
        return seams.fence(broker_of(broker_id), stores.orders.check_writer)

    book = Book()
    tracker = seams.tracker(store=stores.orders, book=book, broker_of=fenced_of, clock=clock, record=record)
    engine = seams.engine(
        store=stores.orders,
        book=book,
        tracker=tracker,
        broker_of=fenced_of,
        clock=clock,
        entry_refusal=kill.refusal,
        known_refusal=kill.known_refusal,
    )
    guard = seams.guard(
        store=stores.orders,
        book=book,
        engine=engine,
        tracker=tracker,
        broker_of=fenced_of,
        clock=clock,
        record=record,
        protect_within_s=settings.risk.protect_within_s,
    )
    terms_of = adoption_terms(settings.risk, registry, quote_of)
    reconciler = seams.reconciler(
        store=stores.orders,
        book=book,
        tracker=tracker,
        engine=engine,
        broker_of=fenced_of,
        clock=clock,
        record=record,
        terms_of=terms_of,
    )
    answers = AnswerDesk(
        answers=stores.answers,
        reconciler=reconciler,
        adoption=Adoption(store=stores.orders, book=book, tracker=tracker, clock=clock, terms_of=terms_of),
        book=book,
        tracker=tracker,
        engine=engine,
        broker_of=fenced_of,
        clock=clock,
        record=record,
    )
    outcomes = OutcomeTracker(
        stores.outcomes, candles, registry, horizon_candles=settings.outcomes.outcome_horizon_candles
    )
    risk = seams.risk(
        registry=registry,
        settings=settings.risk,
        plan_of=partial(divergence_plan, settings=settings.exits),
        environment=environment,
    )
    ledger = EntryLedger(stores.orders)
    pipeline = Pipeline(
        PipelineParts(
            settings=settings,
            registry=registry,
            clock=clock,
            journal=journal,
            signals=stores.signals,
            setups=stores.setups,
            snapshots=stores.snapshots,
            book=book,
            kill=kill,
            daily_loss=daily_loss,
            risk=risk,
            ledger=ledger,
            engine=engine,
            outcomes=outcomes,
            strategies={**{name: strategy_named(name, settings) for name in strategies}, **seams.strategies},
            judge=seams.judge,
            broker_of=broker_of,
            quote_of=quote_of,
            entries_blocked=entries_blocked,
            foreign=reconciler.foreign.all,
            analyst=analyst,
        )
    )
    drawdown = DrawdownWatch(stores.snapshots, kill.press, max_drawdown_ratio=settings.risk.max_drawdown_ratio)
    flattener = Flattener(book=book, engine=engine, tracker=tracker, broker_of=fenced_of, record=record)
    return TradingCore(
        book=book,
        tracker=tracker,
        engine=engine,
        guard=guard,
        reconciler=reconciler,
        answers=answers,
        outcomes=outcomes,
        kill=kill,
        daily_loss=daily_loss,
        drawdown=drawdown,
        ledger=ledger,
        flattener=flattener,
        desk=TradingDesk(store=stores.orders, book=book, engine=engine, flattener=flattener, clock=clock),
        pipeline=pipeline,
    )
