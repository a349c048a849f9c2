"""Wiring of `run`: the story of a start, and of its end."""

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

from bot.alerts import Alert
from bot.clock import SystemClock
from bot.config import Loaded, Settings, secret_values
from bot.dashboard.app import create_app, serve
from bot.dashboard.live_streams import LIVE_PAGES
from bot.dashboard.parts import DashboardParts
from bot.dashboard.seeding import checked_seeds
from bot.dashboard.sessions import OneTimeLogin
from bot.database.durability import NEXT_STEP, durability_faults, durability_refusal
from bot.database.embedded import EmbeddedPostgres
from bot.database.migrate import migrate
from bot.database.pool import Pool, open_pool
from bot.database.postgres_kills import PostgresKillNews
from bot.database.writer import WriterLock
from bot.errors import ConfigError
from bot.interfaces import KillNews
from bot.layer5_monitoring.health import HealthState
from bot.layer5_monitoring.job_ages import JobAges
from bot.layer5_monitoring.logger import Redactor, configure_logging
from bot.layer5_monitoring.recent_log import RecentLog
from bot.layer5_monitoring.service_manager import ServiceManager
from bot.models import JobHealth
from bot.supervisor import Supervisor
from bot.wiring.alerts import AlertingParts, alerting
from bot.wiring.analyst_desk import analyst_seat
from bot.wiring.checkup import why_not_ready
from bot.wiring.market import AccountCheck, Market, market_settings, open_market
from bot.wiring.metrics_probes import WatchedParts
from bot.wiring.pages import pages_of
from bot.wiring.people import people_of
from bot.wiring.shares import Shares, open_shares
from bot.wiring.trading import Trading
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
    writer: WriterLock
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
        """Play the market until told to stop. A market that fails, a key that leads to another account than the one
        that the database belongs to, or another daemon that has taken over the database, ends the daemon, loudly."""
        playing = asyncio.create_task(self.market.run(stop), name="market")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        checking = asyncio.create_task(self._check_accounts(stop), name="accounts")
        writing = asyncio.create_task(self._stay_writer(stop), name="writer")
        await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        self.state.status = "stopping"
        stop.set()
        checking.cancel()
        writing.cancel()
        for end in await asyncio.gather(writing, playing, stopping, checking, return_exceptions=True):
            if isinstance(end, Exception):
                raise end

    async def _check_accounts(self, stop: asyncio.Event) -> None:
        try:
            await self.accounts.watch()
        except ConfigError:
            stop.set()
            raise

    async def _stay_writer(self, stop: asyncio.Event) -> None:
        """Without the lock nothing can be closed or protected, and nothing here would say so: better no daemon."""
        try:
            await self.writer.watch()
        finally:
            stop.set()


@asynccontextmanager
async def daemon(
    loaded: Loaded, *, url: str, state: HealthState, stop: asyncio.Event, say: Say
) -> AsyncIterator[Daemon]:
    """Start everything in order, and stop it in the reverse order however it ends."""
    settings, data = market_settings(loaded.settings), loaded.data_directory
    redactor = _logging(settings)
    checked_seeds(settings.dashboard)
    api_token = secrets.token_urlsafe(24)
    redactor.add(api_token)
    state.detail = "starting the database"
    async with (
        _stores(settings, data, say) as (shares, kill_news, writer),
        analyst_seat(settings, shares.trading) as seat,
    ):
        people = await people_of(settings, data, shares.trading)
        redactor.add(*people.secrets)
        state.detail = "starting the market"
        market = await open_market(loaded, settings, data)
        accounts = AccountCheck(
            market.brokers, shares.trading.accounts, currency=settings.risk.account_currency, clock=SystemClock()
        )
        await accounts.look()
        trading = Trading(
            settings,
            data,
            shares=shares,
            market=market,
            brokers=accounts.brokers,
            seat=seat,
            kill_news=kill_news,
        )
        writer.told = lambda: trading.note_writer(is_held=writer.is_held)
        writer.told()  # it may have been lost meanwhile
        watched = _watched(trading, state, alerts=lambda: desk.alerts(), watchers=lambda: len(running.app[LIVE_PAGES]))
        one_time, log = OneTimeLogin(SystemClock()), RecentLog(redactor.redact)
        pages = pages_of(
            trading,
            watched,
            loaded=loaded,
            url=url,
            people=people,
            api_token=api_token,
            one_time_login=one_time,
            log=log,
        )
        running = Daemon(
            mode=settings.run.mode,
            started_at=SystemClock().now(),
            api_token=api_token,
            one_time_token=one_time.issue(),
            login=people.login,
            app=create_app(pages),
            supervisor=trading.supervisor,
            market=market,
            accounts=accounts,
            writer=writer,
            state=state,
            jobs=trading.scheduler.health,
            runners=[],
        )
        told = _told(trading, pages, redactor)
        # Before the start: what that finds is told and counted, too.
        async with alerting(told) as desk, trading.metering.running(trading.events, watched):
            for note in market.notes:
                await trading.core.pipeline.record("instrument", None, {"what": note})
            async with _trading_goes_on(running, stop):
                yield running


