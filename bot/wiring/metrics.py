"""Wiring of metrics: what is measured where, in tasks of its own: whatever fails there, no trade waits for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from loguru import logger

from bot.clock import SystemClock
from bot.config import Settings
from bot.config.version import program_version
from bot.dashboard.api.metrics import metrics_app
from bot.errors import ConfigError
from bot.instruments import BrokerId, InstrumentRegistry, Symbol
from bot.interfaces import EventStream
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.feeds.candle_feed import CandleFeed, FeedReport
from bot.layer1_data.measured_broker import MeasuredBroker
from bot.layer2_intelligence.analyst.measured_gateway import MeasuredGateway
from bot.layer2_intelligence.analyst.nouns import AnalystReply, NoDecision, NoDecisionReason
from bot.layer2_intelligence.strategies.catalogue import CATALOGUE
from bot.layer3_execution.reconcile_report import ReconcileReport
from bot.layer3_execution.reconciliation import Reconciler
from bot.layer5_monitoring.loop_lag import LoopLag
from bot.layer5_monitoring.metrics import MetricLabels, Metrics
from bot.layer5_monitoring.metrics_analyst import ANSWERED, RECORDED
from bot.layer5_monitoring.metrics_journal import JournalMeter
from bot.layer5_monitoring.metrics_sampler import Sampler
from bot.layer5_monitoring.metrics_trading import OTHER
from bot.models import StrategyTask, Timeframe
from bot.wiring.analyst_desk import AnalystSeat
from bot.wiring.market import Market
from bot.wiring.metrics_probes import Probes, WatchedParts

_SHUTDOWN_S: Final = 1.0
_HERE: Final = ("127.0.0.1", "::1", "localhost")


class Metering:
    """What is measured in one daemon: wraps the parts whose calls are timed, and reads the others beside them."""

    def __init__(self, settings: Settings, market: Market) -> None:
        tasks = market.tasks(settings)
        self._settings = settings
        self._registry = market.registry
        self.clock = SystemClock()
        self.metrics = Metrics(_labels(settings, market, tasks))
        self.lag = LoopLag(self.clock, self.metrics.machine.loop_lag.observe)

    def broker(self, broker: BrokerInterface) -> BrokerInterface:
        """The broker, with every call timed."""
        clock, venues = self.clock, self.metrics.venues
        quoted_at = venues.quoted_at.labels(broker.broker_id)  # looked up once: quotes come by the thousand
        venues.streams.labels(broker.broker_id).set(broker.capabilities.streams_quotes)
        return MeasuredBroker(broker, clock, heard=venues.heard, quoted=lambda: quoted_at.set(clock.now().timestamp()))

    def reconciler(self, reconciler: Reconciler) -> "TimedReconciler":
        """The reconciler, with every comparison timed."""
        return TimedReconciler(reconciler, self)

    def feed(self, feed: CandleFeed) -> "TimedFeed":
        """The feed, with the delay of each candle noted."""
        return TimedFeed(feed, self._registry, self.metrics)

    def seat(self, seat: AnalystSeat) -> AnalystSeat:
        """The analyst's gateway, with every question counted."""
        if seat.gateway is None:
            return seat
        return AnalystSeat(gateway=MeasuredGateway(seat.gateway, self.clock, self._hear_answer))

    def _hear_answer(self, model: str, answer: NoDecision | AnalystReply, seconds: float) -> None:
        if isinstance(answer, NoDecision):
            outcome = answer.reason.value
        else:
            outcome = RECORDED if answer.from_recording else ANSWERED
        self.metrics.analyst.heard(model, outcome, seconds, answer.usage)

    @asynccontextmanager
    async def running(self, events: EventStream, watched: WatchedParts) -> AsyncIterator[None]:
        """Read the journal, refresh gauges, watch the event loop, and serve the port of METRICS_PORT."""
        meter = JournalMeter(
            self.metrics.trading,
            self.metrics.analyst,
            self.clock,
            broker_of=self._broker_of,
        )
        async with events.subscribe() as entries, _served(self._settings, self.metrics):
            sampler = Sampler(Probes(watched, self.metrics).all(), self.metrics.machine, self.clock)
            work = (meter.follow(entries), sampler.run(), self.lag.run())
            tasks = [asyncio.create_task(each, name="metrics") for each in work]
            try:
                yield
            finally:
                for each in tasks:
                    each.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _broker_of(self, symbol: str) -> str:
        return self._registry.get(Symbol(symbol)).broker_id if symbol in self._registry else OTHER


class TimedReconciler:
    """Compares as the reconciler does, and tells how long that took in real seconds."""

    def __init__(self, reconciler: Reconciler, metering: Metering) -> None:
        self._reconciler = reconciler
        self._clock = metering.clock
        self._seconds = metering.metrics.venues.reconcile_seconds

    async def run(self, broker_id: BrokerId) -> ReconcileReport:
        """What `Reconciler.run` answers."""
        begun_s = self._clock.monotonic()
        try:
            return await self._reconciler.run(broker_id)
        finally:
            self._seconds.labels(broker_id).observe(self._clock.monotonic() - begun_s)

    async def resolve(self, broker_id: BrokerId) -> bool:
        """What `Reconciler.resolve` answers."""
        return await self._reconciler.resolve(broker_id)


class TimedFeed:
    """Polls as the feed does, and notes how late each candle came."""

    def __init__(self, feed: CandleFeed, registry: InstrumentRegistry, metrics: Metrics) -> None:
        self._feed = feed
        self._registry = registry
        self._delay = metrics.venues.candle_delay

    def subscribe(self, symbol: Symbol, timeframe: Timeframe) -> None:
        """As `CandleFeed.subscribe`."""
        self._feed.subscribe(symbol, timeframe)

    async def poll(self) -> FeedReport:
        """As `CandleFeed.poll`."""
        report = await self._feed.poll()
        for (symbol, timeframe), delays_s in report.delays_s.items():
            delay = self._delay.labels(self._registry.get(symbol).broker_id, timeframe.value)
            for each in delays_s:
                delay.observe(each)
        return report


def _labels(settings: Settings, market: Market, tasks: Sequence[StrategyTask]) -> MetricLabels:
    return MetricLabels(
        mode=settings.run.mode,
        version=program_version(),
        brokers=[each.broker_id for each in market.brokers],
        feeds=list(dict.fromkeys((each.broker_id, each.timeframe) for each in tasks)),
        strategies=list(CATALOGUE),
        models=list(dict.fromkeys((settings.analyst.analyst_model, settings.analyst.analyst_fallback_model))),
        no_answers=[each.value for each in NoDecisionReason],
    )


@asynccontextmanager
async def _served(settings: Settings, metrics: Metrics) -> AsyncIterator[None]:
    """The port of METRICS_PORT while the context is open. Raises ConfigError if it cannot be had."""
    host, port = settings.metrics.metrics_host, settings.metrics.metrics_port
    if not port:
        yield
        return
    runner = web.AppRunner(metrics_app(metrics.registry), access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigError(
                f"METRICS_PORT={port}: cannot listen on {host} ({error.strerror or error}); "
                "name a free port of 1024 or above, an address of this machine in METRICS_HOST, or 0 for none"
            ) from error
        level = "INFO" if host in _HERE else "WARNING"
        logger.log(
            level, "metrics: whoever reaches {} port {} reads every figure, equity too, without a token", host, port
        )
        yield
    finally:
        await runner.cleanup()
