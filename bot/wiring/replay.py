"""Wiring of `replay`: recorded candles, the simulated venue, memory, and a clock that only candles move."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from bot.clock import ReplayClock, SystemClock
from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.instruments import Currency, Symbol, default_registry
from bot.interfaces import Journal
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.feeds.candle_files import read_candles
from bot.layer2_intelligence.features import BatchFeatures
from bot.models import CandleSeries, JournalEntry, KillCause, KillState, Quote, StrategyTask, Timeframe
from bot.replay.engine import ReplayEngine, ReplayParts, ReplayTrack
from bot.replay.report import summary
from bot.wiring.core import trading_core


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneSeries:
    """The replayed candles up to the clock's now, as a CandleSource: nobody sees a candle before it has closed."""

    all_series: Mapping[Timeframe, CandleSeries]
    clock: ReplayClock

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """Closed candles; the symbol is the replayed one."""
        series = self.all_series[timeframe]
        newest_open = self.clock.now().timestamp() - timeframe.seconds
        return series.slice(0, int(np.searchsorted(series.opened_at_s, newest_open, side="right")))


def read_candles_of(path: Path, symbol: str, timeframe: str) -> CandleSeries:
    """Candles of a file for a registered symbol. Raises UsageError or DataError."""
    instrument = default_registry().get(symbol)
    length = Timeframe.parse(timeframe)
    return read_candles(path, instrument.symbol, length, asset_class=instrument.asset_class, now=SystemClock().now())


async def replay_candles(
    *,
    settings: Settings,
    series: CandleSeries,
    strategy: str,
    balance: Decimal,
    journal: Journal,
    progress: Callable[[int], None],
) -> dict[str, object]:
    """Run one strategy over recorded candles through the whole pipeline, in memory, and sum it up.

    The account is kept in the instrument's quote currency, so that no conversion rate has to be invented.
    """
    registry = default_registry()
    instrument = registry.get(series.symbol)
    clock, stores = ReplayClock(series.opened_at(0)), MemoryStores()
    currency = Currency(instrument.quote_currency)
    venue = SimulatedBroker(
        broker_id=instrument.broker_id, instruments=[instrument], clock=clock, currency=currency, balance=balance
    )
    engine: ReplayEngine | None = None

    async def quote_of(symbol: Symbol) -> Quote | None:
        return await engine.quote_of(symbol) if engine is not None else None

    counted = _CountingJournal(journal)
    core = trading_core(
        settings=settings,
        registry=registry,
        clock=clock,
        stores=stores,
        journal=counted,
        candles=_OneSeries(all_series={series.timeframe: series}, clock=clock),
        broker_of=lambda _: venue,
        quote_of=quote_of,
        entries_blocked=lambda *_: "",
        strategies=[strategy],
        environment="r",
    )
    # One timeframe has no second one to wait for: its signals trade on their own.
    alone = {"use_multi_tf_confirmation": "false"}
    task = dataclasses.replace(StrategyTask.of(strategy, instrument, series.timeframe), parameters=alone)
    features = BatchFeatures(series, settings.divergence, settings.validation.bandwidth_lookback)
    engine = ReplayEngine(
        ReplayParts(
            series=series,
            instrument=instrument,
            tracks=[ReplayTrack(task, features, range(len(series)))],
            clock=clock,
            venue=venue,
            pipeline=core.pipeline,
            book=core.book,
            guard=core.guard,
            tracker=core.tracker,
            reconciler=core.reconciler,
            outcomes=core.outcomes,
            drawdown=core.drawdown,
        )
    )
    await engine.run(progress)
    everything = 10**9
    return summary(
        tasks=[task],
        series=series,
        currency=currency,
        starting_balance=balance,
        equity=float(engine.equity.values()[-1]),
        max_drawdown=engine.equity.max_drawdown(),
        signals=await stores.signals.recent(everything),
        orders=await stores.orders.recent_orders(everything),
        fills=counted.kinds.get("fill", 0),
        closed=list(reversed(await stores.orders.closed_positions(everything))),
        still_open=core.book.open_of(series.symbol),
        outcomes=engine.finished_outcomes,
        incidents=counted.kinds.get("incident", 0),
        kill_switch=next((each.reason for each in await stores.kills.active() if _is_for_good(each)), ""),
    )


def _is_for_good(latch: KillState) -> bool:
    return latch.cause is KillCause.DRAWDOWN


class _CountingJournal:
    """A journal that also counts its entries by kind."""

    def __init__(self, inner: Journal) -> None:
        self._inner = inner
        self.kinds: dict[str, int] = {}

    async def record(self, entry: JournalEntry) -> None:
        """Count and pass on."""
        self.kinds[entry.kind] = self.kinds.get(entry.kind, 0) + 1
        await self._inner.record(entry)