@asynccontextmanager
async def _trading_goes_on(running: Daemon, stop: asyncio.Event) -> AsyncIterator[None]:
    """Jobs run while the block does. In the end they stop first, then the pages, and the market is kept."""
    try:
        await running.supervisor.start()
        yield
    finally:
        stop.set()
        await running.supervisor.stop()
        for runner in running.runners:
            await runner.cleanup()
        running.market.save()


def _logging(settings: Settings) -> Redactor:
    """The log as the settings want it; what the answer is told, it leaves out."""
    redactor = Redactor(secret_values(settings))
    configure_logging(
        level=settings.run.log_level, log_format=settings.run.log_format, redactor=redactor, stream=sys.stdout
    )
    return redactor


def _watched(
    trading: Trading, state: HealthState, *, alerts: Callable[[], Sequence[Alert]], watchers: Callable[[], int]
) -> WatchedParts:
    """For gauges and the deep check."""
    settings, market, jobs = trading.settings, trading.market, trading.scheduler.health
    return WatchedParts(
        settings=settings,
        data=trading.data,
        clock=SystemClock(),
        market_clock=market.clock,
        speed=market.speed,
        stores=trading.shares.trading,
        supervisor=trading.supervisor,
        core=trading.core,
        router=trading.router,
        feed=trading.feed,
        jobs=jobs,
        ages=JobAges(jobs, SystemClock(), speed=market.speed),
        events=trading.events,
        alerts=alerts,
        has_ways=any(each.is_set and each.channel for each in ways_of(settings)),
        ready=lambda: why_not_ready(state, trading.supervisor),
        watchers=watchers,
    )


def _told(trading: Trading, pages: DashboardParts, redactor: Redactor) -> AlertingParts:
    """For alerts, and for commands from a chat, which are answered as the pages do."""
    return AlertingParts(
        settings=trading.settings,
        data=trading.data,
        stores=trading.shares.trading,
        events=trading.events,
        redactor=redactor,
        log=pages.log,
        core=trading.core,
        health=trading.supervisor.health,
        jobs=trading.scheduler.health,
        status=pages.status,
        reconciliations=pages.reconciliations,
        risk=trading.risk,
        features=trading.supervisor.features,
    )


@asynccontextmanager
async def _stores(settings: Settings, data: Path, say: Say) -> AsyncIterator[tuple[Shares, KillNews, WriterLock]]:
    """The database of DATABASE_URL, or the embedded one; migrated. With it, the word of who presses the kill switch,
    and the lock of the one that may send."""
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
            await _durable(pool, settings.run.mode)
            async with writer.held():  # raises where another daemon has it: nothing of ours has begun yet
                yield shares, PostgresKillNews(dsn), writer
    finally:
        if server is not None:
            await server.stop()


async def _durable(pool: Pool, mode: str) -> None:
    """Tell under which settings a power cut can undo a commit. Raises ConfigError where the mode forbids them (D8)."""
    faults = await durability_faults(pool)
    if refusal := durability_refusal(faults, mode):
        raise ConfigError(refusal)
    for each in faults:
        logger.warning("database: {}. Next step: {}", each, NEXT_STEP)


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
