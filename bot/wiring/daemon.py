"""Wiring of `run`: the database, the venues, the market of dev mode, the supervisor and the page."""

import asyncio
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from aiohttp import web
from loguru import logger

from bot.clock import SystemClock
from bot.config import Loaded, Settings, secret_values, settings_in_force
from bot.dashboard.app import DashboardParts, create_app, serve
from bot.dashboard.live_streams import LIVE_PAGES
from bot.dashboard.parts import TradingParts
from bot.dashboard.seeding import checked_seeds
from bot.dashboard.sessions import OneTimeLogin
from bot.database.embedded import EmbeddedPostgres
from bot.database.migrate import migrate
from bot.database.pool import open_pool
from bot.database.postgres import PostgresStores
from bot.database.postgres_kills import PostgresKillNews
from bot.database.writer import WriterLock
from bot.errors import ConfigError
from bot.interfaces import KillNews
from bot.kill_watch import KillWatch
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed
from bot.layer1_data.venue_desk import VenueDesk
from bot.layer2_intelligence.features import LiveFeatures
from bot.layer2_intelligence.strategies.divergence import DIVERGENCE
from bot.layer4_risk.exposure import RiskReport
from bot.layer4_risk.kill_file import KillFile
from bot.layer5_monitoring.events import JournalEvents
from bot.layer5_monitoring.health import HealthState
from bot.layer5_monitoring.job_ages import JobAges
from bot.layer5_monitoring.journal import StoredJournal
from bot.layer5_monitoring.logger import Redactor, configure_logging
from bot.layer5_monitoring.recent_log import RecentLog
from bot.layer5_monitoring.service_manager import ServiceManager
from bot.models import DaemonStatus, JobHealth
from bot.scheduler import IntervalScheduler
from bot.supervisor import EntryGate, Supervisor, SupervisorParts
from bot.wiring.alerts import AlertingParts, alerting
from bot.wiring.analyst_desk import AnalystSeat, analyst_seat
from bot.wiring.checkup import checkup_of, why_not_ready
from bot.wiring.core import TradingCore, trading_core
from bot.wiring.market import AccountCheck, Market, market_settings, open_market
from bot.wiring.metrics import Metering
from bot.wiring.metrics_probes import WatchedParts
from bot.wiring.people import people_of
from bot.wiring.risk import report_of
from bot.wiring.shares import Shares, open_shares
from bot.wiring.versions import versions
from bot.wiring.watchdog import watched
from bot.wiring.ways import ways_of

Say = Callable[[str], None]

_HALF_STARTED_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """Everything that runs; made by `daemon`."""

    mode: str
    started_at: datetime
    api_token: str
    one_time_token: str
    login: str
    app: web.Application
    supervisor: Supervisor
    market: Market
    accounts: AccountCheck
    state: HealthState
    jobs: Callable[[], Sequence[JobHealth]]
    runners: list[web.AppRunner]

    async def serve(self, listener: socket.socket) -> None:
        """Pages on the socket that has answered /health so far."""
        self.runners.append(await serve(self.app, listener))
        self.state.status, self.state.detail = "ok", ""

    def watched(self, service: ServiceManager) -> AbstractAsyncContextManager[None]:
        """While the block runs, jobs must go on being done, or the process ends (see `watchdog`)."""
        return watched(lambda: [each.runs for each in self.jobs()], service, SystemClock())

    async def run_until(self, stop: asyncio.Event) -> None:
        """Play the market until told to stop. A market that fails, or a key that leads to another account than the one
        that the database belongs to, ends the daemon, loudly."""
        playing = asyncio.create_task(self.market.run(stop), name="market")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        checking = asyncio.create_task(self._check_accounts(stop), name="accounts")
        await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        self.state.status = "stopping"
        stop.set()
        checking.cancel()
        for end in await asyncio.gather(playing, stopping, checking, return_exceptions=True):
            if isinstance(end, Exception):
                raise end

    async def _check_accounts(self, stop: asyncio.Event) -> None:
        try:
            await self.accounts.watch()
        except ConfigError:
            stop.set()
            raise


