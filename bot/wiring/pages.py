"""Wiring of the pages and the API of a daemon: who may come in, what they read, and what they may do."""

from bot.clock import SystemClock
from bot.config import Loaded, settings_in_force
from bot.dashboard.parts import DashboardParts, TradingParts
from bot.dashboard.sessions import OneTimeLogin
from bot.layer1_data.venue_desk import VenueDesk
from bot.layer5_monitoring.recent_log import RecentLog
from bot.wiring.checkup import checkup_of
from bot.wiring.metrics_probes import WatchedParts
from bot.wiring.people import People
from bot.wiring.trading import Trading
from bot.wiring.versions import versions
from bot.wiring.ways import ways_of


def pages_of(
    trading: Trading,
    watched: WatchedParts,
    *,
    loaded: Loaded,
    url: str,
    people: People,
    api_token: str,
    one_time_login: OneTimeLogin,
    log: RecentLog,
) -> DashboardParts:
    """What the pages of that daemon are made of; `api_token` is the one that `run.json` tells its owner's programs."""
    settings, supervisor, core = trading.settings, trading.supervisor, trading.core
    return DashboardParts(
        stores=trading.shares.pages,
        status=lambda: trading.status(url),
        events=trading.events,
        registry=trading.market.registry,
        clock=SystemClock(),
        user=people.owner,
        vault=people.vault,
        trusted_proxies=settings.dashboard.proxies,
        second_factor_required=settings.run.mode == "live",
        api_token=api_token,
        market_note=trading.market.note,
        health=trading.health,
        kill=core.kill,
        kill_file=trading.kill_file,
        risk=trading.risk,
        venues=VenueDesk(trading.router),
        features=supervisor.features,
        trading=TradingParts(
            desk=core.desk,
            accounts=supervisor.accounts,
            quotes=supervisor.quotes,
            positions=core.book.positions,
            preview=supervisor.preview,
            rehearse=core.pipeline.rehearse,
            run_task=supervisor.run_task,
        ),
        ready=watched.ready,
        checkup=checkup_of(watched, trading.metering.lag),
        metrics=trading.metering.metrics.registry,
        reconciliations=supervisor.reconciliations,
        one_time_login=one_time_login,
        judged=supervisor.judged,
        log=log,
        configuration=settings_in_force(loaded, settings),
        ways=ways_of(settings),
        versions=versions(),
    )
