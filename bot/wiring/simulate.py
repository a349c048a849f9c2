"""Wiring of `simulate`: the product's own supervisor, pipeline and order path over simulated venues and memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final

from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.entry_gate import EntryGate
from bot.instruments import BrokerId, Currency, Instrument, InstrumentRegistry, default_registry
from bot.interfaces import Clock, Stores
from bot.kill_watch import KillWatch
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed
from bot.models import JournalEntry, StrategyTask, Timeframe
from bot.simulation.campaign import SeedResult, result_of
from bot.simulation.scenario import Scenario
from bot.simulation.scheduler import SimulatedScheduler
from bot.simulation.signals import SEEDED, NoFeatures, endorse
from bot.simulation.tape import Throws
from bot.simulation.world import Bot, Outside, ReportLog, World
from bot.supervisor import Supervisor, SupervisorParts
from bot.wiring.core import Seams, trading_core

_BALANCE: Final = Decimal(10_000)
_REGISTRY: Final = default_registry()


def run_seed(
    seed: int,
    *,
    faults: Throws | None = None,
    numbers: frozenset[int] | None = None,
    seams: Seams | None = None,
    stores: Callable[[], Stores] = MemoryStores,
) -> SeedResult:
    """One seed to its verdict. `seams` leave safeguards out, in tests only."""
    return result_of(world_of(Scenario.drawn(seed, faults=faults, numbers=numbers), seams=seams, stores=stores))


def world_of(scenario: Scenario, *, seams: Seams | None = None, stores: Callable[[], Stores] = MemoryStores) -> World:
    """The world of a scenario, ready to run."""
    registry = InstrumentRegistry([_REGISTRY.get(each) for each in scenario.symbols])
    return World(
        scenario,
        registry=registry,
        stores=stores(),
        venue=_venue,
        build=partial(_bot, seams=seams or Seams()),
    )


def _venue(
    broker_id: BrokerId, instruments: Sequence[Instrument], clock: Clock, traits: VenueTraits
) -> SimulatedBroker:
    return SimulatedBroker(
        broker_id=broker_id,
        instruments=instruments,
        clock=clock,
        currency=Currency("USD"),
        balance=_BALANCE,
        traits=traits,
    )


class _Journal:
    """Hands entries to the world."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def record(self, entry: JournalEntry) -> None:
        """Append one entry."""
        self._outside.record(entry)


def _settings(scenario: Scenario) -> Settings:
    base, most = _SETTINGS, scenario.max_positions
    schedule = base.schedule.model_copy(
        update={
            "monitor_interval_s": scenario.monitor_s,
            "analysis_interval_s": scenario.analysis_s,
            "outcome_interval_s": 60.0,
        }
    )
    limits = {f"max_open_positions_{each}": most for each in ("binance", "oanda", "ig")}
    risk = base.risk.model_copy(update={**limits, "entry_validity_s": 45.0, "max_quote_age_s": 30.0})
    return base.model_copy(update={"schedule": schedule, "risk": risk})


_SETTINGS: Final = Settings()


def _bot(outside: Outside, *, seams: Seams) -> Bot:
    """One process life."""
    settings, clock, stores = _settings(outside.scenario), outside.clock, outside.stores
    router = BrokerRouter(outside.lines, outside.registry)
    reports = ReportLog()
    cache, gate = CandleCache(outside.registry), EntryGate(reports)

    core = trading_core(
        settings=settings,
        registry=outside.registry,
        clock=clock,
        stores=stores,
        journal=_Journal(outside),
        candles=cache,
        broker_of=router.broker,
        quote_of=lambda symbol: supervisor.quote_of(symbol),
        entries_blocked=gate.blocked,
        strategies=[],
        environment="s",
        seams=_with_source(seams, outside),
    )
    kill_watch = KillWatch(
        switch=core.kill,
        flattener=core.flattener,
        news=None,
        settle=lambda broker_id: supervisor.settle(broker_id),
        clock=clock,
        record=core.pipeline.record,
        on_problem=lambda text: supervisor.note_problem("kill switch", text),
    )
    scheduler = SimulatedScheduler(outside.on_failure, outside.late_s)
    parts = SupervisorParts(
        settings=settings,
        registry=outside.registry,
        clock=clock,
        stores=stores,
        scheduler=scheduler,
        router=router,
        feed=CandleFeed(router, cache, clock),
        cache=cache,
        book=core.book,
        tracker=core.tracker,
        guard=core.guard,
        reconciler=core.reconciler,
        answers=core.answers,
        kill=core.kill,
        kill_watch=kill_watch,
        daily_loss=core.daily_loss,
        drawdown=core.drawdown,
        outcomes=core.outcomes,
        pipeline=core.pipeline,
        tasks=[StrategyTask.of(SEEDED, outside.registry.get(each), Timeframe.M1) for each in outside.scenario.symbols],
        new_features=NoFeatures,
        screen=seams.screen,
    )
    supervisor = Supervisor(parts, gate)
    return Bot(supervisor=supervisor, book=core.book, gate=gate, reports=reports, kill=core.kill, scheduler=scheduler)


def _with_source(seams: Seams, outside: Outside) -> Seams:
    """The seeded strategy with the judge that lets it pass, beside whatever a test leaves out."""
    return replace(seams, strategies={SEEDED: outside.strategy}, judge=endorse)
