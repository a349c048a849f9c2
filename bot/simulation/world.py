"""Everything but the bot: market, venues, database, people, and the hand that kills. Drives one seed to its end.

The bot is the product's own Supervisor over the product's own parts; `build` (wiring) makes one per process life.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final, cast

from bot.entry_gate import EntryGate
from bot.instruments import BrokerId, Instrument, InstrumentRegistry, Symbol
from bot.interfaces import Clock, Stores
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer3_execution.book import Book
from bot.layer3_execution.reconcile_report import ReconcileReport
from bot.layer4_risk.kill_switch import KillSwitch
from bot.models import JournalEntry, KillLevel, Quote
from bot.simulation.checks import Checks
from bot.simulation.clock import LoopClock
from bot.simulation.disturbances import Disturbances
from bot.simulation.line import VenueLine
from bot.simulation.loop import WORLD, SimulatedLoop
from bot.simulation.ports import Boundaries, Database, StorePort, at_once
from bot.simulation.scenario import LIVENESS_S, PRESUMED_S, PRICES, Scenario
from bot.simulation.scheduler import SimulatedScheduler, is_foreseen
from bot.simulation.signals import STEP_RATIO, SeededStrategy
from bot.simulation.told_prices import CandleBook, minute_candle
from bot.simulation.told_terms import Inquiry
from bot.supervisor import Supervisor

_STORES: Final = (
    "signals",
    "orders",
    "outcomes",
    "snapshots",
    "kills",
    "answers",
    "accounts",
    "setups",
    "tasks",
    "journal",
)
_RESTART_S: Final = 3.0  # the system starts a process again that could not start
_STOP_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a bot is made of that is not the bot."""

    scenario: Scenario
    clock: Clock
    stores: Stores
    registry: InstrumentRegistry
    lines: Sequence[VenueLine]
    strategy: SeededStrategy
    record: Callable[[JournalEntry], None]
    on_failure: Callable[[str, Exception], None]
    late_s: Callable[[], float]


