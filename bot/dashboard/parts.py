"""What the dashboard is made of; wiring fills it."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from bot.alerts import Way
from bot.config import SettingInForce
from bot.dashboard.second_factor import Vault
from bot.dashboard.sessions import OneTimeLogin
from bot.differences import Reconciliation
from bot.instruments import BrokerId, InstrumentRegistry, Symbol
from bot.interfaces import Clock, EventStream, Stores
from bot.layer1_data.venue_desk import VenueDesk
from bot.layer3_execution.trading_desk import TradingDesk
from bot.layer4_risk.exposure import RiskReport
from bot.layer4_risk.kill_file import KillFile
from bot.layer4_risk.kill_switch import KillSwitch
from bot.layer4_risk.manager import Preview
from bot.layer5_monitoring.checkup import Checkup
from bot.layer5_monitoring.recent_log import RecentLog
from bot.models import (
    AccountState,
    DaemonStatus,
    EntrySignal,
    FeatureSet,
    Position,
    Quote,
    StrategyTask,
    TaskId,
    TaskState,
    Timeframe,
)

if TYPE_CHECKING:
    from bot.pipeline import Rehearsal


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingParts:
    """What the running daemon knows of its accounts and prices, and what it can be asked to do beside the kill switch.

    `accounts` and `quotes` are as read last, `positions` as the book has them, with their newest marks; `preview` and
    `rehearse` raise DatabaseUnavailable, `run_task` NotFound.
    """

    desk: TradingDesk
    accounts: Callable[[], Mapping[BrokerId, AccountState]]
    quotes: Callable[[], Mapping[Symbol, Quote]]
    positions: Callable[[], Sequence[Position]]
    preview: Callable[[EntrySignal], Awaitable[Preview]]
    rehearse: Callable[[StrategyTask, EntrySignal, FeatureSet], "Awaitable[Rehearsal]"]
    run_task: Callable[[TaskId, TaskState], Awaitable[StrategyTask]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardParts:
    """Everything the pages read, and who may read it.

    `clock` must run in real seconds (SystemClock, also where the market is simulated): sessions, login delays and the
    pace of the page are a person's time. Market time comes from `status().now`. `market_note` says in one sentence
    what that time and those prices are; `health` answers without I/O and is shown to everyone; `configuration` is
    masked already. An empty `api_token` means that no such token is accepted. `user` is who comes in by the printed
    link; `vault` keeps second factors, which whoever may act must have where `second_factor_required`. A press on the
    page goes to `kill`; a person who resumes also removes `kill_file`.
    `features` are the closed candles known of a series with their indicators, None if nobody follows it. `ready` says
    why the daemon cannot be relied on yet, or nothing; `checkup` asks all that it depends on.
    """

    stores: Stores
    status: Callable[[], Awaitable[DaemonStatus]]
    events: EventStream
    registry: InstrumentRegistry
    clock: Clock
    user: str
    api_token: str = field(repr=False)
    market_note: Callable[[], str]
    health: Callable[[], Mapping[str, object]]
    kill: KillSwitch
    kill_file: KillFile | None
    risk: Callable[[], Awaitable[RiskReport]]
    venues: VenueDesk
    features: Callable[[Symbol, Timeframe], FeatureSet | None]
    trading: TradingParts
    ready: Callable[[], str]
    checkup: Checkup
    metrics: CollectorRegistry
    reconciliations: Callable[[], Sequence[Reconciliation]] = tuple
    judged: Callable[[], Mapping[tuple[Symbol, Timeframe], datetime]] = dict
    one_time_login: OneTimeLogin | None = None
    vault: Vault = field(default_factory=lambda: Vault(secrets.token_bytes(32)))
    trusted_proxies: Sequence[IPv4Network | IPv6Network] = ()
    second_factor_required: bool = False
    log: RecentLog = field(default_factory=lambda: RecentLog(str))
    configuration: Sequence[SettingInForce] = ()
    ways: Sequence[Way] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


PARTS: Final = web.AppKey("parts", DashboardParts)
