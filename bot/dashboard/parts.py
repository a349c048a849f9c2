"""What the dashboard is made of; wiring fills it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from bot.dashboard.sessions import OneTimeLogin
from bot.differences import Reconciliation
from bot.instruments import InstrumentRegistry
from bot.interfaces import Clock, EventStream, Stores
from bot.layer1_data.venue_desk import VenueDesk
from bot.layer4_risk.exposure import RiskReport
from bot.layer4_risk.kill_file import KillFile
from bot.layer4_risk.kill_switch import KillSwitch
from bot.models import DaemonStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardParts:
    """Everything the pages read, and who may read it.

    `clock` must run in real seconds (SystemClock, also where the market is simulated): sessions, login delays and the
    pace of the page are a person's time. Market time comes from `status().now`. `market_note` says in one sentence
    what that time and those prices are; `health` answers without I/O and is shown to everyone. An empty `api_token`
    means that no token is accepted. A press on the page goes to `kill`; a person who resumes also removes `kill_file`.
    """

    stores: Stores
    status: Callable[[], Awaitable[DaemonStatus]]
    events: EventStream
    registry: InstrumentRegistry
    clock: Clock
    user: str
    password_hash: str = field(repr=False)
    api_token: str = field(repr=False)
    market_note: Callable[[], str]
    health: Callable[[], Mapping[str, object]]
    kill: KillSwitch
    kill_file: KillFile | None
    risk: Callable[[], Awaitable[RiskReport]]
    venues: VenueDesk
    reconciliations: Callable[[], Sequence[Reconciliation]] = tuple
    one_time_login: OneTimeLogin | None = None


PARTS: Final = web.AppKey("parts", DashboardParts)