@asynccontextmanager
async def daemon(
    loaded: Loaded, *, url: str, state: HealthState, stop: asyncio.Event, say: Say
) -> AsyncIterator[Daemon]:
    """Start everything in order, and stop it in the reverse order however it ends."""
    settings, data = market_settings(loaded.settings), loaded.data_directory
    redactor = Redactor(secret_values(settings))
    configure_logging(
        level=settings.run.log_level, log_format=settings.run.log_format, redactor=redactor, stream=sys.stdout
    )
    checked_seeds(settings.dashboard)
    api_token = secrets.token_urlsafe(24)
    redactor.add(api_token)
    state.detail = "starting the database"
    async with _stores(settings, data, say) as (shares, kill_news), analyst_seat(settings, shares.trading) as seat:
        stores = shares.trading
        people = await people_of(settings, data, stores)
        redactor.add(*people.secrets)
        state.detail = "starting the market"
        market = await open_market(loaded, settings, data)
        accounts = AccountCheck(market.brokers, stores.accounts, currency=settings.risk.account_currency)
        await accounts.look()
        scheduler = IntervalScheduler(
            market.clock,
            speed=market.speed,
            least_interval_s=market.least_interval_s,
            on_problem=lambda job, text: supervisor.note_problem(job, text),
        )
        events = JournalEvents()
        kill_file = KillFile(data)
        metering = Metering(settings, market)
        supervisor, core, router, feed = _supervisor(
            settings, market, stores, events, scheduler, kill_file, kill_news, seat, metering
        )

        async def risk() -> RiskReport:
            return await report_of(
                settings=settings, stores=shares.pages, router=router, supervisor=supervisor, core=core
            )

        watched = WatchedParts(
            settings=settings,
            data=data,
            clock=SystemClock(),
            market_clock=market.clock,
            speed=market.speed,
            stores=stores,
            supervisor=supervisor,
            core=core,
            router=router,
            feed=feed,
            jobs=scheduler.health,
            ages=JobAges(scheduler.health, SystemClock(), speed=market.speed),
            events=events,
            alerts=lambda: desk.alerts(),
            has_ways=any(each.is_set and each.channel for each in ways_of(settings)),
            ready=lambda: why_not_ready(state, supervisor),
            watchers=lambda: len(running.app[LIVE_PAGES]),
        )
        one_time = OneTimeLogin(SystemClock())
        log = RecentLog(redactor.redact)
        parts = DashboardParts(
            stores=shares.pages,
            status=lambda: _status(supervisor, shares.pages, settings, url, market),
            events=events,
            registry=market.registry,
            clock=SystemClock(),
            user=people.owner,
            vault=people.vault,
            trusted_proxies=settings.dashboard.proxies,
            second_factor_required=settings.run.mode == "live",
            api_token=api_token,
            market_note=market.note,
            health=lambda: {"mode": settings.run.mode, **supervisor.health()},
            kill=core.kill,
            kill_file=kill_file,
            risk=risk,
            venues=VenueDesk(router),
            features=supervisor.features,
            trading=TradingParts(
                desk=core.desk,
                accounts=supervisor.accounts,
                quotes=supervisor.quotes,
                positions=core.book.positions,
                preview=supervisor.preview,
                run_task=supervisor.run_task,
            ),
            ready=watched.ready,
            checkup=checkup_of(watched, metering.lag),
            metrics=metering.metrics.registry,
            reconciliations=lambda: supervisor.reconciliations(),
            one_time_login=one_time,
            judged=supervisor.judged,
            log=log,
            configuration=settings_in_force(loaded, settings),
            ways=ways_of(settings),
            versions=versions(),
        )
        running = Daemon(
            mode=settings.run.mode,
            started_at=SystemClock().now(),
            api_token=api_token,
            one_time_token=one_time.issue(),
            login=people.login,
            app=create_app(parts),
            supervisor=supervisor,
            market=market,
            accounts=accounts,
            state=state,
            jobs=scheduler.health,
            runners=[],
        )
        told = AlertingParts(
            settings=settings,
            data=data,
            stores=stores,
            events=events,
            redactor=redactor,
            log=log,
            core=core,
            health=supervisor.health,
            jobs=scheduler.health,
            status=parts.status,
            reconciliations=parts.reconciliations,
            risk=risk,
            features=supervisor.features,
        )
        # Before the start: what that finds is told and counted, too.
        async with alerting(told) as desk, metering.running(events, watched):
            for note in market.notes:
                await core.pipeline.record("instrument", None, {"what": note})
            try:
                await supervisor.start()
                yield running
            finally:
                stop.set()
                await supervisor.stop()
                for runner in running.runners:
                    await runner.cleanup()
                market.save()