class ReportLog(dict[BrokerId, ReconcileReport]):
    """The newest report of each venue, and which venues were ever compared completely in this life."""

    def __init__(self) -> None:
        super().__init__()
        self.completed: set[BrokerId] = set()

    def __setitem__(self, broker_id: BrokerId, report: ReconcileReport) -> None:
        super().__setitem__(broker_id, report)
        if report.clean:
            self.completed.add(broker_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """One life of the process, as far as the world looks into it."""

    supervisor: Supervisor
    book: Book
    gate: EntryGate
    reports: ReportLog
    kill: KillSwitch
    scheduler: SimulatedScheduler


Build = Callable[[Outside], Bot]
MakeVenue = Callable[[BrokerId, Sequence[Instrument], Clock, VenueTraits], SimulatedBroker]


class World:
    """One seed, from the first tick to the verdict."""

    def __init__(
        self, scenario: Scenario, *, registry: InstrumentRegistry, stores: Stores, venue: MakeVenue, build: Build
    ) -> None:
        self.scenario = scenario
        self.tape = scenario.tape
        self.loop = SimulatedLoop(scenario.seed)
        self.clock = LoopClock(self.loop, scenario.starts_at)
        self.venue_clock = LoopClock(self.loop, scenario.starts_at)
        self.registry = registry
        self.stores = stores
        self.boundaries = Boundaries(self.loop)
        self.database = Database(self.loop, self.tape, self.boundaries)
        self.journal: list[JournalEntry] = []
        self.bot: Bot | None = None
        self.process = WORLD
        self.balance = Decimal(10_000)
        self.crashes = self.starts = self.second_starts = self.deployments = 0
        self.taken_over_at = 0.0
        self.awake_since = 0.0
        self.faults_off_at: float | None = None
        self.started_at = 0.0
        self.instruments = {each: registry.get(each) for each in scenario.symbols}
        self.ticks: dict[Symbol, list[tuple[float, Decimal, Decimal]]] = {each: [] for each in scenario.symbols}
        self.lines: dict[BrokerId, VenueLine] = {}
        self.stores_of: Callable[[int], Stores] = lambda _: self.stores  # what each life of the process talks to
        self._build = build
        self._candles = CandleBook()
        self._steps = 0
        self._dies_at_step: int | None = None
        self._crashes = list(scenario.crashes)
        self._minute: dict[Symbol, list[Decimal]] = {}
        self._minute_of: dict[Symbol, int] = {}
        self._paths = {name: _Path(each) for name, each in self.instruments.items()}
        self._calm_since: float | None = None
        self._strategy = SeededStrategy(self.tape, scenario.symbols, scenario.numbers, scenario.starts_at)
        self._context = self.loop.context_of(WORLD)
        self._stopping: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._make_venues(venue)
        self._make_history()
        self.boundaries.on_death = self._died
        self.checks = Checks(self)
        self._disturbances = Disturbances(self)
        self._next_settings = scenario
        self.database.on_hang = self.terminate

    def run(self) -> None:
        """Play it; the verdict is in `checks`."""
        asyncio.set_event_loop(self.loop)
        try:
            self._context.run(self._begin)
            self.loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            self.loop.kill(self.process)
            self.loop.bury()

    def end(self) -> None:
        """Nothing more is to be learned."""
        self.loop.stop()

    @property
    def spoken(self) -> frozenset[int]:
        """Numbers of the signals so far."""
        return frozenset(self._strategy.spoken)

    @property
    def is_calm(self) -> bool:
        """Faults are off."""
        return self.faults_off_at is not None

    def line_of(self, symbol: Symbol) -> VenueLine:
        """Where an instrument is traded."""
        return self.lines[self.instruments[symbol].broker_id]

    def record(self, entry: JournalEntry) -> None:
        """The bot's journal."""
        self.journal.append(entry)

    # ------------------------------------------------------------------------------------------------------ process

    def _begin(self) -> None:
        self._tick()
        self._start_process()

    def _start_process(self) -> None:
        """A new life over what the last one left behind."""
        self.process += 1
        self.scenario = self._next_settings
        self.database.writer = self.process
        self.starts += 1
        self.started_at = self.loop.time()
        self._steps = 0
        crash = self._crashes[0] if self._crashes and not self.is_calm else None
        self._dies_at_step = crash.step if crash else None
        self.loop.before_step = None if self._dies_at_step is None else self._count_step
        self.boundaries.passed = 0
        self.boundaries.dies_at = crash.boundary if crash else None
        self._disturbances.start()
        context = self.loop.context_of(self.process)
        self.bot = context.run(self._build, self._outside())
        starting = self.loop.create_task(self._starting(self.bot), name="start", context=context)
        starting.add_done_callback(self._started, context=self._context)

    def _starting(self, bot: Bot) -> Coroutine[Any, Any, None]:
        """What a start does; what its venues trade is asked where they may say something else than we do."""
        return self._asked_first(bot) if self.tape.is_on("M5") else bot.supervisor.start()

    async def _asked_first(self, bot: Bot) -> None:
        descriptions, lines = bot.gate.descriptions, tuple(self.lines.values())
        inquiry = Inquiry(lines, registry=self.registry, descriptions=descriptions, clock=self.clock)
        await inquiry.begin()
        self._asking = asyncio.create_task(inquiry.go_on(), name="descriptions")
        await bot.supervisor.start()

    def _started(self, starting: "asyncio.Task[None]") -> None:
        """A process that cannot start ends, and the system starts it again."""
        error = None if starting.cancelled() else starting.exception()
        if error is None or self.bot is None:
            return
        if isinstance(error, Exception) and not is_foreseen(error):
            self.checks.note_failure("start", error)
        self._end_process(_RESTART_S)

    def _end_process(self, down_s: float) -> None:
        self.loop.kill(self.process)
        self.bot = None
        self._stopping = None
        for line in self.lines.values():
            line.prices.forget_readers()
        self.loop.call_later(down_s, self._start_process, context=self._context)

    def _count_step(self, process: int) -> None:
        self._steps += 1
        if self._dies_at_step is not None and self._steps >= self._dies_at_step and not self.is_calm:
            self.loop.kill(process)
            self._died(process)

    @property
    def struck(self) -> int:
        """How many of the crashes that were drawn have come."""
        return len(self.scenario.crashes) - len(self._crashes)

    def _died(self, process: int) -> None:
        """kill -9 struck."""
        if process != self.process:
            return
        crash = self._crashes.pop(0)
        self.crashes += 1
        self._end_process(crash.down_s)

    def terminate(self) -> None:
        """SIGTERM: it may finish what it does; after a while the system kills it."""
        if self.bot is None or self._stopping is not None:
            return
        context = self.loop.context_of(self.process)
        process = self.process
        self._stopping = self.loop.create_task(self.bot.supervisor.stop(), name="stop", context=context)
        self._stopping.add_done_callback(lambda _: self._stopped(process), context=self._context)
        self.loop.call_later(_STOP_WITHIN_S, self._stopped, process, context=self._context)

    def suspend(self, seconds: float) -> None:
        """The process stands still, and time does not: a blocked loop, a machine that sleeps."""
        if self.bot is not None:
            until = self.loop.time() + seconds
            self.awake_since = max(self.awake_since, until)
            self.loop.suspend(self.process, until)

    def kill_now(self, down_s: float) -> None:
        """kill -9 at this tick."""
        if self.bot is not None:
            self.crashes += 1
            self._end_process(down_s)

    def deploy(self, settings: Scenario, *, with_notice: bool) -> None:
        """A new version with other settings: this process is told to end, or is killed, and the next one has them."""
        self.deployments += 1
        self._next_settings = settings
        if with_notice:
            self.terminate()
        else:
            self.kill_now(_RESTART_S)

    def lose_lock(self, *, known_after_s: float, back_after_s: float) -> None:
        """The connection of the writer lock ends. The process hears of it, tries to take it back, and has it again."""
        if self.bot is None or self.database.is_lock_away:
            return
        self.database.lose_lock(known_after_s=known_after_s, back_after_s=back_after_s)
        tell, context = self.bot.supervisor.note_writer, self.loop.context_of(self.process)
        self.loop.call_later(known_after_s, partial(tell, is_held=False), context=context)
        self.loop.call_later(back_after_s, partial(tell, is_held=True), context=context)

    def start_second(self, seconds: float) -> None:
        """Another daemon takes over while this one still runs; this one finds out within `seconds`."""
        if self.bot is None or self._stopping is not None:
            return
        self.second_starts += 1
        self.taken_over_at = self.loop.time()
        self.loop.call_later(seconds, self.loop.kill, self.process, context=self._context)
        self._start_process()

    def _stopped(self, process: int) -> None:
        if process == self.process and not self.loop.is_dead(process):
            self._end_process(_RESTART_S)

    def _outside(self) -> Outside:
        ports = _Ports(self.stores_of(self.process), self.database)
        return Outside(
            scenario=self.scenario,
            clock=self.clock,
            stores=cast(Stores, ports),
            registry=self.registry,
            lines=tuple(self.lines.values()),
            strategy=self._strategy,
            record=self.record,
            on_failure=self._on_failure,
            late_s=lambda: self.tape.amount("C3", 2.0, 30.0) if self.tape.fires("C3") else 0.0,
        )

    def _on_failure(self, what: str, error: Exception) -> None:
        if not is_foreseen(error):
            self.checks.note_failure(what, error)

    # ------------------------------------------------------------------------------------------------------- market

    def _make_venues(self, venue: MakeVenue) -> None:
        by_broker: dict[BrokerId, list[Instrument]] = {}
        for instrument in self.instruments.values():
            by_broker.setdefault(instrument.broker_id, []).append(instrument)
        for broker_id, instruments in by_broker.items():
            # A share of what an entry typically wants: it then takes some ticks until it is whole.
            liquidity = max(_usual_quantity(each) for each in instruments) / 4 if self.scenario.fills_in_parts else None
            traits = replace(self.scenario.kind.traits, liquidity=liquidity)
            made = venue(broker_id, instruments, self.venue_clock, traits)
            self.lines[broker_id] = VenueLine(
                made,
                loop=self.loop,
                tape=self.tape,
                boundaries=self.boundaries,
                candles=self._candles,
                clock=self.clock,
            )

    def _make_history(self) -> None:
        """The candle before the beginning: the feed then takes the next one for new."""
        minute = self.venue_clock.now().replace(second=0, microsecond=0)
        for symbol in self.instruments:
            self._candles.add(symbol, minute_candle(minute - timedelta(minutes=1), [PRICES[symbol]]))

    def _tick(self) -> None:
        """The market moves, faults are thrown, everything is looked at."""
        for symbol, instrument in self.instruments.items():
            self._move(symbol, instrument)
        if not self.is_calm:
            self._disturbances.tick()
            if self.loop.time() >= self.scenario.safety_s:
                self._calm_down()
        self.checks.on_tick()
        if self.is_calm:
            self._look_for_agreement()
        self.loop.call_later(self.scenario.tick_s, self._tick)

    def _move(self, symbol: Symbol, instrument: Instrument) -> None:
        """One tick of one symbol: mostly small, sometimes a jump over several stops."""
        dice, path = self.tape.dice(f"market/{symbol}"), self._paths[symbol]
        size = dice.gauss(0.0, 1.5) * (8 if dice.random() < 0.02 else 1)
        bid, ask = path.moved(size)
        self.ticks[symbol].append((self.loop.time(), bid, ask))
        line = self.lines[instrument.broker_id]
        if line.is_closed:
            return
        at = self.venue_clock.now()
        line.venue.observe(symbol, bid=bid, ask=ask, at=at, gap=True)
        line.publish(Quote(symbol=symbol, bid=bid, ask=ask, at=at))
        self._build_candle(symbol, (bid + ask) / 2)

    def _build_candle(self, symbol: Symbol, mid: Decimal) -> None:
        """A minute that is over becomes a candle."""
        minute = int((self.loop.time() + self.scenario.starts_at.second) // 60)
        mids = self._minute.setdefault(symbol, [])
        if mids and minute != self._minute_of.get(symbol, minute):
            opened_at = self.venue_clock.now().replace(second=0, microsecond=0) - timedelta(minutes=1)
            self._candles.add(symbol, minute_candle(opened_at, mids))
            mids.clear()
        self._minute_of[symbol] = minute
        mids.append(mid)

    # ------------------------------------------------------------------------------------------------------- faults

    def _calm_down(self) -> None:
        """Faults off: lines heal, the database is up, the clock is right, the operator resumes."""
        self.faults_off_at = self.loop.time()
        self.tape.stop()
        self.clock.step = timedelta(0)
        self.database.heal()
        self.boundaries.dies_at = None
        self.loop.wake(self.process)
        for line in self.lines.values():
            line.heal()
        at_once(self.stores.kills.resume(up_to=KillLevel.HALT, by="operator", reason="drill over", at=self.clock.now()))
        self.checks.note_resume()
        self._strategy.is_silent = True

    def _look_for_agreement(self) -> None:
        """Liveness: everything must agree before the deadline, and stay so for a moment."""
        since = self.loop.time() - (self.faults_off_at or 0.0)
        differs = self.checks.disagreement()
        if differs is None:
            self._calm_since = self._calm_since if self._calm_since is not None else self.loop.time()
            if self.loop.time() - self._calm_since > 2 * self.scenario.tick_s:
                self.checks.at_end()
                self.end()
            return
        self._calm_since = None
        deadline = LIVENESS_S + (PRESUMED_S if self.checks.waits_for_absence() else 0.0)
        if since > deadline:
            self.checks.violate("I8", f"{since:.0f} s after faults stopped: {differs}")


class _Ports:
    """The stores behind their ports."""

    def __init__(self, stores: Stores, database: Database) -> None:
        for name in _STORES:
            setattr(self, name, StorePort(getattr(stores, name), database))
        self._stores = stores

    async def check(self) -> None:
        """Ask the cheapest question."""
        await self._stores.check()

    async def close(self) -> None:
        """Nothing to release."""


def _usual_quantity(instrument: Instrument) -> Decimal:
    """What one percent of 10,000 buys at a usual stop distance."""
    distance = PRICES[instrument.symbol] * STEP_RATIO * 16
    by_margin = Decimal(10_000) * instrument.max_leverage / PRICES[instrument.symbol]
    return min(Decimal(100) / distance, by_margin)


class _Path:
    """Where one price is: a float moves, what is quoted is whole ticks around it."""

    def __init__(self, instrument: Instrument) -> None:
        start = PRICES[instrument.symbol]
        half = max(instrument.typical_spread.at(start) / 2, instrument.tick)
        self._mid = float(start)
        self._half = float(half)
        self._tick = instrument.tick
        self._tick_size = float(instrument.tick)

    def moved(self, units: float) -> tuple[Decimal, Decimal]:
        """Bid and ask after a step of so many times STEP_RATIO."""
        self._mid *= 1.0 + float(STEP_RATIO) * units
        bid = round((self._mid - self._half) / self._tick_size)
        ask = round((self._mid + self._half) / self._tick_size)
        return bid * self._tick, ask * self._tick
