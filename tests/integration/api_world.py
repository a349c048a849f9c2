"""The API on loopback, with people and tokens of every kind, over the day in memory or over a real order path."""

import json
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from aiohttp import web
from yarl import URL

from bot.access import Role, Scope
from bot.clock import ManualClock
from bot.dashboard.api.pace import PACE_DESK, Pace, PaceDesk
from bot.dashboard.app import create_app, serve
from bot.dashboard.forms import HEADER
from bot.dashboard.parts import DashboardParts, TradingParts
from bot.dashboard.tokens import TOKEN_DESK
from bot.database.memory import MemoryStores
from bot.interfaces import Clock
from bot.layer3_execution.flatten import Flattener
from bot.layer3_execution.trading_desk import TradingDesk
from bot.layer4_risk.manager import Preview
from bot.layer5_monitoring.events import JournalEvents
from bot.models import EntrySignal, StrategyTask, TaskId, TaskState
from tests.fakes.dashboard_day import NOW, PASSWORD, PRICES, USER, add_user, dashboard_parts, fill_day
from tests.fakes.dashboard_trading import DayTrading
from tests.unit.layer3_execution.desk import Desk

TOKENS: Final[Mapping[str, tuple[str, frozenset[Scope]]]] = {
    "reader": ("vera", frozenset({Scope.READ})),
    "killer": ("otto", frozenset({Scope.KILL})),
    "operator": ("otto", Role.OPERATOR.scopes),
    "admin": ("ada", Role.ADMIN.scopes),
}


@dataclass
class Answer:
    """One answer."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.text)


@dataclass
class ApiWorld:
    """A served application, and somebody with every kind of token."""

    app: web.Application
    url: URL
    client: aiohttp.ClientSession
    parts: DashboardParts
    tokens: Mapping[str, str]
    desk: Desk | None = None

    async def get(self, path: str, *, by: str = "reader", **options: Any) -> Answer:
        return await self.ask("GET", path, by=by, **options)

    async def post(self, path: str, body: object = None, *, by: str = "operator", **options: Any) -> Answer:
        return await self.ask("POST", path, by=by, json=body, **options)

    async def ask(
        self, method: str, path: str, *, by: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        sent = {**self.bearer(by), **(headers or {})}
        whole = URL(f"{str(self.url).rstrip('/')}{path}", encoded=True)
        async with self.client.request(method, whole, headers=sent, allow_redirects=False, **options) as answer:
            return Answer(status=answer.status, text=await answer.text(), headers=answer.headers)

    def bearer(self, by: str) -> Mapping[str, str]:
        """The header of one token."""
        return {"Authorization": f"Bearer {self.tokens[by]}"}


@asynccontextmanager
async def browsing(world: ApiWorld, user: str = USER) -> AsyncIterator[tuple[aiohttp.ClientSession, dict[str, str]]]:
    """A browser that has just logged in with its password, and the headers of an act from our own page."""
    origin = {"Origin": str(world.url.origin())}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(world.url / "login") as form:
            login = {"csrf": csrf_in(await form.text()), "user": user, "password": PASSWORD}
        async with browser.post(world.url / "login", data=login, headers=origin, allow_redirects=False) as entered:
            assert entered.status == 303
        async with browser.get(world.url / "account") as page:
            yield browser, {**origin, HEADER: csrf_in(await page.text())}


def csrf_in(page: str) -> str:
    """The token of the forms of a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def escaped(name: str) -> str:
    """An id as part of a path."""
    return quote(name, safe="")


@asynccontextmanager
async def api(parts: DashboardParts, desk: Desk | None = None, pace: Pace | None = None) -> AsyncIterator[ApiWorld]:
    """The application over `parts`; `pace` is that of everything that is counted."""
    app = create_app(parts)
    if pace is not None:
        app[PACE_DESK] = PaceDesk(parts.clock, reads=pace, acts=pace, venues=pace)
    listening = socket.create_server(("127.0.0.1", 0))
    runner = await serve(app, listening)
    try:
        async with aiohttp.ClientSession() as client:
            tokens = {name: await _token(app, parts, *of) for name, of in TOKENS.items()}
            url = URL(f"http://127.0.0.1:{listening.getsockname()[1]}/")
            yield ApiWorld(app=app, url=url, client=client, parts=parts, tokens=tokens, desk=desk)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def day_api(
    clock: Clock | None = None, *, stores: MemoryStores | None = None, pace: Pace | None = None, **changes: Any
) -> AsyncIterator[ApiWorld]:
    """Over the believable day, as far as `stores` have it."""
    stores = stores or MemoryStores()
    parts = dashboard_parts(stores, JournalEvents(), clock or ManualClock(), **changes)
    _people(stores)
    async with api(parts, pace=pace) as world:
        yield world


@asynccontextmanager
async def filled_day_api(clock: Clock, *, pace: Pace) -> AsyncIterator[ApiWorld]:
    """Over the whole day, with an order path that knows it, for whoever asks a lot."""
    stores = MemoryStores()
    await fill_day(stores)
    trading = DayTrading(stores, ManualClock(NOW), PRICES)
    await trading.core.tracker.load()
    async with day_api(clock, stores=stores, pace=pace, trading=trading.parts) as world:
        yield world


@asynccontextmanager
async def desk_api(desk: Desk | None = None, **changes: Any) -> AsyncIterator[ApiWorld]:
    """Over an order path that really trades, at one awkward venue."""
    desk = desk or Desk()
    parts = dashboard_parts(desk.stores, JournalEvents(), ManualClock(), trading=trading_of(desk), **changes)
    _people(desk.stores)
    async with api(parts, desk) as world:
        yield world


def trading_of(desk: Desk) -> TradingParts:
    """What wiring makes of it."""

    async def record(kind: str, task_id: object, data: object) -> None:
        """Not what is tested here."""

    async def preview(idea: EntrySignal) -> Preview:
        return await desk.pipeline.preview(idea, None)

    async def run_task(task_id: TaskId, state: TaskState) -> StrategyTask:
        await desk.stores.tasks.set_state(task_id, state)
        return await desk.stores.tasks.get(task_id)

    flattener = Flattener(
        book=desk.book, engine=desk.engine, tracker=desk.tracker, broker_of=lambda _: desk.broker, record=record
    )
    return TradingParts(
        desk=TradingDesk(
            store=desk.stores.orders, book=desk.book, engine=desk.engine, flattener=flattener, clock=desk.clock
        ),
        accounts=dict,
        quotes=dict,
        positions=desk.book.positions,
        preview=preview,
        rehearse=desk.pipeline.rehearse,
        run_task=run_task,
    )


def _people(stores: MemoryStores) -> None:
    for name, role in (("vera", Role.VIEWER), ("otto", Role.OPERATOR), ("ada", Role.ADMIN)):
        add_user(stores, name, role)


async def _token(app: web.Application, parts: DashboardParts, name: str, scopes: frozenset[Scope]) -> str:
    user = await parts.stores.users.get(name)
    assert user is not None
    _, text = await app[TOKEN_DESK].create(user, label="test", scopes=scopes, days=30)
    return text