@asynccontextmanager
async def _stores(settings: Settings, data: Path, say: Say) -> AsyncIterator[tuple[Shares, KillNews]]:
    """The database of DATABASE_URL, or the embedded one; migrated. With it, the word of who presses the kill switch."""
    clock, server = SystemClock(), None
    dsn = settings.run.database_url
    if not dsn:
        server = EmbeddedPostgres(data / "postgres", sleep=clock.sleep, on_progress=say)
    try:
        if server is not None:
            dsn = await _started(server)
        pool = await open_pool(dsn)
        writer = WriterLock(dsn, clock)
        async with open_shares(dsn, pool, writer.epoch) as shares:
            applied = await migrate(pool, clock)
            if applied:
                logger.info("database: applied {}", ", ".join(applied))
            async with writer.held():  # raises where another daemon has it: nothing of ours has begun yet
                yield shares, PostgresKillNews(dsn)
    finally:
        if server is not None:
            await server.stop()


async def _started(server: EmbeddedPostgres) -> str:
    """Its DSN. A start that we are told to give up goes on to its end, if that is near: half of one leaves a server
    that nobody would stop."""
    starting = asyncio.create_task(server.start(), name="database")
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait((starting,), timeout=_HALF_STARTED_S)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        raise


def _supervisor(
    settings: Settings,
    market: Market,
    stores: PostgresStores,
    events: JournalEvents,
    scheduler: IntervalScheduler,
    kill_file: KillFile,
    kill_news: KillNews,
    seat: AnalystSeat,
    metering: Metering,
) -> tuple[Supervisor, TradingCore, BrokerRouter, CandleFeed]:
    registry, clock = market.registry, market.clock
    router = BrokerRouter([metering.broker(each) for each in market.brokers], registry)
    cache, gate = CandleCache(registry), EntryGate()
    feed = CandleFeed(router, cache, clock)

    journal = StoredJournal(stores.journal, events)
    analyst = metering.seat(seat).desk(
        settings,
        stores,
        clock,
        record=lambda kind, task_id, data: core.pipeline.record(kind, task_id, data),
        on_problem=lambda text: supervisor.note_problem("analyst", text),
    )
    core = trading_core(
        settings=settings,
        registry=registry,
        clock=clock,
        stores=stores,
        journal=journal,
        candles=cache,
        broker_of=router.broker,
        quote_of=lambda symbol: supervisor.quote_of(symbol),
        entries_blocked=gate.blocked,
        strategies=[DIVERGENCE],
        environment=settings.run.mode[0],
        kill_file=kill_file,
        analyst=analyst,
    )
    kill_watch = KillWatch(
        switch=core.kill,
        flattener=core.flattener,
        news=kill_news,
        settle=lambda broker_id: supervisor.settle(broker_id),
        clock=SystemClock(),  # a person presses it, at whatever speed the market runs
        record=core.pipeline.record,
        on_problem=lambda text: supervisor.note_problem("kill switch", text),
    )
    parts = SupervisorParts(
        settings=settings,
        registry=registry,
        clock=clock,
        stores=stores,
        scheduler=scheduler,
        router=router,
        feed=metering.feed(feed),
        cache=cache,
        book=core.book,
        tracker=core.tracker,
        guard=core.guard,
        reconciler=metering.reconciler(core.reconciler),
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
    supervisor = Supervisor(parts, gate)
    return supervisor, core, router, feed


async def _status(
    supervisor: Supervisor, stores: PostgresStores, settings: Settings, url: str, market: Market
) -> DaemonStatus:
    health = str(supervisor.health()["status"])
    return await supervisor.status(stores, mode=settings.run.mode, url=url, health=health, market=market.note())
