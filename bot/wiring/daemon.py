"""Wiring of `run`: the database, the venues, the market of dev mode, the supervisor and the page."""

import asyncio
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiohttp import web
from loguru import logger

from bot.clock import SystemClock
from bot.config import Loaded, Settings, secret_values
from bot.dashboard.app import DashboardParts, create_app, serve
from bot.dashboard.passwords import PASSWORD_FILE, known_password, password_hash_of
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
from bot.layer5_monitoring.journal import StoredJournal
from bot.layer5_monitoring.logger import Redactor, configure_logging
from bot.models import DaemonStatus
from bot.scheduler import IntervalScheduler
from bot.supervisor import EntryGate, Supervisor, SupervisorParts
from bot.wiring.alerts import AlertingParts, alerting
from bot.wiring.analyst_desk import AnalystSeat, analyst_seat
from bot.wiring.core import TradingCore, trading_core
from bot.wiring.market import AccountCheck, Market, market_settings, open_market
from bot.wiring.risk import report_of

Say = Callable[[str], None]


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
    runners: list[web.AppRunner]

    async def serve(self, listener: socket.socket) -> None:
        """Pages on the socket that has answered /health so far."""
        self.runners.append(await serve(self.app, listener))
        self.state.status, self.state.detail = "ok", ""

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
    password, is_new = _password(settings, data)
    api_token = secrets.token_urlsafe(24)
    redactor.add(password, api_token)
    state.detail = "starting the database"
    async with _stores(settings, data, say) as (stores, kill_news), analyst_seat(settings, stores) as seat:
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
        supervisor, core, router = _supervisor(settings, market, stores, events, scheduler, kill_file, kill_news, seat)

        async def risk() -> RiskReport:
            return await report_of(settings=settings, stores=stores, router=router, supervisor=supervisor, core=core)

        one_time = OneTimeLogin(SystemClock())
        parts = DashboardParts(
            stores=stores,
            status=lambda: _status(supervisor, settings, url, market),
            events=events,
            registry=market.registry,
            clock=SystemClock(),
            user=settings.dashboard.dashboard_user,
            password_hash=await asyncio.to_thread(password_hash_of, password),
            api_token=api_token,
            market_note=market.note,
            health=lambda: {"mode": settings.run.mode, **supervisor.health()},
            kill=core.kill,
            kill_file=kill_file,
            risk=risk,
            venues=VenueDesk(router),
            reconciliations=lambda: supervisor.reconciliations(),
            one_time_login=one_time,
        )
        running = Daemon(
            mode=settings.run.mode,
            started_at=SystemClock().now(),
            api_token=api_token,
            one_time_token=one_time.issue(),
            login=_login_text(settings, password, data, is_new=is_new),
            app=create_app(parts),
            supervisor=supervisor,
            market=market,
            accounts=accounts,
            state=state,
            runners=[],
        )
        told = AlertingParts(
            settings=settings,
            data=data,
            stores=stores,
            events=events,
            redactor=redactor,
            core=core,
            health=supervisor.health,
            jobs=scheduler.health,
            status=parts.status,
            reconciliations=parts.reconciliations,
            risk=risk,
        )
        async with alerting(told):  # before the start: what that finds is told, too
            for note in market.notes:
                await core.pipeline.record("instrument", None, {"what": note})
            await supervisor.start()
            try:
                yield running
            finally:
                stop.set()
                await supervisor.stop()
                for runner in running.runners:
                    await runner.cleanup()
                market.save()


@asynccontextmanager
async def _stores(settings: Settings, data: Path, say: Say) -> AsyncIterator[tuple[PostgresStores, KillNews]]:
    """The database of DATABASE_URL, or the embedded one; migrated. With it, the word of who presses the kill switch."""
    clock, server = SystemClock(), None
    dsn = settings.run.database_url
    if not dsn:
        server = EmbeddedPostgres(data / "postgres", sleep=clock.sleep, on_progress=say)
        dsn = await server.start()
    try:
        pool = await open_pool(dsn)
        writer = WriterLock(dsn, clock)
        stores = PostgresStores(pool, writer.epoch)
        try:
            applied = await migrate(pool, clock)
            if applied:
                logger.info("database: applied {}", ", ".join(applied))
            async with writer.held():  # raises where another daemon has it: nothing of ours has begun yet
                yield stores, PostgresKillNews(dsn)
        finally:
            await stores.close()
    finally:
        if server is not None:
            await server.stop()


def _supervisor(
    settings: Settings,
    market: Market,
    stores: PostgresStores,
    events: JournalEvents,
    scheduler: IntervalScheduler,
    kill_file: KillFile,
    kill_news: KillNews,
    seat: AnalystSeat,
) -> tuple[Supervisor, TradingCore, BrokerRouter]:
    registry, clock = market.registry, market.clock
    router = BrokerRouter(market.brokers, registry)
    cache, gate = CandleCache(registry), EntryGate()

    journal = StoredJournal(stores.journal, events)
    analyst = seat.desk(
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
        analyst=analyst,
        tasks=market.tasks(settings),
        new_features=lambda: LiveFeatures(settings.divergence, settings.validation.bandwidth_lookback),
    )
    supervisor = Supervisor(parts, gate)
    return supervisor, core, router


async def _status(supervisor: Supervisor, settings: Settings, url: str, market: Market) -> DaemonStatus:
    health = str(supervisor.health()["status"])
    return await supervisor.status(mode=settings.run.mode, url=url, health=health, market=market.note())


def _password(settings: Settings, data: Path) -> tuple[str, bool]:
    """The password of the page, and whether it was made just now; a made one is kept, readable by its owner only."""
    known = known_password(settings, data)
    if known:
        return known, False
    path = data / PASSWORD_FILE
    made = secrets.token_urlsafe(12)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(made + "\n", encoding="utf-8")
    return made, True


def _login_text(settings: Settings, password: str, data: Path, *, is_new: bool) -> str:
    user = settings.dashboard.dashboard_user
    if is_new:
        return f"{user} / {password}   (shown once; kept in {data / PASSWORD_FILE})"
    if settings.dashboard.dashboard_password:
        return f"{user} / the password of DASHBOARD_PASSWORD"
    return f"{user} / the password in {data / PASSWORD_FILE}"
